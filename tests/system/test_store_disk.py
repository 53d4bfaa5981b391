"""The disk store on a real disk, with real processes: killed, locked out, and out of room.

DFS_KILL_CYCLES=10000 kills that many processes instead of 25.
"""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dfs_sdk.errors import QuotaExceededError, StoreLockedError
from dfs_sdk.runtime.system import system_runtime
from dfs_sdk.store import DiskStore, NewChunk, Role, StoreConfig
from tests.fakes.store_worker import CONFIG, numbered
from tests.fakes.stores import chunk

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the worker forks: run this on Linux or macOS"),
]

ROOT = Path(__file__).parents[2]
KILL_CYCLES = int(os.environ.get("DFS_KILL_CYCLES", "25"))


class Worker:
    """The worker process and what it has said."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.store_worker", str(folder)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.child = 0

    def start(self, seed: int, first: int) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seed} {first}\n")
        self._process.stdin.flush()
        self.child = 0

    def hear(self) -> list[str]:
        """Return the next words; the child's number is kept."""
        assert self._process.stdout is not None
        words = self._process.stdout.readline().split()
        assert words, "the worker ended"
        if words[0] == "child":
            self.child = int(words[1])
        return words

    def kill(self) -> list[list[str]]:
        """Kill the child and return what it said until then."""
        said: list[list[str]] = []
        while not self.child:
            said.append(self.hear())
        os.kill(self.child, signal.SIGKILL)
        while not said or said[-1] != ["dead"]:
            said.append(self.hear())
        return said

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()


@contextmanager
def worker(folder: Path) -> Iterator[Worker]:
    made = Worker(folder)
    try:
        yield made
    finally:
        made.close()


class Acknowledged:
    """What the worker's words promise."""

    def __init__(self) -> None:
        self.kept: set[int] = set()
        self.open: set[int] = set()  # said to be going or coming, not yet done
        self.gone: set[int] = set()
        self.document = 0
        self.last = 0
        self.receipts = 0

    def hear(self, words: list[str]) -> None:
        self.receipts += words[0] in ("put", "deleted", "document")
        match words:
            case ["putting", start, stop]:
                self.open |= set(range(int(start), int(stop)))
                self.last = max(self.last, int(stop))
            case ["put", start, stop]:
                numbers = set(range(int(start), int(stop)))
                self.kept |= numbers
                self.open -= numbers
            case ["deleting", number]:
                self.kept.discard(int(number))
                self.open.add(int(number))
            case ["deleted", number]:
                self.open.discard(int(number))
                self.gone.add(int(number))
            case ["document", number]:
                self.document = int(number)


async def verify(folder: Path, promised: Acknowledged) -> None:
    runtime = system_runtime(threads=2, udp="portable")
    store = DiskStore(folder, runtime, CONFIG)
    await store.open()
    for number in promised.kept:
        assert await store.get(numbered(number).chunk_id) == numbered(number).data
    for number in promised.gone:
        assert numbered(number).chunk_id not in store
    known = {numbered(number).chunk_id for number in promised.kept | promised.open}
    assert {info.chunk_id for info in store.chunks()} <= known
    documents = dict(await store.list_documents("count"))
    if promised.document:
        assert int(documents[b"number"]) >= promised.document
    if documents:
        assert int(documents[b"twice"]) == 2 * int(documents[b"number"])
    assert list((folder / "tmp").iterdir()) == []
    assert (await store.check(read_data=True)).clean
    if len(store) > 300:  # keeps a long campaign from growing
        drop = sorted(promised.kept)[:250]
        await store.delete([numbered(number).chunk_id for number in drop])
        promised.kept -= set(drop)
        promised.gone |= set(drop)
    await store.close()
    await runtime.offload.close()


@pytest.mark.timeout(max(120, KILL_CYCLES))
def test_killed_process_loses_nothing_it_acknowledged(tmp_path: Path):
    folder, promised, rng = tmp_path / "store", Acknowledged(), random.Random(1)
    with worker(folder) as process:
        for cycle in range(KILL_CYCLES):
            process.start(seed=cycle, first=promised.last)
            for _ in range(rng.randrange(1, 25)):
                promised.hear(process.hear())
            for words in process.kill():
                promised.hear(words)
            asyncio.run(verify(folder, promised))
    assert promised.receipts > KILL_CYCLES
    assert promised.kept


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
