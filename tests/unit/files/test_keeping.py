"""Pins, removal, audits, health and what the faces are told: P-FILE-11."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.dht.messages import RecordKind
from dfs_sdk.errors import ContentNotFoundError, LinkError, ProtocolError, QuotaExceededError
from dfs_sdk.files.config import FilesConfig
from dfs_sdk.files.health import Health, copies_min, judge
from dfs_sdk.files.holders import Copy, Holders
from dfs_sdk.files.news import FileRemoved
from dfs_sdk.files.providers import provider_key
from dfs_sdk.ids import ChunkId, NodeId
from dfs_sdk.replication.policy import Policy
from dfs_sdk.store import Role, StoreConfig
from tests.fakes.filenodes import CHUNK, FileNode, chunks_of, file_nodes, some
from tests.fakes.holders import chunk_of
from tests.fakes.network import FakeNetwork
from tests.fakes.runtime import LoopClock, run_virtual

TWO = Policy(replicas=2)


@pytest.fixture
async def network() -> AsyncIterator[FakeNetwork]:
    async with FakeNetwork() as network:
        yield network
        assert network.errors == []


def make_way(node: FileNode, times: int) -> Iterator[int]:
    """Let others' chunks displace what is about to be pinned, so often; what is left of it tells how often it was."""
    left = iter(range(times))
    set_pinned = node.store.set_pinned

    async def set_pinned_too_late(chunk_ids: Sequence[ChunkId], pinned: bool) -> None:
        if pinned and next(left, None) is not None:
            await node.store.delete(chunk_ids)
        await set_pinned(chunk_ids, pinned)

    node.store.set_pinned = set_pinned_too_late
    return left


async def test_a_pin_keeps_a_whole_copy_here(network: FakeNetwork):
    a, b, c, d = await file_nodes(network, 4, readers=1)
    file = await a.files.put(some(5 * CHUNK), chunk_bytes=CHUNK)
    await d.files.pin(file.link)
    ids = {file.link.manifest_id, *await chunks_of(a, file.link)}
    assert {info.chunk_id for info in d.store.chunks() if info.pinned} == ids
    assert {info.role for info in d.store.chunks()} == {Role.CACHE}
    assert [known.pinned for known in await d.files.ls()] == [True]
    for node in (a, b, c):
        network.kill(node.node_id)
    assert await d.files.get(file.link) == some(5 * CHUNK)
    await d.files.unpin(file.link)
    assert not any(info.pinned for info in d.store.chunks())
    assert [known.pinned for known in await d.files.ls()] == [False]


async def test_a_pin_without_room_says_so(network: FakeNetwork):
    a, _b, _c, d = await file_nodes(network, 4, readers=1, store=StoreConfig(capacity_bytes=200_000))
    file = await a.files.put(some(5 * CHUNK), chunk_bytes=CHUNK)
    filler = await d.files.put(some(8 * CHUNK, seed=3), chunk_bytes=CHUNK, policy=Policy(quorum=0, replicas=1))
    await d.files.pin(filler)
    with pytest.raises(QuotaExceededError):
        await d.files.pin(file.link)
    assert [known.pinned for known in await d.files.ls()] == [True, False]
    mine = {filler.link.manifest_id, *await chunks_of(d, filler.link)}
    assert {info.chunk_id for info in d.store.chunks() if info.pinned} == mine


async def test_a_chunk_that_is_evicted_before_its_pin_takes_hold_is_fetched_again(network: FakeNetwork):
    a, _b, _c, d = await file_nodes(network, 4, readers=1)
    file = await a.files.put(some(5 * CHUNK), chunk_bytes=CHUNK)
    evictions = make_way(d, 2)
    await d.files.pin(file.link)
    assert next(evictions, None) is None
    ids = {file.link.manifest_id, *await chunks_of(a, file.link)}
    assert {info.chunk_id for info in d.store.chunks() if info.pinned} == ids


async def test_a_pin_whose_chunks_are_evicted_again_and_again_fails_and_says_why(network: FakeNetwork):
    a, _b, _c, d = await file_nodes(network, 4, readers=1)
    file = await a.files.put(some(5 * CHUNK), chunk_bytes=CHUNK)
    make_way(d, 1000)
    with pytest.raises(QuotaExceededError, match="room"):
        await d.files.pin(file.link)
    assert [known.pinned for known in await d.files.ls()] == [False]


