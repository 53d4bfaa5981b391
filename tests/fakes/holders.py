"""Nodes that hold chunks: the real exchange over the in-memory network and store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from dfs_sdk.crypto.hashing import blake3_256
from dfs_sdk.exchange import Exchange, ExchangeConfig
from dfs_sdk.ids import ChunkId, NodeId
from dfs_sdk.rpc.service import Rpc
from dfs_sdk.runtime.ports import Runtime
from dfs_sdk.runtime.tasks import TaskScope
from dfs_sdk.store import MemoryStore, NewChunk, Role, StoreConfig
from tests.fakes.network import FakeNetwork
from tests.fakes.runtime import LoopClock, run_virtual


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderNode:
    """One node up to the exchange floor."""

    rpc: Rpc
    store: MemoryStore
    exchange: Exchange
    scope: TaskScope
    runtime: Runtime

    @property
    def node_id(self) -> NodeId:
        return self.rpc.node_id


async def holder_node(
    network: FakeNetwork, *, config: ExchangeConfig | None = None, store: StoreConfig | None = None
) -> HolderNode:
    """Add a node with an empty store to the network."""
    rpc = network.rpc()
    runtime, scope = network.runtimes[rpc.node_id], network.scopes[rpc.node_id]
    memory = MemoryStore(runtime, store)
    await memory.open()
    exchange = Exchange(rpc=rpc, store=memory, scope=scope, runtime=runtime, config=config)
    await exchange.start()
    return HolderNode(rpc=rpc, store=memory, exchange=exchange, scope=scope, runtime=runtime)


async def holder_nodes(network: FakeNetwork, count: int, **options: object) -> list[HolderNode]:
    """Add several nodes that know each other."""
    nodes = [await holder_node(network, **options) for _ in range(count)]  # type: ignore[arg-type]
    network.introduce(*(node.rpc for node in nodes))
    return nodes


def chunk_of(data: bytes, *, cell: int = 7, role: Role = Role.PRIMARY, removal_hash: bytes = b"") -> NewChunk:
    """Make a chunk of any bytes."""
    return NewChunk(chunk_id=ChunkId(blake3_256(data)), data=data, cell=cell, role=role, removal_hash=removal_hash)


async def give(chunk: NewChunk, *holders: HolderNode) -> None:
    """Put a chunk into the stores of some nodes."""
    for holder in holders:
        await holder.store.put([chunk])


def spoil(node: HolderNode, chunk_id: ChunkId, data: bytes) -> None:
    """Make a holder serve other bytes for a chunk, as a liar would: its store does not look."""
    original = node.store.get

    async def get(asked: ChunkId, *, verify: bool = True) -> bytes:
        return data if asked == chunk_id else await original(asked, verify=verify)

    node.store.get = get  # type: ignore[method-assign]


def tell_of_holders(story: Callable[[FakeNetwork], Awaitable[None]], *, latency: float = 0.01) -> None:
    """Run a story of waiting: in virtual time, on a network whose ways take `latency` seconds."""

    async def main(clock: LoopClock) -> None:
        async with FakeNetwork(clock=clock, latency=latency) as network:
            await story(network)

    run_virtual(main)
