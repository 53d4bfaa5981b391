"""The disk store on a real disk, with real processes: killed, locked out, and out of room.

`python -m tests.campaigns.store kills` goes on killing.
"""

import asyncio
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from dfs_sdk.errors import QuotaExceededError, StoreLockedError
from dfs_sdk.runtime.system import system_runtime
from dfs_sdk.store import DiskStore, NewChunk, Role, StoreConfig
from dfs_sdk.store.index import INDEX_FILE
from tests.fakes.store_kills import kill_again_and_again, worker
from tests.fakes.store_worker import CONFIG
from tests.fakes.stores import chunk

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the worker forks: run this on Linux or macOS"),
]

KILL_CYCLES = 500


def test_killed_process_loses_nothing_it_acknowledged(tmp_path: Path):
    cycles, receipts = kill_again_and_again(tmp_path / "store", seed=1, cycles=KILL_CYCLES)
    assert receipts > cycles == KILL_CYCLES


def test_second_process_is_refused_within_a_second_and_welcome_after_a_kill(tmp_path: Path):
    folder = tmp_path / "store"

    async def refused(child: int) -> float:
        runtime = system_runtime(threads=1, udp="portable")
        store = DiskStore(folder, runtime, CONFIG)
        begin = asyncio.get_running_loop().time()
        with pytest.raises(StoreLockedError) as caught:
            await store.open()
        elapsed = asyncio.get_running_loop().time() - begin
        assert str(folder) in str(caught.value)
        assert f"process {child}" in str(caught.value)
        await runtime.offload.close()
        return elapsed

    async def welcome() -> None:
        runtime = system_runtime(threads=1, udp="portable")
        store = DiskStore(folder, runtime, StoreConfig(lock_wait_seconds=0, free_bytes_min=0))
        await store.open()
        with pytest.raises(StoreLockedError, match="this process"):
            await DiskStore(folder, runtime, CONFIG).open()
        await store.close()
        await runtime.offload.close()

    with worker(folder) as process:
        process.start(1, 0)
        heard: list[list[str]] = []
        while ["open"] not in heard or not process.child:
            heard.append(process.hear())
        assert asyncio.run(refused(process.child)) < 1
        process.kill()
        asyncio.run(welcome())


async def test_full_real_disk_refuses_in_words_and_loses_nothing(small_disk: Path):
    runtime = system_runtime(threads=2, udp="portable")
    config = StoreConfig(free_bytes_min=0, reserve_bytes=256 * 1024)
    store = DiskStore(small_disk / "store", runtime, config)
    await store.open()
    stored: list[NewChunk] = []
    with pytest.raises(QuotaExceededError, match="full"):
        for number in range(100):
            new = chunk(number, size=250_000)
            await store.put([new])
            stored.append(new)
    for number in range(1000, 5000):  # down to the last block
        new = chunk(number, size=3000)
        try:
            await store.put([new])
        except QuotaExceededError:
            break
        stored.append(new)
    assert len(stored) > 15
    assert store.read_only is None
    await store.delete([new.chunk_id for new in stored[:3]])
    await store.close()
    await store.open()
    for new in stored[3:]:
        assert await store.get(new.chunk_id) == new.data
    assert len(store) == len(stored) - 3
    await store.put([chunk(9000, size=250_000, role=Role.CACHE)])
    await store.close()
    await runtime.offload.close()


def deleted(path: Path) -> None:
    path.unlink()


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def rubbish(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(path.stat().st_size))


def half_rubbish(path: Path) -> None:
    """The first page says that this is a database, the rest does not bear it out."""
    content = path.read_bytes()
    path.write_bytes(content[:4096] + random.Random(2).randbytes(len(content) - 4096))


@pytest.mark.parametrize("damage", [deleted, cut_short, empty, rubbish, half_rubbish])
async def test_damaged_index_is_rebuilt_from_the_chunk_files(damage: Callable[[Path], None], tmp_path: Path):
    runtime = system_runtime(threads=2, udp="portable")
    store = DiskStore(tmp_path / "store", runtime, CONFIG)
    chunks = [chunk(number, size=number, role=list(Role)[number % 3], cell=number) for number in range(2, 200)]
    await store.open()
    await store.put(chunks)
    await store.set_pinned([chunks[0].chunk_id], True)
    held = {info.chunk_id: (info.role, info.cell, info.pinned) for info in store.chunks()}
    await store.close()
    damage(tmp_path / "store" / INDEX_FILE)
    await store.open()
    assert {info.chunk_id: (info.role, info.cell, info.pinned) for info in store.chunks()} == held
    assert (await store.check(read_data=True)).clean
    await store.close()
    await runtime.offload.close()


async def test_concurrent_callers_on_a_real_disk_agree(tmp_path: Path):
    runtime = system_runtime(threads=4, udp="portable")
    store = DiskStore(tmp_path / "store", runtime, CONFIG)
    await store.open()
    chunks = [chunk(number, size=10_000) for number in range(60)]
    await asyncio.gather(
        *(store.put(chunks[start : start + 6]) for start in range(0, 60, 3)),
        *(store.put_document("k", bytes([number]), bytes(number)) for number in range(60)),
    )
    assert len(store) == 60
    assert await asyncio.gather(*(store.get(new.chunk_id) for new in chunks)) == [new.data for new in chunks]
    assert len(await store.list_documents("k")) == 60
    assert (await store.check(read_data=True)).clean
    await store.close()
    await runtime.offload.close()
