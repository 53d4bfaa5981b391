"""Every operation of the disk fails once, or for ever: a typed error, nothing lost, and words for what is."""

import asyncio
import errno
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest

from dfs_sdk.errors import (
    ContentNotFoundError,
    QuotaExceededError,
    StoreError,
    StoreReadOnlyError,
)
from dfs_sdk.events import Event, EventBus
from dfs_sdk.store import DiskStore, Role
from dfs_sdk.store.news import ChunkQuarantined, StoreRepaired, StoreTurnedReadOnly
from dfs_sdk.store.reserve import RESERVE_FILE
from tests.fakes.disk import FakeDisk
from tests.fakes.runtime import InlineOffload
from tests.fakes.store_errors import KINDS, ErrorTally, fail_everywhere
from tests.fakes.store_histories import begun, history
from tests.fakes.store_model import (
    Model,
    Operation,
    assert_tidy,
    deleting,
    erasing,
    putting,
    rereading,
    setting_pinned,
    setting_role,
    verify_state,
    writing,
)
from tests.fakes.stores import FOLDER, SMALL, chunk, disk_runtime, disk_store

P = ParamSpec("P")
T = TypeVar("T")

ONE, TWO, CACHED = chunk(1), chunk(2, role=Role.SURPLUS), chunk(3, role=Role.CACHE)

DRAWN_HISTORIES = 2

