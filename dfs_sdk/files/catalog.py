"""The files a node knows: those it stored, fetched or was given, kept as documents of its store.

A record holds the file's link and, for files stored here, the key that removes it: the catalog is as secret as the
identity. The manifest's sealed bytes are kept beside it, so that an owner needs nobody to read the list of chunks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Annotated

from dfs_sdk.errors import ContentNotFoundError, LinkError, ProtocolError, QuotaExceededError
from dfs_sdk.files.chunker import CHUNK_BYTES_MAX, CHUNK_COUNT_MAX
from dfs_sdk.files.health import Health
from dfs_sdk.files.link import TEXT_LENGTH_MAX, Link
from dfs_sdk.files.manifest import NAME_BYTES_MAX, REPLICAS_MAX, SIZE_MAX, Manifest, open_public
from dfs_sdk.files.names import display_name
from dfs_sdk.files.opened import CellsOf, OpenedFile, cells_in
from dfs_sdk.ids import ChunkId, NodeId
from dfs_sdk.runtime.door import Shown
from dfs_sdk.runtime.ports import Offload
from dfs_sdk.store.base import CELL_MAX, DocumentStore
from dfs_sdk.wire.codec import Range, Size, WallTime, decode, encode

RECORD_KIND = "files.catalog"
MANIFEST_KIND = "files.manifests"
ORIGIN_BYTES_MAX = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class File(Shown):
    """A file of the catalog.

    Attributes:
        name: Its name, safe to show; what it is saved as is decided by `names.safe_file_name`.
        link: What reads it. Printing a `File` does not show it; `str(file.link)` does.
        size: Plain bytes.
        chunk_bytes: Plain bytes of each chunk but the last; 0 while only its sender's word is known.
        chunk_count: Number of chunks, the manifest not counted; 0 for a tiny file.
        replicas: Copies of each chunk its owner wants; 0 while unknown.
        pinned: Whether a whole copy is kept here whatever happens.
        origin: `put`, `got` or `shared by NAME`.
        owned: Whether it was stored from here and can be removed from here.
        created_at_wall: When it entered the catalog, in seconds since the epoch.
    """

    name: str
    link: Link
    size: int
    chunk_bytes: int = 0
    chunk_count: int = 0
    replicas: int = 0
    pinned: bool = False
    origin: str = "got"
    owned: bool = False
    created_at_wall: float = 0.0

    @property
    def file_id(self) -> str:
        """First digits of the manifest's id."""
        return self.link.manifest_id.short

    def __str__(self) -> str:
        return f"{self.name} ({self.size} bytes, {self.chunk_count} chunks)"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileStat(File):
    """A file and how well it is kept at this moment.

    Attributes:
        copies_min: Confirmed reachable copies of its scarcest chunk.
        copies_wanted: Copies its owner wants.
        health: In a word.
        holders: Peers that hold any of it.
        media_type: Such as `text/csv`, or empty.
        copies_elsewhere: Copies of its scarcest chunk at other nodes that can be reached.
        machines_elsewhere: Machines of such nodes that hold the chunk that is on the fewest.
    """

    copies_min: int = 0
    copies_wanted: int = 0
    health: Health = Health.UNAVAILABLE
    holders: tuple[NodeId, ...] = ()
    media_type: str = ""
    copies_elsewhere: int = 0
    machines_elsewhere: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A file as its document keeps it; fields as in `File`, the name as its owner gave it.

    Attributes:
        removal_key: What removes the file, 32 bytes; empty for files of others.
        sender: Who shared it.
        manifest_cell: Placement cell of the manifest; None while unknown.
    """

    name: Annotated[str, Size(0, NAME_BYTES_MAX)]
    link: Annotated[str, Size(1, TEXT_LENGTH_MAX)] = field(repr=False)
    size: Annotated[int, Range(0, SIZE_MAX)]
    chunk_bytes: Annotated[int, Range(0, CHUNK_BYTES_MAX)]
    chunk_count: Annotated[int, Range(0, CHUNK_COUNT_MAX)]
    replicas: Annotated[int, Range(0, REPLICAS_MAX)]
    pinned: bool
    origin: Annotated[str, Size(0, ORIGIN_BYTES_MAX)]
    created_at_wall: WallTime
    removal_key: Annotated[bytes, Size(0, 32)] = field(default=b"", repr=False)
    sender: NodeId | None = None
    manifest_cell: Annotated[int, Range(0, CELL_MAX)] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file and what only its owner and the audits need.

    Attributes:
        file: The file as users see it.
        record: What is written down.
        manifest: The public part of its manifest; None for a share nobody opened yet.
        cells: The placement cell of each chunk.
        manifest_bytes: Length of the sealed manifest; 0 while it is not kept here.
    """

    file: File
    record: Record
    manifest: Manifest | None
    cells: tuple[int, ...] = ()
    manifest_bytes: int = 0

    @property
    def chunk_ids(self) -> tuple[ChunkId, ...]:
        """The chunks that are known, the manifest first."""
        manifest_id = self.file.link.manifest_id
        return (manifest_id,) if self.manifest is None else (manifest_id, *self.manifest.chunk_ids)

    @property
    def known_cells(self) -> dict[ChunkId, int]:
        """The cells that are known."""
        cells = {} if self.manifest is None else dict(zip(self.manifest.chunk_ids, self.cells, strict=True))
        if self.record.manifest_cell is not None:
            cells[self.file.link.manifest_id] = self.record.manifest_cell
        return cells


