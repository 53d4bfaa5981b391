"""What every store promises, run on every store."""

import asyncio
from dataclasses import replace

import pytest

from dfs_sdk.errors import (
    ConfigError,
    ContentNotFoundError,
    CorruptContentError,
    NodeClosedError,
    ProtocolError,
    QuotaExceededError,
)
from dfs_sdk.ids import ChunkId
from dfs_sdk.store import ChunkStore, DiskStore, MemoryStore, NewChunk, Role
from dfs_sdk.store.base import CHUNK_BYTES_MAX, PUT_CHUNKS_MAX
from dfs_sdk.store.quota import CHARGE_BYTES_MIN
from dfs_sdk.store.reads import SHARED_BYTES_MAX
from tests.fakes.disk import FakeDisk
from tests.fakes.runtime import FakeClock
from tests.fakes.stores import SMALL, Make, chunk

MISSING = ChunkId(bytes(32))


def damage(store: ChunkStore, chunk_id: ChunkId) -> None:
    """Flip the last bit of a stored chunk."""
    if isinstance(store, MemoryStore):
        data = store._data[chunk_id]
        store._data[chunk_id] = data[:-1] + bytes([data[-1] ^ 1])
        return
    assert isinstance(store, DiskStore)
    path = store._files.path(chunk_id)
    disk = store._disk
    if isinstance(disk, FakeDisk):
        data = disk.all_files()[path]
        disk.overwrite(path, data[:-1] + bytes([data[-1] ^ 1]))
    else:
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


async def test_what_was_put_can_be_got(store: ChunkStore):
    chunks = [chunk(n, size=n * 1000) for n in range(5)]
    await store.put(chunks)
    assert [await store.get(c.chunk_id) for c in chunks] == [c.data for c in chunks]
    assert len(store) == 5
    assert all(c.chunk_id in store for c in chunks)
    assert MISSING not in store


async def test_data_may_be_any_buffer(store: ChunkStore):
    one, two = chunk(1), chunk(2)
    buffer = bytearray(one.data)
    await store.put([replace(one, data=memoryview(buffer)), replace(two, data=bytearray(two.data))])
    buffer[:] = bytes(len(buffer))
    assert await store.get(one.chunk_id) == one.data
    assert await store.get(two.chunk_id) == two.data


async def test_info_tells_what_was_said_and_when(store: ChunkStore, clock: FakeClock):
    new = replace(chunk(1, size=5000, role=Role.SURPLUS, cell=77, removal_hash=b"r" * 32), replicas=7)
    stored_at = clock.wall()
    await store.put([new])
    info = store.info(new.chunk_id)
    assert info is not None
    assert (info.size, info.cell, info.role, info.removal_hash) == (5000, 77, Role.SURPLUS, b"r" * 32)
    assert info.replicas == 7
    assert (info.stored_at_wall, info.last_read_at_wall, info.pinned) == (stored_at, stored_at, False)
    clock.advance(9)
    await store.get(new.chunk_id)
    info = store.info(new.chunk_id)
    assert info is not None
    assert (info.stored_at_wall, info.last_read_at_wall) == (stored_at, stored_at + 9)
    assert store.info(MISSING) is None


async def test_missing_chunk_is_not_found(store: ChunkStore):
    with pytest.raises(ContentNotFoundError):
        await store.get(MISSING)
    with pytest.raises(ContentNotFoundError):
        await store.set_role(MISSING, Role.CACHE)


async def test_wrong_bytes_are_refused_and_nothing_of_the_batch_is_kept(store: ChunkStore):
    good, other = chunk(1), chunk(2)
    with pytest.raises(ProtocolError):
        await store.put([good, replace(other, data=good.data)])
    assert len(store) == 0
    assert store.usage().used_bytes == 0


async def test_wrong_bytes_evict_nothing(store: ChunkStore):
    cached = chunk(1, size=SMALL.capacity_bytes, role=Role.CACHE)
    await store.put([cached])
    with pytest.raises(ProtocolError):
        await store.put([replace(chunk(2), data=b"something else")])
    assert cached.chunk_id in store


@pytest.mark.parametrize(
    "change",
    [{"cell": -1}, {"cell": 2**32}, {"removal_hash": b"short"}, {"replicas": 0}, {"data": bytes(CHUNK_BYTES_MAX + 1)}],
    ids=["cell below", "cell above", "removal hash", "replicas", "size"],
)
async def test_fields_out_of_range_are_refused(store: ChunkStore, change: dict[str, object]):
    with pytest.raises(ProtocolError):
        await store.put([replace(chunk(1), **change)])
    assert len(store) == 0


