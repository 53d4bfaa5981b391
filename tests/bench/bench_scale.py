"""Many peers at once: `python tests/bench/bench_scale.py [idle|active|holders] --peers N`.

`idle` holds sessions with N peers of another process and says what they take of this one: resident memory, and
processor time while nothing is said but pings. `active` lets N peers exchange 64 KiB with this one, all at once.
`holders` fetches 1 MiB messages from N peers into this one reader, as a download does.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from dfs_sdk.crypto.identity import Identity
from dfs_sdk.ids import Address, NetworkId
from dfs_sdk.runtime.system import system_runtime
from dfs_sdk.transport.config import KIB, MIB, TransportConfig
from dfs_sdk.transport.connection import Connection
from dfs_sdk.transport.driver import Transport
from dfs_sdk.transport.handshake import Network
from dfs_sdk.transport.priority import Priority

NETWORK = Network(network_id=NetworkId(b"s" * 32))
LOOPBACK = Address("127.0.0.1", 0)
# As many first allowances as there are peers must fit the part of the budget that is kept for them.
CONFIG = TransportConfig(connections_max=1100, window_bytes_total=288 * MIB)
REPLY_BYTES = 64 * KIB


def make(config: TransportConfig = CONFIG) -> Transport:
    """Build a transport on loopback."""
    runtime = system_runtime()
    identity = Identity.generate(runtime.entropy)
    return Transport(runtime=runtime, identity=identity, network=NETWORK, config=config, bind=LOOPBACK)


async def far(peers: int, port: int) -> None:
    """Connect `peers` transports to the one at `port`; they answer each message: its first 4 bytes say how long."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, peers + 200), hard), hard))
    transports, contact, answers = [], None, set[asyncio.Task[object]]()

    def on_message(connection: Connection, data: memoryview) -> None:
        size = int.from_bytes(data[:4], "big")
        if size:
            task = asyncio.create_task(connection.send([bytes(data[:8]), bytes(size)], priority=Priority.TRANSFER))
            answers.add(task)
            task.add_done_callback(answers.discard)

    for _ in range(peers):
        transport = make(TransportConfig())
        transport.on_message = on_message
        await transport.start()
        contact = contact or (await transport.identify(Address("127.0.0.1", port), timeout=10)).contact
        await transport.connect(contact, timeout=20)
        transports.append(transport)
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    for transport in transports:
        transport.abort()


def resident_mib() -> float:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / MIB


class Hub:
    """This process's transport and its peers in another one."""

    def __init__(self, peers: int) -> None:
        self.peers = peers
        self.transport = make()
        self._waiting: dict[bytes, asyncio.Future[None]] = {}
        self.transport.on_message = lambda _, data: self._waiting.pop(bytes(data[:8])).set_result(None)
        self._number = 0

    async def __aenter__(self) -> Hub:
        await self.transport.start()
        command = [
            sys.executable,
            __file__,
            "--far",
            str(self.transport.local_address.port),
            "--peers",
            str(self.peers),
        ]
        gc.collect()
        self.before_mib = resident_mib()
        self._far = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._far.stdout is not None
        assert await self._far.stdout.readline() == b"ready\n"
        await asyncio.sleep(1)
        assert len(self.transport.connections) == self.peers
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._far.communicate(b"\n")
        await self.transport.close()

    async def ask(self, connection: Connection, size: int) -> None:
        """Ask a peer for a message of `size` bytes."""
        self._number += 1
        token = size.to_bytes(4, "big") + self._number.to_bytes(4, "big")
        answered = self._waiting[token] = asyncio.get_running_loop().create_future()
        await connection.send([token], priority=Priority.INTERACTIVE)
        await answered


async def idle(peers: int, seconds: float) -> dict[str, float]:
    """Hold sessions on which nothing is said."""
    async with Hub(peers) as hub:
        gc.collect()
        grown = resident_mib() - hub.before_mib
        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.sleep(seconds)
        busy = (time.process_time() - cpu) / (time.perf_counter() - began)
        return {"peers": peers, "mib": grown, "percent_of_a_core": 100 * busy, "still": len(hub.transport.connections)}


async def active(peers: int, seconds: float) -> dict[str, float]:
    """Exchange with all peers at once, each again and again."""
    done: dict[Connection, int] = {}
    async with Hub(peers) as hub:
        end = time.perf_counter() + seconds

        async def talk(connection: Connection) -> None:
            done[connection] = 0
            while time.perf_counter() < end:
                await hub.ask(connection, REPLY_BYTES)
                done[connection] += 1

        async with asyncio.TaskGroup() as group:
            for connection in hub.transport.connections:
                group.create_task(talk(connection))
    counts = sorted(done.values())
    total = sum(counts)
    jain = total**2 / (len(counts) * sum(count**2 for count in counts))
    rate = total * REPLY_BYTES / seconds / 1e6
    return {"peers": peers, "mb_per_s": rate, "least": counts[0], "most": counts[-1], "jain": jain}


async def holders(peers: int, seconds: float) -> dict[str, float]:
    """Fetch 1 MiB messages from all peers into one reader, two at a time from each."""
    received = 0
    async with Hub(peers) as hub:
        peak, end = resident_mib(), time.perf_counter() + seconds

        async def fetch(connection: Connection) -> None:
            nonlocal received, peak
            while time.perf_counter() < end:
                await hub.ask(connection, MIB)
                received += 1
                peak = max(peak, resident_mib())

        cpu = time.process_time()
        async with asyncio.TaskGroup() as group:
            for connection in hub.transport.connections * 2:
                group.create_task(fetch(connection))
        cpu = time.process_time() - cpu
    rate = received * MIB / seconds / 1e6
    return {"peers": peers, "mb_per_s": rate, "cpu_s_per_gb": cpu / received / MIB * 1e9, "mib": peak - hub.before_mib}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="?", choices=["idle", "active", "holders"], default="idle")
    parser.add_argument("--peers", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--far", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.far:
        asyncio.run(far(options.peers, options.far))
        os._exit(0)
    cases = {"idle": (idle, 1000, 30.0), "active": (active, 200, 5.0), "holders": (holders, 20, 5.0)}
    case, peers, seconds = cases[options.case]
    figures = asyncio.run(case(options.peers or peers, options.seconds or seconds))
    print({name: round(value, 2) for name, value in figures.items()})


if __name__ == "__main__":
    main()
