"""Whom a node knew before its restart: 64 good peers, and 4 anchors among them that stay as long as they answer.

Whoever floods a table can fill it with its own nodes. The anchors were there before: the node asks them first.
"""

from __future__ import annotations

import logging

from dfs_sdk.dht.config import DhtConfig
from dfs_sdk.dht.messages import KnownPeers
from dfs_sdk.dht.routing import RoutingTable
from dfs_sdk.errors import ProtocolError, StoreError
from dfs_sdk.store.base import DocumentStore
from dfs_sdk.transport.contact import Contact
from dfs_sdk.wire.codec import decode, encode

logger = logging.getLogger(__name__)

DOCUMENT_KIND = "dht.peers"
ANCHORS_KEY = b"anchors"
GOOD_KEY = b"good"


class PeerMemory:
    """Keeps contacts in the local store.

    Args:
        store: Where.
        config: How many.
    """

    def __init__(self, store: DocumentStore, config: DhtConfig) -> None:
        self._store = store
        self._config = config
        self._anchors: list[Contact] = []

    async def load(self) -> list[Contact]:
        """Return the contacts of the last run, anchors first; none when the document is missing or damaged."""
        self._anchors = await self._read(ANCHORS_KEY)
        good = await self._read(GOOD_KEY)
        return list({contact.node_id: contact for contact in (*self._anchors, *good)}.values())

    async def save(self, table: RoutingTable) -> None:
        """Write down who answers; an empty table leaves what is there."""
        good = table.oldest(self._config.good_peers_max)
        if not good:
            return
        # An anchor stays one while it answers, however young it is in this run; the longest known fill the gaps.
        alive = {contact.node_id: contact for contact in good}
        for anchor in self._anchors:
            entry = table.get(anchor.node_id)
            if entry is not None and entry.failures == 0:
                alive[anchor.node_id] = entry.contact
        kept = [alive[anchor.node_id] for anchor in self._anchors if anchor.node_id in alive]
        fresh = [contact for contact in good if contact not in kept]
        self._anchors = [*kept, *fresh][: self._config.anchors_max]
        items = [
            (ANCHORS_KEY, encode(KnownPeers(contacts=tuple(self._anchors)))),
            (GOOD_KEY, encode(KnownPeers(contacts=tuple(good)))),
        ]
        try:
            await self._store.put_documents(DOCUMENT_KIND, items)
        except StoreError as error:
            # A full or read-only store is reported by its owner; the DHT goes on without a memory.
            logger.warning("could not remember peers: %s", error)

    async def _read(self, key: bytes) -> list[Contact]:
        try:
            value = await self._store.get_document(DOCUMENT_KIND, key)
            return list(decode(KnownPeers, value).contacts) if value is not None else []
        except (ProtocolError, StoreError) as error:
            logger.warning("the remembered peers cannot be read: %s", error)
            return []