class Catalog:
    """The files known, in memory and on disk.

    Args:
        store: Where the documents are.
        offload: For opening many manifests.
        cells_of: Names the candidate cells of a chunk.
        files_max: Files remembered; further ones are refused.

    Attributes:
        version: Grows with every change.
    """

    def __init__(self, store: DocumentStore, offload: Offload, cells_of: CellsOf, *, files_max: int) -> None:
        self._store = store
        self._offload = offload
        self._cells_of = cells_of
        self._files_max = files_max
        self._entries: dict[ChunkId, Entry] = {}
        self.version = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(tuple(self._entries.values()))

    def __contains__(self, manifest_id: object) -> bool:
        return manifest_id in self._entries

    def get(self, manifest_id: ChunkId) -> Entry | None:
        """Return what is known of a file."""
        return self._entries.get(manifest_id)

    async def load(self) -> None:
        """Read the documents; a damaged one is passed over."""
        manifests = dict(await self._store.list_documents(MANIFEST_KIND))
        entries = []
        for key, value in await self._store.list_documents(RECORD_KIND):
            entry = await self._offload.run(_read_entry, value, manifests.get(key), self._cells_of)
            if entry is not None and bytes(entry.file.link.manifest_id) == key:
                entries.append(entry)
        entries.sort(key=lambda entry: entry.file.created_at_wall)
        self._entries = {entry.file.link.manifest_id: entry for entry in entries}
        self.version += 1

    async def add(self, record: Record, manifest: Manifest | None, sealed: bytes | None) -> File:
        """Write a file down, replacing what was known of it.

        Args:
            record: What to remember.
            manifest: The public part of its manifest, if it was opened.
            sealed: The manifest's sealed bytes, if they are to be kept.

        Raises:
            QuotaExceededError: The catalog is full.
        """
        file = file_of(record)
        manifest_id = file.link.manifest_id
        if manifest_id not in self._entries and len(self._entries) >= self._files_max:
            raise QuotaExceededError(f"the catalog holds {self._files_max} files: remove some")
        key = bytes(manifest_id)
        if sealed is not None:
            await self._store.put_document(MANIFEST_KIND, key, sealed)
        await self._store.put_document(RECORD_KIND, key, encode(record))
        cells = () if manifest is None else await self._offload.run(cells_in, manifest, self._cells_of)
        known = self._entries.get(manifest_id)
        kept_bytes = len(sealed) if sealed is not None else 0 if known is None else known.manifest_bytes
        self._entries[manifest_id] = Entry(
            file=file, record=record, manifest=manifest, cells=cells, manifest_bytes=kept_bytes
        )
        self.version += 1
        return file

    async def remember(self, file: OpenedFile, *, now_wall: float) -> Entry:
        """Write down what opening a file has shown: a share nobody opened yet is completed, the rest stays.

        A full catalog forgets nothing and refuses nothing here: the file is just not listed.
        """
        known = self._entries.get(file.link.manifest_id)
        if known is not None and known.manifest is not None:
            return known
        entry = described(file, known, now_wall=now_wall)
        with suppress(QuotaExceededError):
            await self.add(entry.record, file.manifest, file.sealed)
        return entry

    async def set_pinned(self, manifest_id: ChunkId, *, pinned: bool) -> None:
        """Remember that a file is pinned, or no longer."""
        entry = self._entries[manifest_id]
        await self.add(replace(entry.record, pinned=pinned), entry.manifest, None)

    async def manifest_bytes(self, manifest_id: ChunkId) -> bytes | None:
        """Return the sealed manifest if it is kept here."""
        return await self._store.get_document(MANIFEST_KIND, bytes(manifest_id))

    async def remove(self, manifest_id: ChunkId) -> None:
        """Forget a file; one that is not known is fine."""
        self._entries.pop(manifest_id, None)
        self.version += 1
        await self._store.delete_document(RECORD_KIND, bytes(manifest_id))
        await self._store.delete_document(MANIFEST_KIND, bytes(manifest_id))

    def entry(self, manifest_id: ChunkId) -> Entry:
        """Return what is known of a file.

        Raises:
            ContentNotFoundError: It is not in the catalog.
        """
        found = self._entries.get(manifest_id)
        if found is None:
            raise ContentNotFoundError(f"file {manifest_id.short} is not in this node's list")
        return found


