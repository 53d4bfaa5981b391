"""A receipt means durable: the power of all other nodes goes at once, at any moment after a `put` has returned.

A small network of real exchange, replication and files puts some files at the same time, every node's store on a disk
that loses what is not safe. Before each step of any disk, and right after each acknowledgement, all disks are pictured
together; each of these moments is a cut of every node but the writer, whose own disk is never counted.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from dfs_sdk.files.service import Files
from dfs_sdk.ids import ChunkId, NodeId
from dfs_sdk.replication.policy import Policy
from dfs_sdk.runtime.tasks import run_all
from dfs_sdk.store import DiskStore, NewChunk, StoreConfig
from tests.fakes.crash_states import picture_of
from tests.fakes.disk import FakeDisk
from tests.fakes.network import FakeNetwork
from tests.fakes.runtime import LoopClock, run_virtual
from tests.fakes.stores import FOLDER, disk_runtime
from tests.fakes.swarm import FakeSwarm, SwarmNode

ROOMY = StoreConfig(free_bytes_min=0, reserve_bytes=0)
CHUNK_BYTES = 16 * 1024
FILE_BYTES_MAX = 3 * CHUNK_BYTES
FILES_MAX = 8
RANDOM_FATES = 2
BACKGROUND_SECONDS = 3.0
LATENCY_SECONDS = 0.001
# Longer than the way to the writer and back: a receipt that does not wait for the disk is there long before it.
DISK_SECONDS = 0.005

_spreading: ContextVar[list[ChunkId]] = ContextVar("spreading")


@dataclass(slots=True)
class QuorumTally:
    """What was seen: files acknowledged, cut points, and the different stores that were opened for them."""

    files: int = 0
    cut_points: int = 0
    stores: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What was acknowledged: a chunk, or all those of a file with its manifest, is at so many other nodes."""

    chunk_ids: frozenset[ChunkId]
    quorum: int


@dataclass(slots=True)
class Moment:
    """All other nodes' disks at one time, and what had been acknowledged by then."""

    disks: list[FakeDisk]
    promises: tuple[Promise, ...]


@dataclass(slots=True)
class Watch:
    """Pictures the disks of all nodes but the writer whenever one of them is about to take a step."""

    disks: dict[NodeId, FakeDisk] = field(default_factory=dict)
    promises: tuple[Promise, ...] = ()
    moments: list[Moment] = field(default_factory=list)

    def add(self, node_id: NodeId, disk: FakeDisk) -> None:
        self.disks[node_id] = disk
        disk.fail = self._note

    def acknowledge(self, promise: Promise) -> None:
        self.promises = (*self.promises, promise)
        self._picture()

    def _note(self, _step: int, _name: str) -> None:
        if self.promises:
            self._picture()

    def _picture(self) -> None:
        self.moments.append(Moment([picture_of(disk) for disk in self.disks.values()], self.promises))


class QuorumCuts:
    """Runs seeds and adds up.

    Args:
        random_fates: Survivals of unsafe work drawn for each moment, beside all lost and all kept.
    """

    def __init__(self, *, random_fates: int = RANDOM_FATES) -> None:
        self._random_fates = random_fates
        self.tally = QuorumTally()

    def run(self, seed: int) -> None:
        """Put some files and check every cut after the first acknowledgement.

        Raises:
            AssertionError: An acknowledged chunk is at fewer nodes than the quorum.
        """
        watch = Watch()

        async def main(clock: LoopClock) -> None:
            async with FakeNetwork(seed, clock=clock, latency=LATENCY_SECONDS) as network:
                await self._put_files(network, watch, random.Random(f"quorum {seed}"))

        run_virtual(main)
        asyncio.run(self._check(watch, random.Random(f"fates {seed}")))

    async def _put_files(self, network: FakeNetwork, watch: Watch, rng: random.Random) -> None:
        swarm = FakeSwarm(network=network)
        quorum = rng.choice([1, 2, 2, 3])
        for number in range(1 + rng.randrange(quorum, 5)):
            disk = FakeDisk()
            runtime = disk_runtime(disk, clock=network.clock, yielding=True, seconds=DISK_SECONDS)
            node = await swarm.add(store=DiskStore(FOLDER, runtime, ROOMY))  # type: ignore[arg-type]
            if number:
                watch.add(node.node_id, disk)
        await swarm.settle()
        policy = Policy(replicas=max(quorum, 3), quorum=quorum)
        files = await _files(network, swarm.nodes[0], watch)
        count = rng.randrange(1, FILES_MAX + 1)
        contents = [rng.randbytes(rng.randrange(1, FILE_BYTES_MAX)) for _ in range(count)]

        async def put(content: bytes) -> None:
            _spreading.set(spread := [])
            file = await files.put(content, name="some", policy=policy, chunk_bytes=CHUNK_BYTES)
            assert file.link.manifest_id in spread
            watch.acknowledge(Promise(chunk_ids=frozenset(spread), quorum=quorum))
            self.tally.files += 1

        await run_all(*(put(content) for content in contents))
        await asyncio.sleep(BACKGROUND_SECONDS)
        for disk in watch.disks.values():
            disk.fail = lambda _step, _name: None

    async def _check(self, watch: Watch, rng: random.Random) -> None:
        held: dict[int, frozenset[ChunkId]] = {}
        for number, moment in enumerate(watch.moments):
            for fate in self._fates(rng):
                self.tally.cut_points += 1
                found = [await self._found(picture, fate, held) for picture in moment.disks]
                for promise in moment.promises:
                    for chunk_id in promise.chunk_ids:
                        copies = sum(chunk_id in ids for ids in found)
                        assert copies >= promise.quorum, (number, chunk_id.short, copies, promise.quorum)

    def _fates(self, rng: random.Random) -> Iterator[random.Random | bool]:
        yield False
        yield True
        for _ in range(self._random_fates):
            yield random.Random(rng.getrandbits(64))

    async def _found(
        self, picture: FakeDisk, fate: random.Random | bool, held: dict[int, frozenset[ChunkId]]
    ) -> frozenset[ChunkId]:
        """Say what a store holds, intact, after its disk lost the power."""
        disk = picture_of(picture)
        if isinstance(fate, bool):
            disk.power_on(lambda: fate)
        else:
            disk.power_on(lambda: fate.random() < 0.5, torn=fate)
        key = hash(frozenset((path, file.content) for path, file in disk._now.files.items()))
        if key not in held:
            self.tally.stores += 1
            store = DiskStore(FOLDER, disk_runtime(disk), ROOMY)
            await store.open()
            assert not (report := await store.check(read_data=True)).corrupt, report
            held[key] = frozenset(info.chunk_id for info in store.chunks())
            await store.close()
        return held[key]


async def _files(network: FakeNetwork, node: SwarmNode, watch: Watch) -> Files:
    """Put files on top of a node, and note what each put spreads."""
    spread = node.replication.spread

    async def noted(chunk: NewChunk, *, policy: Policy) -> Any:
        done = await spread(chunk, policy=policy)
        _spreading.get().append(chunk.chunk_id)
        watch.acknowledge(Promise(chunk_ids=frozenset([chunk.chunk_id]), quorum=policy.write_quorum))
        return done

    node.replication.spread = noted  # type: ignore[method-assign]
    files = Files(
        rpc=node.rpc,
        store=node.store,
        exchange=node.exchange,
        replication=node.replication,
        dht=None,  # type: ignore[arg-type]
        peers=node.peers,
        events=node.events,
        scope=network.scopes[node.node_id],
        runtime=network.runtimes[node.node_id],
        identity=node.rpc.identity,
        network_id=network.network_id,
    )
    await files.start()
    return files
