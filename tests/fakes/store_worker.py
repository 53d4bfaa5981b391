"""A process that changes a store until it is killed: `python -m tests.fakes.store_worker FOLDER`.

It forks a child for each line on its input, "SEED FIRST", so that a cycle costs no import. The child says each thing it
is about to take back and each thing that was acknowledged, one line a time, unbuffered.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

from dfs_sdk.runtime.system import system_runtime
from dfs_sdk.store import DiskStore, NewChunk, StoreConfig
from tests.fakes.stores import chunk

CONFIG = StoreConfig(free_bytes_min=0, reserve_bytes=4096)
SIZE_MAX = 60_000
BATCH_MAX = 5


def numbered(number: int) -> NewChunk:
    """The chunk of a number, the same in every process."""
    return chunk(number, size=number * 7919 % SIZE_MAX)


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


async def work(folder: Path, rng: random.Random, first: int) -> None:
    store = DiskStore(folder, system_runtime(threads=2, udp="portable"), CONFIG)
    await store.open()
    say("open")
    number = first
    while True:
        batch = range(number, number + rng.randrange(1, BATCH_MAX))
        say(f"putting {batch.start} {batch.stop}")
        await store.put([numbered(n) for n in batch])
        say(f"put {batch.start} {batch.stop}")
        number = batch.stop
        if rng.random() < 0.4:
            gone = rng.randrange(first, number)
            say(f"deleting {gone}")
            await store.delete([numbered(gone).chunk_id])
            say(f"deleted {gone}")
        if rng.random() < 0.4:
            await store.put_documents("count", [(b"number", b"%d" % number), (b"twice", b"%d" % (2 * number))])
            say(f"document {number}")


def main() -> None:
    folder = Path(sys.argv[1])
    while line := sys.stdin.readline():
        seed, first = map(int, line.split())
        child = os.fork()
        if child == 0:
            asyncio.run(work(folder, random.Random(seed), first))
        say(f"child {child}")
        os.waitpid(child, 0)
        say("dead")


if __name__ == "__main__":
    main()
