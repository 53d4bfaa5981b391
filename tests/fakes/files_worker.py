"""A node in a process of its own that puts or gets one file and may be killed at any moment.

`python -m tests.fakes.files_worker [--stop-at BYTES] put|get JOIN_ADDRESS STORE PATH [LINK]`. It says on its output,
one line a time, what a test needs to know: "joined", "progress BYTES", "file LINK", "memory BASE PEAK", "done". After
so many bytes it stops dead, so that whoever kills it then comes in the middle, however late.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil

from dfs_sdk import Node
from dfs_sdk.files.transfers import Transfer
from dfs_sdk.sim.swarm import hurried

SAMPLE_SECONDS = 0.02


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def teller(stop_at: float) -> Callable[[Transfer], None]:
    """Tell of progress, up to that many bytes."""

    def told(transfer: Transfer) -> None:
        say(f"progress {transfer.bytes_done}")
        if transfer.bytes_done >= stop_at:
            os.kill(os.getpid(), signal.SIGSTOP)

    return told


class Memory:
    """The resident memory of this process, at the beginning and at its peak."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self.base = self.peak = self._process.memory_info().rss

    async def watch(self) -> None:
        while True:
            self.peak = max(self.peak, self._process.memory_info().rss)
            await asyncio.sleep(SAMPLE_SECONDS)


async def main(action: str, address: str, store: str, path: str, link: str, told: Callable[[Transfer], None]) -> None:
    node = Node("worker", store=store, listen="127.0.0.1:0", home="loop", config=hurried(), quota="2 GiB")
    async with node:
        await node.join(address)
        say("joined")
        memory = Memory()
        watching = asyncio.ensure_future(memory.watch())
        if action == "put":
            file = await node.put(Path(path), replicas=2, quorum=2, progress=told)
            say(f"file {file.link!s}")
        else:
            await node.get(link, path, progress=told)
        watching.cancel()
        say(f"memory {memory.base} {memory.peak}")
    say("done")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--stop-at", type=float, default=math.inf)
    for name in ("action", "address", "store", "path"):
        parser.add_argument(name)
    parser.add_argument("link", nargs="?", default="")
    given = parser.parse_args()
    asyncio.run(main(given.action, given.address, given.store, given.path, given.link, teller(given.stop_at)))
