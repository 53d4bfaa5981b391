"""What the faces are told of files: where each chunk is, and how well each file is kept. Reads memory only."""

from __future__ import annotations

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


class Observer:
    """Describes the catalog from what is in memory.

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

    def places(self) -> list[FilePlaces]:
        """Say of every file of the catalog where its chunks are."""
        return [FilePlaces(file=entry.file, chunks=tuple(self._chunks(entry))) for entry in self._catalog]

    def stats(self) -> list[FileStat]:
        """Say of every file of the catalog how well it is kept."""
        return [self.stat(entry) for entry in self._catalog]

    def stat(self, entry: Entry, *, media_type: str = "") -> FileStat:
        """Say how well one file is kept."""
        view = self._peers.view
        holders = [[copy.holder for copy in chunk.copies] for chunk in self._chunks(entry)]
        copies = copies_min(holders, view.is_reachable)
        file = entry.file
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
        manifest_id, manifest = entry.file.link.manifest_id, entry.manifest
        info = self._store.info(manifest_id)
        chunks = [
            ChunkPlace(
                index=MANIFEST_INDEX,
                chunk_id=manifest_id,
                size=0 if info is None else info.size,
                cell=_manifest_cell(entry, info),
                copies=self._copies(manifest_id),
            )
        ]
        if manifest is None:
            return chunks
        for index, cell in enumerate(cells_in(manifest, self._replication.cells_of)):
            length = chunk_span(index, entry.file.size, manifest.chunk_bytes)[1]
            chunk_id = manifest.chunk_ids[index]
            chunks.append(
                ChunkPlace(
                    index=index,
                    chunk_id=chunk_id,
                    size=length + SEAL_OVERHEAD_BYTES,
                    cell=cell,
                    copies=self._copies(chunk_id),
                )
            )
        return chunks

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
