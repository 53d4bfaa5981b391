"""A node in a process of its own that puts or gets one file and may be killed at any moment.

`python -m tests.fakes.files_worker put|get JOIN_ADDRESS STORE PATH [LINK]`. It says on its output, one line a time,
what a test needs to know: "joined", "progress BYTES", "file LINK", "memory BASE PEAK", "done".
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import psutil

from dfs_sdk import Node
from dfs_sdk.files.transfers import Transfer
from dfs_sdk.sim.swarm import hurried

SAMPLE_SECONDS = 0.02


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def told(transfer: Transfer) -> None:
    say(f"progress {transfer.bytes_done}")


class Memory:
    """The resident memory of this process, at the beginning and at its peak."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self.base = self.peak = self._process.memory_info().rss

    async def watch(self) -> None:
        while True:
            self.peak = max(self.peak, self._process.memory_info().rss)
            await asyncio.sleep(SAMPLE_SECONDS)


async def main(action: str, address: str, store: str, path: str, link: str = "") -> None:
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
    asyncio.run(main(*sys.argv[1:]))