OPERATIONS: list[Operation] = [
    putting(*(chunk(n) for n in range(10, 17))),
    putting(chunk(3, role=Role.PRIMARY)),
    setting_role(TWO.chunk_id, Role.PRIMARY),
    setting_pinned(ONE.chunk_id, pinned=True),
    writing((b"a", b"1"), (b"b", b"2")),
    erasing(b"a"),
    rereading(ONE.chunk_id),
    deleting(ONE.chunk_id, CACHED.chunk_id),
    putting(*(chunk(n, size=SMALL.capacity_bytes // 2) for n in (20,))),
]


async def prepared() -> tuple[FakeDisk, Model]:
    disk, model = FakeDisk(), Model()
    store = disk_store(disk)
    await store.open()
    setup = putting(ONE, TWO, CACHED)
    await setup.call(store)
    await store.close()
    return disk, setup.effect(model)


@pytest.mark.parametrize("kind", KINDS)
async def test_no_error_of_the_disk_loses_what_was_acknowledged(kind: str):
    base, model = await prepared()
    tally = ErrorTally()
    await fail_everywhere(base, model, OPERATIONS, kind, tally)
    assert tally.errors > 10


@pytest.mark.parametrize("kind", KINDS)
async def test_no_error_in_a_drawn_history_loses_what_was_acknowledged(kind: str):
    tally = ErrorTally()
    for seed in range(DRAWN_HISTORIES):
        drawn = history(seed)
        base, model = await begun(drawn.setup)
        await fail_everywhere(base, model, [operation for turn in drawn.turns for operation in turn], kind, tally)
    assert tally.errors > 10


async def test_broken_write_turns_the_store_read_only_and_says_so():
    disk, _ = await prepared()
    events = EventBus()
    news: list[Event] = []
    events.subscribe(StoreTurnedReadOnly, news.append)
    store = DiskStore(FOLDER, disk_runtime(disk), SMALL, events=events)
    await store.open()
    disk.fail = lambda _step, name: errno.EIO if name.startswith("fsync") else None
    with pytest.raises(StoreReadOnlyError, match="EIO"):
        await store.put([chunk(10)])
    disk.fail = lambda _step, _name: None
    assert store.read_only is not None
    assert str(FOLDER) in store.read_only
    assert [event.text for event in news] == [store.read_only]
    for change in (
        store.put([chunk(11)]),
        store.delete([ONE.chunk_id]),
        store.set_role(ONE.chunk_id, Role.CACHE),
        store.set_pinned([ONE.chunk_id], True),
        store.put_document("k", b"", b""),
        store.delete_document("k", b""),
    ):
        with pytest.raises(StoreReadOnlyError):
            await change
    assert await store.get(ONE.chunk_id) == ONE.data
    assert await store.list_documents("k") == []
    assert (await store.check(read_data=True)).clean
    await store.close()
    await store.open()
    assert store.read_only is None
    await store.put([chunk(11)])
    await store.close()


class HeldFiles(FakeDisk):
    """A disk of Windows on which somebody has files open: they are neither renamed nor deleted."""

    held = False

    def replace(self, source: Path, target: Path) -> None:
        self._refuse(target)
        super().replace(source, target)

    def remove(self, path: Path) -> None:
        self._refuse(path)
        super().remove(path)

    def _refuse(self, path: Path) -> None:
        if self.held and not path.is_relative_to(FOLDER / "tmp"):
            error = PermissionError(errno.EACCES, "used by another process", str(path))
            error.winerror = 32  # type: ignore[attr-defined]  # what Windows sets
            raise error


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
async def test_file_that_somebody_has_open_does_not_end_all_writing(operation: Operation):
    disk, model = HeldFiles(), Model()
    store = disk_store(disk)
    await store.open()
    setup = putting(ONE, TWO, CACHED)
    await setup.call(store)
    model = setup.effect(model)
    disk.held = True
    refused = False
    try:
        await operation.call(store)
    except StoreError as error:
        assert "try again" in str(error)
        refused = True
    assert store.read_only is None
    disk.held = False
    if refused:
        for kept in (ONE, TWO):
            assert await store.get(kept.chunk_id) == kept.data
        await operation.call(store)
    await verify_state(store, operation.effect(model))
    await store.close()


async def test_unreadable_chunk_stays_held_and_is_reported():
    disk, _ = await prepared()
    store = disk_store(disk)
    await store.open()
    disk.fail = lambda _step, name: errno.EIO if name.startswith("read") and ONE.chunk_id.hex() in name else None
    with pytest.raises(StoreError, match="cannot be read"):
        await store.get(ONE.chunk_id)
    report = await store.check(read_data=True)
    assert report.unreadable == (ONE.chunk_id,)
    assert ONE.chunk_id in store
    assert store.read_only is None
    disk.fail = lambda _step, _name: None
    assert await store.get(ONE.chunk_id) == ONE.data
    await store.close()


async def test_full_disk_refuses_in_words_and_deletes_make_room():
    disk = FakeDisk(capacity_bytes=400_000)
    store = disk_store(disk)
    await store.open()
    stored = []
    with pytest.raises(QuotaExceededError):
        for n in range(100):
            await store.put([chunk(n, size=20_000)])
            stored.append(chunk(n, size=20_000))
    assert len(stored) > 10
    assert store.read_only is None
    for kept in stored:
        assert await store.get(kept.chunk_id) == kept.data
    await store.delete([stored[0].chunk_id, stored[1].chunk_id])
    await store.put([chunk(200, size=20_000)])
    await store.close()


async def test_failed_puts_leave_their_share_of_the_quota_to_others():
    disk = FakeDisk()
    store = disk_store(disk)
    await store.open()
    half = SMALL.capacity_bytes // 2
    disk.fail = lambda _step, name: errno.ENOSPC if name.startswith("write ") else None
    for number in range(4):
        with pytest.raises(QuotaExceededError):
            await store.put([chunk(number, size=half)])
    disk.fail = lambda _step, _name: None
    await store.put([chunk(5, size=half), chunk(6, size=half)])
    assert len(store) == 2
    await store.close()


async def test_reserve_is_given_up_for_a_delete_on_a_full_disk_and_comes_back():
    disk, _ = await prepared()
    store = disk_store(disk)
    await store.open()
    reserve = FOLDER / RESERVE_FILE
    assert disk.exists(reserve)
    disk.fail = lambda _step, name: errno.ENOSPC if name.startswith("commit ") and disk.exists(reserve) else None
    await store.delete([ONE.chunk_id])
    assert ONE.chunk_id not in store
    disk.fail = lambda _step, _name: None
    await store.delete([TWO.chunk_id])
    assert disk.exists(reserve)
    await store.close()


async def test_nearly_full_disk_makes_cache_copies_go():
    disk = FakeDisk(capacity_bytes=300_000)
    store = disk_store(disk)
    await store.open()
    cached = [chunk(n, size=50_000, role=Role.CACHE) for n in range(4)]
    for new in cached:
        await store.put([new])
    await store.put([chunk(10, size=50_000), chunk(11, size=50_000)])
    assert chunk(10, size=50_000).chunk_id in store
    assert len(store) < 6
    await store.close()


async def test_damaged_chunk_is_kept_as_evidence_up_to_a_bound():
    disk = FakeDisk()
    events = EventBus()
    news: list[ChunkQuarantined] = []
    events.subscribe(ChunkQuarantined, news.append)
    store = DiskStore(FOLDER, disk_runtime(disk), SMALL, events=events)
    await store.open()
    chunks = [chunk(n) for n in range(SMALL.quarantine_files_max + 3)]
    await store.put(chunks)
    for new in chunks:
        disk.overwrite(store._files.path(new.chunk_id), b"rubbish")
    report = await store.check(read_data=False)
    assert len(report.corrupt) == len(chunks) == len(news)
    assert len(disk.list_files(FOLDER / "quarantine")) == SMALL.quarantine_files_max
    assert not any("chunks" in path.parts for path in disk.all_files())
    await store.close()


async def test_missing_file_is_found_by_get_and_by_check():
    disk, _ = await prepared()
    store = disk_store(disk)
    await store.open()
    for missing in (ONE, TWO):
        disk.remove(store._files.path(missing.chunk_id))
    with pytest.raises(ContentNotFoundError):
        await store.get(ONE.chunk_id)
    assert ONE.chunk_id not in store
    assert (await store.check(read_data=False)).missing == (TWO.chunk_id,)
    assert TWO.chunk_id not in store
    await store.close()


async def test_second_put_mends_a_damaged_chunk():
    disk, _ = await prepared()
    store = disk_store(disk)
    await store.open()
    for damage in (lambda path: disk.overwrite(path, b"rubbish"), disk.remove):
        damage(store._files.path(ONE.chunk_id))
        await store.put([ONE])
        assert await store.get(ONE.chunk_id) == ONE.data
    await store.close()


async def test_refetched_chunk_is_pinned_again():
    disk, _ = await prepared()
    store = disk_store(disk)
    await store.open()
    await store.set_pinned([ONE.chunk_id], True)
    disk.overwrite(store._files.path(ONE.chunk_id), b"rubbish")
    assert (await store.check(read_data=True)).corrupt == (ONE.chunk_id,)
    await store.put([ONE])
    info = store.info(ONE.chunk_id)
    assert info is not None
    assert info.pinned
    await store.close()


async def test_cancelled_caller_leaves_a_whole_change():
    for awaits in range(100):
        disk, _ = await prepared()
        store = disk_store(disk, yielding=True)
        await store.open()
        tasks_before = len(asyncio.all_tasks())
        chunks = [chunk(n) for n in range(10, 17)]
        task = asyncio.get_running_loop().create_task(store.put(chunks))
        for _ in range(awaits):
            await asyncio.sleep(0)
        finished = task.done()
        task.cancel()
        results = await asyncio.gather(task, return_exceptions=True)
        assert finished or isinstance(results[0], asyncio.CancelledError)
        assert len(asyncio.all_tasks()) == tasks_before
        assert sum(new.chunk_id in store for new in chunks) in (0, 7)
        assert_tidy(disk)
        await store.put(chunks)
        assert (await store.check(read_data=True)).clean
        await store.close()
        if finished:
            return
    raise AssertionError("a put never ended")


class StubbornOffload(InlineOffload):
    """Threads as they are: a caller that is cancelled gets its cancellation when the call has ended, and no error."""

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            with suppress(OSError, sqlite3.Error):
                function(*args, **kwargs)
            raise
        return function(*args, **kwargs)


async def test_write_that_breaks_after_its_caller_was_cancelled_turns_the_store_read_only():
    disk, _ = await prepared()
    store = DiskStore(FOLDER, replace(disk_runtime(disk), offload=StubbornOffload()), SMALL)
    await store.open()
    disk.fail = lambda _step, name: errno.EIO if name.startswith("commit") else None
    task = asyncio.get_running_loop().create_task(store.put_document("k", b"a", b"1"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert store.read_only is not None
    disk.fail = lambda _step, _name: None
    await store.close()


async def test_document_that_waits_for_its_turn_is_withdrawn_with_its_caller():
    disk, _ = await prepared()
    store = disk_store(disk, yielding=True)
    await store.open()
    first, second = (asyncio.get_running_loop().create_task(store.put_document("k", key, b"1")) for key in (b"a", b"b"))
    await asyncio.sleep(0)
    second.cancel()
    await first
    with pytest.raises(asyncio.CancelledError):
        await second
    assert await store.list_documents("k") == [(b"a", b"1")]
    await store.close()


async def test_cancelled_open_leaves_the_store_free():
    for awaits in range(20):
        disk, model = await prepared()
        store = disk_store(disk, yielding=True)
        task = asyncio.get_running_loop().create_task(store.open())
        for _ in range(awaits):
            await asyncio.sleep(0)
        finished = task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if finished:
            await store.close()
            return
        assert disk.locked == set()
        await store.open()
        await verify_state(store, model)
        await store.close()
    raise AssertionError("an open never ended")


async def test_close_waits_for_running_changes():
    disk, _ = await prepared()
    store = disk_store(disk, yielding=True)
    await store.open()
    tasks = [asyncio.get_running_loop().create_task(store.put([chunk(n)])) for n in range(10, 15)]
    tasks.append(asyncio.get_running_loop().create_task(store.delete([ONE.chunk_id])))
    tasks.append(asyncio.get_running_loop().create_task(store.set_pinned([TWO.chunk_id], True)))
    tasks += [asyncio.get_running_loop().create_task(store.put_document("k", bytes([n]), b"1")) for n in range(3)]
    for _ in range(3):
        await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*tasks)
    await store.open()
    assert len(await store.list_documents("k")) == 3
    assert all(chunk(n).chunk_id in store for n in range(10, 15))
    assert ONE.chunk_id not in store
    await store.close()
    assert disk.locked == set()


async def test_repairs_are_told():
    disk, _ = await prepared()
    disk.remove(FOLDER / "index.sqlite")
    events = EventBus()
    news: list[StoreRepaired] = []
    events.subscribe(StoreRepaired, news.append)
    store = DiskStore(FOLDER, disk_runtime(disk), SMALL, events=events)
    await store.open()
    await store.close()
    assert [event.text for event in news] == ["3 chunk files were added to the index"]
