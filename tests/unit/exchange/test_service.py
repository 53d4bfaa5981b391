"""Pushing, fetching, asking and removing between real nodes on the in-memory network: P-EXC-1 to P-EXC-12."""

from __future__ import annotations

import asyncio

import pytest

from dfs_sdk.errors import (
    ContentUnavailableError,
    PeerUnreachableError,
    QuotaExceededError,
    RemoteError,
    StoreError,
)
from dfs_sdk.exchange import ExchangeConfig, NotHeldError, Wanted, removal_hash
from dfs_sdk.exchange.messages import Fetch, Push
from dfs_sdk.exchange.tombstones import DOCUMENT_KIND, Tombstones
from dfs_sdk.ids import ChunkId
from dfs_sdk.rpc.base import Refusal, RefusalCode
from dfs_sdk.runtime.ports import Buffer
from dfs_sdk.store import NewChunk, Role, StoreConfig
from tests.fakes.holders import chunk_of, give, holder_node, holder_nodes, spoil, tell_of_holders
from tests.fakes.network import FakeNetwork
from tests.fakes.runtime import LoopClock, run_virtual

KEY = b"k" * 32
MIB = 1024 * 1024


async def test_a_receipt_means_the_chunk_is_held_with_all_that_came_with_it(network: FakeNetwork):
    a, b = await holder_nodes(network, 2)
    chunk = chunk_of(b"sealed", cell=9, role=Role.SURPLUS, removal_hash=removal_hash(KEY))
    receipt = await a.exchange.push(b.node_id, chunk)
    assert (receipt.peer, receipt.chunk_id, receipt.role, receipt.already) == (
        b.node_id,
        chunk.chunk_id,
        Role.SURPLUS,
        False,
    )
    info = b.store.info(chunk.chunk_id)
    assert info is not None
    assert (info.cell, info.role, info.removal_hash) == (9, Role.SURPLUS, removal_hash(KEY))
    assert await b.store.get(chunk.chunk_id) == b"sealed"
    again = await a.exchange.push(b.node_id, chunk_of(b"sealed", cell=9, role=Role.PRIMARY))
    assert (again.already, again.role) == (True, Role.PRIMARY)


async def test_pushing_to_oneself_uses_the_own_store(network: FakeNetwork):
    (a,) = await holder_nodes(network, 1)
    receipt = await a.exchange.push(a.node_id, chunk_of(b"mine"))
    assert receipt.peer == a.node_id
    assert chunk_of(b"mine").chunk_id in a.store


async def test_bytes_that_do_not_hash_to_the_id_are_refused(network: FakeNetwork):
    a, b = await holder_nodes(network, 2)
    lie = NewChunk(chunk_id=chunk_of(b"true").chunk_id, data=b"false", cell=1, role=Role.PRIMARY)
    with pytest.raises(RemoteError) as refused:
        await a.exchange.push(b.node_id, lie)
    assert refused.value.code == "DENIED"
    assert len(b.store) == 0


@pytest.mark.parametrize(
    ("request_", "body", "code"),
    [
        (Push(chunk_id=chunk_of(b"x").chunk_id, cell=4096, role=Role.PRIMARY), b"x", "DENIED"),
        (Push(chunk_id=chunk_of(b"x").chunk_id, cell=1, role=Role.PRIMARY, removal_hash=b"short"), b"x", "DENIED"),
        (Push(chunk_id=chunk_of(b"").chunk_id, cell=1, role=Role.PRIMARY), b"", "TOO_LARGE"),
    ],
)
async def test_pushes_out_of_bounds_are_refused(network: FakeNetwork, request_: Push, body: bytes, code: str):
    a, b = await holder_nodes(network, 2)
    with pytest.raises(RemoteError) as refused:
        await a.rpc.call(b.node_id, request_, body=body)
    assert refused.value.code == code
    assert len(b.store) == 0


async def test_a_full_store_says_so(network: FakeNetwork):
    a = await holder_node(network)
    b = await holder_node(network, store=StoreConfig(capacity_bytes=1000))
    network.introduce(a.rpc, b.rpc)
    with pytest.raises(RemoteError) as refused:
        await a.exchange.push(b.node_id, chunk_of(b"x" * 5000))
    assert refused.value.code == "STORE_FULL"
    with pytest.raises(QuotaExceededError):
        await b.exchange.push(b.node_id, chunk_of(b"x" * 5000))


async def test_pushing_to_a_dead_peer_raises(network: FakeNetwork):
    a, b = await holder_nodes(network, 2)
    network.kill(b.node_id)
    with pytest.raises(PeerUnreachableError):
        await a.exchange.push(b.node_id, chunk_of(b"x"))
    assert a.exchange.in_flight_bytes == 0


