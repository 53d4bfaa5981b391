"""Nodes up to the replication floor over a `FakeNetwork`: peers, exchange and replication, without files and chat."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from dfs_sdk.crypto.hashing import blake3_256
from dfs_sdk.crypto.identity import Identity
from dfs_sdk.errors import DeadlineError, PeerUnreachableError
from dfs_sdk.events import Event, EventBus
from dfs_sdk.exchange.service import Exchange
from dfs_sdk.ids import ChunkId, NodeId
from dfs_sdk.peers.config import PeersConfig
from dfs_sdk.peers.selfdesc import Profile
from dfs_sdk.peers.service import Peers
from dfs_sdk.replication.config import ReplicationConfig
from dfs_sdk.replication.service import Replication
from dfs_sdk.rpc.service import Rpc
from dfs_sdk.store.base import NewChunk, Role
from dfs_sdk.store.config import StoreConfig
from dfs_sdk.store.memory import MemoryStore
from tests.fakes.network import FakeNetwork


def new_chunk(seed: int, *, size: int = 1000) -> NewChunk:
    """A chunk whose bytes follow from its seed."""
    data = (blake3_256(seed.to_bytes(8, "big")) * (size // 32 + 1))[:size]
    return NewChunk(chunk_id=ChunkId(blake3_256(data)), data=data, cell=0, role=Role.SURPLUS)


@dataclass(slots=True, kw_only=True)
class SwarmNode:
    """One node."""

    name: str
    rpc: Rpc
    store: MemoryStore
    events: EventBus
    peers: Peers
    exchange: Exchange
    replication: Replication

    @property
    def node_id(self) -> NodeId:
        return self.rpc.node_id

    def happened(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events.log() if isinstance(event, kind)]


@dataclass(slots=True, kw_only=True)
class FakeSwarm:
    """A network of such nodes on one clock."""

    network: FakeNetwork
    peers_config: PeersConfig = field(default_factory=PeersConfig.quick)
    config: ReplicationConfig = field(default_factory=ReplicationConfig.quick)
    nodes: list[SwarmNode] = field(default_factory=list)

    async def add(
        self,
        *,
        identity: Identity | None = None,
        store: MemoryStore | None = None,
        host: int | None = None,
        capacity_bytes: int = 2**30,
        join: bool = True,
    ) -> SwarmNode:
        """Add a node and let it join through the first living one."""
        number = len(self.nodes)
        rpc = self.network.rpc(identity)
        runtime, scope = self.network.runtimes[rpc.node_id], self.network.scopes[rpc.node_id]
        if store is None:
            store = MemoryStore(runtime, StoreConfig(capacity_bytes=capacity_bytes))
        await store.open()
        events = EventBus()
        profile = Profile(name=f"n{number}", host=bytes([number if host is None else host]) * 16)
        peers = Peers(
            rpc=rpc,
            store=store,
            events=events,
            scope=scope,
            runtime=runtime,
            config=self.peers_config,
            profile=profile,
        )
        exchange = Exchange(rpc=rpc, store=store, scope=scope, runtime=runtime)
        replication = Replication(
            rpc=rpc,
            exchange=exchange,
            peers=peers,
            store=store,
            events=events,
            scope=scope,
            runtime=runtime,
            network_id=self.network.network_id,
            config=self.config,
        )
        node = SwarmNode(
            name=profile.name,
            rpc=rpc,
            store=store,
            events=events,
            peers=peers,
            exchange=exchange,
            replication=replication,
        )
        for part in (peers, exchange, replication):
            await part.start()
        self.nodes.append(node)
        if join:
            await self.join(node)
        return node

    async def join(self, node: SwarmNode) -> None:
        """Let a node join through the first living one it can reach, if there is one."""
        for other in self.living():
            if other is not node:
                with suppress(PeerUnreachableError, DeadlineError):
                    await node.peers.join(self.network.contact(other.node_id))
                    return

    def living(self) -> list[SwarmNode]:
        return [node for node in self.nodes if not self.network.is_dead(node.node_id)]

    async def kill(self, node: SwarmNode) -> None:
        """Let a node vanish: its tasks end, nobody is told."""
        self.network.kill(node.node_id, silent=True)
        await self.network.scopes[node.node_id].close()

    async def restart(self, node: SwarmNode, *, wiped: bool = False) -> SwarmNode:
        """Start a killed node again with its identity, and with its store unless that is wiped."""
        self.nodes.remove(node)
        host = node.peers.view.members[node.node_id].desc.host[0]
        return await self.add(identity=node.rpc.identity, store=None if wiped else node.store, host=host)

    def holders(self, chunk_id: ChunkId) -> list[SwarmNode]:
        """The living nodes that hold a chunk as more than a cache copy."""
        return [
            node
            for node in self.living()
            if (info := node.store.info(chunk_id)) is not None and info.role is not Role.CACHE
        ]

    def copies(self, chunk_id: ChunkId) -> int:
        return len(self.holders(chunk_id))

    async def until(self, condition: Callable[[], bool], *, timeout: float = 60.0) -> float:
        """Let time pass until a condition holds; says how long that took."""
        started = self.network.clock.monotonic()
        while not condition():
            if self.network.clock.monotonic() - started > timeout:
                raise AssertionError(f"not within {timeout} s")
            await asyncio.sleep(0.1)
        return float(self.network.clock.monotonic() - started)

    async def settle(self) -> None:
        """Let the members meet and the first surveys pass."""
        members = len(self.living())
        await self.until(lambda: all(len(node.peers.view) >= members for node in self.living()))
        await asyncio.sleep(min(2 * self.config.repair_interval, 5.0))


async def make_swarm(network: FakeNetwork, count: int, **changes: Any) -> FakeSwarm:
    """Make a settled swarm of `count` nodes; `changes` are fields of the quick replication settings."""
    swarm = FakeSwarm(network=network, config=replace(ReplicationConfig.quick(), **changes))
    for _ in range(count):
        await swarm.add()
    await swarm.settle()
    return swarm
