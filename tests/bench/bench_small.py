"""How quick small things are between two processes over loopback UDP, alone and beside a file.

    python -m tests.bench.bench_small [--bulk-mib 1024] [--gets 3] [--rounds 5] [--udp auto|portable] [--packets 1400]

A node in another process holds a file and chunks of 4 KiB in a store on disk. A node here, with a store on disk as
well, measures:

* `fetch`: `Exchange.fetch` of one chunk after the other on a warm session, and `IN_FLIGHT` of them at one time;
* `idle` and `beside_bulk`: a direct message until this node has stored it (`said`) and until the other one has
  confirmed that it is stored there (`delivered`), and a lookup of the DHT, which in a network of two is one question;
  first with nothing else to do, then while this node gets the file from that other one, again and again.

Printed as JSON: medians and 99th percentiles in milliseconds, objects a second and what one of many costs each
process, the ratio of the medians beside the file to those without, and how fast the file came meanwhile. Nothing is
repaired while this runs.
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
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import psutil

from dfs_sdk import Node, NodeConfig
from dfs_sdk.chat.news import ChatDelivered
from dfs_sdk.crypto.hashing import blake3_256
from dfs_sdk.ids import ChunkId, NodeId
from dfs_sdk.runtime.system import system_runtime
from dfs_sdk.store.base import NewChunk, Role
from tests.bench.ballast import Ballast
from tests.bench.bench_get import worked

MIB = 1024 * 1024
OBJECT_BYTES = 4096
IN_FLIGHT = 1000
PUT_BATCH = 100
SAMPLES_IDLE = 100
SAMPLE_INTERVAL = 0.05  # 20 messages a second: a peer takes 50
UNREPAIRED_SECONDS = 3600.0


@dataclass(slots=True)
class Samples:
    """Seconds that each kind of small thing took."""

    said: list[float] = field(default_factory=list)
    delivered: list[float] = field(default_factory=list)
    lookup: list[float] = field(default_factory=list)

    def told(self) -> dict[str, dict[str, float]]:
        """The figures to print."""
        return {"said": spread(self.said), "delivered": spread(self.delivered), "lookup": spread(self.lookup)}


def spread(seconds: list[float]) -> dict[str, float]:
    """Median and 99th percentile in milliseconds."""
    ordered = sorted(seconds)
    return {
        "median_ms": round(1000 * statistics.median(ordered), 2),
        "p99_ms": round(1000 * ordered[len(ordered) * 99 // 100], 2),
        "count": len(ordered),
    }


def node(name: str, store: Path, arguments: argparse.Namespace) -> Node:
    """A node as the command line wants it, that repairs nothing while this runs."""
    config = NodeConfig()
    unrepaired = replace(config.replication, settle_time=UNREPAIRED_SECONDS, repair_interval=UNREPAIRED_SECONDS)
    config = replace(config, replication=unrepaired)
    if arguments.packets is not None:
        config = replace(config, transport=replace(config.transport, datagram_bytes_max=arguments.packets))
    runtime = system_runtime(udp=arguments.udp)
    return Node(name, store=store, listen="127.0.0.1:0", home="loop", config=config, runtime=runtime)


async def serve(arguments: argparse.Namespace) -> None:
    """The far process: a node that holds everything."""
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        async with node("far", Path(folder) / "store", arguments) as far:
            source = Path(arguments.serve)
            file = await far.put(source, name="bench.bin", quorum=0)
            await asyncio.to_thread(source.unlink)
            contents = [os.urandom(OBJECT_BYTES) for _ in range(IN_FLIGHT)]
            chunks = [NewChunk(chunk_id=ChunkId(blake3_256(data)), data=data, cell=0, role=Role.PRIMARY)
                      for data in contents]  # fmt: skip
            for at in range(0, len(chunks), PUT_BATCH):
                await far._running_engine.foundation.store.put(chunks[at : at + PUT_BATCH])
            told = {
                "invite": far.invite(),
                "link": str(file.link),
                "node_id": far.node_id.hex(),
                "chunk_ids": [chunk.chunk_id.hex() for chunk in chunks],
            }
            print(json.dumps(told), flush=True)
            await asyncio.to_thread(sys.stdin.read)


class Reader:
    """This process's node and what it knows of the other one.

    Args:
        near: The node, joined.
        told: What the other process said about itself.
    """

    def __init__(self, near: Node, told: dict[str, str]) -> None:
        self._near = near
        self._far = NodeId.from_hex(told["node_id"])
        self._chunk_ids = [ChunkId.from_hex(text) for text in told["chunk_ids"]]
        self._delivered: asyncio.Queue[str] = asyncio.Queue()
        near.subscribe(ChatDelivered, lambda event: self._delivered.put_nowait(event.message.message_id))

    async def fetch(self, chunk_id: ChunkId) -> None:
        """Fetch one chunk over the network."""
        data = await self._near._running.exchange.fetch(chunk_id, [self._far], size_max=OBJECT_BYTES)
        assert len(data) == OBJECT_BYTES

    async def fetch_in_turn(self) -> list[float]:
        """Fetch one after the other, and say how many seconds each took."""
        return [await timed(partial(self.fetch, chunk_id)) for chunk_id in self._chunk_ids]

    async def fetch_at_once(self) -> float:
        """Fetch all at one time, and say how many a second that were."""

        async def fetch_all() -> None:
            async with asyncio.TaskGroup() as group:
                for chunk_id in self._chunk_ids:
                    group.create_task(self.fetch(chunk_id))

        return len(self._chunk_ids) / await timed(fetch_all)

    async def sample(self, samples: Samples) -> None:
        """Say something and look something up, once each."""
        began = time.perf_counter()
        message = await self._near.chat.send("x" * 100, to=self._far)
        samples.said.append(time.perf_counter() - began)
        while await self._delivered.get() != message.message_id:
            pass
        samples.delivered.append(time.perf_counter() - began)
        target = os.urandom(32)
        samples.lookup.append(await timed(partial(self._near._running.dht.find_node, target)))
        await asyncio.sleep(SAMPLE_INTERVAL)

    async def sample_beside(self, link: str, target: Path, samples: Samples) -> float:
        """Sample while the file comes, and say how many seconds it took."""

        async def get() -> None:
            await self._near.get(link, target)

        getting = asyncio.create_task(timed(get))
        await asyncio.sleep(SAMPLE_INTERVAL)
        while not getting.done():
            await self.sample(samples)
        return await getting


async def timed(action: Callable[[], Awaitable[object]]) -> float:
    """Seconds that an action took."""
    began = time.perf_counter()
    await action()
    return time.perf_counter() - began


async def measure(
    told: dict[str, str], far: psutil.Process, folder: Path, arguments: argparse.Namespace
) -> dict[str, object]:
    """Everything, with one node that stays."""
    idle, beside, target = Samples(), Samples(), folder / "out.bin"
    ballast, rates = Ballast(folder, arguments.bulk_mib * MIB), []
    async with node("near", folder / "near", arguments) as near:
        await near.join(told["invite"])
        reader = Reader(near, told)
        await reader.fetch_in_turn()
        in_turn = await reader.fetch_in_turn()
        own, others = time.process_time(), worked(far)
        at_once = [await reader.fetch_at_once() for _ in range(arguments.rounds)]
        own, others = time.process_time() - own, worked(far) - others
        while len(idle.said) < SAMPLES_IDLE:
            await reader.sample(idle)
        for _ in range(arguments.gets):
            target.unlink(missing_ok=True)
            await asyncio.to_thread(ballast.write)
            with ballast.released_beside(f"{target.stem}*"):
                seconds = await reader.sample_beside(told["link"], target, beside)
            rates.append(arguments.bulk_mib * MIB / seconds / 1e6)
    return {
        "what": f"udp {arguments.udp}, packets {arguments.packets or 'path MTU'}",
        "fetch": spread(in_turn) | {
            "in_flight": IN_FLIGHT,
            "objects_per_second": [round(rate) for rate in at_once],
            "median_objects_per_second": round(statistics.median(at_once)),
            "reader_cpu_us_per_object": round(1e6 * own / arguments.rounds / IN_FLIGHT),
            "holder_cpu_us_per_object": round(1e6 * others / arguments.rounds / IN_FLIGHT),
        },
        "idle": idle.told(),
        "beside_bulk": beside.told() | {"bulk_mb_per_second": [round(rate) for rate in rates]},
        "ratio": {
            name: round(statistics.median(getattr(beside, name)) / statistics.median(getattr(idle, name)), 2)
            for name in ("said", "delivered", "lookup")
        },
    }  # fmt: skip


def main() -> None:
    """Parse the command line and run one side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bulk-mib", type=int, default=1024)
    parser.add_argument("--gets", type=int, default=3, help="how often the file is fetched")
    parser.add_argument("--rounds", type=int, default=5, help="how often all chunks are fetched at one time")
    parser.add_argument("--udp", choices=("auto", "portable"), default="auto")
    parser.add_argument("--packets", type=int, default=None, help="the largest datagram; the path MTU if not given")
    parser.add_argument("--folder", type=Path, help="where there is room for three times the size; not a RAM disk")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve(arguments))
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        source = folder / "source.bin"
        with source.open("wb") as file:
            for _ in range(arguments.bulk_mib):
                file.write(os.urandom(MIB))
        command = [sys.executable, "-m", "tests.bench.bench_small", "--serve", str(source), *sys.argv[1:]]
        far = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            assert far.stdout is not None
            told = json.loads(far.stdout.readline())
            figures = asyncio.run(measure(told, psutil.Process(far.pid), folder, arguments))
            print(json.dumps(figures, indent=2))
        finally:
            far.communicate()


if __name__ == "__main__":
    main()