async def test_fetch_prefers_the_local_store(network: FakeNetwork):
    a, b = await holder_nodes(network, 2)
    chunk = chunk_of(b"here")
    await give(chunk, a)
    network.kill(b.node_id)
    assert await a.exchange.fetch(chunk.chunk_id, [b.node_id]) == b"here"


@pytest.mark.parametrize("size", [1, 300_000])
async def test_a_fetched_chunk_is_the_one_asked_for(network: FakeNetwork, size: int):
    a, b = await holder_nodes(network, 2)
    chunk = chunk_of(b"s" * size)
    await give(chunk, b)
    assert await a.exchange.fetch(chunk.chunk_id, [a.node_id, b.node_id, b.node_id]) == b"s" * size
    assert a.exchange.in_flight_bytes == 0


async def test_missing_and_unreachable_are_told_apart(network: FakeNetwork):
    a, without, dead = await holder_nodes(network, 3)
    chunk_id = chunk_of(b"gone").chunk_id
    with pytest.raises(NotHeldError):
        await a.exchange.fetch(chunk_id, [])
    with pytest.raises(NotHeldError, match="has it not"):
        await a.exchange.fetch(chunk_id, [without.node_id])
    network.kill(dead.node_id)
    with pytest.raises(ContentUnavailableError, match="no answer") as raised:
        await a.exchange.fetch(chunk_id, [without.node_id, dead.node_id])
    assert not isinstance(raised.value, NotHeldError)


async def test_only_intact_bytes_are_used_and_what_the_use_raises_comes_back(network: FakeNetwork):
    a, liar, honest = await holder_nodes(network, 3)
    chunk = chunk_of(b"truth")
    for holder in (liar, honest):
        await give(chunk, holder)
    spoil(liar, chunk.chunk_id, b"lie")
    used: list[bytes] = []

    def keep(data: Buffer) -> int:
        used.append(bytes(data))
        return len(data)

    assert await a.exchange.fetch_into(Wanted(chunk_id=chunk.chunk_id, use=keep), [liar.node_id, honest.node_id]) == 5
    assert used == [b"truth"]

    def refuse(_data: Buffer) -> None:
        raise StoreError("no room")

    with pytest.raises(StoreError, match="no room"):
        await a.exchange.fetch_into(Wanted(chunk_id=chunk.chunk_id, use=refuse), [honest.node_id])
    assert a.exchange.load(honest.node_id).faults == 0.0
    assert a.exchange.in_flight_bytes == 0


def test_a_silent_source_is_hedged_within_the_budget_and_given_up_without_one():
    async def story(network: FakeNetwork) -> None:
        a, slow, quick = await holder_nodes(network, 3)
        chunk = chunk_of(b"truth")
        await give(chunk, slow, quick)

        async def never(_asked: ChunkId, *, verify: bool) -> bytes:
            await asyncio.sleep(1000)
            raise AssertionError

        slow.store.get = never  # type: ignore[method-assign]
        spent = []
        for _ in range(12):
            a.exchange._loads._records.clear()
            begun = network.clock.monotonic()
            assert await a.exchange.fetch(chunk.chunk_id, [slow.node_id, quick.node_id]) == b"truth"
            spent.append(network.clock.monotonic() - begun)
        # One hedge to begin with, then 5 % of requests: the others wait for the fail-over.
        assert spent[0] < 0.6
        assert sum(seconds < 1.0 for seconds in spent) <= 2
        assert max(spent) < 25.0
        assert len(a.scope) == 1  # the expiry of tombstones: no attempt is left behind

    tell_of_holders(story)


def test_the_bytes_in_flight_are_bounded():
    async def story(network: FakeNetwork) -> None:
        config = ExchangeConfig(push_bytes_max=6 * MIB, peer_push_bytes_max=5 * MIB)
        a, b, c = await holder_nodes(network, 3, config=config)
        peak = 0

        async def push(number: int) -> None:
            nonlocal peak
            await a.exchange.push((b, c)[number % 2].node_id, chunk_of(bytes([number]) * MIB))
            peak = max(peak, a.exchange.in_flight_bytes)

        await asyncio.gather(*(push(number) for number in range(30)))
        assert 0 < peak <= config.push_bytes_max
        assert len(b.store) == len(c.store) == 15
        assert a.exchange._peer_budgets == {}

    tell_of_holders(story)


