"""Many readers of one chunk at one time: P-EXC-7 and P-EXC-13 to P-EXC-15, between real nodes in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from dfs_sdk.errors import ContentUnavailableError, RemoteError
from dfs_sdk.exchange import ExchangeConfig, NotHeldError, Wanted, removal_hash
from dfs_sdk.exchange.demand import GIVEN_AT_ONCE_MAX, SHARED_BYTES_MIN, PutOff
from dfs_sdk.exchange.fetching import NoIntactCopyError
from dfs_sdk.exchange.lending import KEPT_SECONDS
from dfs_sdk.exchange.messages import Fetch, Fetched, HolderLoad
from dfs_sdk.exchange.race import NAMED_SECONDS_MAX, PATIENCE_SECONDS, PAUSE_MAX
from dfs_sdk.exchange.service import LENT_INTERVAL
from dfs_sdk.ids import NodeId
from dfs_sdk.rpc.base import Caller, Refusal, RefusalCode
from dfs_sdk.transport.priority import Priority
from tests.fakes.calls import raw_connection, withhold_acks
from tests.fakes.holders import HolderNode, chunk_of, give, holder_node, holder_nodes, tell_of_holders
from tests.fakes.network import FakeNetwork

KEY = b"k" * 32
LATENCY = 0.05
IDLE = HolderLoad(queue=0, service_time=0.0)
CHUNK = chunk_of(b"popular " * (SHARED_BYTES_MIN // 8), removal_hash=removal_hash(KEY))


def always_busy(node: HolderNode) -> list[bool]:
    """Let a holder put everybody off who may be; returns which of its callers might be."""
    patient: list[bool] = []
    node.exchange._holder._giving._demand.put_off = lambda *_: PutOff(seconds=0.5, others=())  # type: ignore[method-assign]
    on_fetch = node.rpc._router._routes[Fetch.tag].handler

    async def note(caller: Caller, request: Fetch, body: memoryview) -> object:
        patient.append(request.patient)
        return await on_fetch(caller, request, body)

    node.rpc._router._routes[Fetch.tag].handler = note
    return patient


def damage(lender: HolderNode) -> None:
    """Let other bytes stand where a lender keeps the chunk."""
    chunk, until = lender.exchange._lending._kept[CHUNK.chunk_id]
    lender.exchange._lending._kept[CHUNK.chunk_id] = replace(chunk, data=b"x" * len(chunk.data)), until


def serve_put_offs(
    node: HolderNode, *, seconds: float, others: Sequence[NodeId] = (), keep: bool = False
) -> list[Fetch]:
    """Let a node put off whoever asks for a chunk, whether or not it may; returns what it was asked."""
    asked: list[Fetch] = []

    async def put_off(_caller: Caller, request: Fetch, _body: memoryview) -> Fetched:
        asked.append(request)
        return Fetched(cell=0, removal_hash=b"", load=IDLE, keep=keep, put_off=seconds, others=tuple(others))

    node.rpc._router._routes[Fetch.tag].handler = put_off
    return asked


def silence(*nodes: HolderNode) -> None:
    """Let nodes answer nobody who asks for a chunk."""

    async def never(_caller: Caller, _request: Fetch, _body: memoryview) -> Fetched:
        await asyncio.sleep(1000)
        raise AssertionError

    for node in nodes:
        node.rpc._router._routes[Fetch.tag].handler = never


async def lenders_of(readers: list[HolderNode], holder: HolderNode) -> list[HolderNode]:
    """Let readers fetch the chunk at one time; returns those that keep it for others."""
    await asyncio.gather(*(reader.exchange.fetch(CHUNK.chunk_id, [holder.node_id]) for reader in readers))
    return [reader for reader in readers if CHUNK.chunk_id in reader.exchange._lending._kept]


def test_a_crowd_is_served_by_those_who_came_first():
    async def story(network: FakeNetwork) -> None:
        holder, *readers = await holder_nodes(network, 25)
        await give(CHUNK, holder)
        given: list[tuple[NodeId, bool]] = []

        async def read(reader: HolderNode) -> bytes:
            return await reader.exchange.fetch(
                CHUNK.chunk_id, [holder.node_id], on_source=lambda source, lent: given.append((source, lent))
            )

        begun = network.clock.monotonic()
        assert set(await asyncio.gather(*map(read, readers))) == {CHUNK.data}
        assert network.clock.monotonic() - begun < 3.0
        assert all(lent == (source != holder.node_id) for source, lent in given)
        assert sum(lent for _, lent in given) > len(readers) / 2
        assert network.bytes < 1.1 * len(readers) * len(CHUNK.data), "no reader was given it twice"
        assert len(holder.scope) == 1
        await asyncio.sleep(KEPT_SECONDS + 2 * LENT_INTERVAL)
        for reader in readers:
            assert reader.exchange._lending.kept_bytes == 0
            assert len(reader.scope) == 1
            assert len(reader.store) == 0
        assert network.errors == []

    tell_of_holders(story, latency=LATENCY)


def test_what_is_lent_is_no_copy_that_anybody_counts():
    async def story(network: FakeNetwork) -> None:
        holder, *readers, fresh = await holder_nodes(network, 7)
        await give(CHUNK, holder)
        (lender, *_) = await lenders_of(readers, holder)
        assert (await fresh.exchange.have(lender.node_id, [CHUNK.chunk_id])).held == set()
        assert await fresh.exchange.fetch(CHUNK.chunk_id, [lender.node_id]) == CHUNK.data

    tell_of_holders(story, latency=LATENCY)


def test_what_was_removed_is_lent_no_more():
    async def story(network: FakeNetwork) -> None:
        holder, *readers, fresh = await holder_nodes(network, 7)
        await give(CHUNK, holder)
        (lender, *_) = await lenders_of(readers, holder)
        await lender.exchange._tombstones.remember([CHUNK.chunk_id], KEY)
        with pytest.raises(NotHeldError):
            await fresh.exchange.fetch(CHUNK.chunk_id, [lender.node_id])
        assert lender.exchange._lending.kept_bytes == 0

    tell_of_holders(story, latency=LATENCY)


@pytest.mark.parametrize("damaged", [False, True])
def test_a_lender_that_is_asked_to_check_looks_at_what_it_has(damaged: bool):
    """Anybody may ask so: an intact chunk is not dropped for the asking."""

    async def story(network: FakeNetwork) -> None:
        holder, *readers, fresh = await holder_nodes(network, 7)
        await give(CHUNK, holder)
        (lender, *_) = await lenders_of(readers, holder)
        if damaged:
            damage(lender)
        check = Fetch(chunk_id=CHUNK.chunk_id, check=True)
        if damaged:
            with pytest.raises(RemoteError, match="NOT_FOUND"):
                await fresh.rpc.call(lender.node_id, check)
            assert lender.exchange._lending.kept_bytes == 0
        else:
            assert (await fresh.rpc.call(lender.node_id, check)).body == CHUNK.data

    tell_of_holders(story, latency=LATENCY)


def test_who_gave_up_before_it_had_the_chunk_is_no_lender():
    async def story(network: FakeNetwork) -> None:
        holder, first, second = await holder_nodes(network, 3)
        await give(CHUNK, holder)
        await first.exchange.fetch(CHUNK.chunk_id, [holder.node_id])
        held = withhold_acks(raw_connection(holder.rpc, first.rpc))
        demand = holder.exchange._holder._giving._demand
        gift = demand.give(CHUNK.chunk_id, second.node_id, keeps=True)
        await first.rpc.call(holder.node_id, Fetch(chunk_id=CHUNK.chunk_id, keeps=True))
        held[0].cancel()
        gift.end(taken=False)
        await asyncio.sleep(0.1)
        assert demand._chunks[CHUNK.chunk_id].lenders == {}
        assert not demand._counted

    tell_of_holders(story, latency=LATENCY)


def test_a_lender_of_wrong_bytes_is_remembered_and_costs_nobody_the_chunk():
    """A24."""

    async def story(network: FakeNetwork) -> None:
        holder, *readers = await holder_nodes(network, 8)
        await give(CHUNK, holder)
        liars = await lenders_of(readers[:-1], holder)
        for liar in liars:
            damage(liar)
        last = readers[-1]
        sources = [liar.node_id for liar in liars] + [holder.node_id]
        assert await last.exchange.fetch(CHUNK.chunk_id, sources) == CHUNK.data
        assert any(last.exchange.load(liar.node_id).faults for liar in liars)
        assert last.exchange.load(holder.node_id).faults == 0

    tell_of_holders(story, latency=LATENCY)


def test_who_lends_nothing_is_given_the_chunk_at_once():
    async def story(network: FakeNetwork) -> None:
        holder = await holder_node(network)
        selfish = await holder_node(network, config=ExchangeConfig(lend_bytes_max=0))
        network.introduce(holder.rpc, selfish.rpc)
        await give(CHUNK, holder)
        patient = always_busy(holder)
        assert await selfish.exchange.fetch(CHUNK.chunk_id, [holder.node_id]) == CHUNK.data
        assert patient == [False]

    tell_of_holders(story, latency=LATENCY)


@pytest.mark.parametrize("case", ["background", "small"])
def test_repair_and_small_chunks_are_never_put_off(case: str):
    async def story(network: FakeNetwork) -> None:
        reader, holder = await holder_nodes(network, 2)
        chunk = chunk_of(CHUNK.data[:-1]) if case == "small" else CHUNK
        await give(chunk, holder)
        always_busy(holder)
        priority = Priority.TRANSFER if case == "small" else Priority.BACKGROUND
        begun = network.clock.monotonic()
        assert await reader.exchange.fetch(chunk.chunk_id, [holder.node_id], priority=priority) == chunk.data
        assert network.clock.monotonic() - begun < 0.5

    tell_of_holders(story, latency=LATENCY)


def test_who_was_put_off_long_enough_is_served():
    async def story(network: FakeNetwork) -> None:
        reader, holder = await holder_nodes(network, 2)
        await give(CHUNK, holder)
        patient = always_busy(holder)
        begun = network.clock.monotonic()
        assert await reader.exchange.fetch(CHUNK.chunk_id, [holder.node_id]) == CHUNK.data
        assert PATIENCE_SECONDS < network.clock.monotonic() - begun < PATIENCE_SECONDS + PAUSE_MAX + 1
        assert patient[:-1] == [True] * (len(patient) - 1)
        assert patient[-1] is False
        assert 12 <= len(patient) <= 24, "the pauses grow"

    tell_of_holders(story, latency=LATENCY)


def test_a_holder_that_puts_everybody_off_for_ever_has_refused():
    """A13: it names peers that do not exist, and asks for a minute's patience each time."""

    async def story(network: FakeNetwork) -> None:
        reader, liar = await holder_nodes(network, 2)
        ghosts = [NodeId(bytes([number]) * 32) for number in range(8)]
        asked = serve_put_offs(liar, seconds=60.0, others=ghosts)
        begun = network.clock.monotonic()
        with pytest.raises(ContentUnavailableError, match="refused"):
            await reader.exchange.fetch(CHUNK.chunk_id, [liar.node_id])
        assert network.clock.monotonic() - begun < PATIENCE_SECONDS + PAUSE_MAX + 1
        assert not asked[-1].patient
        assert reader.exchange.in_flight_bytes == 0

    tell_of_holders(story, latency=LATENCY)