async def test_removal_deletes_every_copy_and_cannot_be_undone_by_holders(network: FakeNetwork):
    a, b, c, d = await file_nodes(network, 4, readers=1)
    file = await a.files.put(some(5 * CHUNK), chunk_bytes=CHUNK)
    other = await a.files.put(some(2 * CHUNK, seed=2), chunk_bytes=CHUNK)
    await a.files.remove(file)
    assert len(b.store) == len(c.store) == 3  # the other file
    assert [known.file_id for known in await a.files.ls()] == [other.file_id]
    (event,) = a.happened(FileRemoved)
    assert (event.copies, event.silent) == (12, 0)
    with pytest.raises(ContentNotFoundError):
        await d.files.get(file.link)
    with pytest.raises(ContentNotFoundError):
        await a.files.remove(file)


async def test_a_holder_that_was_away_learns_of_the_removal(network: FakeNetwork):
    a, b, c, _ = await file_nodes(network, 4, readers=1)
    file = await a.files.put(some(5 * CHUNK), chunk_bytes=CHUNK)
    network.kill(c.node_id)
    await a.files.remove(file)
    assert (a.happened(FileRemoved)[0].copies, a.happened(FileRemoved)[0].silent) == (6, 1)
    assert "when they return" in a.happened(FileRemoved)[0].text
    network.revive(c.node_id)
    assert len(c.store) == 6
    await c.base.exchange.have(b.node_id, [info.chunk_id for info in c.store.chunks()])
    assert len(c.store) == 0


async def test_a_holder_that_answers_nonsense_keeps_nobody_else_from_removing(network: FakeNetwork):
    a, b, c, _ = await file_nodes(network, 4, readers=1)
    file = await a.files.put(some(5 * CHUNK), chunk_bytes=CHUNK)
    remove = a.base.exchange.remove

    async def answered(peer: NodeId, chunk_ids: Sequence[ChunkId], removal_key: bytes) -> int:
        if peer == b.node_id:
            raise ProtocolError("a reply is of another kind than its request")
        return await remove(peer, chunk_ids, removal_key)

    a.base.exchange.remove = answered  # type: ignore[method-assign, assignment]
    await a.files.remove(file)
    assert len(c.store) == 0
    assert a.happened(FileRemoved)[0].silent == 1


async def test_others_only_forget(network: FakeNetwork):
    a, b, _c, d = await file_nodes(network, 4, readers=1)
    file = await a.files.put(some(5 * CHUNK), chunk_bytes=CHUNK)
    await d.files.pin(file.link)
    await d.files.remove(file.link)
    assert await d.files.ls() == []
    assert not any(info.pinned for info in d.store.chunks())
    assert len(b.store) == 6
    assert await d.files.get(file.link) == some(5 * CHUNK)


async def test_stat_counts_reachable_copies(network: FakeNetwork):
    a, b, c, d = await file_nodes(network, 4, readers=1)
    file = await a.files.put(some(5 * CHUNK), name="x.csv", chunk_bytes=CHUNK, policy=TWO)
    stat = await a.files.stat(file)
    assert (stat.copies_min, stat.copies_wanted, stat.health, stat.media_type) == (2, 2, Health.HEALTHY, "text/csv")
    assert set(stat.holders) == {b.node_id, c.node_id}
    network.kill(c.node_id)
    stat = await a.files.stat(file.link)
    assert (stat.copies_min, stat.health) == (1, Health.REPAIRING)
    network.kill(b.node_id)
    assert (await a.files.stat(file)).health is Health.UNAVAILABLE
    network.revive(b.node_id)
    # A stranger with the link learns the same; its catalog stays empty.
    assert (await d.files.stat(file.link)).copies_min == 1
    assert await d.files.ls() == []


async def test_a_file_just_fetched_is_known_to_be_where_it_came_from(network: FakeNetwork):
    """Its reader has not asked anybody yet how many copies there are."""
    a, b, c, d = await file_nodes(network, 4, readers=1)
    file = await a.files.put(some(5 * CHUNK), name="x.csv", chunk_bytes=CHUNK, policy=TWO)
    await a.store.delete(list(await chunks_of(a, file.link)))
    await d.files.get(file.link)
    (stat,) = d.files.stats()
    assert stat.copies_min >= 1, "every chunk came from somebody"
    assert stat.health in (Health.HEALTHY, Health.REPAIRING)
    for _ in range(100):
        await asyncio.sleep(0)
    (stat,) = d.files.stats()
    assert (stat.copies_min, stat.health) == (2, Health.HEALTHY)
    assert set(stat.holders) == {b.node_id, c.node_id}


