"""Who was last known to hold which chunk: a bounded memory of receipts and answers, refreshed by audits. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dfs_sdk.ids import ChunkId, NodeId
from dfs_sdk.store.base import Role

CHUNKS_MAX = 500_000
HOLDERS_PER_CHUNK_MAX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One copy of a chunk.

    Attributes:
        holder: Who has it.
        role: Why it is kept there.
        confirmed_at_wall: When the holder last said so, in seconds since the epoch.
    """

    holder: NodeId
    role: Role
    confirmed_at_wall: float


class Holders:
    """The copies known of each chunk; the chunks longest untouched are forgotten beyond `chunks_max`."""

    def __init__(self, *, chunks_max: int = CHUNKS_MAX) -> None:
        self._chunks_max = chunks_max
        self._copies: dict[ChunkId, tuple[Copy, ...]] = {}
        self._changed: set[ChunkId] = set()

    def __len__(self) -> int:
        return len(self._copies)

    def copies(self, chunk_id: ChunkId) -> tuple[Copy, ...]:
        """The copies last known, in the order of their confirmation."""
        return self._copies.get(chunk_id, ())

    def holders(self, chunk_id: ChunkId) -> list[NodeId]:
        """Who has these copies."""
        return [copy.holder for copy in self.copies(chunk_id)]

    def replace(self, chunk_id: ChunkId, copies: Iterable[Copy]) -> None:
        """Take a complete answer: what is not in it is no longer believed."""
        self._changed.add(chunk_id)
        self._copies.pop(chunk_id, None)
        self._copies[chunk_id] = tuple(copies)[:HOLDERS_PER_CHUNK_MAX]
        while len(self._copies) > self._chunks_max:
            oldest = next(iter(self._copies))
            del self._copies[oldest]
            self._changed.discard(oldest)

    def add(self, chunk_id: ChunkId, copies: Iterable[Copy]) -> None:
        """Take further copies beside those known."""
        merged = {copy.holder: copy for copy in self.copies(chunk_id)}
        merged.update((copy.holder, copy) for copy in copies)
        self.replace(chunk_id, merged.values())

    def forget(self, chunk_ids: Sequence[ChunkId]) -> None:
        """Drop chunks that were removed."""
        for chunk_id in chunk_ids:
            self._copies.pop(chunk_id, None)
            self._changed.discard(chunk_id)

    def take_changed(self) -> set[ChunkId]:
        """Return the chunks whose copies changed since the last call."""
        changed, self._changed = self._changed, set()
        return changed
