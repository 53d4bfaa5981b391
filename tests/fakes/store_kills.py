"""A process that changes a store, killed again and again, and what its words promise of the folder it leaves."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dfs_sdk.runtime.ports import Runtime
from dfs_sdk.runtime.system import system_runtime
from dfs_sdk.store import DiskStore
from tests.fakes.store_worker import CONFIG, numbered

ROOT = Path(__file__).parents[2]
WORDS_MAX = 12
# The words come right before and after what they speak of: without a pause no kill would strike in between.
PAUSE_SECONDS_MAX = 0.004
CHUNKS_MAX = 60
CHUNKS_AFTER_CLEARING = 10


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
        """Let a child begin."""
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
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()


@contextmanager
def worker(folder: Path) -> Iterator[Worker]:
    """Have a worker for the length of a block."""
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
        """Take note of some words."""
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


async def verify(folder: Path, promised: Acknowledged, runtime: Runtime) -> None:
    """Open the store that a killed process left, check it against its words, and close it.

    Raises:
        AssertionError: Something is missing, damaged, or back again.
    """
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
    if len(store) > CHUNKS_MAX:
        await _clear(store, promised)
    await store.close()


async def _clear(store: DiskStore, promised: Acknowledged) -> None:
    """Keep a long campaign from growing: drop the oldest, and ask no more after those long gone."""
    held = {info.chunk_id for info in store.chunks()}
    promised.open = {number for number in promised.open if numbered(number).chunk_id in held}
    drop = sorted(promised.kept | promised.open)[: len(store) - CHUNKS_AFTER_CLEARING]
    await store.delete([numbered(number).chunk_id for number in drop])
    promised.kept -= set(drop)
    promised.open -= set(drop)
    promised.gone = set(drop)


def kill_again_and_again(folder: Path, *, seed: int, cycles: int, until: float | None = None) -> tuple[int, int]:
    """Start, kill and verify.

    Args:
        folder: Where the store lies or will lie.
        seed: Decides what is done and, as far as the machine lets it, when the kill comes.
        cycles: How often.
        until: Begin no cycle after this instant of `time.monotonic`.

    Returns:
        Cycles done, and receipts that were given and held.

    Raises:
        AssertionError: An acknowledged write was lost, or the store needed a hand.
    """
    promised, rng = Acknowledged(), random.Random(seed)

    async def verify_once() -> None:
        runtime = system_runtime(threads=2, udp="portable")
        try:
            await verify(folder, promised, runtime)
        finally:
            await runtime.offload.close()

    with worker(folder) as process:
        for cycle in range(cycles):
            if until is not None and time.monotonic() > until:
                return cycle, promised.receipts
            process.start(seed=rng.getrandbits(32), first=promised.last)
            for _ in range(rng.randrange(1, WORDS_MAX)):
                promised.hear(process.hear())
            time.sleep(rng.uniform(0, PAUSE_SECONDS_MAX))
            for words in process.kill():
                promised.hear(words)
            asyncio.run(verify_once())
    return cycles, promised.receipts