@pytest.mark.parametrize("count", [3, 8])
def test_silent_peers_that_a_liar_names_hold_nobody_up(count: int):
    """A13: they went ahead of honest holders, and each cost a fail-over: a read took two minutes."""

    async def story(network: FakeNetwork) -> None:
        reader, liar, *rest = await holder_nodes(network, 4 + count)
        honest, silent = rest[:2], rest[2:]
        await give(CHUNK, *honest)
        silence(*silent)
        serve_put_offs(liar, seconds=60.0, others=[node.node_id for node in silent])
        reader.exchange._fetching._rng = _First()  # type: ignore[assignment]
        begun = network.clock.monotonic()
        sources = [liar.node_id, *(node.node_id for node in honest)]
        assert await reader.exchange.fetch(CHUNK.chunk_id, sources) == CHUNK.data
        assert network.clock.monotonic() - begun < 1.0

    tell_of_holders(story, latency=LATENCY)


@pytest.mark.parametrize("count", [1, 3])
def test_a_holder_whose_friends_are_silent_is_asked_again_when_it_said(count: int):
    async def story(network: FakeNetwork) -> None:
        reader, holder, *silent = await holder_nodes(network, 2 + count)
        await give(CHUNK, holder)
        silence(*silent)
        told = [PutOff(seconds=0.1, others=tuple(node.node_id for node in silent))] * 4
        giving = holder.exchange._holder._giving
        giving._demand.put_off = lambda *_: told.pop() if told else None  # type: ignore[method-assign]
        begun = network.clock.monotonic()
        assert await reader.exchange.fetch(CHUNK.chunk_id, [holder.node_id]) == CHUNK.data
        assert told == []
        assert network.clock.monotonic() - begun < 4.0

    tell_of_holders(story, latency=LATENCY)


