"""Attacks at their full size: `python -m tests.campaigns.attacks replay|half-open|garbage`. The gate runs slices.

`replay` gives random sequences of packet numbers to the window and to a model that remembers all of them. `half-open`
answers valid HELLOs of ever new sources while a session moves data. `garbage` floods a real socket while a session of
two transports moves data through it, and a newcomer arrives; it says what is left of the goodput.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from dfs_sdk.crypto.identity import Identity
from dfs_sdk.ids import Address
from dfs_sdk.runtime.system import system_runtime
from dfs_sdk.transport.arrivals import REPLAY_WINDOW, Arrivals
from dfs_sdk.transport.config import KIB, TransportConfig
from dfs_sdk.transport.connection import Connection
from dfs_sdk.transport.driver import Transport
from dfs_sdk.transport.handshake import Initiation
from dfs_sdk.transport.outbox import SendState
from dfs_sdk.transport.packet import HELLO_BYTES
from dfs_sdk.transport.priority import Priority
from tests.fakes.pair import NETWORK, Pair, SeededEntropy

LOOPBACK = Address("127.0.0.1", 0)
FLOODER = """
import socket, sys, time
port, rate, seconds = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
junk = [bytes((kind,)) * size for kind in (1, 2, 3, 5, 16, 17, 99) for size in (60, 1200)]
began, sent = time.monotonic(), 0
while (elapsed := time.monotonic() - began) < seconds:
    while sent < rate * elapsed:
        try:
            sock.sendto(junk[sent % len(junk)], ("127.0.0.1", port))
        except OSError:
            pass
        sent += 1
    time.sleep(0.0005)
