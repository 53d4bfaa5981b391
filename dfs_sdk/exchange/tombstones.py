"""Removals that are remembered, so that a holder that was away learns of them and nobody pushes the chunk back.

A tombstone carries the removal key itself: the key proves the removal to everybody who knows the chunk's removal hash,
and it is worth nothing else once the file is gone.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from dfs_sdk.crypto.hashing import blake3_256
from dfs_sdk.ids import ID_BYTES, ChunkId
from dfs_sdk.runtime.ports import Clock
from dfs_sdk.store.base import ChunkStore

REMOVAL_DOMAIN = b"dfs/removal/1"
DOCUMENT_KIND = "exchange.tombstones"
_VALUE = struct.Struct(">32sd")


def removal_hash(removal_key: bytes) -> bytes:
    """Compute the 32-byte hash that travels with the chunks a key may remove."""
    return blake3_256(REMOVAL_DOMAIN, removal_key)


class Tombstones:
    """The removals a node knows of, kept as documents of its store and in memory.

    Args:
        store: Where they are kept.
        clock: Says when they expire.
        ttl_seconds: How long one is remembered.
        count_max: How many are remembered; the oldest go first.
    """

    def __init__(self, store: ChunkStore, clock: Clock, *, ttl_seconds: float, count_max: int) -> None:
        self._store = store
        self._clock = clock
        self._ttl_seconds = ttl_seconds
        self._count_max = count_max
        self._known: dict[ChunkId, tuple[bytes, float]] = {}

    def __len__(self) -> int:
        return len(self._known)

    async def load(self) -> None:
        """Read what the store remembers and finish removals that a crash interrupted."""
        loaded: list[tuple[float, ChunkId, bytes]] = []
        for key, value in await self._store.list_documents(DOCUMENT_KIND):
            if len(key) == ID_BYTES and len(value) == _VALUE.size:
                removal_key, expires_wall = _VALUE.unpack(value)
                loaded.append((expires_wall, ChunkId(key), removal_key))
        for expires_wall, chunk_id, removal_key in sorted(loaded):
            self._known[chunk_id] = (removal_key, expires_wall)
        await self.expire()
        await self._store.delete([chunk_id for chunk_id in self._known if self.applies(chunk_id)])

    def key_of(self, chunk_id: ChunkId) -> bytes | None:
        """The key a chunk was removed with, or None."""
        known = self._known.get(chunk_id)
        return known[0] if known is not None and known[1] > self._clock.wall() else None

    def forbids(self, chunk_id: ChunkId, hash_of_key: bytes) -> bool:
        """Say whether a chunk that claims this removal hash was removed by its owner."""
        key = self.key_of(chunk_id)
        return key is not None and removal_hash(key) == hash_of_key

    def applies(self, chunk_id: ChunkId) -> bool:
        """Say whether our own copy must go: removed by its owner and not pinned here."""
        info = self._store.info(chunk_id)
        return info is not None and not info.pinned and self.forbids(chunk_id, info.removal_hash)

    async def remove(self, chunk_ids: Iterable[ChunkId], removal_key: bytes) -> list[ChunkId]:
        """Delete those of our chunks that the key may remove and remember the removal first.

        Returns:
            What was deleted; chunks that are pinned, absent or of another owner are left alone.
        """
        wanted = removal_hash(removal_key)
        doomed = [chunk_id for chunk_id in dict.fromkeys(chunk_ids) if self._removable(chunk_id, wanted)]
        if doomed:
            await self.remember(doomed, removal_key)
            await self._store.delete(doomed)
        return doomed

    async def remember(self, chunk_ids: Iterable[ChunkId], removal_key: bytes) -> None:
        """Write tombstones without looking at what is held here."""
        expires_wall = self._clock.wall() + self._ttl_seconds
        value = _VALUE.pack(removal_key, expires_wall)
        ids = list(chunk_ids)[-self._count_max :]
        await self._store.put_documents(DOCUMENT_KIND, [(bytes(chunk_id), value) for chunk_id in ids])
        for chunk_id in ids:
            self._known.pop(chunk_id, None)
            self._known[chunk_id] = (removal_key, expires_wall)
        await self._forget(list(self._known)[: max(len(self._known) - self._count_max, 0)])

    async def expire(self) -> None:
        """Forget what is too old."""
        now_wall = self._clock.wall()
        await self._forget([chunk_id for chunk_id, (_, expires) in self._known.items() if expires <= now_wall])

    async def _forget(self, chunk_ids: Iterable[ChunkId]) -> None:
        for chunk_id in chunk_ids:
            self._known.pop(chunk_id, None)
            await self._store.delete_document(DOCUMENT_KIND, bytes(chunk_id))

    def _removable(self, chunk_id: ChunkId, wanted: bytes) -> bool:
        info = self._store.info(chunk_id)
        return info is not None and not info.pinned and info.removal_hash == wanted
