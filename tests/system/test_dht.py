"""A hundred real nodes in one process find each other's records over UDP on loopback."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType

import pytest

from dfs_sdk.crypto.identity import Identity
from dfs_sdk.dht import Dht, DhtConfig, RecordKind
from dfs_sdk.ids import Address, NetworkId
from dfs_sdk.rpc import Rpc
from dfs_sdk.runtime.system import system_runtime
from dfs_sdk.runtime.tasks import TaskScope
from dfs_sdk.transport.driver import Transport
from dfs_sdk.transport.handshake import Network

pytestmark = pytest.mark.system

NETWORK = Network(network_id=NetworkId(bytes(range(32))), psk=bytes(32))
NODES = 100
# Smaller buckets than usual: with a hundred nodes the usual ones hold nearly everybody and nothing is to be found.
CONFIG = DhtConfig(bucket_size=8, query_timeout=5.0, lookup_timeout=30.0)


class NoDocuments:
    """A store that remembers nothing."""

    async def put_documents(self, kind: str, items: Sequence[tuple[bytes, bytes]]) -> None:
        return

    async def get_document(self, kind: str, key: bytes) -> bytes | None:
        return None


class RealNode:
    """One node up to its DHT, on loopback."""

    def __init__(self) -> None:
        self.runtime = system_runtime(threads=1)
        self.errors: list[tuple[str, BaseException]] = []
        self.scope = TaskScope("node", on_error=lambda name, error: self.errors.append((name, error)))
        identity = Identity.generate(self.runtime.entropy)
        self.transport = Transport(
            runtime=self.runtime, identity=identity, network=NETWORK, bind=Address("127.0.0.1", 0)
        )
        self.rpc = Rpc(runtime=self.runtime, transport=self.transport, identity=identity, scope=self.scope)
        self.dht = Dht(
            rpc=self.rpc,
            store=NoDocuments(),  # type: ignore[arg-type]
            scope=self.scope,
            runtime=self.runtime,
            network_id=NETWORK.network_id,
            config=CONFIG,
        )

    async def __aenter__(self) -> RealNode:
        await self.transport.start()
        await self.dht.start()
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.scope.close()
        await self.transport.close()
        await self.runtime.offload.close()
        assert self.errors == []


async def test_a_hundred_real_nodes_find_each_others_records() -> None:
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(RealNode())]
        for number in range(1, NODES):
            node = await stack.enter_async_context(RealNode())
            await node.dht.join([nodes[number // 2].rpc.local_contact()])
            nodes.append(node)
        assert min(len(node.dht.table) for node in nodes) > CONFIG.bucket_size
        for number in range(0, NODES, 10):
            key = bytes([number]) * 32
            assert await nodes[number].dht.publish(RecordKind.PROVIDER, key, f"from {number}".encode()) >= 8
            seeker = nodes[(number * 7 + 33) % NODES]
            (record,) = await seeker.dht.find(key, kind=RecordKind.PROVIDER)
            assert record.value == f"from {number}".encode()
            assert record.owner.node_id == nodes[number].rpc.node_id