def test_a_silent_peer_holds_up_neither_other_pushes_nor_fetches():
    async def story(network: FakeNetwork) -> None:
        a, silent, quick = await holder_nodes(network, 3)

        async def never(_chunks: object) -> None:
            await asyncio.sleep(1000)

        silent.store.put = never  # type: ignore[method-assign, assignment]
        stuck = [
            asyncio.create_task(a.exchange.push(silent.node_id, chunk_of(bytes([number]) * MIB)))
            for number in range(64)
        ]
        await asyncio.sleep(1)
        begun = network.clock.monotonic()
        chunk = chunk_of(b"quick")
        await a.exchange.push(quick.node_id, chunk)
        await a.exchange.fetch(chunk.chunk_id, [quick.node_id])
        assert network.clock.monotonic() - begun < 1
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)
        assert a.exchange.in_flight_bytes == 0
        assert a.exchange._peer_budgets == {}

    tell_of_holders(story)


def test_cancelling_a_fetch_at_any_await_leaves_nothing_running():
    async def attempt(clock: LoopClock, steps: int) -> bool:
        async with FakeNetwork(clock=clock) as network:
            a, b, c = await holder_nodes(network, 3)
            chunk = chunk_of(b"z" * 400_000)
            await give(chunk, b, c)
            task = asyncio.create_task(a.exchange.fetch(chunk.chunk_id, [b.node_id, c.node_id]))
            for _ in range(steps):
                await asyncio.sleep(0)
            finished = task.done()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert a.exchange.in_flight_bytes == 0
            assert len(a.scope) == 1
            assert a.exchange.load(b.node_id).inflight == a.exchange.load(c.node_id).inflight == 0
            return finished

    async def main(clock: LoopClock) -> None:
        steps = 0
        while not await attempt(clock, steps):
            steps += 1
        assert steps > 3

    run_virtual(main)


async def test_have_names_what_is_held_and_why(network: FakeNetwork):
    a, b = await holder_nodes(network, 2)
    chunks = [chunk_of(bytes([number]), role=role) for number, role in enumerate(Role)]
    await b.store.put(chunks)
    absent = chunk_of(b"absent").chunk_id
    report = await a.exchange.have(b.node_id, [absent, *(chunk.chunk_id for chunk in chunks)])
    assert report.roles == {chunk.chunk_id: chunk.role for chunk in chunks}
    assert report.tombstones == {}
    with pytest.raises(ValueError, match="1000"):
        await a.exchange.have(b.node_id, [absent] * 1001)


async def test_only_the_right_key_removes(network: FakeNetwork):
    a, b = await holder_nodes(network, 2)
    owned = chunk_of(b"owned", removal_hash=removal_hash(KEY))
    foreign = chunk_of(b"foreign", removal_hash=removal_hash(b"f" * 32))
    nobodys = chunk_of(b"nobody's")
    pinned = chunk_of(b"pinned", removal_hash=removal_hash(KEY))
    await b.store.put([owned, foreign, nobodys, pinned])
    await b.store.set_pinned([pinned.chunk_id], True)
    ids = [chunk.chunk_id for chunk in (owned, foreign, nobodys, pinned)]
    assert await a.exchange.remove(b.node_id, ids, b"w" * 32) == 0
    assert len(b.store) == 4
    assert await a.exchange.remove(b.node_id, ids, KEY) == 1
    assert {info.chunk_id for info in b.store.chunks()} == {foreign.chunk_id, nobodys.chunk_id, pinned.chunk_id}


@pytest.mark.parametrize("role", list(Role))
async def test_a_second_push_takes_the_right_to_remove_from_nobody(network: FakeNetwork, role: Role):
    owner, thief, holder = await holder_nodes(network, 3)
    chunk = chunk_of(b"owned", role=Role.SURPLUS, removal_hash=removal_hash(KEY))
    await owner.exchange.push(holder.node_id, chunk)
    with pytest.raises(RemoteError, match="another owner"):
        await thief.exchange.push(
            holder.node_id, chunk_of(b"owned", role=role, cell=8, removal_hash=removal_hash(b"t" * 32))
        )
    assert await thief.exchange.remove(holder.node_id, [chunk.chunk_id], b"t" * 32) == 0
    info = holder.store.info(chunk.chunk_id)
    assert info is not None
    assert (info.role, info.cell, info.removal_hash) == (Role.SURPLUS, chunk.cell, chunk.removal_hash)


async def test_no_receipt_is_given_for_a_copy_that_somebody_else_may_remove(network: FakeNetwork):
    owner, thief, holder = await holder_nodes(network, 3)
    await thief.exchange.push(holder.node_id, chunk_of(b"owned", removal_hash=removal_hash(b"t" * 32)))
    with pytest.raises(RemoteError, match="another owner"):
        await owner.exchange.push(holder.node_id, chunk_of(b"owned", removal_hash=removal_hash(KEY)))


