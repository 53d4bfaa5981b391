"""Bits rot under a small network: each flip is found by a read or by a scrub, and the chunk is whole again."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from pathlib import Path

from dfs_sdk.errors import CorruptContentError
from dfs_sdk.replication.policy import Policy
from dfs_sdk.store import DiskStore, NewChunk, StoreConfig
from tests.fakes.disk import FakeDisk
from tests.fakes.network import FakeNetwork
from tests.fakes.runtime import LoopClock, run_virtual
from tests.fakes.stores import FOLDER, disk_runtime
from tests.fakes.swarm import FakeSwarm, SwarmNode, new_chunk

NODES = 4
CHUNKS = 6
FLIPS = 12
SIZE_MAX = 20_000
ROOMY = StoreConfig(free_bytes_min=0, reserve_bytes=0)


@dataclass(slots=True)
class FlipTally:
    """Bits flipped, how they were found, and copies that were whole again afterwards."""

    flips: int = 0
    found_by_read: int = 0
    found_by_scrub: int = 0
    refetched: int = 0


def flip_and_find(seed: int, tally: FlipTally) -> None:
    """Flip bits of one network, one after the other.

    Raises:
        AssertionError: A flip was not found, or the copy did not come back.
    """

    async def main(clock: LoopClock) -> None:
        async with FakeNetwork(seed, clock=clock, latency=0.001) as network:
            await _flip(network, random.Random(f"flips {seed}"), tally)

    run_virtual(main)


async def _flip(network: FakeNetwork, rng: random.Random, tally: FlipTally) -> None:
    swarm, disks = FakeSwarm(network=network), []
    for _ in range(NODES):
        disks.append(FakeDisk())
        runtime = disk_runtime(disks[-1], clock=network.clock, yielding=True)
        await swarm.add(store=DiskStore(FOLDER, runtime, ROOMY))  # type: ignore[arg-type]
    await swarm.settle()
    chunks = [new_chunk(rng.getrandbits(40), size=rng.randrange(1, SIZE_MAX)) for _ in range(CHUNKS)]
    for chunk in chunks:
        await (await swarm.nodes[0].replication.spread(chunk, policy=Policy())).complete
    for _ in range(FLIPS):
        chunk = rng.choice(chunks)
        await swarm.until(lambda chunk=chunk: swarm.copies(chunk.chunk_id) >= 3)  # type: ignore[misc]
        node = rng.choice(swarm.holders(chunk.chunk_id))
        disks[swarm.nodes.index(node)].rot(_path(node, chunk), rng)
        tally.flips += 1
        if rng.random() < 0.5:
            await _read(node, chunk, tally)
        else:
            report = await node.replication.check(read_data=True)
            assert report.corrupt == (chunk.chunk_id,), report
            tally.found_by_scrub += 1
        await swarm.until(lambda chunk=chunk: swarm.copies(chunk.chunk_id) >= 3)  # type: ignore[misc]
        for holder in swarm.holders(chunk.chunk_id):
            assert await holder.store.get(chunk.chunk_id) == chunk.data
        tally.refetched += 1
        await asyncio.sleep(rng.uniform(0, 3))


async def _read(node: SwarmNode, chunk: NewChunk, tally: FlipTally) -> None:
    """Read the copy on the disk, then ask for the chunk as a download does."""
    try:
        await node.store.get(chunk.chunk_id)
    except CorruptContentError:
        tally.found_by_read += 1
    else:
        raise AssertionError("a flipped bit was read")
    assert chunk.chunk_id not in node.store
    sources = node.replication.candidates(chunk.chunk_id, None)
    assert await node.exchange.fetch(chunk.chunk_id, sources) == chunk.data


def _path(node: SwarmNode, chunk: NewChunk) -> Path:
    store: object = node.store
    assert isinstance(store, DiskStore)
    return store._files.path(chunk.chunk_id)
