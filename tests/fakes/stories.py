"""Stories of members and of copies in a swarm on an in-memory network and virtual time."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from dfs_sdk.ids import ChunkId
from dfs_sdk.peers.config import PeersConfig
from dfs_sdk.peers.liveness import PeerState
from dfs_sdk.replication.config import ReplicationConfig
from dfs_sdk.replication.events import CopyFetched, RepairStarted
from dfs_sdk.replication.policy import Policy
from tests.fakes.network import FakeNetwork
from tests.fakes.runtime import LoopClock, run_virtual
from tests.fakes.swarm import FakeSwarm, SwarmNode, new_chunk

Story = Callable[[FakeSwarm], Coroutine[Any, Any, None]]


QUICK = ReplicationConfig.quick()


def tell(
    story: Story,
    *,
    count: int,
    config: ReplicationConfig = QUICK,
    peers: PeersConfig | None = None,
    seed: int = 1,
    hosts: Callable[[int], int] | None = None,
) -> None:
    """Run a story with a swarm that has settled; no task may have failed in the end."""

    async def settled(swarm: FakeSwarm) -> None:
        for number in range(count):
            await swarm.add(host=hosts(number) if hosts else None)
        await swarm.settle()
        await story(swarm)

    _run(settled, config=config, peers=peers, seed=seed)


def tell_of_members(story: Story, *, count: int, config: PeersConfig | None = None, seed: int = 1) -> None:
    """Run a story with a swarm whose members have met, and no more; no task may have failed in the end."""

    async def met(swarm: FakeSwarm) -> None:
        for _ in range(count):
            await swarm.add()
        await swarm.until(lambda: all(len(node.peers.view) == count for node in swarm.nodes))
        await story(swarm)

    _run(met, config=QUICK, peers=config, seed=seed)


def _run(story: Story, *, config: ReplicationConfig, peers: PeersConfig | None, seed: int) -> None:
    async def main(clock: LoopClock) -> None:
        async with FakeNetwork(seed, clock=clock, latency=0.001) as network:
            await story(FakeSwarm(network=network, config=config, peers_config=peers or PeersConfig.quick()))
            # A call given up tells the peer so; in a cut network that cannot arrive.
            assert [error for error in network.errors if not error[0].endswith("/cancel")] == []

    run_virtual(main)


def states(swarm: FakeSwarm, of: SwarmNode) -> set[PeerState]:
    """What the living others think of a node."""
    views = [node.peers.view for node in swarm.living() if node is not of]
    return {member.state if (member := view.get(of.node_id)) else PeerState.GONE for view in views}


async def put(swarm: FakeSwarm, count: int, *, writer: int = 0, policy: Policy | None = None) -> list[ChunkId]:
    """Spread chunks and let their last copies arrive and settle."""
    chunks = [new_chunk(number) for number in range(count)]
    for chunk in chunks:
        spread = await swarm.nodes[writer].replication.spread(chunk, policy=policy or Policy())
        await spread.complete
    await asyncio.sleep(swarm.config.settle_time + min(2 * swarm.config.repair_interval, 5.0))
    return [chunk.chunk_id for chunk in chunks]


def pushes(swarm: FakeSwarm) -> int:
    return sum(len(node.happened(RepairStarted)) + len(node.happened(CopyFetched)) for node in swarm.nodes)


def holder_of(swarm: FakeSwarm, chunk_id: ChunkId, *, not_first: bool = True) -> SwarmNode:
    return next(node for node in swarm.holders(chunk_id) if not (not_first and node is swarm.nodes[0]))
