"""Small chunks that are read together."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest

from dfs_sdk.errors import ContentNotFoundError, CorruptContentError, NodeClosedError, StoreError
from dfs_sdk.ids import ChunkId
from dfs_sdk.runtime.buffers import IDLE_SECONDS, KEPT_BYTES_MIN
from dfs_sdk.runtime.ports import Buffer
from dfs_sdk.runtime.system import SystemDisk
from dfs_sdk.store import DiskStore
from dfs_sdk.store.files import ChunkFiles
from dfs_sdk.store.guard import DiskGuard
from dfs_sdk.store.operations import Operations
from dfs_sdk.store.reads import SHARED_BYTES_MAX, TURN_LENGTH_MAX, SharedReads
from tests.fakes.runtime import FakeClock, InlineOffload, fake_runtime
from tests.fakes.stores import SMALL, chunk

P = ParamSpec("P")
T = TypeVar("T")


class SlowOffload:
    """Begins each call when it is told to, and counts them."""

    def __init__(self) -> None:
        self.calls = 0
        self.go = asyncio.Semaphore(0)
        self.refusal: Exception | None = None

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        self.calls += 1
        await self.go.acquire()
        if self.refusal is not None:
            raise self.refusal
        return function(*args, **kwargs)

    async def compute(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.run(function, *args, **kwargs)

    async def close(self) -> None:
        return


def name(number: int) -> ChunkId:
    return ChunkId(number.to_bytes(32, "big"))


def load(chunk_id: ChunkId) -> Buffer:
    """What a disk says: chunks below 1,000 are fine."""
    number = int.from_bytes(chunk_id, "big")
    if number == 1000:
        raise FileNotFoundError
    if number == 1001:
        raise CorruptContentError("damaged")
    if number == 1002:
        raise OSError(5, "Input/output error")
    if number == 1003:
        raise ZeroDivisionError
    return bytes([number % 256])


@pytest.fixture
def offload() -> SlowOffload:
    return SlowOffload()


@pytest.fixture
def operations() -> Operations:
    return Operations("test")


@pytest.fixture
def reads(offload: SlowOffload, operations: Operations) -> SharedReads:
    return SharedReads(load, DiskGuard(offload, Path("/store"), on_read_only=pytest.fail), operations)


async def begun(reads: SharedReads, *numbers: int) -> list[asyncio.Task[Buffer]]:
    tasks = [asyncio.create_task(reads.read(name(number))) for number in numbers]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_a_lone_read_goes_at_once_and_those_that_come_meanwhile_go_together(
    reads: SharedReads, offload: SlowOffload
) -> None:
    first = await begun(reads, 1)
    assert offload.calls == 1
    others = await begun(reads, 2, 3, 4)
    assert offload.calls == 1
    offload.go.release()
    assert await first[0] == b"\1"
    offload.go.release()
    assert await asyncio.gather(*others) == [b"\2", b"\3", b"\4"]
    assert offload.calls == 2


async def test_a_turn_is_bounded(reads: SharedReads, offload: SlowOffload) -> None:
    tasks = await begun(reads, 0) + await begun(reads, *range(1, 2 * TURN_LENGTH_MAX))
    for _ in range(3):
        offload.go.release()
    assert [bytes(data) for data in await asyncio.gather(*tasks)] == [bytes([n]) for n in range(2 * TURN_LENGTH_MAX)]
    assert offload.calls == 3, "one alone, a full turn, the rest"


async def test_each_reader_gets_its_own_error(reads: SharedReads, offload: SlowOffload) -> None:
    tasks = await begun(reads, 1, 1000, 1001, 1002, 1003, 2)
    offload.go.release()
    offload.go.release()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results[0] == b"\1"
    assert [type(result) for result in results[1:5]] == [
        FileNotFoundError,
        CorruptContentError,
        StoreError,
        ZeroDivisionError,
    ]
    assert "cannot be read (EIO: Input/output error)" in str(results[3])
    assert results[5] == b"\2"


async def test_cancelled_reader_takes_nobody_along(
    reads: SharedReads, offload: SlowOffload, operations: Operations
) -> None:
    tasks = await begun(reads, 1) + await begun(reads, 2, 3)
    tasks[0].cancel()
    tasks[1].cancel()
    offload.go.release()
    offload.go.release()
    assert await tasks[2] == b"\3"
    assert tasks[0].cancelled()
    assert tasks[1].cancelled()
    again = await begun(reads, 4)
    offload.go.release()
    assert await again[0] == b"\4"
    await operations.close()


async def test_refusal_of_the_workers_reaches_every_reader(reads: SharedReads, offload: SlowOffload) -> None:
    offload.refusal = NodeClosedError("closed")
    tasks = await begun(reads, 1) + await begun(reads, 2, 3)
    offload.go.release()
    offload.go.release()
    assert [type(error) for error in await asyncio.gather(*tasks, return_exceptions=True)] == [NodeClosedError] * 3


async def test_closing_waits_for_readers_and_refuses_later_ones(
    reads: SharedReads, offload: SlowOffload, operations: Operations
) -> None:
    tasks = await begun(reads, 1) + await begun(reads, 2)
    closing = asyncio.create_task(operations.close())
    await asyncio.sleep(0)
    assert not closing.done()
    offload.go.release()
    offload.go.release()
    assert await asyncio.gather(*tasks) == [b"\1", b"\2"]
    await closing
    for _ in range(2):
        with pytest.raises(NodeClosedError):
            await reads.read(name(3))


class CountingOffload(InlineOffload):
    """Counts what would go to a worker."""

    def __init__(self) -> None:
        self.calls = 0

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        self.calls += 1
        return function(*args, **kwargs)


class CachingDisk(SystemDisk):
    """A disk whose page cache has everything."""

    def read_cached(self, path: Path, size: int) -> bytes | None:
        content = path.read_bytes() if path.exists() else b""
        return content if len(content) == size else None


async def test_small_chunk_in_the_page_cache_needs_no_worker(tmp_path: Path) -> None:
    offload = CountingOffload()
    store = DiskStore(tmp_path / "store", replace(fake_runtime(7), disk=CachingDisk(), offload=offload), SMALL)
    await store.open()
    small, large = chunk(1, size=SHARED_BYTES_MAX), chunk(2, size=SHARED_BYTES_MAX + 1)
    await store.put([small, large])
    before = offload.calls
    assert await store.get(small.chunk_id) == small.data
    assert offload.calls == before
    assert await store.get(large.chunk_id) == large.data
    assert offload.calls == before + 1
    await store.close()


async def test_damage_is_found_also_in_the_page_cache(tmp_path: Path) -> None:
    store = DiskStore(
        tmp_path / "store", replace(fake_runtime(7), disk=CachingDisk(), offload=CountingOffload()), SMALL
    )
    await store.open()
    damaged, gone = chunk(1), chunk(2)
    await store.put([damaged, gone])
    files = ChunkFiles(SystemDisk(), tmp_path / "store", quarantine_files_max=1)
    path = files.path(damaged.chunk_id)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    files.path(gone.chunk_id).unlink()
    with pytest.raises(CorruptContentError):
        await store.get(damaged.chunk_id)
    assert damaged.chunk_id not in store
    with pytest.raises(ContentNotFoundError):
        await store.get(gone.chunk_id)
    await store.close()


async def opened_store(folder: Path) -> DiskStore:
    store = DiskStore(folder, replace(fake_runtime(7), disk=SystemDisk(), offload=CountingOffload()), SMALL)
    await store.open()
    return store


async def test_large_chunks_land_in_memory_that_nobody_looks_at(tmp_path: Path) -> None:
    store = await opened_store(tmp_path / "store")
    chunks = [chunk(number, size=KEPT_BYTES_MIN + number) for number in range(4)]
    await store.put(chunks)
    held = [await store.get(one.chunk_id) for one in chunks]
    assert held == [one.data for one in chunks]
    assert all(memoryview(data).readonly for data in held)
    taken = store._read_memory.kept_bytes
    del held[1:]
    for one in chunks[1:]:
        assert await store.get(one.chunk_id) == one.data
    assert held == [chunks[0].data]
    assert store._read_memory.kept_bytes == taken
    await store.close()
    assert store._read_memory.kept_bytes == 0
    assert not store._read_memory.is_watched


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"x", lambda data: data[:-1] + b"?"])
async def test_a_large_chunk_that_was_changed_is_found_out(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    store = await opened_store(tmp_path / "store")
    large = chunk(1, size=KEPT_BYTES_MIN)
    await store.put([large])
    path = ChunkFiles(SystemDisk(), tmp_path / "store", quarantine_files_max=1).path(large.chunk_id)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(CorruptContentError):
        await store.get(large.chunk_id)
    await store.close()


async def test_memory_for_large_chunks_is_forgotten_after_a_while(tmp_path: Path) -> None:
    loop, clock = asyncio.get_running_loop(), FakeClock()
    runtime = replace(fake_runtime(7), clock=clock, disk=SystemDisk(), offload=CountingOffload())
    store = DiskStore(tmp_path / "store", runtime, SMALL)
    await store.open()
    large = chunk(1, size=KEPT_BYTES_MIN)
    await store.put([large])
    await store.get(large.chunk_id)
    for _ in range(2):
        timer = store._read_memory._resting
        assert timer is not None
        assert IDLE_SECONDS - 1 < timer.when() - loop.time() <= IDLE_SECONDS
        assert store._read_memory.kept_bytes
        timer.cancel()
        clock.advance(IDLE_SECONDS)
        store._read_memory._rest()
    assert store._read_memory.kept_bytes == 0
    assert not store._read_memory.is_watched
    await store.close()
