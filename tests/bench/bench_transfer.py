"""Goodput of the transport between two processes on loopback: `python tests/bench/bench_transfer.py`.

One process sends 64 MiB as messages of 1 MiB, the other receives; every packet is sealed, acknowledged and paced.
A line for each combination of UDP backend and packet size says how many megabytes a second the sender saw
acknowledged, how late a timer of each loop was at worst, and the processor time of both. Figures compare within one
run on one machine.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from dfs_sdk.crypto.identity import Identity
from dfs_sdk.ids import Address, NetworkId
from dfs_sdk.runtime.system import system_runtime
from dfs_sdk.transport.config import MIB, TransportConfig
from dfs_sdk.transport.driver import Transport
from dfs_sdk.transport.handshake import Network
from dfs_sdk.transport.priority import Priority

NETWORK = Network(network_id=NetworkId(b"b" * 32))
LOOPBACK = Address("127.0.0.1", 0)
MESSAGE_BYTES = MIB
PACKET_SIZES = (1400, 8952, 32_768, 65_000)
LAG_STEP = 0.01
PROFILE_LINES = 25


def make_transport(udp: str, packet_bytes: int) -> Transport:
    """Build a transport whose path MTU discovery stops at `packet_bytes`."""
    runtime = system_runtime(udp=udp)
    config = TransportConfig(datagram_bytes_max=packet_bytes)
    identity = Identity.generate(runtime.entropy)
    return Transport(runtime=runtime, identity=identity, network=NETWORK, config=config, bind=LOOPBACK)


async def measure_lag(worst: list[float]) -> None:
    """Note how much later than asked the loop wakes us."""
    while True:
        before = time.perf_counter()
        await asyncio.sleep(LAG_STEP)
        worst[0] = max(worst[0], time.perf_counter() - before - LAG_STEP)


async def serve(udp: str, packet_bytes: int, total: int) -> None:
    """Receive `total` bytes, say so, and leave."""
    transport = make_transport(udp, packet_bytes)
    done = asyncio.Event()
    left = [total]

    def on_message(_connection: object, data: memoryview) -> None:
        left[0] -= len(data)
        if left[0] <= 0:
            done.set()

    transport.on_message = on_message
    await transport.start()
    print(transport.local_address.port, flush=True)
    worst = [0.0]
    lag = asyncio.create_task(measure_lag(worst))
    while left[0] == total:
        await asyncio.sleep(LAG_STEP)
    started = time.process_time()
    await done.wait()
    print(f"{worst[0] * 1000:.1f} ms, cpu {time.process_time() - started:.2f} s", flush=True)
    await asyncio.sleep(0.5)
    lag.cancel()
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


def measure(udp: str, packet_bytes: int, total: int, *, profile: bool) -> tuple[float, float, str]:
    """Send `total` bytes to a fresh process.

    Returns:
        Seconds until everything was acknowledged, the worst lag of this loop in seconds, and figures in words.
    """
    command = [sys.executable, __file__, "--serve", udp, str(packet_bytes), str(total)]
    server = subprocess.Popen(command + ["--profile"] * profile, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    port = int(server.stdout.readline())
    elapsed, lag, words = asyncio.run(run(udp, packet_bytes, total, port))
    words += f"; lag there {server.stdout.readline().strip()}"
    server.wait()
    return elapsed, lag, words


async def run(udp: str, packet_bytes: int, total: int, port: int) -> tuple[float, float, str]:
    """Send `total` bytes to whoever listens at `port` of this machine."""
    transport = make_transport(udp, packet_bytes)
    await transport.start()
    found = await transport.identify(Address("127.0.0.1", port), timeout=5)
    connection = await transport.connect(found.contact, timeout=5)
    data = bytes(MESSAGE_BYTES)
    worst = [0.0]
    lag = asyncio.create_task(measure_lag(worst))
    started_at, cpu_at = time.perf_counter(), time.process_time()
    sent = [await connection.send([data], priority=Priority.TRANSFER) for _ in range(total // MESSAGE_BYTES)]
    for message in sent:
        await message.acked
    elapsed, cpu = time.perf_counter() - started_at, time.process_time() - cpu_at
    lag.cancel()
    figures = connection.statistics
    await transport.close()
    words = (
        f"cpu {cpu:.2f} s, {figures.sent_packets} packets, {figures.lost_packets} lost, "
        f"rtt {figures.rtt * 1000:.2f} ms "
        f"(min {figures.rtt_min * 1000:.2f}), window {figures.window_bytes // 1024} KiB, mtu {figures.mtu_bytes}, "
        f"{figures.congestion_state}"
    )
    return elapsed, worst[0], words


def main() -> None:
    """Print one line a combination."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", nargs=3)
    parser.add_argument("--udp", choices=["auto", "portable"], action="append")
    parser.add_argument("--mib", type=int, default=64)
    parser.add_argument("--packet", type=int, action="append")
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    if arguments.serve:
        udp, packet_bytes, total = arguments.serve
        with profiled(arguments.profile):
            asyncio.run(serve(udp, int(packet_bytes), int(total)))
        return
    for udp in arguments.udp or ["auto", "portable"]:
        for packet_bytes in arguments.packet or PACKET_SIZES:
            total = arguments.mib * MIB
            with profiled(arguments.profile):
                elapsed, lag, words = measure(udp, packet_bytes, total, profile=arguments.profile)
            print(f"{udp:8} {packet_bytes:6} B: {total / elapsed / 1e6:7.1f} MB/s, lag {lag * 1000:.1f} ms; {words}")


if __name__ == "__main__":
    main()
