"""Random faults from a seed, then healing: nothing acknowledged is lost, and all copies come back.

`DFS_CHAOS_SEEDS=200 pytest tests/unit/replication/test_chaos.py` runs more of them.
"""

import asyncio
import os
from dataclasses import replace

import pytest

from dfs_sdk.errors import DeadlineError, TooFewReplicasError
from dfs_sdk.ids import ChunkId
from dfs_sdk.peers.config import PeersConfig
from dfs_sdk.replication.config import ReplicationConfig
from dfs_sdk.replication.policy import Policy
from dfs_sdk.runtime.system import SeededRng
from tests.fakes.network import FakeNetwork
from tests.fakes.runtime import LoopClock, run_virtual
from tests.fakes.swarm import FakeSwarm, SwarmNode, new_chunk

SEEDS = int(os.environ.get("DFS_CHAOS_SEEDS", "2"))
STEPS = 14
LIVING_MIN = 4


class Chaos:
    """One run: a swarm, what was acknowledged, who is down."""

    def __init__(self, swarm: FakeSwarm, seed: int) -> None:
        self.swarm = swarm
        self.rng = SeededRng(seed)
        self.acknowledged: dict[ChunkId, bytes] = {}
        self.down: list[SwarmNode] = []
        self.blocked: list[SwarmNode] = []
        self.trace: list[str] = []
        self.puts = 0

    async def step(self) -> None:
        often = [self.put, self.put, self.put, self.kill, self.kill, self.restart, self.block, self.unblock]
        seldom = [self.partition, self.heal, self.join, self.leave, self.wipe, self.be_busy]
        action = self.rng.choice([*often, *seldom])
        self.trace.append(action.__name__)
        await action()
        await asyncio.sleep(self.rng.uniform(0, 6))

    def up(self) -> list[SwarmNode]:
        return [node for node in self.swarm.living() if node not in self.blocked]

    async def put(self) -> None:
        for _ in range(3):
            self.puts += 1
            chunk = new_chunk(self.puts)
            try:
                await self.rng.choice(self.up()).replication.spread(chunk, policy=Policy())
            except TooFewReplicasError:
                continue
            self.acknowledged[chunk.chunk_id] = bytes(chunk.data)

    async def kill(self) -> None:
        if len(self.up()) > LIVING_MIN:
            victim = self.rng.choice(self.up())
            await self.swarm.kill(victim)
            self.down.append(victim)

    async def restart(self) -> None:
        if self.down:
            node = self.down.pop(0)
            await node.peers.remember()
            again = await self.swarm.restart(node)
            await again.peers.rejoin()

    async def block(self) -> None:
        """A kernel in a long cell: it answers nobody and goes on later where it was."""
        if len(self.up()) > LIVING_MIN:
            victim = self.rng.choice(self.up())
            self.swarm.network.kill(victim.node_id, silent=True)
            self.blocked.append(victim)

    async def unblock(self) -> None:
        for node in self.blocked:
            self.swarm.network.revive(node.node_id)
        self.blocked.clear()

    async def partition(self) -> None:
        ids = [node.node_id for node in self.swarm.nodes]
        some = set(self.rng.sample(ids, self.rng.randrange(1, len(ids))))
        self.swarm.network.partition(some, set(ids) - some, silent=True)

    async def heal(self) -> None:
        self.swarm.network.heal()

    async def join(self) -> None:
        if len(self.swarm.nodes) < 10:
            await self.swarm.add()

    async def leave(self) -> None:
        """A farewell is allowed to finish: it hands over first, or the node stays."""
        if len(self.up()) > LIVING_MIN + 1:
            leaver = self.rng.choice(self.up())
            try:
                await leaver.replication.hand_over(timeout=20)
            except DeadlineError:
                return
            if all(self.survives_without(leaver, chunk_id) for chunk_id in self.acknowledged):
                await leaver.peers.leave()
                await self.swarm.kill(leaver)
                self.swarm.nodes.remove(leaver)

    async def wipe(self) -> None:
        """A lost disk, while every chunk has a copy elsewhere: what the promise allows."""
        if len(self.up()) > LIVING_MIN:
            victim = self.rng.choice(self.up())
            if all(self.survives_without(victim, chunk_id) for chunk_id in self.acknowledged):
                await self.swarm.kill(victim)
                await self.swarm.restart(victim, wiped=True)

    async def be_busy(self) -> None:
        await self.rng.choice(self.up()).peers.busy(5)

    def survives_without(self, node: SwarmNode, chunk_id: ChunkId) -> bool:
        return any(chunk_id in other.store for other in self.swarm.nodes if other is not node)

    async def converge(self) -> float:
        await self.unblock()
        self.swarm.network.heal()
        while self.down:
            await self.restart()
        for node in self.swarm.nodes:
            if len(node.peers.view) == 1:  # wiped while it was cut off: its user would join again
                await self.swarm.join(node)
        count = len(self.swarm.nodes)
        await self.swarm.until(lambda: all(len(node.peers.view.reachable()) == count - 1 for node in self.swarm.nodes))
        return await self.swarm.until(lambda: all(self.swarm.copies(i) >= min(3, count) for i in self.acknowledged))


async def run(clock: LoopClock, seed: int) -> Chaos:
    async with FakeNetwork(seed, clock=clock, latency=0.002) as network:
        swarm = FakeSwarm(
            network=network,
            peers_config=PeersConfig.quick(),
            config=replace(ReplicationConfig.quick(), surplus_keep=3.0, push_timeout=5.0),
        )
        for number in range(7):
            await swarm.add(host=number // 2)
        await swarm.settle()
        chaos = Chaos(swarm, seed)
        await chaos.put()
        for _ in range(STEPS):
            await chaos.step()
            for chunk_id in chaos.acknowledged:
                assert any(chunk_id in node.store for node in swarm.nodes), f"lost after {chaos.trace}"
        await chaos.converge()
        for chunk_id, data in chaos.acknowledged.items():
            for node in swarm.holders(chunk_id):
                assert await node.store.get(chunk_id) == data
        own_failures = [error for error in network.errors if not error[0].endswith("/cancel")]
        assert own_failures == []
        return chaos


@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
def test_nothing_acknowledged_is_lost_and_all_copies_return(seed: int):
    chaos = run_virtual(lambda clock: run(clock, seed))
    assert chaos.acknowledged


def test_same_seed_tells_the_same_chaos():
    one, two = (run_virtual(lambda clock: run(clock, 3)) for _ in range(2))
    assert one.trace == two.trace
    news = [
        [[f"{event.at_wall:.6f} {event.text}" for event in node.events.log()] for node in chaos.swarm.nodes]
        for chaos in (one, two)
    ]
    assert news[0] == news[1]