async def test_a_cache_copy_gives_nobody_a_right_over_the_primary_one(network: FakeNetwork):
    owner, thief, holder = await holder_nodes(network, 3)
    planted = chunk_of(b"owned", role=Role.CACHE, removal_hash=removal_hash(b"t" * 32))
    await thief.exchange.push(holder.node_id, planted)
    await owner.exchange.push(holder.node_id, chunk_of(b"owned", removal_hash=removal_hash(KEY)))
    assert await thief.exchange.remove(holder.node_id, [planted.chunk_id], b"t" * 32) == 0
    assert planted.chunk_id in holder.store


async def test_what_was_removed_cannot_be_pushed_back(network: FakeNetwork):
    a, b = await holder_nodes(network, 2)
    chunk = chunk_of(b"owned", removal_hash=removal_hash(KEY))
    await give(chunk, b)
    await a.exchange.remove(b.node_id, [chunk.chunk_id], KEY)
    with pytest.raises(RemoteError, match="removed"):
        await a.exchange.push(b.node_id, chunk)
    # Somebody else's chunk of the same id, with another key, is not hit by that tombstone.
    other = chunk_of(b"owned", removal_hash=removal_hash(b"o" * 32))
    assert not (await a.exchange.push(b.node_id, other)).already


async def test_a_holder_that_was_away_learns_of_a_removal_from_another(network: FakeNetwork):
    owner, b, away = await holder_nodes(network, 3)
    chunk = chunk_of(b"owned", removal_hash=removal_hash(KEY))
    await give(chunk, b, away)
    await owner.exchange.remove(b.node_id, [chunk.chunk_id], KEY)
    report = await away.exchange.have(b.node_id, [chunk.chunk_id])
    assert report.tombstones == {chunk.chunk_id: KEY}
    assert chunk.chunk_id not in away.store
    assert (await b.exchange.have(away.node_id, [chunk.chunk_id])).tombstones == {chunk.chunk_id: KEY}


async def test_a_tombstone_with_a_wrong_key_deletes_nothing(network: FakeNetwork):
    a, liar = await holder_nodes(network, 2)
    chunk = chunk_of(b"mine", removal_hash=removal_hash(KEY))
    await give(chunk, a)
    await liar.exchange._tombstones.remember([chunk.chunk_id], b"guess".ljust(32))
    await a.exchange.have(liar.node_id, [chunk.chunk_id])
    assert chunk.chunk_id in a.store


async def test_tombstones_survive_a_restart_and_finish_a_removal_cut_by_a_crash(network: FakeNetwork):
    (a,) = await holder_nodes(network, 1)
    chunk = chunk_of(b"owned", removal_hash=removal_hash(KEY))
    await give(chunk, a)
    await a.exchange._tombstones.remember([chunk.chunk_id], KEY)  # the crash comes before the delete
    reborn = Tombstones(a.store, a.runtime.clock, ttl_seconds=60, count_max=10)
    await reborn.load()
    assert chunk.chunk_id not in a.store
    assert reborn.key_of(chunk.chunk_id) == KEY


async def test_tombstones_expire_and_are_bounded(network: FakeNetwork):
    (a,) = await holder_nodes(network, 1)
    tombstones = Tombstones(a.store, a.runtime.clock, ttl_seconds=60, count_max=10)
    ids = [chunk_of(bytes([number])).chunk_id for number in range(30)]
    for chunk_id in ids:
        await tombstones.remember([chunk_id], KEY)
    assert len(tombstones) == len(await a.store.list_documents(DOCUMENT_KIND)) == 10
    assert tombstones.key_of(ids[0]) is None
    assert tombstones.key_of(ids[-1]) == KEY
    network.clock.advance(61)
    assert tombstones.key_of(ids[-1]) is None
    await tombstones.expire()
    assert len(tombstones) == len(await a.store.list_documents(DOCUMENT_KIND)) == 0


async def test_answers_teach_how_busy_a_holder_is(network: FakeNetwork):
    a, b = await holder_nodes(network, 2)
    chunk = chunk_of(b"truth")
    await give(chunk, b)
    b.exchange._holder._workload._service_time = 0.5
    await a.exchange.fetch(chunk.chunk_id, [b.node_id])
    assert a.exchange.load(b.node_id).service_time == pytest.approx(0.5, rel=0.2)


async def test_a_refusing_source_is_not_called_a_liar(network: FakeNetwork):
    a, b = await holder_nodes(network, 2)

    async def refuse(*_arguments: object) -> None:
        raise Refusal(RefusalCode.BUSY, "later")

    other = network.rpc()
    other.serve(Fetch, refuse)
    network.introduce(a.rpc, b.rpc, other)
    with pytest.raises(ContentUnavailableError, match="refused"):
        await a.exchange.fetch(chunk_of(b"x").chunk_id, [other.node_id])
    assert a.exchange.load(other.node_id).faults == 0.0
