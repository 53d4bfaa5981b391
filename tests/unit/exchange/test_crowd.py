"""Many readers of one chunk at one time: P-EXC-7 and P-EXC-13 to P-EXC-15, between real nodes in virtual time."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from dfs_sdk.errors import ContentUnavailableError
from dfs_sdk.exchange import ExchangeConfig, Wanted, removal_hash
from dfs_sdk.exchange.demand import GIVEN_AT_ONCE_MAX, SHARED_BYTES_MIN, PutOff
from dfs_sdk.exchange.lending import KEPT_SECONDS
from dfs_sdk.exchange.messages import Fetch, Fetched, HolderLoad
from dfs_sdk.exchange.race import PAUSE_MAX, PUT_OFF_SECONDS_MAX
from dfs_sdk.exchange.service import LENT_INTERVAL
from dfs_sdk.ids import NodeId
from dfs_sdk.rpc.base import Caller
from dfs_sdk.transport.priority import Priority
from tests.fakes.holders import HolderNode, chunk_of, give, holder_node, holder_nodes
from tests.fakes.network import FakeNetwork
from tests.fakes.runtime import LoopClock, run_virtual

KEY = b"k" * 32
CHUNK = chunk_of(b"popular " * (SHARED_BYTES_MIN // 8), removal_hash=removal_hash(KEY))


def always_busy(node: HolderNode) -> list[bool]:
    """Let a holder put everybody off who may be; returns which of its callers might be."""
    willing: list[bool] = []
    node.exchange._holder._giving._demand.put_off = lambda *_: PutOff(seconds=0.5, others=())  # type: ignore[method-assign]
    on_fetch = node.rpc._router._routes[Fetch.tag].handler

    async def note(caller: Caller, request: Fetch, body: memoryview) -> object:
        willing.append(request.willing)
        return await on_fetch(caller, request, body)

    node.rpc._router._routes[Fetch.tag].handler = note
    return willing


async def lenders_of(readers: list[HolderNode], holder: HolderNode) -> list[HolderNode]:
    """Let readers fetch the chunk at one time; returns those that keep it for others."""
    await asyncio.gather(*(reader.exchange.fetch(CHUNK.chunk_id, [holder.node_id]) for reader in readers))
    return [reader for reader in readers if CHUNK.chunk_id in reader.exchange._lending._kept]


def test_a_crowd_is_served_by_those_who_came_first():
    async def main(clock: LoopClock) -> None:
        async with FakeNetwork(clock=clock, latency=0.05) as network:
            holder, *readers = await holder_nodes(network, 25)
            await give(CHUNK, holder)
            given: list[tuple[NodeId, bool]] = []

            async def read(reader: HolderNode) -> bytes:
                return await reader.exchange.fetch(
                    CHUNK.chunk_id, [holder.node_id], on_source=lambda source, lent: given.append((source, lent))
                )

            begun = clock.monotonic()
            assert set(await asyncio.gather(*map(read, readers))) == {CHUNK.data}
            assert clock.monotonic() - begun < 3.0
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

    run_virtual(main)


def test_what_is_lent_is_no_copy_that_anybody_counts():
    async def main(clock: LoopClock) -> None:
        async with FakeNetwork(clock=clock, latency=0.05) as network:
            holder, *readers = await holder_nodes(network, 6)
            await give(CHUNK, holder)
            (lender, *_) = await lenders_of(readers, holder)
            assert (await holder.exchange.have(lender.node_id, [CHUNK.chunk_id])).held == set()
            assert await holder.exchange.fetch(CHUNK.chunk_id, [lender.node_id]) == CHUNK.data
            # Who doubts what came is not served by memory that nobody has looked at since.
            await lender.exchange._tombstones.remember([CHUNK.chunk_id], KEY)
            fresh = await holder_node(network)
            network.introduce(fresh.rpc, lender.rpc)
            with pytest.raises(ContentUnavailableError):
                await fresh.exchange.fetch(CHUNK.chunk_id, [lender.node_id])
            assert lender.exchange._lending.kept_bytes == 0

    run_virtual(main)


def test_a_lender_of_wrong_bytes_is_remembered_and_costs_nobody_the_chunk():
    """A24."""

    async def main(clock: LoopClock) -> None:
        async with FakeNetwork(clock=clock, latency=0.05) as network:
            holder, *readers = await holder_nodes(network, 8)
            await give(CHUNK, holder)
            liars = await lenders_of(readers[:-1], holder)
            for liar in liars:
                chunk, until = liar.exchange._lending._kept[CHUNK.chunk_id]
                liar.exchange._lending._kept[CHUNK.chunk_id] = replace(chunk, data=b"x" * len(chunk.data)), until
            last = readers[-1]
            sources = [liar.node_id for liar in liars] + [holder.node_id]
            assert await last.exchange.fetch(CHUNK.chunk_id, sources) == CHUNK.data
            assert any(last.exchange.load(liar.node_id).faults for liar in liars)
            assert last.exchange.load(holder.node_id).faults == 0

    run_virtual(main)


def test_who_lends_nothing_is_given_the_chunk_at_once():
    async def main(clock: LoopClock) -> None:
        async with FakeNetwork(clock=clock, latency=0.05) as network:
            holder = await holder_node(network)
            selfish = await holder_node(network, config=ExchangeConfig(lend_bytes_max=0))
            network.introduce(holder.rpc, selfish.rpc)
            await give(CHUNK, holder)
            willing = always_busy(holder)
            assert await selfish.exchange.fetch(CHUNK.chunk_id, [holder.node_id]) == CHUNK.data
            assert willing == [False]

    run_virtual(main)


@pytest.mark.parametrize("case", ["background", "small"])
def test_repair_and_small_chunks_are_never_put_off(case: str):
    async def main(clock: LoopClock) -> None:
        async with FakeNetwork(clock=clock, latency=0.05) as network:
            reader, holder = await holder_nodes(network, 2)
            chunk = chunk_of(CHUNK.data[:-1]) if case == "small" else CHUNK
            await give(chunk, holder)
            always_busy(holder)
            priority = Priority.TRANSFER if case == "small" else Priority.BACKGROUND
            begun = clock.monotonic()
            assert await reader.exchange.fetch(chunk.chunk_id, [holder.node_id], priority=priority) == chunk.data
            assert clock.monotonic() - begun < 0.5

    run_virtual(main)


def test_who_was_put_off_long_enough_is_served():
    async def main(clock: LoopClock) -> None:
        async with FakeNetwork(clock=clock, latency=0.05) as network:
            reader, holder = await holder_nodes(network, 2)
            await give(CHUNK, holder)
            willing = always_busy(holder)
            begun = clock.monotonic()
            assert await reader.exchange.fetch(CHUNK.chunk_id, [holder.node_id]) == CHUNK.data
            assert PUT_OFF_SECONDS_MAX < clock.monotonic() - begun < PUT_OFF_SECONDS_MAX + PAUSE_MAX + 1
            assert willing[:-1] == [True] * (len(willing) - 1)
            assert willing[-1] is False
            assert 8 <= len(willing) <= 16, "the pauses grow"

    run_virtual(main)


def test_a_holder_that_puts_everybody_off_for_ever_has_refused():
    """A13: it names peers that do not exist, and asks for a minute's patience each time."""

    async def main(clock: LoopClock) -> None:
        async with FakeNetwork(clock=clock, latency=0.05) as network:
            reader = await holder_node(network)
            liar = network.rpc()
            ghosts = tuple(NodeId(bytes([number]) * 32) for number in range(8))
            asked: list[bool] = []

            async def put_off(_caller: Caller, request: Fetch, _body: memoryview) -> Fetched:
                asked.append(request.willing)
                load = HolderLoad(queue=0, service_time=0.0)
                return Fetched(cell=0, removal_hash=b"", load=load, put_off=60.0, others=ghosts)

            liar.serve(Fetch, put_off)
            network.introduce(reader.rpc, liar)
            begun = clock.monotonic()
            with pytest.raises(ContentUnavailableError, match="refused"):
                await reader.exchange.fetch(CHUNK.chunk_id, [liar.node_id])
            assert clock.monotonic() - begun < PUT_OFF_SECONDS_MAX + PAUSE_MAX + 1
            assert asked[-1] is False
            assert reader.exchange.in_flight_bytes == 0

    run_virtual(main)


