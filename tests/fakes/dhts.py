"""Nodes with a DHT each, on an in-memory network and virtual time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from dfs_sdk.crypto.identity import Identity
from dfs_sdk.dht import Dht, DhtConfig, Record, RecordKind
from dfs_sdk.dht.messages import (
    RecordBody,
)
from dfs_sdk.dht.records import sign_record
from dfs_sdk.errors import StoreReadOnlyError
from dfs_sdk.ids import Address, NodeId
from dfs_sdk.rpc import Rpc
from dfs_sdk.runtime.system import SeededRng
from tests.fakes.network import FakeNetwork
from tests.fakes.runtime import LoopClock, run_virtual

KEY = b"k" * 32


QUICK = DhtConfig.quick()


class Documents:
    """A document store in a dictionary."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, bytes], bytes] = {}
        self.broken = False

    async def put_documents(self, kind: str, items: Sequence[tuple[bytes, bytes]]) -> None:
        if self.broken:
            raise StoreReadOnlyError("an earlier write failed")
        self.items |= {(kind, key): value for key, value in items}

    async def get_document(self, kind: str, key: bytes) -> bytes | None:
        return self.items.get((kind, key))


class World:
    """Nodes with a DHT each, on one network."""

    def __init__(self, network: FakeNetwork, config: DhtConfig = QUICK) -> None:
        self.network = network
        self.config = config
        self.nodes: list[Dht] = []
        self.rpcs: dict[int, Rpc] = {}
        self.documents: list[Documents] = []

    async def add(
        self, *, identity: Identity | None = None, documents: Documents | None = None, address: Address | None = None
    ) -> Dht:
        """Start a node; it knows nobody."""
        rpc = self.network.rpc(identity, address=address)
        documents = documents or Documents()
        node = Dht(
            rpc=rpc,
            store=documents,  # type: ignore[arg-type]
            scope=self.network.scopes[rpc.node_id],
            runtime=self.network.runtimes[rpc.node_id],
            network_id=self.network.network_id,
            config=self.config,
        )
        self.rpcs[id(node)] = rpc
        self.documents.append(documents)
        await node.start()
        self.nodes.append(node)
        return node

    async def grow(self, count: int) -> list[Dht]:
        """Add nodes that join through one of those before, one after the other."""
        rng = SeededRng(7)
        for _ in range(count):
            known = list(self.nodes)
            node = await self.add()
            if known:
                await node.join([self.network.contact(self.id_of(rng.choice(known)))])
        return self.nodes

    async def acquaint(self, count: int) -> list[Dht]:
        """Add nodes that all know all others already: what joining leads to, without its cost."""
        for _ in range(count):
            await self.add()
        contacts = [self.network.contact(self.id_of(node)) for node in self.nodes]
        for node in self.nodes:
            for contact in contacts:
                if contact.node_id != self.id_of(node):
                    self.rpcs[id(node)].book.learn(contact, None)
                    node.table.answered(contact, self.network.clock.monotonic())
        return self.nodes

    def id_of(self, node: Dht) -> NodeId:
        return self.rpcs[id(node)].node_id

    def rpc_of(self, node: Dht) -> Rpc:
        return self.rpcs[id(node)]

    def closest(self, key: bytes, count: int = 20) -> list[Dht]:
        place = int.from_bytes(key, "big")
        return sorted(self.nodes, key=lambda node: place ^ int.from_bytes(self.id_of(node), "big"))[:count]


def on_virtual_time(
    test: Callable[[World], Awaitable[None]], *, config: DhtConfig = QUICK, latency: float = 0.01
) -> None:
    async def main(clock: LoopClock) -> None:
        async with FakeNetwork(seed=5, clock=clock, latency=latency) as network:
            await test(World(network, config))
            assert network.errors == []

    run_virtual(main)


def record_of(world: World, identity: Identity, **changes: object) -> Record:
    public = identity.public
    fields: dict[str, object] = {
        "kind": RecordKind.PROVIDER,
        "key": KEY,
        "owner_ed": public.ed,
        "owner_x": public.x,
        "sequence": 1,
        "expires": int(world.network.clock.wall()) + 1800,
        "value": b"value",
    }
    body = RecordBody(**(fields | changes))  # type: ignore[arg-type]
    return sign_record(identity, world.network.network_id, body)
