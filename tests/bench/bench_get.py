"""How fast one file comes from another process over loopback UDP: store to file, sealed, verified, opened, durable.

    python tests/bench/bench_get.py [--size-mib 1024] [--runs 5] [--packets 1400] [--udp auto|portable] [--memory]

In the same run, turn by turn, the same bytes come over TLS and over plain TCP with SHA-256 (`peers_tcp.py`), file to
file, durable as well. Printed as JSON: megabytes a second of each run, their median and its ratio to the others',
processor seconds a gigabyte of both sides, and of our reader how late its loop was and how far its memory grew.

In each turn page cache that was in use a moment ago is at hand (`ballast.py`): on a virtual machine the first touch of
memory that the host took back costs more than all the rest.
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from dfs_sdk import Node, NodeConfig
from dfs_sdk.runtime.system import system_runtime
from tests.bench.ballast import Ballast
from tests.bench.peers_tcp import TcpPeer, tcp_peer

MIB = 1024 * 1024
LAG_STEP = 0.005
MEMORY_STEPS = 4  # resident memory is looked at in every so many steps of the lag meter


@dataclass(slots=True)
class Turns:
    """What the turns of one contender took.

    Attributes:
        size: Bytes moved in each.
        rates: MB/s.
        own: Processor seconds here.
        far: Processor seconds of the sender.
    """

    size: int
    rates: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)
    far: list[float] = field(default_factory=list)

    @contextmanager
    def turn(self, sender: psutil.Process) -> Iterator[None]:
        """Measure the block."""
        far, own, begun = worked(sender), time.process_time(), time.perf_counter()
        yield
        self.rates.append(self.size / (time.perf_counter() - begun) / 1e6)
        self.own.append(time.process_time() - own)
        self.far.append(worked(sender) - far)

    @property
    def rate(self) -> float:
        """The median rate."""
        return statistics.median(self.rates)

    def told(self) -> dict[str, object]:
        """The figures to print."""
        return {
            "mb_per_second": [round(rate) for rate in self.rates],
            "median_mb_per_second": round(self.rate),
            "reader_cpu_seconds_per_gb": round(statistics.median(self.own) / self.size * 1e9, 2),
            "sender_cpu_seconds_per_gb": round(statistics.median(self.far) / self.size * 1e9, 2),
        }


class Meter:
    """How late the loop of the reader is, and how much memory it takes."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._base = self._process.memory_info().rss
        self.lags: list[float] = []
        self.peak_bytes = 0

    async def watch(self) -> None:
        """Look for ever."""
        while True:
            for _ in range(MEMORY_STEPS):
                before = time.perf_counter()
                await asyncio.sleep(LAG_STEP)
                self.lags.append(time.perf_counter() - before - LAG_STEP)
            self.peak_bytes = max(self.peak_bytes, self._process.memory_info().rss - self._base)

    def told(self) -> dict[str, object]:
        """The figures to print."""
        late = sorted(self.lags)
        return {
            "loop_lag_ms_p99": round(late[len(late) * 99 // 100] * 1000, 1),
            "loop_lag_ms_max": round(late[-1] * 1000, 1),
            "reader_mib_above_baseline": round(self.peak_bytes / MIB),
        }


def worked(process: psutil.Process) -> float:
    """Processor seconds of a process so far."""
    times = process.cpu_times()
    return times.user + times.system


def node(name: str, store: Path | str, arguments: argparse.Namespace) -> Node:
    """A node as the command line wants it."""
    config = NodeConfig()
    if arguments.packets is not None:
        config = replace(config, transport=replace(config.transport, datagram_bytes_max=arguments.packets))
    return Node(
        name, store=store, listen="127.0.0.1:0", home="loop", config=config, runtime=system_runtime(udp=arguments.udp)
    )


async def serve(arguments: argparse.Namespace) -> None:
    """The far process: one node that holds the whole file."""
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        async with node("far", "memory" if arguments.memory else Path(folder) / "store", arguments) as far:
            file = await far.put(
                Path(arguments.serve),
                name="bench.bin",
                quorum=0,
                chunk_size=arguments.chunk_kib and arguments.chunk_kib * 1024,
            )
            print(json.dumps({"invite": far.invite(), "link": str(file.link)}), flush=True)
            await asyncio.to_thread(sys.stdin.read)


async def fetch(told: dict[str, str], target: Path, turns: Turns, sender: psutil.Process, meter: Meter,
                arguments: argparse.Namespace) -> None:  # fmt: skip
    """One turn of ours, with a fresh node that has cached nothing."""
    async with node("near", "memory", arguments) as near:
        await near.join(told["invite"])
        watching = asyncio.get_running_loop().create_task(meter.watch())
        with turns.turn(sender):
            await near.get(told["link"], target)
        watching.cancel()


def compare(source: Path, folder: Path, arguments: argparse.Namespace) -> dict[str, object]:
    """Let all contenders take turns."""
    size, target = source.stat().st_size, folder / "out.bin"
    ours, tls, tcp, meter = Turns(size), Turns(size), Turns(size), Meter()
    command = [sys.executable, "-m", "tests.bench.bench_get", "--serve", str(source), *sys.argv[1:]]
    far = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    ballast = Ballast(folder, size)

    def run(action: Callable[[], object]) -> None:
        target.unlink(missing_ok=True)
        ballast.write()
        with ballast.released_beside(f"{target.stem}*"):
            action()

    def turn_of(peer: TcpPeer, turns: Turns) -> Callable[[], object]:
        def act() -> None:
            with turns.turn(peer.process):
                peer.receive(target)

        return act

    try:
        assert far.stdout is not None
        told, sender = json.loads(far.stdout.readline()), psutil.Process(far.pid)
        with tcp_peer(source, tls=True) as secured, tcp_peer(source, tls=False) as plain:
            for _ in range(arguments.runs):
                run(lambda: asyncio.run(fetch(told, target, ours, sender, meter, arguments)))
                if not arguments.alone:
                    run(turn_of(secured, tls))
                    run(turn_of(plain, tcp))
    finally:
        far.communicate()
    where = "memory" if arguments.memory else "disk"
    result: dict[str, object] = {
        "what": f"get {size // MIB} MiB from {where}, udp {arguments.udp}, packets {arguments.packets or 'path MTU'}",
        "ours": ours.told() | meter.told(),
    }
    if not arguments.alone:
        result["tls"], result["tcp_sha256"] = tls.told(), tcp.told()
        result["ratio_to_tls"] = round(ours.rate / tls.rate, 2)
        result["ratio_to_tcp_sha256"] = round(ours.rate / tcp.rate, 2)
    return result


def main() -> None:
    """Parse the command line and run one side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-mib", type=int, default=1024)
    parser.add_argument("--udp", choices=("auto", "portable"), default="auto")
    parser.add_argument("--packets", type=int, default=None, help="the largest datagram; the path MTU if not given")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--chunk-kib", type=int, default=None, help="chosen by the size of the file if not given")
    parser.add_argument("--memory", action="store_true", help="the far store is in memory, not on disk")
    parser.add_argument("--alone", action="store_true", help="leave TLS and TCP out")
    parser.add_argument("--folder", type=Path, help="where there is room for four times the size; not a RAM disk")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve(arguments))
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        with (folder / "source.bin").open("wb") as file:
            for _ in range(arguments.size_mib):
                file.write(os.urandom(MIB))
        print(json.dumps(compare(folder / "source.bin", folder, arguments), indent=2))


if __name__ == "__main__":
    main()
