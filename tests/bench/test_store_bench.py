"""How fast the disk store is on this machine's disk; asserted are ratios within one run."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from dfs_sdk.crypto.hashing import blake3_256
from dfs_sdk.ids import ChunkId
from dfs_sdk.runtime.system import system_runtime
from dfs_sdk.store import DiskStore, NewChunk, Role, StoreConfig

pytestmark = pytest.mark.bench

MIB = 1 << 20


def made(count: int, size: int) -> list[NewChunk]:
    contents = [os.urandom(size) for _ in range(count)]
    return [NewChunk(chunk_id=ChunkId(blake3_256(data)), data=data, cell=0, role=Role.PRIMARY) for data in contents]


async def seconds(call: Callable[[], Awaitable[object]]) -> float:
    begin = time.perf_counter()
    await call()
    return time.perf_counter() - begin


async def test_batches_and_company_are_cheaper_than_one_at_a_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    runtime = system_runtime(udp="portable")
    store = DiskStore(tmp_path / "store", runtime, StoreConfig(free_bytes_min=0))
    await store.open()
    large, batch, company, alone = made(64, MIB), made(128, 16_384), made(128, 16_384), made(128, 16_384)

    async def one_by_one() -> None:
        for new in alone:
            await store.put([new])

    async def read_all() -> None:
        for new in large:
            await store.get(new.chunk_id)

    put_large = await seconds(lambda: store.put(large))
    get_large = await seconds(read_all)
    put_batch = await seconds(lambda: store.put(batch))
    put_company = await seconds(lambda: asyncio.gather(*(store.put([new]) for new in company)))
    put_alone = await seconds(one_by_one)
    with capsys.disabled():
        print(
            f"\nstore: put {64 / put_large:.0f} MiB/s, get {64 / get_large:.0f} MiB/s; 16 KiB chunks a second:"
            f" {128 / put_batch:.0f} in a batch, {128 / put_company:.0f} side by side, {128 / put_alone:.0f} alone"
        )
    assert put_batch < put_alone
    assert get_large < put_large
    await store.close()
    await runtime.offload.close()
