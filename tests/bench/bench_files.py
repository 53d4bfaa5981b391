"""How fast files are sealed and opened, as shares of what the primitives alone do: `python tests/bench/bench_files.py`.

Each line gives MB/s and the ratio to AES-256-GCM on the same bytes in the same run; put and get are measured with
three nodes in one process, so both sides of every byte are paid for by one interpreter.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import Callable

from dfs_sdk import Swarm
from dfs_sdk.crypto.aead import open_once, seal_once
from dfs_sdk.crypto.hashing import Blake3, blake3_256
from dfs_sdk.files.seal import FileKeys, open_chunk
from dfs_sdk.files.upload import seal_group

MIB = 1024 * 1024
REPEATS = 3


def rate(action: Callable[[], object], size: int) -> float:
    """Best of a few runs in MB/s."""
    best = float("inf")
    for _ in range(REPEATS):
        begun = time.perf_counter()
        action()
        best = min(best, time.perf_counter() - begun)
    return size / best / 1e6


def bench_sealing(total: int) -> None:
    keys, key = FileKeys(os.urandom(32)), os.urandom(32)
    data = os.urandom(total)
    view = memoryview(data)
    for chunk_bytes in (64 * 1024, MIB, 4 * MIB):
        pieces = [view[at : at + chunk_bytes] for at in range(0, total, chunk_bytes)]
        sealed = seal_group(keys, 0, chunk_bytes, data, Blake3())
        alone = [seal_once(key, piece) for piece in pieces]
        figures = {
            "AES-256-GCM alone": rate(lambda p=pieces: [seal_once(key, piece) for piece in p], total),
            "  and opening": rate(lambda a=alone: [open_once(key, piece) for piece in a], total),
            "BLAKE3 alone": rate(lambda p=pieces: [blake3_256(piece) for piece in p], total),
            "sealing": rate(lambda size=chunk_bytes: seal_group(keys, 0, size, data, Blake3()), total),
            "verifying and opening": rate(
                lambda s=sealed: [
                    (blake3_256(c.data) == c.chunk_id, open_chunk(keys, c.index, c.salt, c.data)) for c in s
                ],
                total,
            ),
        }
        base = figures["AES-256-GCM alone"]
        print(f"chunks of {chunk_bytes // 1024} KiB")
        for name, value in figures.items():
            print(f"  {name:24} {value:8.0f} MB/s  {value / base:5.2f}")


async def bench_transfers(total: int) -> None:
    data = os.urandom(total)
    async with Swarm(3, replicas=2) as swarm:
        begun = time.perf_counter()
        file = await swarm[0].put(data, name="bench.bin", quorum=2)
        put = time.perf_counter() - begun
        begun = time.perf_counter()
        assert await swarm[0].get(file) == data
        get = time.perf_counter() - begun
    print(f"put with 2 copies {total / put / 1e6:6.0f} MB/s, get {total / get / 1e6:6.0f} MB/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=64)
    total = parser.parse_args().mib * MIB
    bench_sealing(total)
    asyncio.run(bench_transfers(total))


if __name__ == "__main__":
    main()
