"""Files between real processes on real sockets and disks: kill -9 in the middle, and what memory streaming takes."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from dfs_sdk import Node
from dfs_sdk.crypto.hashing import blake3_256
from tests.fakes.members import network

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("nothing_left")]

MIB = 1024 * 1024
ROOT = Path(__file__).parents[2]
# The full figure of 1,024 takes a minute: `DFS_TEST_STREAM_MIB=1024 python -m pytest tests/system/test_files.py`.
STREAM_MIB = int(os.environ.get("DFS_TEST_STREAM_MIB", "192"))
STREAM_GROWTH_MAX = 160 * MIB


def noise(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


def holders(count: int, *, quota: str = "4 GiB") -> AbstractAsyncContextManager[list[Node]]:
    return network(*(f"holder-{n}" for n in range(count)), quota=quota)


class Worker:
    """A worker process and what it said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.lines: list[str] = []

    async def until(self, word: str, *, at_least: int = 0) -> str:
        """Read on to a line that begins with `word` and whose number is large enough; return its rest."""
        stdout = self._process.stdout
        assert stdout is not None
        async with asyncio.timeout(120):
            while line := (await stdout.readline()).decode().strip():
                self.lines.append(line)
                begin, _, rest = line.partition(" ")
                if begin == word and (not at_least or int(rest) >= at_least):
                    return rest
        raise AssertionError(f"the worker ended without saying {word!r}: {self.lines[-5:]}")

    async def kill(self) -> None:
        self._process.kill()
        await self._process.communicate()


@asynccontextmanager
async def worker(*arguments: str) -> AsyncIterator[Worker]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.fakes.files_worker", *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    running = Worker(process)
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_a_download_killed_in_the_middle_goes_on(tmp_path: Path):
    """P-FILE-10: what was saved is used, what was not is fetched, and the destination appears only at the end."""
    content = noise(32 * MIB, 1)
    async with holders(2) as (first, second):
        file = await first.put(content, name="x.bin", replicas=2, quorum=1)
        target, join = tmp_path / "x.bin", str(second.address)
        part = tmp_path / f"x.bin.part-{file.file_id}"
        stop = ("--stop-at", str(12 * MIB))
        async with worker(*stop, "get", join, "memory", str(target), str(file.link)) as killed:
            await killed.until("progress", at_least=12 * MIB)
            await killed.kill()
        assert os.listdir(tmp_path) == [part.name]
        assert part.stat().st_size >= 12 * MIB
        async with worker("get", join, "memory", str(target), str(file.link)) as again:
            await again.until("done")
    assert os.listdir(tmp_path) == ["x.bin"]
    assert blake3_256(target.read_bytes()) == blake3_256(content)


async def test_an_upload_killed_in_the_middle_goes_on_with_the_same_chunks(tmp_path: Path):
    """P-FILE-8: nothing that reached its quorum is stored twice."""
    content = noise(48 * MIB, 2)
    path, store = tmp_path / "x.bin", tmp_path / "store"
    path.write_bytes(content)
    async with holders(2) as (first, second):
        join = str(first.address)
        async with worker("--stop-at", str(40 * MIB), "put", join, str(store), str(path)) as killed:
            await killed.until("progress", at_least=40 * MIB)
            await killed.kill()
        async with worker("put", join, str(store), str(path)) as again:
            link = await again.until("file")
            await again.until("done")
        held = {info.chunk_id for node in (first, second) for info in node._engine.foundation.store.chunks()}
        assert len(held) == 48 + 1
        assert await second.get(link) == content


async def test_streaming_takes_little_memory(tmp_path: Path):
    """Neither put nor get holds a file: the growth is bounded by the windows, not by the size."""
    path, target = tmp_path / "large.bin", tmp_path / "copy.bin"
    with path.open("wb") as out:
        for number in range(STREAM_MIB):
            out.write(noise(MIB, number))
    async with holders(2) as (first, _second):
        join = str(first.address)
        async with worker("put", join, str(tmp_path / "store"), str(path)) as putting:
            link = await putting.until("file")
            base, peak = map(int, (await putting.until("memory")).split())
            await putting.until("done")
        print(f"put: {(peak - base) / MIB:.0f} MiB above {base / MIB:.0f} MiB")
        assert peak - base < STREAM_GROWTH_MAX
        async with worker("get", join, "memory", str(target), link) as getting:
            base, peak = map(int, (await getting.until("memory")).split())
            await getting.until("done")
        print(f"get: {(peak - base) / MIB:.0f} MiB above {base / MIB:.0f} MiB")
        assert peak - base < STREAM_GROWTH_MAX
    assert blake3_256(target.read_bytes()) == blake3_256(path.read_bytes())