print(sent)
"""


def replay(sequences: int, seed: int) -> int:
    """Hold the replay window against a model that remembers everything.

    A sequence goes on, jumps, comes back and repeats; each number is asked about and, if new, taken.

    Returns:
        How many numbers were tried.

    Raises:
        AssertionError: One was taken twice, or a new one within the window was refused.
    """
    rng, tried = random.Random(f"replay {seed}"), 0
    for _ in range(sequences):
        arrivals, model, highest = Arrivals(), set[int](), -1
        spread = rng.choice((4, 64, REPLAY_WINDOW, 4 * REPLAY_WINDOW))
        for _ in range(rng.randrange(4, 24)):
            number = max(highest + rng.randrange(-spread, spread // 2 + 1), 0)
            tried += 1
            seen = arrivals.is_seen(number)
            assert arrivals.are_new(number, number + 1) is not seen
            assert seen or number not in model, f"{number} was taken twice"
            if seen:
                assert number in model or number < highest - REPLAY_WINDOW + 1, f"{number} was refused and is new"
                continue
            arrivals.add(number, number + 1, eliciting=True, now=0.0, ack_delay_max=0.025)
            model.add(number)
            highest = max(highest, number)
    return tried


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfOpenFigures:
    """What a flood of valid HELLOs did.

    Attributes:
        hellos: How many came.
        half_open_max: Handshakes that were half open at once.
        grown_bytes: Growth of the process.
        answered_bytes: What left to their sources.
        bytes_in: What came from them.
        newcomer_seconds: How long a stranger took to connect afterwards, of virtual time.
    """

    hellos: int
    half_open_max: int
    grown_bytes: int
    answered_bytes: int
    bytes_in: int
    newcomer_seconds: float


def half_open(hellos: int) -> HalfOpenFigures:
    """Send valid HELLOs from ever new sources to an endpoint with a session, in virtual time, 10,000 a second."""
    pair = Pair()
    pair.connect()
    victim = pair.right.endpoint
    identity = Identity.generate(SeededEntropy("flood"))
    entropy = SeededEntropy("ephemeral")
    most = answered = 0
    message = pair.left.send(bytes(64 * KIB))
    before = 0
    for number in range(hellos):
        if number == hellos // 10:
            # Tables are filled by now: what still grows would grow for ever.
            before = _resident_bytes()
        initiation = Initiation(
            identity=identity,
            network=NETWORK,
            peer=pair.right.identity.public,
            local_index=number,
            instance=bytes(8),
            entropy=entropy,
        )
        source = Address(f"{11 + number % 80}.{number // 80 % 250}.{number // 20_000}.9", 1000 + number % 60_000)
        hello = initiation.hello()
        victim.receive_datagrams(memoryview(hello), len(hello), source, pair.now)
        for burst in victim.datagrams_to_send(pair.now):
            if burst.destination == source:
                answered += len(burst.buffer)
                assert len(burst.buffer) <= 3 * HELLO_BYTES
        most = max(most, victim._handshakes.half_open)
        if number % 100 == 99:
            pair.run_for(0.01)
            if message.state is SendState.ACKED:
                message = pair.left.send(bytes(64 * KIB))
            # What the fakes remember is no growth of the endpoint.
            pair.left.notices.clear()
            pair.right.notices.clear()
    grown = _resident_bytes() - before
    pair.run_until(lambda: message.state is SendState.ACKED, limit=3)
    newcomer = pair.add("newcomer", Address("192.0.2.50", 4001))
    newcomer.endpoint.connect(pair.right.contact, pair.right.address, pair.now)
    took = pair.run_until(lambda: bool(newcomer.opened))
    return HalfOpenFigures(
        hellos=hellos,
        half_open_max=most,
        grown_bytes=grown,
        answered_bytes=answered,
        bytes_in=hellos * HELLO_BYTES,
        newcomer_seconds=took,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class GarbageFigures:
    """What a flood of garbage did.

    Attributes:
        packets_per_second: How many were sent.
        quiet_mb_per_s, flooded_mb_per_s: Goodput of a session without and beside it.
        lag_p99_ms: How late a timer of the flooded loop was, 99th percentile.
        newcomer_seconds: How long a stranger took to connect.
    """

    packets_per_second: float
    quiet_mb_per_s: float
    flooded_mb_per_s: float
    lag_p99_ms: float
    newcomer_seconds: float


async def garbage(rate: float, seconds: float) -> GarbageFigures:
    """Flood the socket of a transport that receives, from a process of its own."""
    sender, receiver, newcomer = _transport(), _transport(), _transport()
    for transport in (sender, receiver, newcomer):
        await transport.start()
    try:
        port = receiver.local_address.port
        there = (await sender.identify(Address("127.0.0.1", port), timeout=5)).contact
        connection = await sender.connect(there, timeout=5)
        await _goodput(connection, 0.3)
        quiet, _ = await _goodput(connection, seconds)
        flooder = await asyncio.create_subprocess_exec(
            sys.executable, "-c", FLOODER, str(port), str(rate), str(seconds + 1.5), stdout=subprocess.PIPE
        )
        await asyncio.sleep(0.5)
        began = time.perf_counter()
        await newcomer.connect(there, timeout=5)
        took = time.perf_counter() - began
        flooded, lag = await _goodput(connection, seconds)
        sent = int((await flooder.communicate())[0])
    finally:
        for transport in (sender, receiver, newcomer):
            await transport.close()
    return GarbageFigures(
        packets_per_second=sent / (seconds + 1.5),
        quiet_mb_per_s=quiet,
        flooded_mb_per_s=flooded,
        lag_p99_ms=lag,
        newcomer_seconds=took,
    )


async def _goodput(connection: Connection, seconds: float) -> tuple[float, float]:
    """Move as much as goes: megabytes a second, and how late timers were."""
    data, arrived, lags = bytes(256 * KIB), 0, [0.0]
    began = time.perf_counter()

    async def watch() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.005)
            lags.append(time.perf_counter() - before - 0.005)

    task = asyncio.create_task(watch())
    under_way = []
    while time.perf_counter() - began < seconds:
        under_way.append(await connection.send([data], priority=Priority.TRANSFER))
        if len(under_way) >= 8:
            await under_way.pop(0).acked
            arrived += len(data)
    for message in under_way:
        await message.acked
        arrived += len(data)
    elapsed = time.perf_counter() - began
    task.cancel()
    lags.sort()
    return arrived / elapsed / 1e6, 1000 * lags[int(0.99 * (len(lags) - 1))]


def _transport() -> Transport:
    runtime = system_runtime()
    config = TransportConfig(datagram_bytes_max=1452)
    identity = Identity.generate(runtime.entropy)
    return Transport(runtime=runtime, identity=identity, network=NETWORK, config=config, bind=LOOPBACK)


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def main() -> None:
    """Run one attack and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.attacks", description=__doc__)
    parser.add_argument("attack", choices=["replay", "half-open", "garbage"])
    parser.add_argument("--count", type=int, help="sequences, or HELLOs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=20_000, help="garbage packets a second")
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    began = time.monotonic()
    match options.attack:
        case "replay":
            print(f"{replay(options.count or 1_000_000, options.seed):,} numbers, none taken twice or refused anew")
        case "half-open":
            print(half_open(options.count or 100_000))
        case _:
            print(asyncio.run(garbage(options.rate, options.seconds)))
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
