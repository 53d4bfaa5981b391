"""How fast one file comes from another process over loopback UDP: store to file, sealed, verified, decrypted.

    python tests/bench/bench_get.py [--size-mib 64] [--udp auto|portable] [--packets 1400] [--runs 5] [--disk]

Prints one line of JSON: megabytes a second of each run and their median, and the reader's processor time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from dfs_sdk import Node, NodeConfig
from dfs_sdk.runtime.system import system_runtime

MIB = 1024 * 1024


def config(packet_bytes: int | None) -> NodeConfig:
    """Settings with the packet size capped, if asked for."""
    base = NodeConfig()
    if packet_bytes is None:
        return base
    return replace(base, transport=replace(base.transport, datagram_bytes_max=packet_bytes))


async def serve(arguments: argparse.Namespace) -> None:
    """The far process: one node that holds the whole file."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store" if arguments.disk else "memory"
        node = Node(
            "far", store=store, listen="127.0.0.1:0", home="loop", config=config(arguments.packets),
            runtime=system_runtime(udp=arguments.udp),
        )  # fmt: skip
        async with node:
            file = await node.put(os.urandom(arguments.size_mib * MIB), name="bench.bin", quorum=0)
            print(json.dumps({"invite": node.invite(), "link": str(file.link)}), flush=True)
            await asyncio.to_thread(sys.stdin.read)


async def measure(arguments: argparse.Namespace, told: dict[str, str]) -> dict[str, object]:
    """Fetch the file several times, each with a fresh node that has cached nothing."""
    rates, cpu = [], []
    for _ in range(arguments.runs):
        with tempfile.TemporaryDirectory() as folder:
            node = Node(
                "near", store="memory", listen="127.0.0.1:0", home="loop", config=config(arguments.packets),
                runtime=system_runtime(udp=arguments.udp),
            )  # fmt: skip
            async with node:
                await node.join(told["invite"])
                begun, worked = time.perf_counter(), time.process_time()
                await node.get(told["link"], Path(folder) / "out.bin")
                rates.append(arguments.size_mib * MIB / (time.perf_counter() - begun) / 1e6)
                cpu.append(time.process_time() - worked)
    return {
        "what": f"get {arguments.size_mib} MiB, udp {arguments.udp}, packets {arguments.packets or 'path MTU'}",
        "mb_per_second": [round(rate) for rate in rates],
        "median_mb_per_second": round(statistics.median(rates)),
        "reader_cpu_seconds_per_gb": round(statistics.median(cpu) / (arguments.size_mib * MIB / 1e9), 2),
    }


def main() -> None:
    """Parse the command line and run one side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-mib", type=int, default=64)
    parser.add_argument("--udp", choices=("auto", "portable"), default="auto")
    parser.add_argument("--packets", type=int, default=None)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--disk", action="store_true")
    parser.add_argument("--serve", action="store_true")
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve(arguments))
        return
    command = [sys.executable, __file__, "--serve", *sys.argv[1:]]
    far = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert far.stdout is not None
        told = json.loads(far.stdout.readline())
        print(json.dumps(asyncio.run(measure(arguments, told))))
    finally:
        far.communicate()


if __name__ == "__main__":
    main()