async def test_endless_batch_is_refused(store: ChunkStore):
    with pytest.raises(ConfigError):
        await store.put([chunk(1)] * (PUT_CHUNKS_MAX + 1))


async def test_empty_batch_and_empty_chunk_are_fine(store: ChunkStore):
    await store.put([])
    await store.put([chunk(1, size=0)])
    assert await store.get(chunk(1, size=0).chunk_id) == b""


async def test_second_put_upgrades_the_role_and_never_lowers_it(store: ChunkStore):
    new = chunk(1, role=Role.CACHE, cell=5)
    await store.put([new])
    for role, expected in ((Role.SURPLUS, Role.SURPLUS), (Role.CACHE, Role.SURPLUS), (Role.PRIMARY, Role.PRIMARY)):
        await store.put([replace(new, role=role)])
        info = store.info(new.chunk_id)
        assert info is not None
        assert info.role is expected
    assert store.usage().chunk_count == 1
    assert store.usage().used_bytes == CHARGE_BYTES_MIN


async def test_stronger_role_brings_its_own_cell_and_removal_hash(store: ChunkStore):
    await store.put([chunk(1, role=Role.CACHE, cell=5, removal_hash=b"a" * 32)])
    await store.put([chunk(1, role=Role.CACHE, cell=6, removal_hash=b"b" * 32)])
    info = store.info(chunk(1).chunk_id)
    assert info is not None
    assert (info.cell, info.removal_hash) == (5, b"a" * 32)
    await store.put([chunk(1, role=Role.PRIMARY, cell=7, removal_hash=b"c" * 32)])
    info = store.info(chunk(1).chunk_id)
    assert info is not None
    assert (info.cell, info.removal_hash) == (7, b"c" * 32)
    assert store.cells() == [7]


async def test_a_copy_that_is_no_cache_copy_keeps_its_removal_hash(store: ChunkStore):
    await store.put([chunk(1, role=Role.SURPLUS, removal_hash=b"a" * 32)])
    await store.put([chunk(1, role=Role.PRIMARY, removal_hash=b"b" * 32)])
    info = store.info(chunk(1).chunk_id)
    assert info is not None
    assert (info.role, info.removal_hash) == (Role.PRIMARY, b"a" * 32)


async def test_wanted_copies_are_kept_and_follow_the_stronger_role(store: ChunkStore):
    await store.put([replace(chunk(1, role=Role.SURPLUS), replicas=5)])
    info = store.info(chunk(1).chunk_id)
    assert info is not None
    assert info.replicas == 5
    await store.put([replace(chunk(1, role=Role.PRIMARY), replicas=2)])
    info = store.info(chunk(1).chunk_id)
    assert info is not None
    assert info.replicas == 2


async def test_absent_removal_hash_is_filled_in(store: ChunkStore):
    await store.put([chunk(1)])
    await store.put([chunk(1, removal_hash=b"c" * 32)])
    info = store.info(chunk(1).chunk_id)
    assert info is not None
    assert info.removal_hash == b"c" * 32


async def test_repeated_chunk_in_a_batch_counts_once_with_its_strongest_role(store: ChunkStore):
    await store.put([chunk(1, role=Role.CACHE), chunk(1, role=Role.PRIMARY), chunk(1, role=Role.SURPLUS)])
    assert [info.role for info in store.chunks()] == [Role.PRIMARY]


async def test_cells_list_their_chunks(store: ChunkStore):
    chunks = [chunk(n, cell=n % 3) for n in range(9)]
    await store.put(chunks)
    assert store.cells() == [0, 1, 2]
    in_cell = store.chunks_in_cell(1)
    assert [info.chunk_id for info in in_cell] == sorted(c.chunk_id for c in chunks if c.cell == 1)
    await store.delete([info.chunk_id for info in in_cell])
    assert store.cells() == [0, 2]
    assert store.chunks_in_cell(1) == []


async def test_store_may_change_while_its_chunks_are_listed(store: ChunkStore):
    await store.put([chunk(n) for n in range(5)])
    for info in store.chunks():
        await store.delete([info.chunk_id])
    assert len(store) == 0


async def test_delete_frees_room_and_is_idempotent(store: ChunkStore):
    await store.put([chunk(1, size=9000), chunk(2)])
    for _ in range(2):
        await store.delete([chunk(1, size=9000).chunk_id, MISSING])
    assert store.usage().used_bytes == CHARGE_BYTES_MIN
    with pytest.raises(ContentNotFoundError):
        await store.get(chunk(1, size=9000).chunk_id)