def test_a_lender_that_trickles_keeps_nobody_from_the_holder():
    """A13: what came was enough to count as a delivery, and a due holder was not asked for a minute."""

    async def story(network: FakeNetwork) -> None:
        reader, holder, lender = await holder_nodes(network, 3)
        await give(CHUNK, holder)
        silence(lender)
        pace = 2 * len(CHUNK.data) / ExchangeConfig().fetch_timeout
        reader.rpc.received_bytes = lambda _peer: int(pace * network.clock.monotonic())  # type: ignore[method-assign]
        told = [PutOff(seconds=0.1, others=(lender.node_id,))]
        giving = holder.exchange._holder._giving
        giving._demand.put_off = lambda *_: told.pop() if told else None  # type: ignore[method-assign]
        begun = network.clock.monotonic()
        assert await reader.exchange.fetch(CHUNK.chunk_id, [holder.node_id]) == CHUNK.data
        assert network.clock.monotonic() - begun < NAMED_SECONDS_MAX + ExchangeConfig().failover_delay_min

    tell_of_holders(story, latency=LATENCY)


def test_who_may_not_be_put_off_takes_no_part_whatever_it_is_told():
    async def story(network: FakeNetwork) -> None:
        reader, liar, friend = await holder_nodes(network, 3)
        await give(CHUNK, friend)
        asked = serve_put_offs(liar, seconds=1.0, others=[friend.node_id], keep=True)
        begun = network.clock.monotonic()
        with pytest.raises(ContentUnavailableError, match="refused"):
            await reader.exchange.fetch(CHUNK.chunk_id, [liar.node_id], priority=Priority.BACKGROUND)
        assert network.clock.monotonic() - begun < 1.0
        assert [(request.patient, request.keeps) for request in asked] == [(False, False)]
        assert reader.exchange._lending.kept_bytes == 0

    tell_of_holders(story, latency=LATENCY)


