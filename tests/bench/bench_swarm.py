"""How long a virtual hour of a simulated swarm takes: `python tests/bench/bench_swarm.py NODES MINUTES [NET [SLOWER]]`.

Prints CPU seconds, which do not depend on what else the machine does, and the resident memory of the process.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time

from dfs_sdk import Swarm
from dfs_sdk.sim.pace import at_leisure

DATA = bytes(range(256)) * 4000
CHUNK_BYTES = 65_536


async def measure(count: int, minutes: float, net: str, slower: float | None) -> None:
    """Start a swarm, store a file, let time pass, and print what that cost."""
    begun = time.process_time()
    config = at_leisure(slower) if slower is not None else None
    async with Swarm(count, net=net, seed=7, config=config) as swarm:
        started = time.process_time()
        print(f"{count} nodes, {net}, pace {'by size' if slower is None else f'1/{slower:g}'}")
        print(f"  start          {started - begun:8.1f} s of CPU", flush=True)
        await swarm[0].put(DATA, name="data", chunk_size=CHUNK_BYTES)
        stored = time.process_time()
        report = await swarm.run(minutes=minutes, progress=False)
        passed = time.process_time() - stored
    print(f"  virtual hour   {passed * 60 / minutes:8.1f} s of CPU ({minutes * 60 / passed:.0f} times real time)")
    print(f"  memory         {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:8.0f} MiB")
    after = report.after
    print(f"  {after.answering} of {after.nodes} answer, {after.readable} of {after.files} files readable")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    slower = float(arguments[3]) if len(arguments) > 3 else None
    asyncio.run(measure(int(arguments[0]), float(arguments[1]), arguments[2] if len(arguments) > 2 else "lan", slower))
