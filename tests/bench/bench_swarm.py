"""How long a virtual hour of a simulated swarm takes: `python tests/bench/bench_swarm.py NODES MINUTES [NET [SLOWER]]`.

Prints CPU seconds, which do not depend on what else the machine does, and the resident memory of the process. `--mib`
stores that much in all, `--own-copies` lets every disk have bytes of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import resource
import time
from dataclasses import replace
from pathlib import Path

from dfs_sdk import Swarm
from dfs_sdk.sim.fidelity import CHEAP
from dfs_sdk.sim.pace import at_leisure

MIB = 1024 * 1024
FILE_BYTES = 5 * MIB
CHUNK_BYTES = 65_536


async def measure(given: argparse.Namespace) -> None:
    """Start a swarm, store files, let time pass, and print what that cost."""
    begun = time.process_time()
    config = at_leisure(given.slower) if given.slower is not None else None
    fidelity = replace(CHEAP, copies=given.own_copies)
    async with Swarm(given.count, net=given.net, seed=7, config=config, fidelity=fidelity) as swarm:
        started = time.process_time()
        print(f"{given.count} nodes, {given.net}, pace {'by size' if given.slower is None else f'1/{given.slower:g}'}")
        print(f"  start          {started - begun:8.1f} s of CPU, {resident_mib():.0f} MiB", flush=True)
        left, number = int(given.mib * MIB), 0
        while left > 0:
            data = random.Random(number).randbytes(min(left, FILE_BYTES))
            await swarm[number % given.count].put(data, name=f"data {number}", chunk_size=CHUNK_BYTES)
            left, number = left - len(data), number + 1
        stored = time.process_time()
        print(f"  {given.mib:g} MiB stored {stored - started:9.1f} s of CPU, {resident_mib():.0f} MiB", flush=True)
        report = await swarm.run(minutes=given.minutes, progress=False)
        passed = time.process_time() - stored
    print(
        f"  virtual hour   {passed * 60 / given.minutes:8.1f} s of CPU "
        f"({given.minutes * 60 / passed:.0f} times real time)"
    )
    print(f"  memory         {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:8.0f} MiB at most")
    after = report.after
    print(f"  {after.answering} of {after.nodes} answer, {after.readable} of {after.files} files readable")


def resident_mib() -> float:
    """Say how much memory the process has now."""
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[1]) * resource.getpagesize() / MIB


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("minutes", type=float)
    parser.add_argument("net", nargs="?", default="lan")
    parser.add_argument("slower", nargs="?", type=float)
    parser.add_argument("--mib", type=float, default=1.0)
    parser.add_argument("--own-copies", action="store_true")
    asyncio.run(measure(parser.parse_args()))