async def test_who_gave_a_chunk_counts_though_placement_names_others(network: FakeNetwork):
    a, b, c, d = await file_nodes(network, 4, readers=1)
    file = await a.files.put(some(3 * CHUNK), chunk_bytes=CHUNK, policy=TWO)
    supply = d.files._supply
    chunks = await chunks_of(a, file.link)
    d.replication.others = ()
    for chunk_id in chunks:
        await supply.fetch(chunk_id, None, extra=[b.node_id])
    await supply.locate(list(chunks), {}, keep_known=True)
    assert all(supply._holders.holders(chunk_id) == [b.node_id] for chunk_id in chunks)
    assert c.node_id not in supply._holders.holders(next(iter(chunks)))


async def test_a_verify_link_audits_without_reading(network: FakeNetwork):
    a, b, c, d = await file_nodes(network, 4, readers=1)
    file = await a.files.put(some(5 * CHUNK - 7), name="secret", chunk_bytes=CHUNK, policy=TWO)
    stat = await d.files.stat(file.link.verify())
    assert (stat.copies_min, stat.copies_wanted, stat.chunk_count) == (2, 2, 5)
    assert stat.name == f"file {file.file_id}"
    assert file.size <= stat.size <= 5 * CHUNK
    assert set(stat.holders) == {b.node_id, c.node_id}
    with pytest.raises(LinkError, match="does not open"):
        await d.files.stat(replace(file.link.verify(), key=b"w" * 32))


async def test_places_name_every_chunk_and_its_holders(network: FakeNetwork):
    a, b, c, _ = await file_nodes(network, 4, readers=1)
    file = await a.files.put(some(2 * CHUNK + 1), chunk_bytes=CHUNK, policy=TWO)
    (places,) = a.files.places()
    assert places.file == file
    assert [chunk.index for chunk in places.chunks] == [-1, 0, 1, 2]
    assert [chunk.size for chunk in places.chunks[1:]] == [CHUNK + 16, CHUNK + 16, 17]
    for chunk in places.chunks:
        assert {copy.holder for copy in chunk.copies} == {b.node_id, c.node_id}
        assert b.store.info(chunk.chunk_id).cell == chunk.cell
    (stat,) = a.files.stats()
    assert (stat.copies_min, stat.copies_elsewhere) == (2, 2)


async def test_what_did_not_change_is_not_described_again(network: FakeNetwork):
    a, *_ = await file_nodes(network, 4, readers=1)
    one = await a.files.put(some(3 * CHUNK), chunk_bytes=CHUNK)
    two = await a.files.put(some(3 * CHUNK, seed=2), chunk_bytes=CHUNK)

    def same(before: list[object], after: list[object]) -> list[bool]:
        return [old is new for old, new in zip(before, after, strict=True)]

    places, stats = a.files.places(), a.files.stats()
    assert same(places, a.files.places()) == same(stats, a.files.stats()) == [True, True]
    assert a.files.places() is places, "who keeps rows of all files sees at one glance that none changed"
    a.peers.view.version += 1
    assert same(places, a.files.places()) == [True, True]
    assert same(stats, a.files.stats()) == [False, False]
    await a.files.audit(two)
    assert same(places, a.files.places()) == [True, False]
    places = a.files.places()
    chunk_id = (await chunks_of(a, one.link))[0]
    await a.store.put([chunk_of(await a.base.exchange.fetch(chunk_id, a.replication.others))])
    assert same(places, a.files.places()) == [False, True]
    assert a.node_id in {copy.holder for copy in a.files.places()[0].chunks[1].copies}
    await a.files.remove(one)
    assert a.files.places() == [places[1]]


async def test_an_audit_drops_what_is_no_longer_held(network: FakeNetwork):
    a, b, _c, _ = await file_nodes(network, 4, readers=1)
    file = await a.files.put(some(3 * CHUNK), chunk_bytes=CHUNK, policy=TWO)
    await b.store.delete(list(await chunks_of(a, file.link)))
    assert a.files.stats()[0].copies_min == 2
    await a.files.audit(file)
    assert a.files.stats()[0].copies_min == 1
    await a.files.audit()
    with pytest.raises(ContentNotFoundError):
        await b.files.audit(file)