def test_giving_up_while_one_is_put_off_leaves_nothing_behind():
    async def main(clock: LoopClock) -> None:
        async with FakeNetwork(clock=clock, latency=0.05) as network:
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

    run_virtual(main)


@pytest.mark.parametrize("delivers", [True, False])
def test_another_source_is_asked_only_where_one_delivers_nothing(delivers: bool):
    """P-EXC-7."""

    async def main(clock: LoopClock) -> None:
        async with FakeNetwork(clock=clock, latency=0.05) as network:
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
                reader.rpc.received_bytes = lambda _peer: int(pace * clock.monotonic())  # type: ignore[method-assign]
            reader.exchange._fetching._rng = _First()  # type: ignore[assignment]
            sources: list[NodeId] = []
            wanted = Wanted(
                chunk_id=CHUNK.chunk_id,
                use=bytes,
                size_max=len(CHUNK.data),
                on_source=lambda source, _lent: sources.append(source),
            )
            begun = clock.monotonic()
            assert await reader.exchange.fetch_into(wanted, [slow.node_id, quick.node_id]) == CHUNK.data
            assert sources == [slow.node_id if delivers else quick.node_id]
            assert clock.monotonic() - begun == pytest.approx(30 if delivers else 2.5, abs=1)

    run_virtual(main)


class _First:
    """Draws what comes first."""

    def sample(self, things: list[NodeId], count: int) -> list[NodeId]:
        return things[:count]


def test_the_queue_that_others_are_told_holds_what_is_on_its_way():
    """P-EXC-6: a holder whose line was full looked idle, since its disk was."""

    async def main(clock: LoopClock) -> None:
        async with FakeNetwork(clock=clock, latency=1.0) as network:
            holder, *readers = await holder_nodes(network, 1 + GIVEN_AT_ONCE_MAX)
            await give(CHUNK, holder)
            fetches = [
                asyncio.create_task(reader.exchange.fetch(CHUNK.chunk_id, [holder.node_id])) for reader in readers
            ]
            await asyncio.sleep(3.5)  # two for the connection, one for the question: the answers are on their way
            assert holder.exchange._holder._workload.load.queue == len(readers)
            await asyncio.gather(*fetches)
            assert holder.exchange._holder._workload.load.queue == 0

    run_virtual(main)