def file_of(record: Record) -> File:
    """Make of a record what users see.

    Raises:
        LinkError: The record's link is damaged.
    """
    return File(
        name=display_name(record.name),
        link=Link.parse(record.link),
        size=record.size,
        chunk_bytes=record.chunk_bytes,
        chunk_count=record.chunk_count,
        replicas=record.replicas,
        pinned=record.pinned,
        origin=record.origin,
        owned=bool(record.removal_key),
        created_at_wall=record.created_at_wall,
    )


def described(file: OpenedFile, known: Entry | None, *, now_wall: float) -> Entry:
    """Make an entry of an opened file, keeping how it came to be known."""
    record = Record(
        name=file.contents.name,
        link=str(file.link),
        size=file.size,
        chunk_bytes=file.manifest.chunk_bytes,
        chunk_count=file.chunk_count,
        replicas=file.manifest.replicas,
        pinned=known is not None and known.record.pinned,
        origin="got" if known is None else known.record.origin,
        created_at_wall=now_wall if known is None else known.record.created_at_wall,
        sender=None if known is None else known.record.sender,
        manifest_cell=None if known is None else known.record.manifest_cell,
    )
    return Entry(
        file=file_of(record),
        record=record,
        manifest=file.manifest,
        cells=file.cells,
        manifest_bytes=len(file.sealed),
    )


def described_publicly(link: Link, manifest: Manifest, cells_of: CellsOf, *, now_wall: float) -> Entry:
    """Make an entry of what a verify link shows: no name, and the largest size the manifest allows."""
    bound = (1 << manifest.size_class) - 1
    record = Record(
        name=f"file {link.manifest_id.short}",
        link=str(link),
        size=min(bound, manifest.chunk_count * manifest.chunk_bytes) if manifest.chunk_count else bound,
        chunk_bytes=manifest.chunk_bytes,
        chunk_count=manifest.chunk_count,
        replicas=manifest.replicas,
        pinned=False,
        origin="got",
        created_at_wall=now_wall,
    )
    return Entry(file=file_of(record), record=record, manifest=manifest, cells=cells_in(manifest, cells_of))


def _read_entry(value: bytes, sealed: bytes | None, cells_of: CellsOf) -> Entry | None:
    try:
        record = decode(Record, value)
        file = file_of(record)
        manifest = open_public(file.link.verify_key, sealed)[0] if sealed is not None else None
    except (ProtocolError, LinkError):
        return None
    cells = () if manifest is None else cells_in(manifest, cells_of)
    return Entry(file=file, record=record, manifest=manifest, cells=cells, manifest_bytes=len(sealed or b""))
