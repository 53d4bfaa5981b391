"""Chunks that this node has just read and keeps in memory for a while, because others want them at the same time.

They are no copies that anybody counts on: they are not listed, survive nothing, and go when memory is short.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from dfs_sdk.exchange.demand import LEND_SECONDS
from dfs_sdk.ids import ChunkId
from dfs_sdk.runtime.ports import Buffer

# Longer than whoever names us believes, unless memory is short.
KEPT_SECONDS = 1.5 * LEND_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class LentChunk:
    """A chunk kept for others.

    Attributes:
        data: Its bytes, verified.
        cell: Its placement cell.
        removal_hash: What its owner's key hashes to.
        replicas: Copies its owner wants.
    """

    data: Buffer
    cell: int
    removal_hash: bytes
    replicas: int


class Lending:
    """The chunks kept for others, those asked for longest ago first.

    Args:
        bytes_max: The most that is kept; the chunks asked for longest ago make way.
        now: Tells the time in seconds.
        on_kept: Called whenever something is kept: `expire` has to be called now and then from here on.
    """

    def __init__(self, bytes_max: int, now: Callable[[], float], *, on_kept: Callable[[], None]) -> None:
        self._bytes_max = bytes_max
        self._now = now
        self._on_kept = on_kept
        self._kept: OrderedDict[ChunkId, tuple[LentChunk, float]] = OrderedDict()
        self.kept_bytes = 0

    @property
    def takes_part(self) -> bool:
        """Whether anything is kept at all."""
        return self._bytes_max > 0

    def keep(self, chunk_id: ChunkId, chunk: LentChunk) -> None:
        """Keep a chunk for a while, if there is room for it at all."""
        self.drop(chunk_id)
        if len(chunk.data) > self._bytes_max:
            return
        while self.kept_bytes + len(chunk.data) > self._bytes_max:
            self.drop(next(iter(self._kept)))
        self._kept[chunk_id] = chunk, self._now() + KEPT_SECONDS
        self.kept_bytes += len(chunk.data)
        self._on_kept()

    def get(self, chunk_id: ChunkId) -> LentChunk | None:
        """Return a chunk that is kept, and keep it longer."""
        self.expire()
        if chunk_id not in self._kept:
            return None
        chunk, _ = self._kept.pop(chunk_id)
        self._kept[chunk_id] = chunk, self._now() + KEPT_SECONDS
        return chunk

    def drop(self, chunk_id: ChunkId) -> None:
        """Keep a chunk no longer."""
        kept = self._kept.pop(chunk_id, None)
        if kept is not None:
            self.kept_bytes -= len(kept[0].data)

    def expire(self) -> None:
        """Let go of what nobody has asked for in a while."""
        now = self._now()
        while self._kept and next(iter(self._kept.values()))[1] <= now:
            self.drop(next(iter(self._kept)))