def test_a_put_off_in_the_place_of_a_check_is_damage():
    """P-EXC-4: who sent other bytes does not get away as somebody to ask again later."""

    async def story(network: FakeNetwork) -> None:
        reader, liar = await holder_nodes(network, 2)

        async def lie(_caller: Caller, request: Fetch, _body: memoryview) -> object:
            reply = Fetched(cell=0, removal_hash=b"", load=IDLE, put_off=1.0 if request.check else 0.0)
            return reply, b"" if request.check else b"x" * len(CHUNK.data)

        liar.rpc._router._routes[Fetch.tag].handler = lie
        with pytest.raises(NoIntactCopyError):
            await reader.exchange.fetch(CHUNK.chunk_id, [liar.node_id])

    tell_of_holders(story, latency=LATENCY)


def test_what_named_peers_say_changes_no_verdict_on_the_holders():
    async def story(network: FakeNetwork) -> None:
        reader, holder, named = await holder_nodes(network, 3)
        told = [PutOff(seconds=0.1, others=(named.node_id,))]

        async def then_nothing(_caller: Caller, _request: Fetch, _body: memoryview) -> Fetched:
            if told:
                put_off = told.pop()
                return Fetched(cell=0, removal_hash=b"", load=IDLE, put_off=put_off.seconds, others=put_off.others)
            raise Refusal(RefusalCode.NOT_FOUND)

        async def busy(_caller: Caller, _request: Fetch, _body: memoryview) -> Fetched:
            raise Refusal(RefusalCode.BUSY)

        holder.rpc._router._routes[Fetch.tag].handler = then_nothing
        named.rpc._router._routes[Fetch.tag].handler = busy
        with pytest.raises(NotHeldError):
            await reader.exchange.fetch(CHUNK.chunk_id, [holder.node_id])

    tell_of_holders(story, latency=LATENCY)


