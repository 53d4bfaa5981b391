"""Provider records: who keeps a file alive, found under a hash of its manifest's id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from dfs_sdk.crypto.hashing import blake3_256
from dfs_sdk.dht.messages import Record, RecordKind
from dfs_sdk.errors import DfsError, ProtocolError
from dfs_sdk.ids import Address, ChunkId, NodeId
from dfs_sdk.rpc.base import RpcService
from dfs_sdk.runtime.ports import Rng
from dfs_sdk.transport.contact import Contact
from dfs_sdk.wire.codec import decode, encode

PROVIDERS_MAX = 16
_DOMAIN = b"dfs/provider/1"
# The addresses in a record come from anybody: only those count that a stranger on the internet may name. This one
# stands for the stranger in the book's rule and is never sent to.
_STRANGER = Address("9.9.9.9", 9)


class Directory(Protocol):
    """The part of the DHT that files need."""

    async def publish(self, kind: RecordKind, key: bytes, value: bytes) -> int:
        """Store a record of ours and keep it alive."""
        ...

    async def unpublish(self, kind: RecordKind, key: bytes) -> None:
        """Take a record back."""
        ...

    async def find(self, key: bytes, *, kind: RecordKind) -> Sequence[Record]:
        """Find verified records, the newest of each owner."""
        ...


class Providers:
    """Publishes and finds who provides a file.

    Args:
        directory: The DHT, None in networks without one.
        rpc: Our own contact, and the book of others.
        rng: Draws whom to ask where many say that they provide a file.
    """

    def __init__(self, directory: Directory | None, rpc: RpcService, rng: Rng) -> None:
        self._directory = directory
        self._rpc = rpc
        self._rng = rng

    async def publish(self, manifest_id: ChunkId) -> None:
        """Say that this node provides a file."""
        if self._directory is not None:
            value = encode(self._rpc.local_contact())
            await self._directory.publish(RecordKind.PROVIDER, provider_key(manifest_id), value)

    async def unpublish(self, manifest_id: ChunkId) -> None:
        """Say that it no longer does."""
        if self._directory is not None:
            await self._directory.unpublish(RecordKind.PROVIDER, provider_key(manifest_id))

    async def find(self, manifest_id: ChunkId) -> list[NodeId]:
        """List peers that say they provide a file; nobody if the DHT does not answer."""
        if self._directory is None:
            return []
        try:
            records = await self._directory.find(provider_key(manifest_id), kind=RecordKind.PROVIDER)
        except DfsError:
            return []
        if len(records) > PROVIDERS_MAX:
            # They come in the order of their owners, who choose their ids: by chance, none is passed over each time.
            records = self._rng.sample(records, PROVIDERS_MAX)
        found = [self._meet(record) for record in records]
        return [node_id for node_id in found if node_id is not None and node_id != self._rpc.node_id]

    def _meet(self, record: Record) -> NodeId | None:
        try:
            contact = decode(Contact, record.value)
        except ProtocolError:
            return None
        if contact.node_id != record.owner.node_id:
            return None
        self._rpc.book.learn(contact, _STRANGER)
        return contact.node_id


def provider_key(manifest_id: ChunkId) -> bytes:
    """Compute where the provider records of a file are stored."""
    return blake3_256(_DOMAIN, manifest_id)
