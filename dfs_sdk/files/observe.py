"""What the faces are told of files: where each chunk is, and how well each file is kept. Reads memory only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from operator import is_not

from dfs_sdk.files.catalog import Catalog, Entry, File, FileStat
from dfs_sdk.files.chunker import chunk_span
from dfs_sdk.files.health import copies_min, judge, machines_min
from dfs_sdk.files.holders import Copy, Holders
from dfs_sdk.files.ports import Membership
from dfs_sdk.files.seal import SEAL_OVERHEAD_BYTES
from dfs_sdk.ids import ChunkId, NodeId
from dfs_sdk.runtime.ports import Clock
from dfs_sdk.store.base import ChunkInfo, ChunkStore, Role

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


@dataclass(slots=True)
class _Described:
    """What was said of one file, and of what."""

    entry: Entry
    own: list[Role | None]
    places: FilePlaces


class Observer:
    """Describes the catalog from what is in memory; what was said of a file is kept until something of it changes.

    Args:
        me: This node.
        catalog: The files.
        holders: The copies known; nobody else takes its changes.
        store: Our own copies.
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
        peers: Membership,
        clock: Clock,
    ) -> None:
        self._me = me
        self._catalog = catalog
        self._holders = holders
        self._store = store
        self._peers = peers
        self._clock = clock
        self._described: dict[ChunkId, _Described] = {}
        self._file_of: dict[ChunkId, ChunkId] = {}
        self._catalog_version = -1
        self._places: list[FilePlaces] = []
        self._stats: dict[ChunkId, tuple[FilePlaces, int, FileStat]] = {}

    def places(self) -> list[FilePlaces]:
        """Say of every file of the catalog where its chunks are.

        Returns:
            An unchanged file as the same object as before, and the same list if none has changed.
        """
        if self._catalog_version != self._catalog.version:
            self._catalog_version = self._catalog.version
            self._described = {key: known for key, known in self._described.items() if key in self._catalog}
            self._file_of = {
                chunk_id: entry.file.link.manifest_id for entry in self._catalog for chunk_id in entry.chunk_ids
            }
        changed = {self._file_of.get(chunk_id) for chunk_id in self._holders.take_changed()}
        places = [self._place(entry, changed=entry.file.link.manifest_id in changed) for entry in self._catalog]
        if len(places) != len(self._places) or any(map(is_not, places, self._places)):
            self._places = places
        return self._places

    def stats(self) -> list[FileStat]:
        """Say of every file of the catalog how well it is kept."""
        version = self._peers.view.version
        fresh: dict[ChunkId, tuple[FilePlaces, int, FileStat]] = {}
        for places in self.places():
            key = places.file.link.manifest_id
            known = self._stats.get(key)
            if known is None or known[0] is not places or known[1] != version:
                known = (places, version, self._judged(places.file, places.chunks))
            fresh[key] = known
        self._stats = fresh
        return [stat for _places, _version, stat in fresh.values()]

    def stat(self, entry: Entry, *, media_type: str = "") -> FileStat:
        """Say how well one file is kept, in the catalog or not."""
        return self._judged(entry.file, self._chunks(entry, self._own(entry)), media_type=media_type)

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
            copies_elsewhere=copies_min(holders, self._answers_elsewhere),
            machines_elsewhere=machines_min(holders, self._answers_elsewhere, self._machine),
        )

    def _answers_elsewhere(self, node_id: NodeId) -> bool:
        return node_id != self._me and self._peers.view.is_reachable(node_id)

    def _machine(self, node_id: NodeId) -> bytes:
        member = self._peers.view.get(node_id)
        return b"" if member is None else member.desc.host

    def _place(self, entry: Entry, *, changed: bool) -> FilePlaces:
        key, own = entry.file.link.manifest_id, self._own(entry)
        known = self._described.get(key)
        if known is None or changed or known.entry is not entry or known.own != own:
            places = FilePlaces(file=entry.file, chunks=tuple(self._chunks(entry, own)))
            known = self._described[key] = _Described(entry, own, places)
        return known.places

    def _own(self, entry: Entry) -> list[Role | None]:
        infos = map(self._store.info, entry.chunk_ids)
        return [None if info is None else info.role for info in infos]

    def _chunks(self, entry: Entry, own: Sequence[Role | None]) -> list[ChunkPlace]:
        info = self._store.info(entry.file.link.manifest_id)
        sizes = [entry.manifest_bytes if info is None else info.size]
        cells = [_manifest_cell(entry, info), *entry.cells]
        if entry.manifest is not None:
            spans = (
                chunk_span(index, entry.file.size, entry.manifest.chunk_bytes) for index in range(len(entry.cells))
            )
            sizes += [length + SEAL_OVERHEAD_BYTES for _offset, length in spans]
        rows = zip(entry.chunk_ids, sizes, cells, own, strict=True)
        return [
            ChunkPlace(index=index, chunk_id=chunk_id, size=size, cell=cell, copies=self._copies(chunk_id, role))
            for index, (chunk_id, size, cell, role) in enumerate(rows, start=MANIFEST_INDEX)
        ]

    def _copies(self, chunk_id: ChunkId, own: Role | None) -> tuple[Copy, ...]:
        copies = tuple(copy for copy in self._holders.copies(chunk_id) if copy.holder != self._me)
        if own is None:
            return copies
        return (*copies, Copy(holder=self._me, role=own, confirmed_at_wall=self._clock.wall()))


def _manifest_cell(entry: Entry, info: ChunkInfo | None) -> int:
    if entry.record.manifest_cell is not None:
        return entry.record.manifest_cell
    return -1 if info is None else info.cell