def test_who_was_named_by_another_one_is_told_as_a_lender_whatever_it_says():
    async def story(network: FakeNetwork) -> None:
        reader, holder, named = await holder_nodes(network, 3)
        await give(CHUNK, named)
        serve_put_offs(holder, seconds=5.0, others=[named.node_id])
        given: list[tuple[NodeId, bool]] = []
        await reader.exchange.fetch(
            CHUNK.chunk_id, [holder.node_id], on_source=lambda source, lent: given.append((source, lent))
        )
        assert given == [(named.node_id, True)]

    tell_of_holders(story, latency=LATENCY)


def test_giving_up_while_one_is_put_off_leaves_nothing_behind():
    async def story(network: FakeNetwork) -> None:
        reader, holder, other = await holder_nodes(network, 3)
        await give(CHUNK, holder, other)
        always_busy(holder)
        always_busy(other)
        fetch = asyncio.create_task(reader.exchange.fetch(CHUNK.chunk_id, [holder.node_id, other.node_id]))
        await asyncio.sleep(0.4)
        fetch.cancel()
        await asyncio.gather(fetch, return_exceptions=True)
        assert len(reader.scope) == 1
        assert reader.exchange.in_flight_bytes == 0

    tell_of_holders(story, latency=LATENCY)


@pytest.mark.parametrize("delivers", [True, False])
def test_another_source_is_asked_only_where_one_delivers_nothing(delivers: bool):
    """P-EXC-7."""

    async def story(network: FakeNetwork) -> None:
        reader = await holder_node(network, config=ExchangeConfig(hedge_ratio=0.0))
        slow, quick = await holder_node(network), await holder_node(network)
        network.introduce(reader.rpc, slow.rpc, quick.rpc)
        await give(CHUNK, slow, quick)
        get = slow.store.get

        async def late(*given: object, **named: object) -> bytes:
            await asyncio.sleep(30)
            return await get(*given, **named)  # type: ignore[arg-type]

        slow.store.get = late  # type: ignore[method-assign]
        pace = 2 * len(CHUNK.data) / ExchangeConfig().fetch_timeout
        if delivers:
            reader.rpc.received_bytes = lambda _peer: int(pace * network.clock.monotonic())  # type: ignore[method-assign]
        sources: list[NodeId] = []
        wanted = Wanted(
            chunk_id=CHUNK.chunk_id,
            use=bytes,
            size_max=len(CHUNK.data),
            on_source=lambda source, _lent: sources.append(source),
        )
        begun = network.clock.monotonic()
        assert await reader.exchange.fetch_into(wanted, [slow.node_id, quick.node_id]) == CHUNK.data
        assert sources == [slow.node_id if delivers else quick.node_id]
        assert network.clock.monotonic() - begun == pytest.approx(30 if delivers else 2.5, abs=1)

    tell_of_holders(story, latency=LATENCY)


class _First:
    """Draws what comes first."""

    def sample(self, things: list[NodeId], count: int) -> list[NodeId]:
        return things[:count]


def test_the_queue_that_others_are_told_holds_what_is_on_its_way():
    """P-EXC-6: a holder whose line was full looked idle, since its disk was."""

    async def story(network: FakeNetwork) -> None:
        holder, *readers = await holder_nodes(network, 1 + GIVEN_AT_ONCE_MAX)
        await give(CHUNK, holder)
        fetches = [asyncio.create_task(reader.exchange.fetch(CHUNK.chunk_id, [holder.node_id])) for reader in readers]
        await asyncio.sleep(3.5)  # two for the connection, one for the question: the answers are on their way
        assert holder.exchange._holder._workload.load.queue == len(readers)
        await asyncio.gather(*fetches)
        assert holder.exchange._holder._workload.load.queue == 0

    tell_of_holders(story, latency=1.0)
