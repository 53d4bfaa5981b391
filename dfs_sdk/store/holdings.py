"""What a store holds, in memory: answers without a disk, and the order of eviction.

Pure bookkeeping shared by all stores; the data lies elsewhere.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container, Iterable, Iterator
from dataclasses import replace

from dfs_sdk.errors import ContentNotFoundError
from dfs_sdk.ids import ChunkId
from dfs_sdk.store.base import ChunkInfo, NewChunk, Role, StoreUsage
from dfs_sdk.store.config import StoreConfig
from dfs_sdk.store.quota import charged_bytes, eviction_order


class Holdings:
    """Chunk infos by id and by cell, their charged bytes, and the evictable ones by recency."""

    def __init__(self) -> None:
        self._infos: dict[ChunkId, ChunkInfo] = {}
        self._cells: dict[int, set[ChunkId]] = {}
        self._evictable: OrderedDict[ChunkId, None] = OrderedDict()
        self._used_bytes = 0
        self._evictable_bytes = 0

    @property
    def used_bytes(self) -> int:
        """Charged bytes of everything held."""
        return self._used_bytes

    @property
    def evictable_bytes(self) -> int:
        """Charged bytes of what may be evicted."""
        return self._evictable_bytes

    def __contains__(self, chunk_id: object) -> bool:
        return chunk_id in self._infos

    def __len__(self) -> int:
        return len(self._infos)

    def __iter__(self) -> Iterator[ChunkInfo]:
        return iter(tuple(self._infos.values()))

    def get(self, chunk_id: ChunkId) -> ChunkInfo | None:
        """Return what is known of a chunk."""
        return self._infos.get(chunk_id)

    def require(self, chunk_id: ChunkId) -> ChunkInfo:
        """Return what is known of a chunk that is held.

        Raises:
            ContentNotFoundError: It is not.
        """
        info = self._infos.get(chunk_id)
        if info is None:
            raise ContentNotFoundError(f"chunk {chunk_id.short} is not in this store")
        return info

    def in_cell(self, cell: int) -> list[ChunkInfo]:
        """List one cell's chunks by id."""
        return [self._infos[chunk_id] for chunk_id in sorted(self._cells.get(cell, ()))]

    def cells(self) -> list[int]:
        """List the cells that have a chunk, ascending."""
        return sorted(self._cells)

    def candidates(self, *, busy: Container[ChunkId] = ()) -> Iterator[ChunkInfo]:
        """Iterate over what may be evicted, least recently read first, without the `busy` ones."""
        return (self._infos[chunk_id] for chunk_id in self._evictable if chunk_id not in busy)

    def load(self, infos: Iterable[ChunkInfo]) -> None:
        """Take over a saved state into empty holdings."""
        kept = list(infos)
        for info in kept:
            if not info.evictable:
                self.add(info)
        for info in eviction_order(kept):
            self.add(info)

    def add(self, info: ChunkInfo) -> None:
        """Insert or replace a chunk's info; an evictable one counts as the most recently read."""
        self.discard(info.chunk_id)
        charge = charged_bytes(info.size)
        self._infos[info.chunk_id] = info
        self._cells.setdefault(info.cell, set()).add(info.chunk_id)
        self._used_bytes += charge
        if info.evictable:
            self._evictable[info.chunk_id] = None
            self._evictable_bytes += charge

    def discard(self, chunk_id: ChunkId) -> ChunkInfo | None:
        """Forget a chunk and return what was known of it."""
        info = self._infos.pop(chunk_id, None)
        if info is None:
            return None
        charge = charged_bytes(info.size)
        members = self._cells[info.cell]
        members.discard(chunk_id)
        if not members:
            del self._cells[info.cell]
        self._used_bytes -= charge
        if info.evictable:
            del self._evictable[chunk_id]
            self._evictable_bytes -= charge
        return info

    def touch(self, chunk_id: ChunkId, now_wall: float) -> None:
        """Note a read; a chunk that is gone meanwhile is passed over."""
        info = self._infos.get(chunk_id)
        if info is None:
            return
        self._infos[chunk_id] = replace(info, last_read_at_wall=now_wall)
        if info.evictable:
            self._evictable.move_to_end(chunk_id)


class HeldChunks:
    """The queries of a store that its holdings answer, without a disk; part of every store."""

    _config: StoreConfig
    _holdings: Holdings

    def info(self, chunk_id: ChunkId) -> ChunkInfo | None:
        """See `ChunkStore.info`."""
        return self._holdings.get(chunk_id)

    def __contains__(self, chunk_id: object) -> bool:
        return chunk_id in self._holdings

    def __len__(self) -> int:
        return len(self._holdings)

    def chunks(self) -> Iterator[ChunkInfo]:
        """See `ChunkStore.chunks`."""
        return iter(self._holdings)

    def chunks_in_cell(self, cell: int) -> list[ChunkInfo]:
        """See `ChunkStore.chunks_in_cell`."""
        return self._holdings.in_cell(cell)

    def cells(self) -> list[int]:
        """See `ChunkStore.cells`."""
        return self._holdings.cells()

    def usage(self) -> StoreUsage:
        """See `ChunkStore.usage`."""
        return StoreUsage(
            used_bytes=self._holdings.used_bytes,
            capacity_bytes=self._config.capacity_bytes,
            chunk_count=len(self._holdings),
        )


def described(chunk: NewChunk, *, now_wall: float, pinned: bool = False) -> ChunkInfo:
    """Describe a chunk that has just arrived."""
    return ChunkInfo(
        chunk_id=chunk.chunk_id,
        size=chunk.size,
        cell=chunk.cell,
        role=chunk.role,
        removal_hash=chunk.removal_hash,
        stored_at_wall=now_wall,
        last_read_at_wall=now_wall,
        pinned=pinned,
        replicas=chunk.replicas,
    )


def revised(known: ChunkInfo, chunk: NewChunk) -> ChunkInfo:
    """Say what a second `put` makes of a chunk that is held.

    A stronger role brings its own cell, and where it replaces a cache copy also its removal hash: whoever gave us the
    cache copy must not decide who may remove the other one. Otherwise the first word counts, lest somebody who
    holds the chunk, too, takes the right to remove ours; only an absent removal hash is filled in.
    """
    if chunk.role.value > known.role.value:
        first, second = known.removal_hash, chunk.removal_hash
        removal_hash = (second or first) if known.role is Role.CACHE else (first or second)
        return replace(known, role=chunk.role, cell=chunk.cell, removal_hash=removal_hash, replicas=chunk.replicas)
    if chunk.role is known.role and chunk.removal_hash and not known.removal_hash:
        return replace(known, removal_hash=chunk.removal_hash)
    return known