def test_changes_of_the_network_cause_one_audit_soon_and_time_others():
    async def main(clock: LoopClock) -> None:
        async with FakeNetwork(clock=clock) as network:
            config = FilesConfig(audit_delay=1.0, audit_interval=60.0, rounds=1)
            a, b, _c, _ = await file_nodes(network, 4, readers=1, config=config)
            file = await a.files.put(some(3 * CHUNK), chunk_bytes=CHUNK, policy=TWO)
            await b.store.delete(list(await chunks_of(a, file.link)))
            await asyncio.sleep(5)
            before = network.messages
            for _ in range(50):
                a.peers.changed()
            await asyncio.sleep(0.5)
            assert network.messages == before
            await asyncio.sleep(2)
            assert a.files.stats()[0].copies_min == 1
            assert network.messages - before < 20
            await b.store.delete([file.link.manifest_id])
            await asyncio.sleep(70)
            assert len(a.files.places()[0].chunks[0].copies) == 1

    run_virtual(main)


async def test_the_catalog_survives_a_restart(network: FakeNetwork):
    a, *_ = await file_nodes(network, 4, readers=1)
    put = await a.files.put(some(3 * CHUNK), name="x\x1b", chunk_bytes=CHUNK)
    network.clock.advance(1)
    tiny = await a.files.put(b"tiny")
    await a.store.put_document("files.catalog", b"d" * 32, b"damaged")
    await a.files._catalog.load()
    assert await a.files.ls() == [put, tiny]
    await a.files.remove(put)
    assert await a.files.ls() == [tiny]


class FakeDht:
    """Remembers what was published."""

    def __init__(self) -> None:
        self.published: dict[tuple[RecordKind, bytes], bytes] = {}

    async def publish(self, kind: RecordKind, key: bytes, value: bytes) -> int:
        self.published[(kind, key)] = value
        return 1

    async def unpublish(self, kind: RecordKind, key: bytes) -> None:
        self.published.pop((kind, key), None)

    async def find(self, key: bytes, *, kind: RecordKind) -> list[object]:
        return []


async def test_what_is_kept_here_is_announced_and_taken_back(network: FakeNetwork):
    dht = FakeDht()
    a, *_ = await file_nodes(network, 4, dht=dht)
    file = await a.files.put(b"x")
    for _ in range(20):
        await asyncio.sleep(0)
    key = (RecordKind.PROVIDER, provider_key(file.link.manifest_id))
    assert set(dht.published) == {key}
    dht.published.clear()
    await a.files._announce_all()
    assert set(dht.published) == {key}
    await a.files.remove(file)
    for _ in range(20):
        await asyncio.sleep(0)
    assert not dht.published


@pytest.mark.parametrize(
    ("copies", "wanted", "members", "only_here", "health"),
    [
        (0, 3, 9, False, Health.UNAVAILABLE),
        (3, 3, 9, False, Health.HEALTHY),
        (4, 3, 9, False, Health.HEALTHY),
        (1, 3, 9, True, Health.ONLY_HERE),
        (2, 3, 9, False, Health.REPAIRING),
        (2, 3, 2, False, Health.UNDER_TARGET),
        (1, 1, 1, True, Health.HEALTHY),
    ],
)
def test_health_in_a_word(copies: int, wanted: int, members: int, only_here: bool, health: Health):
    assert judge(copies=copies, wanted=wanted, members=members, only_here=only_here) is health


def test_the_scarcest_chunk_counts():
    one, two = NodeId(b"1" * 32), NodeId(b"2" * 32)
    assert copies_min([[one, two], [two]], lambda _node: True) == 1
    assert copies_min([[one, two], [two]], lambda node: node == one) == 0
    assert copies_min([], lambda _node: True) == 0


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5)), max_size=50))
def test_the_memory_of_holders_is_bounded_and_keeps_the_latest(steps: list[tuple[int, int]]):
    holders = Holders(chunks_max=4)
    for chunk, holder in steps:
        copy = Copy(holder=NodeId(bytes([holder]) * 32), role=Role.PRIMARY, confirmed_at_wall=0.0)
        holders.add(ChunkId(bytes([chunk]) * 32), [copy])
        assert copy in holders.copies(ChunkId(bytes([chunk]) * 32))
        assert len(holders) <= 4
