"""Throughput and latency of the transport between two processes: `python tests/bench/bench_transfer.py`.

Messages of 1 MiB go from one process to the other over loopback; every packet is sealed, acknowledged and paced. Cases
are backend and packet size; beside them go plain sockets that move as many bytes (`raw_sockets.py`). Rounds take turns
with each other and a line gives the medians: megabytes a second until the last acknowledgement, processor seconds a
gigabyte on both sides, how late timers of either loop were (99th percentile and worst), and the share of the raw
socket with the same packets and of TLS over TCP. `--small` measures exchanges of 4 KiB instead.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import os
import pstats
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from dfs_sdk.crypto.identity import Identity
from dfs_sdk.ids import Address, NetworkId
from dfs_sdk.runtime.system import system_runtime
from dfs_sdk.transport.config import KIB, MIB, TransportConfig
from dfs_sdk.transport.connection import Connection
from dfs_sdk.transport.driver import Transport
from dfs_sdk.transport.handshake import Network
from dfs_sdk.transport.priority import Priority
from tests.bench import raw_sockets

NETWORK = Network(network_id=NetworkId(b"b" * 32))
LOOPBACK = Address("127.0.0.1", 0)
MESSAGE_BYTES = MIB
PACKET_SIZES = (1400, 65_000)
LAG_STEP = 0.005
PROFILE_LINES = 40
REPLY_BYTES = 4 * KIB
EXCHANGES = 1000
IN_FLIGHT = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One run of one case: megabytes a second, processor seconds a gigabyte, timer lateness in milliseconds."""

    mb_per_s: float
    cpu_here: float
    cpu_there: float
    lag_p99: float = 0.0
    lag_max: float = 0.0
    lag_there_p99: float = 0.0
    lag_there_max: float = 0.0
    words: str = ""


class Lag:
    """How much later than asked a loop wakes a task that sleeps."""

    def __init__(self) -> None:
        self._samples = [0.0]
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(LAG_STEP)
            self._samples.append(time.perf_counter() - before - LAG_STEP)

    def stop(self) -> tuple[float, float]:
        """End and return the 99th percentile and the worst, in milliseconds."""
        self._task.cancel()
        ordered = sorted(self._samples)
        return 1000 * ordered[int(0.99 * (len(ordered) - 1))], 1000 * ordered[-1]


def make_transport(udp: str, packet_bytes: int) -> Transport:
    """Build a transport whose path MTU discovery stops at `packet_bytes`."""
    runtime = system_runtime(udp=udp)
    config = TransportConfig(datagram_bytes_max=packet_bytes)
    identity = Identity.generate(runtime.entropy)
    return Transport(runtime=runtime, identity=identity, network=NETWORK, config=config, bind=LOOPBACK)


async def serve(udp: str, packet_bytes: int) -> None:
    """Receive messages, answer small ones, and say how it went once the peer has left."""
    transport = make_transport(udp, packet_bytes)
    left = asyncio.Event()
    begun: list[float] = []
    lags: list[Lag] = []
    reply, replies = os.urandom(REPLY_BYTES), []

    def on_message(connection: Connection, data: memoryview) -> None:
        if not begun:
            begun.append(time.process_time())
            lags.append(Lag())
        if len(data) < MESSAGE_BYTES:
            replies.append(asyncio.create_task(connection.send([data, reply], priority=Priority.INTERACTIVE)))
            del replies[:-IN_FLIGHT]

    transport.on_message = on_message
    transport.on_closed = lambda *_: left.set()
    await transport.start()
    print(transport.local_address.port, flush=True)
    await left.wait()
    cpu = time.process_time() - (begun[0] if begun else 0.0)
    p99, worst = lags[0].stop() if lags else (0.0, 0.0)
    print(json.dumps({"cpu": cpu, "lag_p99": p99, "lag_max": worst}), flush=True)
    await transport.close()


@contextmanager
def profiled(wanted: bool) -> Iterator[None]:
    """Print where the time of the block went, to standard error."""
    if not wanted:
        yield
        return
    with cProfile.Profile() as profile:
        yield
    pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(PROFILE_LINES)


