"""What the faces are told of files: where each chunk is, and how well each file is kept. Reads memory only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from dfs_sdk.files.catalog import Catalog, Entry, File, FileStat
from dfs_sdk.files.chunker import chunk_span
from dfs_sdk.files.health import copies_min, judge
from dfs_sdk.files.holders import Copy, Holders
from dfs_sdk.files.opened import cells_in
from dfs_sdk.files.ports import Membership, Replicator
from dfs_sdk.files.seal import SEAL_OVERHEAD_BYTES
from dfs_sdk.ids import ChunkId, NodeId
from dfs_sdk.runtime.ports import Clock
from dfs_sdk.store.base import ChunkInfo, ChunkStore

MANIFEST_INDEX = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkPlace:
    """One chunk of a file and its known copies.

    Attributes:
        index: Position in the file; -1 is the manifest.
        chunk_id: Its id.
        size: Sealed bytes; 0 while unknown.
        cell: Placement cell; -1 while unknown.
        copies: The copies last known.
    """

    index: int
    chunk_id: ChunkId
    size: int
    cell: int
    copies: tuple[Copy, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePlaces:
    """A file and where its chunks are."""

    file: File
    chunks: tuple[ChunkPlace, ...]


# What of a chunk never changes: id, sealed bytes, cell.
_Shape = tuple[ChunkId, int, int]


class Observer:
    """Describes the catalog from what is in memory; what was described is kept until something changes.

    Args:
        me: This node.
        catalog: The files.
        holders: The copies known.
        store: Our own copies.
        replication: Knows the cells.
        peers: Who is up.
        clock: Dates our own copies.
    """

    def __init__(
        self,
        *,
        me: NodeId,
        catalog: Catalog,
        holders: Holders,
        store: ChunkStore,
        replication: Replicator,
        peers: Membership,
        clock: Clock,
    ) -> None:
        self._me = me
        self._catalog = catalog
        self._holders = holders
        self._store = store
        self._replication = replication
        self._peers = peers
        self._clock = clock
        self._shapes: dict[ChunkId, tuple[_Shape, ...]] = {}
        self._places: list[FilePlaces] = []
        self._places_of: object = None
        self._stats: list[FileStat] = []
        self._stats_of: object = None

    def places(self) -> list[FilePlaces]:
        """Say of every file of the catalog where its chunks are."""
        state = (self._catalog.version, self._holders.version, self._store.usage())
        if state != self._places_of:
            self._shapes = {key: shape for key, shape in self._shapes.items() if key in self._catalog}
            self._places = [FilePlaces(file=entry.file, chunks=tuple(self._chunks(entry))) for entry in self._catalog]
            self._places_of = state
        return self._places

    def stats(self) -> list[FileStat]:
        """Say of every file of the catalog how well it is kept."""
        places, view = self.places(), self._peers.view
        state = (self._places_of, view.version)
        if state != self._stats_of:
            self._stats = [self._judged(each.file, each.chunks) for each in places]
            self._stats_of = state
        return self._stats

    def stat(self, entry: Entry, *, media_type: str = "") -> FileStat:
        """Say how well one file is kept, in the catalog or not."""
        return self._judged(entry.file, self._chunks(entry), media_type=media_type)

    def _judged(self, file: File, chunks: Sequence[ChunkPlace], *, media_type: str = "") -> FileStat:
        view = self._peers.view
        holders = [[copy.holder for copy in chunk.copies] for chunk in chunks]
        copies = copies_min(holders, view.is_reachable)
        return FileStat(
            **{item.name: getattr(file, item.name) for item in fields(File)},
            copies_min=copies,
            copies_wanted=file.replicas,
            health=judge(
                copies=copies,
                wanted=file.replicas,
                members=len(view.reachable()) + 1,
                only_here=any(chunk == [self._me] for chunk in holders),
            ),
            holders=tuple(dict.fromkeys(holder for chunk in holders for holder in chunk)),
            media_type=media_type,
        )

    def _chunks(self, entry: Entry) -> list[ChunkPlace]:
        manifest_id = entry.file.link.manifest_id
        info = self._store.info(manifest_id)
        manifest: _Shape = (manifest_id, 0 if info is None else info.size, _manifest_cell(entry, info))
        return [
            ChunkPlace(index=index, chunk_id=chunk_id, size=size, cell=cell, copies=self._copies(chunk_id))
            for index, (chunk_id, size, cell) in enumerate((manifest, *self._shape(entry)), start=MANIFEST_INDEX)
        ]

    def _shape(self, entry: Entry) -> tuple[_Shape, ...]:
        manifest, key = entry.manifest, entry.file.link.manifest_id
        if manifest is None:
            return ()
        known = self._shapes.get(key)
        if known is None:
            cells = cells_in(manifest, self._replication.cells_of)
            spans = (chunk_span(index, entry.file.size, manifest.chunk_bytes) for index in range(len(cells)))
            known = tuple(
                (chunk_id, length + SEAL_OVERHEAD_BYTES, cell)
                for chunk_id, cell, (_, length) in zip(manifest.chunk_ids, cells, spans, strict=True)
            )
            if self._catalog.get(key) is entry:
                self._shapes[key] = known
        return known

    def _copies(self, chunk_id: ChunkId) -> tuple[Copy, ...]:
        copies = tuple(copy for copy in self._holders.copies(chunk_id) if copy.holder != self._me)
        info = self._store.info(chunk_id)
        if info is None:
            return copies
        return (*copies, Copy(holder=self._me, role=info.role, confirmed_at_wall=self._clock.wall()))


def _manifest_cell(entry: Entry, info: ChunkInfo | None) -> int:
    if entry.record.manifest_cell is not None:
        return entry.record.manifest_cell
    return -1 if info is None else info.cell
