"""How much memory a large file takes: `python tests/bench/bench_memory.py [--size-mib 1024]`.

Three nodes with stores on disk live in this one process; one puts a file, another gets it to a path. Printed as JSON:
seconds of both, the highest resident memory above that before the put, and whether the copy is identical.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import tempfile
import time
from pathlib import Path

import psutil

from dfs_sdk import Node
from dfs_sdk.runtime.system import SystemEntropy
from dfs_sdk.runtime.tasks import TaskScope

MIB = 1024 * 1024
SAMPLE_INTERVAL = 0.02


class Peak:
    """The highest resident memory of this process since `reset`."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self.bytes = 0

    def reset(self) -> None:
        """Forget the peak."""
        self.bytes = 0

    async def watch(self) -> None:
        """Sample for ever."""
        while True:
            self.bytes = max(self.bytes, self._process.memory_info().rss)
            await asyncio.sleep(SAMPLE_INTERVAL)


def digest(path: Path) -> bytes:
    """Hash a file in pieces."""
    hasher = hashlib.blake2b()
    with path.open("rb") as file:
        while piece := file.read(MIB):
            hasher.update(piece)
    return hasher.digest()


async def measure(folder: Path, size_mib: int) -> dict[str, object]:
    """Put and get one file; `folder` takes five times its size."""
    source, copy = folder / "source.bin", folder / "copy.bin"
    entropy = SystemEntropy()
    with source.open("wb") as file:
        for _ in range(size_mib):
            file.write(entropy.token(MIB))
    nodes = [Node(f"n{index}", store=folder / f"n{index}", listen="127.0.0.1:0", home="loop") for index in range(3)]
    for node in nodes:
        await node.start()
    for node in nodes[1:]:
        await node.join(str(nodes[0].address))
    base, peak = psutil.Process().memory_info().rss, Peak()
    scope = TaskScope("bench", on_error=lambda _name, error: print(error))
    scope.spawn("memory", peak.watch())
    begun = time.perf_counter()
    file = await nodes[0].put(source)
    put_seconds, put_peak = time.perf_counter() - begun, peak.bytes - base
    peak.reset()
    begun = time.perf_counter()
    await nodes[1].get(file.link, copy)
    get_seconds, get_peak = time.perf_counter() - begun, peak.bytes - base
    await scope.close()
    for node in nodes:
        await node.close()
    return {
        "size_mib": size_mib,
        "put_seconds": round(put_seconds, 1),
        "put_mib_above_baseline": round(put_peak / MIB),
        "get_seconds": round(get_seconds, 1),
        "get_mib_above_baseline": round(get_peak / MIB),
        "identical": digest(source) == digest(copy),
    }


def main() -> None:
    """Parse the command line and measure in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-mib", type=int, default=1024)
    parser.add_argument("--folder", default=os.environ.get("TMPDIR"), help="where there is room; not a RAM disk")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        print(json.dumps(asyncio.run(measure(Path(folder), arguments.size_mib))))


if __name__ == "__main__":
    main()
