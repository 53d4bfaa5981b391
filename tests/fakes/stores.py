"""Chunks and stores for tests."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ParamSpec, TypeVar

from dfs_sdk.crypto.hashing import blake3_256
from dfs_sdk.ids import ChunkId
from dfs_sdk.runtime.ports import Runtime
from dfs_sdk.store import ChunkStore, DiskStore, NewChunk, Role, StoreConfig
from tests.fakes.disk import FakeDisk
from tests.fakes.runtime import FakeClock, fake_runtime

P = ParamSpec("P")
T = TypeVar("T")
Make = Callable[[StoreConfig], ChunkStore]

FOLDER = Path("/home/me/store")
SMALL = StoreConfig(
    capacity_bytes=1 << 20, documents_bytes_max=1 << 20, free_bytes_min=0, reserve_bytes=4096, quarantine_files_max=4
)


class YieldingOffload:
    """ "Threads" that let others run before and after each call, and finish what a cancelled caller began.

    Args:
        seconds: How long a call takes; on a `VirtualLoop` that is no time.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self._seconds = seconds

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        await asyncio.sleep(self._seconds)
        result = function(*args, **kwargs)
        await asyncio.sleep(0)
        return result

    async def compute(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.run(function, *args, **kwargs)

    async def close(self) -> None:
        return


def chunk(
    seed: int, *, size: int = 100, role: Role = Role.PRIMARY, cell: int = 1, removal_hash: bytes = b""
) -> NewChunk:
    """Make a chunk whose bytes only `seed` and `size` decide."""
    data = random.Random(f"{seed}/{size}").randbytes(size)
    return NewChunk(chunk_id=ChunkId(blake3_256(data)), data=data, cell=cell, role=role, removal_hash=removal_hash)


def disk_runtime(
    disk: FakeDisk, *, clock: FakeClock | None = None, yielding: bool = False, seconds: float = 0.0
) -> Runtime:
    """A fake runtime with a disk; others run while it works, if it is `yielding`, for so many seconds a call."""
    runtime = replace(fake_runtime(7, clock=clock), disk=disk)
    return replace(runtime, offload=YieldingOffload(seconds)) if yielding else runtime


def disk_store(disk: FakeDisk, config: StoreConfig = SMALL, *, yielding: bool = False) -> DiskStore:
    """A disk store on a fake disk, not yet open."""
    return DiskStore(FOLDER, disk_runtime(disk, yielding=yielding), config)