@contextmanager
def far_process(udp: str, packet_bytes: int, *, profile: bool) -> Iterator[tuple[int, list[dict[str, float]]]]:
    """Run `serve` in a process of its own: its port, and a list that holds its figures after the block."""
    command = [sys.executable, __file__, "--serve", udp, str(packet_bytes)]
    with subprocess.Popen(command + ["--profile"] * profile, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        figures: list[dict[str, float]] = []
        yield int(server.stdout.readline()), figures
        figures.append(json.loads(server.stdout.readline()))


async def connect(transport: Transport, port: int) -> Connection:
    """Open a connection to whoever listens at `port` of this machine."""
    await transport.start()
    found = await transport.identify(Address("127.0.0.1", port), timeout=5)
    return await transport.connect(found.contact, timeout=5)


async def push(udp: str, packet_bytes: int, total: int, port: int) -> dict[str, Any]:
    """Send `total` bytes and return what this side saw."""
    transport = make_transport(udp, packet_bytes)
    connection = await connect(transport, port)
    data = os.urandom(MESSAGE_BYTES)
    lag = Lag()
    started_at, cpu_at = time.perf_counter(), time.process_time()
    sent = [await connection.send([data], priority=Priority.TRANSFER) for _ in range(total // MESSAGE_BYTES)]
    for message in sent:
        await message.acked
    elapsed, cpu = time.perf_counter() - started_at, time.process_time() - cpu_at
    p99, worst = lag.stop()
    figures = connection.statistics
    await transport.close()
    words = (
        f"{figures.sent_packets} packets out, {figures.received_packets} in, {figures.lost_packets} lost, "
        f"rtt {figures.rtt * 1000:.2f} ms (min {figures.rtt_min * 1000:.2f}), "
        f"window {figures.window_bytes // KIB} KiB, {figures.congestion_state}"
    )
    return {"elapsed": elapsed, "cpu": cpu, "lag_p99": p99, "lag_max": worst, "words": words}


def measure(udp: str, packet_bytes: int, total: int, *, profile: bool) -> Round:
    """Send `total` bytes to a fresh process."""
    with far_process(udp, packet_bytes, profile=profile) as (port, there), profiled(profile):
        here = asyncio.run(push(udp, packet_bytes, total, port))
    return Round(
        mb_per_s=total / here["elapsed"] / 1e6,
        cpu_here=here["cpu"] / total * 1e9,
        cpu_there=there[0]["cpu"] / total * 1e9,
        lag_p99=here["lag_p99"],
        lag_max=here["lag_max"],
        lag_there_p99=there[0]["lag_p99"],
        lag_there_max=there[0]["lag_max"],
        words=here["words"],
    )


def measure_raw(kind: str, packet_bytes: int, total: int) -> Round:
    """Move as many bytes over plain sockets."""
    elapsed, here, there = raw_sockets.measure(kind, packet_bytes, total)
    return Round(mb_per_s=total / elapsed / 1e6, cpu_here=here / total * 1e9, cpu_there=there / total * 1e9)


async def exchange(udp: str, packet_bytes: int, port: int) -> dict[str, float]:
    """Ask for 4 KiB on a warm connection, one at a time, then many at once."""
    transport = make_transport(udp, packet_bytes)
    waiting: dict[bytes, asyncio.Future[None]] = {}
    transport.on_message = lambda _, data: waiting.pop(bytes(data[:8])).set_result(None)
    connection = await connect(transport, port)
    loop = asyncio.get_running_loop()

    async def ask(number: int) -> None:
        token = number.to_bytes(8, "big")
        answered = waiting[token] = loop.create_future()
        await connection.send([token], priority=Priority.INTERACTIVE)
        await answered

    latencies = []
    for number in range(EXCHANGES):
        before = time.perf_counter()
        await ask(number)
        latencies.append(time.perf_counter() - before)
    before = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(IN_FLIGHT):
            group.create_task(ask(number))
    rate = IN_FLIGHT / (time.perf_counter() - before)
    await transport.close()
    ordered = sorted(latencies)
    return {
        "median_ms": 1000 * statistics.median(ordered),
        "p99_ms": 1000 * ordered[int(0.99 * len(ordered))],
        "per_second": rate,
    }


def measure_small(udp: str, packet_bytes: int) -> dict[str, float]:
    """Exchange small messages with a fresh process."""
    with far_process(udp, packet_bytes, profile=False) as (port, _):
        return asyncio.run(exchange(udp, packet_bytes, port))


def median_round(rounds: Sequence[Round]) -> Round:
    """Return the medians of all figures, and the words of the last round."""
    rows = [asdict(one) for one in rounds]
    medians = {key: statistics.median(row[key] for row in rows) for key in rows[0] if key != "words"}
    medians["lag_max"] = max(row["lag_max"] for row in rows)
    medians["lag_there_max"] = max(row["lag_there_max"] for row in rows)
    return Round(**medians, words=rounds[-1].words)


def print_table(medians: dict[str, Round]) -> None:
    """Print a line a case."""
    for name, figures in medians.items():
        beside = {"raw socket": medians.get(f"raw {name.split()[-1]}"), "TLS": medians.get("tls 0")}
        shares = [f"{figures.mb_per_s / other.mb_per_s:.2f} of {what}" for what, other in beside.items() if other]
        print(
            f"{name:15} {figures.mb_per_s:7.1f} MB/s, cpu {figures.cpu_here:.2f} + {figures.cpu_there:.2f} s/GB, "
            f"lag p99 {figures.lag_p99:.1f} / {figures.lag_there_p99:.1f} ms, "
            f"max {figures.lag_max:.1f} / {figures.lag_there_max:.1f} ms; {', '.join(shares)}; {figures.words}"
        )


def main() -> None:
    """Measure what was asked for and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--udp", choices=["auto", "portable"], action="append")
    parser.add_argument("--mib", type=int, default=256, help="how much each round moves")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--packet", type=int, action="append")
    parser.add_argument("--no-raw", action="store_true", help="leave the plain sockets out")
    parser.add_argument("--small", action="store_true", help="exchange 4 KiB instead")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    if arguments.serve:
        with profiled(arguments.profile):
            asyncio.run(serve(arguments.serve[0], int(arguments.serve[1])))
        return
    backends = arguments.udp or ["auto", "portable"]
    sizes = arguments.packet or list(PACKET_SIZES)
    if arguments.small:
        small = {f"{udp} {size}": measure_small(udp, size) for udp in backends for size in sizes}
        print(json.dumps(small, indent=1))
        return
    total = arguments.mib * MIB
    rounds: dict[str, list[Round]] = {}
    for _ in range(arguments.rounds):
        for udp in backends:
            for size in sizes:
                one = measure(udp, size, total, profile=arguments.profile)
                rounds.setdefault(f"{udp} {size}", []).append(one)
        if not arguments.no_raw:
            for kind, size in [*(("udp", size) for size in sizes), ("tcp", 0), ("tls", 0)]:
                name = f"raw {size}" if kind == "udp" else f"{kind} 0"
                rounds.setdefault(name, []).append(measure_raw(kind, size, total))
    medians = {name: median_round(ones) for name, ones in rounds.items()}
    if arguments.json:
        print(json.dumps({name: asdict(figures) for name, figures in medians.items()}, indent=1))
    else:
        print_table(medians)


if __name__ == "__main__":
    main()
