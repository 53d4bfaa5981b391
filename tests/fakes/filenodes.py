"""Nodes up to the files floor: real exchange and files over the in-memory network, placement kept simple.

`FakeReplication` pushes to the first nodes it knows and waits for all of them; any node is a candidate for any chunk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dfs_sdk.errors import DfsError, TooFewReplicasError
from dfs_sdk.events import EventBus
from dfs_sdk.exchange import ExchangeConfig, Receipt
from dfs_sdk.files.config import FilesConfig
from dfs_sdk.files.holders import Copy
from dfs_sdk.files.link import Link
from dfs_sdk.files.service import Files
from dfs_sdk.ids import ChunkId, NodeId
from dfs_sdk.replication.policy import Policy
from dfs_sdk.runtime.ports import Disk
from dfs_sdk.runtime.system import SystemDisk
from dfs_sdk.store import NewChunk, StoreConfig
from tests.fakes.holders import HolderNode, holder_node
from tests.fakes.network import FakeNetwork

CELLS = 4096
CHUNK = 16 * 1024
# Tests are about files, not about patience.
IMPATIENT = FilesConfig(rounds=1, round_pause=0.0)


@dataclass(frozen=True, slots=True)
class FakeSpread:
    cell: int
    holders: Sequence[Receipt]
    complete: Any


class FakeReplication:
    """Places copies on the first nodes that take them."""

    def __init__(self, node: HolderNode, network: FakeNetwork) -> None:
        self._node = node
        self._network = network
        self.others: list[NodeId] = []
        self.readers: set[NodeId] = set()
        self.spreads = 0

    async def spread(self, chunk: NewChunk, *, policy: Policy) -> FakeSpread:
        self.spreads += 1
        cell = self.cells_of(chunk.chunk_id)[chunk.chunk_id[31] & 1]
        receipts = []
        for peer in [peer for peer in self.others if peer not in self.readers]:
            if len(receipts) == policy.replicas:
                break
            try:
                receipts.append(await self._node.exchange.push(peer, replace(chunk, cell=cell)))
            except DfsError:
                continue
        if len(receipts) < policy.write_quorum:
            raise TooFewReplicasError(f"{len(receipts)} of {policy.write_quorum} required peers: or quorum=0")
        if policy.write_quorum == 0:
            receipts.append(await self._node.exchange.push(self._node.node_id, replace(chunk, cell=cell)))
        complete = asyncio.get_running_loop().create_future()
        complete.set_result(receipts)
        return FakeSpread(cell, receipts, complete)

    def candidates(self, chunk_id: ChunkId, cell: int | None) -> list[NodeId]:
        assert cell is None or cell in self.cells_of(chunk_id)
        return list(self.others)

    async def locate(
        self, chunk_ids: Sequence[ChunkId], cells: Mapping[ChunkId, int] | None = None
    ) -> dict[ChunkId, list[Copy]]:
        found: dict[ChunkId, list[Copy]] = {chunk_id: [] for chunk_id in chunk_ids}
        for chunk_id, copies in found.items():
            if (info := self._node.store.info(chunk_id)) is not None:
                now_wall = self._network.clock.wall()
                copies.append(Copy(holder=self._node.node_id, role=info.role, confirmed_at_wall=now_wall))
        for peer in self.others:
            try:
                report = await self._node.exchange.have(peer, chunk_ids)
            except DfsError:
                continue
            for chunk_id, role in report.roles.items():
                found[chunk_id].append(Copy(holder=peer, role=role, confirmed_at_wall=self._network.clock.wall()))
        return found

    def cells_of(self, chunk_id: ChunkId) -> tuple[int, int]:
        return int.from_bytes(chunk_id[:4], "big") % CELLS, int.from_bytes(chunk_id[4:8], "big") % CELLS


class FakeView:
    """Who is up, as the test says."""

    def __init__(self, network: FakeNetwork, me: NodeId, others: list[NodeId]) -> None:
        self._network = network
        self.me = me
        self._others = others
        self.version = 0

    def get(self, _node_id: NodeId) -> None:
        return None

    def is_reachable(self, node_id: NodeId) -> bool:
        return node_id == self.me or (node_id in self._others and not self._network.is_dead(node_id))

    def reachable(self) -> list[NodeId]:
        return [node_id for node_id in self._others if self.is_reachable(node_id)]

    def name(self, node_id: NodeId) -> str:
        return f"node-{node_id.short}"


class FakePeers:
    """The membership of one node; `changed` plays news."""

    def __init__(self, view: FakeView) -> None:
        self.view = view
        self._handlers: list[Callable[[Any], None]] = []

    def on_change(self, handler: Callable[[Any], None]) -> None:
        self._handlers.append(handler)

    def changed(self) -> None:
        for handler in self._handlers:
            handler(self.view)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileNode:
    """One node up to files."""

    base: HolderNode
    files: Files
    replication: FakeReplication
    peers: FakePeers
    events: EventBus

    @property
    def node_id(self) -> NodeId:
        return self.base.node_id

    @property
    def store(self) -> Any:
        return self.base.store

    def happened(self, kind: type) -> list[Any]:
        return [event for event in self.events.log() if isinstance(event, kind)]


async def file_nodes(
    network: FakeNetwork,
    count: int,
    *,
    config: FilesConfig = IMPATIENT,
    exchange: ExchangeConfig | None = None,
    store: StoreConfig | None = None,
    dht: Any = None,
    readers: int = 0,
    disk: Disk | None = None,
) -> list[FileNode]:
    """Add nodes that know each other; the last `readers` of them are given no copies.

    Without a `disk` theirs is the real one: tests give paths below `tmp_path`.
    """
    bases = [await holder_node(network, config=exchange, store=store) for _ in range(count)]
    network.introduce(*(base.rpc for base in bases))
    ids = [base.node_id for base in bases]
    nodes = [
        await file_node(network, base, [i for i in ids if i != base.node_id], config=config, dht=dht, disk=disk)
        for base in bases
    ]
    for node in nodes:
        node.replication.readers = set(ids[count - readers :])
    return nodes


async def file_node(
    network: FakeNetwork,
    base: HolderNode,
    others: list[NodeId],
    *,
    config: FilesConfig = IMPATIENT,
    dht: Any = None,
    disk: Disk | None = None,
) -> FileNode:
    """Put files on top of a node."""
    replication = FakeReplication(base, network)
    replication.others = others
    peers = FakePeers(FakeView(network, base.node_id, others))
    events = EventBus()
    files = Files(
        rpc=base.rpc,
        store=base.store,
        exchange=base.exchange,
        replication=replication,
        dht=dht,
        peers=peers,  # type: ignore[arg-type]
        events=events,
        scope=base.scope,
        runtime=replace(base.runtime, disk=disk or SystemDisk()),
        identity=base.rpc.identity,
        network_id=network.network_id,
        config=config,
    )
    await files.start()
    return FileNode(base=base, files=files, replication=replication, peers=peers, events=events)


def some(size: int, seed: int = 1) -> bytes:
    """Make bytes that are the same each time and have no period of a chunk."""
    return (bytes((seed * 37 + n * n // 7) % 251 for n in range(997)) * (size // 997 + 1))[:size]


async def chunks_of(node: FileNode, link: Link) -> tuple[ChunkId, ...]:
    """List the chunks of a file."""
    file, _ = await node.files._finder.open(link)
    return file.manifest.chunk_ids