async def test_roles_can_be_set_up_and_down(store: ChunkStore):
    await store.put([chunk(1)])
    for role in (Role.CACHE, Role.PRIMARY, Role.SURPLUS, Role.SURPLUS):
        await store.set_role(chunk(1).chunk_id, role)
        info = store.info(chunk(1).chunk_id)
        assert info is not None
        assert info.role is role
    assert await store.get(chunk(1).chunk_id) == chunk(1).data


async def test_full_store_evicts_the_least_recently_read_cache_copy_first(store: ChunkStore, clock: FakeClock):
    quarter = SMALL.capacity_bytes // 4
    chunks = [chunk(n, size=quarter, role=Role.CACHE) for n in range(4)]
    for new in chunks:
        await store.put([new])
        clock.advance(1)
    await store.get(chunks[0].chunk_id)
    await store.put([chunk(9, size=quarter)])
    assert [c.chunk_id in store for c in chunks] == [True, False, True, True]
    assert store.usage().used_bytes == SMALL.capacity_bytes


@pytest.mark.parametrize("role", [Role.PRIMARY, Role.SURPLUS])
async def test_duty_is_never_evicted(store: ChunkStore, role: Role):
    kept = chunk(1, size=SMALL.capacity_bytes // 2, role=role)
    await store.put([kept])
    with pytest.raises(QuotaExceededError):
        await store.put([chunk(2, size=SMALL.capacity_bytes // 2 + 1)])
    assert [info.chunk_id for info in store.chunks()] == [kept.chunk_id]


async def test_pinned_cache_copy_is_never_evicted(store: ChunkStore):
    pinned, loose = (chunk(n, size=SMALL.capacity_bytes // 2, role=Role.CACHE) for n in (1, 2))
    await store.put([pinned, loose])
    await store.set_pinned([pinned.chunk_id, MISSING], True)
    await store.put([chunk(3, size=SMALL.capacity_bytes // 2)])
    assert pinned.chunk_id in store
    assert loose.chunk_id not in store
    with pytest.raises(QuotaExceededError):
        await store.put([chunk(4)])
    await store.set_pinned([pinned.chunk_id], False)
    await store.put([chunk(4)])
    assert pinned.chunk_id not in store


async def test_refused_put_writes_and_evicts_nothing(store: ChunkStore):
    cached = chunk(1, size=9000, role=Role.CACHE)
    await store.put([cached])
    with pytest.raises(QuotaExceededError):
        await store.put([chunk(2), chunk(3, size=SMALL.capacity_bytes)])
    assert [info.chunk_id for info in store.chunks()] == [cached.chunk_id]


async def test_batch_never_evicts_what_it_puts(store: ChunkStore):
    cached = chunk(1, size=SMALL.capacity_bytes // 2, role=Role.CACHE)
    await store.put([cached])
    with pytest.raises(QuotaExceededError):
        await store.put([replace(cached, role=Role.PRIMARY), chunk(2, size=SMALL.capacity_bytes)])
    await store.put([cached, chunk(2, size=SMALL.capacity_bytes // 2)])
    assert len(store) == 2


async def test_tiny_chunks_are_charged_a_block(store: ChunkStore):
    fits = SMALL.capacity_bytes // CHARGE_BYTES_MIN
    await store.put([chunk(n, size=1 + n % 7) for n in range(200) if n < fits])
    with pytest.raises(QuotaExceededError):
        await store.put([chunk(1000 + n, size=50) for n in range(fits)])


async def test_concurrent_puts_keep_to_the_quota(store: ChunkStore):
    third = SMALL.capacity_bytes // 3
    results = await asyncio.gather(*(store.put([chunk(n, size=third)]) for n in range(6)), return_exceptions=True)
    assert sum(result is None for result in results) == 3
    assert all(result is None or isinstance(result, QuotaExceededError) for result in results)
    assert store.usage().used_bytes <= SMALL.capacity_bytes


async def test_concurrent_puts_of_one_chunk_store_it_once(store: ChunkStore):
    await asyncio.gather(*(store.put([chunk(1, role=role), chunk(2)]) for role in (*Role, *Role)))
    assert len(store) == 2
    info = store.info(chunk(1).chunk_id)
    assert info is not None
    assert info.role is Role.PRIMARY
    assert await store.get(chunk(1).chunk_id) == chunk(1).data


async def test_put_and_delete_of_one_chunk_end_in_one_of_both_states(store: ChunkStore):
    ids = [chunk(1).chunk_id, chunk(2).chunk_id]
    for _ in range(5):
        await asyncio.gather(store.put([chunk(1), chunk(2)]), store.delete(ids), store.put([chunk(2)]))
        for n in (1, 2):
            if chunk(n).chunk_id in store:
                assert await store.get(chunk(n).chunk_id) == chunk(n).data
        assert (await store.check(read_data=True)).clean


async def test_damaged_chunk_is_told_and_no_longer_held(store: ChunkStore):
    await store.put([chunk(1), chunk(2)])
    damage(store, chunk(1).chunk_id)
    with pytest.raises(CorruptContentError):
        await store.get(chunk(1).chunk_id)
    assert chunk(1).chunk_id not in store
    with pytest.raises(ContentNotFoundError):
        await store.get(chunk(1).chunk_id)
    await store.put([chunk(1)])
    assert await store.get(chunk(1).chunk_id) == chunk(1).data


async def test_what_is_lent_unverified_is_verified_when_asked(store: ChunkStore):
    large = chunk(1, size=SHARED_BYTES_MAX + 1)
    await store.put([large])
    damage(store, large.chunk_id)
    lent = await store.get(large.chunk_id, verify=False)
    assert len(lent) == len(large.data)
    assert lent != large.data
    with pytest.raises(CorruptContentError):
        await store.get(large.chunk_id)
    assert large.chunk_id not in store
    with pytest.raises(ContentNotFoundError):
        await store.get(large.chunk_id, verify=False)


async def test_check_finds_each_damaged_chunk_once(store: ChunkStore):
    chunks = [chunk(n) for n in range(40)]
    await store.put(chunks)
    damaged = sorted(c.chunk_id for c in chunks[::7])
    for chunk_id in damaged:
        damage(store, chunk_id)
    report = await store.check(read_data=True)
    assert sorted(report.corrupt) == damaged
    assert report.checked_count == 40
    assert not report.clean
    assert (await store.check(read_data=True)).clean
    assert len(store) == 40 - len(damaged)


async def test_shares_of_a_check_cover_everything_once(store: ChunkStore):
    await store.put([chunk(n) for n in range(40)])
    reports = [await store.check(read_data=False, subset=(part, 5)) for part in range(1, 6)]
    assert sum(report.checked_count for report in reports) == 40
    assert max(report.checked_count for report in reports) < 40


@pytest.mark.parametrize("subset", [(0, 5), (6, 5), (1, 0), (1, 10**9)])
async def test_impossible_share_is_refused(store: ChunkStore, subset: tuple[int, int]):
    with pytest.raises(ConfigError):
        await store.check(read_data=False, subset=subset)


async def test_closed_store_says_so(make: Make):
    store = make(SMALL)
    for _ in range(2):
        with pytest.raises(NodeClosedError):
            await store.put([chunk(1)])
        with pytest.raises(NodeClosedError):
            await store.get(MISSING)
        with pytest.raises(NodeClosedError):
            await store.delete([MISSING])
        with pytest.raises(NodeClosedError):
            await store.check(read_data=False)
        with pytest.raises(NodeClosedError):
            await store.put_document("k", b"", b"")
        with pytest.raises(NodeClosedError):
            await store.get_document("k", b"")
        with pytest.raises(NodeClosedError):
            await store.list_documents("k")
        await store.open()
        await store.close()
        await store.close()


async def test_everything_is_there_after_reopening(make: Make, clock: FakeClock):
    store = make(SMALL)
    await store.open()
    chunks = [chunk(n, role=role, cell=n, removal_hash=bytes([n]) * 32) for n, role in enumerate(Role)]
    await store.put([replace(each, replicas=n + 1) for n, each in enumerate(chunks)])
    await store.set_pinned([chunk(0).chunk_id], True)
    await store.put_document("k", b"key", b"value")
    clock.advance(5)
    await store.get(chunk(2).chunk_id)
    before = {info.chunk_id: info for info in store.chunks()}
    uuid = store.storage_uuid
    assert len(uuid) == 16
    await store.close()
    await store.open()
    assert {info.chunk_id: info for info in store.chunks()} == before
    assert store.storage_uuid == uuid
    assert await store.get_document("k", b"key") == b"value"
    assert await store.get(chunk(1).chunk_id) == chunk(1).data
    assert store.read_only is None
    await store.close()


async def test_deleted_chunk_comes_back_unpinned(store: ChunkStore):
    await store.put([chunk(1)])
    await store.set_pinned([chunk(1).chunk_id], True)
    await store.delete([chunk(1).chunk_id])
    await store.put([chunk(1)])
    info = store.info(chunk(1).chunk_id)
    assert info is not None
    assert not info.pinned


def test_new_chunks_are_values():
    assert chunk(1) == chunk(1)
    assert isinstance(chunk(1), NewChunk)
