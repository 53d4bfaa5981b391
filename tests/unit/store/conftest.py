"""Every store there is, one after the other."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from dfs_sdk.runtime.ports import Runtime
from dfs_sdk.runtime.system import SystemDisk, ThreadOffload
from dfs_sdk.store import ChunkStore, DiskStore, MemoryStore, StoreConfig
from tests.fakes.disk import FakeDisk
from tests.fakes.runtime import FakeClock, fake_runtime
from tests.fakes.stores import FOLDER, SMALL, Make, disk_runtime


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["memory", "fake disk", "yielding disk", "real disk"])
async def make(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> AsyncIterator[Make]:
    threads = ThreadOffload(threads=2)

    def make(config: StoreConfig) -> ChunkStore:
        runtime: Runtime
        match request.param:
            case "memory":
                return MemoryStore(fake_runtime(clock=clock), config)
            case "fake disk":
                runtime, folder = disk_runtime(FakeDisk(), clock=clock), FOLDER
            case "yielding disk":
                runtime, folder = disk_runtime(FakeDisk(), clock=clock, yielding=True), FOLDER
            case _:
                runtime = replace(fake_runtime(clock=clock), disk=SystemDisk(), offload=threads)
                folder = tmp_path / "store"
        return DiskStore(folder, runtime, config)

    yield make
    await threads.close()


@pytest.fixture
async def store(make: Make) -> AsyncIterator[ChunkStore]:
    store = make(SMALL)
    await store.open()
    yield store
    await store.close()
