"""Chunk files: one file a chunk, named by its id, with a header that makes it whole by itself.

Everything here blocks and runs in offload threads; several threads may write at once, never the same chunk. A chunk
appears under its name only when all of it is on the disk: tmp/ → exclusive create → write → fsync → rename → fsync of
the folder.
"""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from dfs_sdk.errors import CorruptContentError
from dfs_sdk.ids import ID_BYTES, ChunkId
from dfs_sdk.runtime.ports import Buffer, Disk
from dfs_sdk.store.base import ChunkInfo
from dfs_sdk.store.header import HEADER_BYTES, decode_header, encode_header
from dfs_sdk.store.verify import matches

# What a file takes beside its chunk; one more tells a longer file.
ROOM_BYTES = HEADER_BYTES + 1

CHUNKS_FOLDER = "chunks"
TEMPORARY_FOLDER = "tmp"
QUARANTINE_FOLDER = "quarantine"

# Evicted chunks are most of them, and their deletion is long on the disk when so many others have followed.
LEFTOVERS_MAX = 16_384


class StagedFile(NamedTuple):
    """A file to be: what goes into it, and where it is written first."""

    info: ChunkInfo
    data: Buffer
    temporary: Path


class ChunkFiles:
    """The chunk files below one store folder."""

    def __init__(self, disk: Disk, folder: Path, *, quarantine_files_max: int) -> None:
        self._disk = disk
        self._folder = folder
        self._chunks = folder / CHUNKS_FOLDER
        self._temporary = folder / TEMPORARY_FOLDER
        self._quarantine = folder / QUARANTINE_FOLDER
        self._quarantine_files_max = quarantine_files_max
        self._durable_folders: set[Path] = set()
        self._leftovers: dict[ChunkId, None] = {}
        self._numbers = itertools.count()

    @property
    def leftovers(self) -> Container[ChunkId]:
        """The chunks that are not held, yet a start may find their file: deleted, but not durably, or not at all."""
        return self._leftovers

    def path(self, chunk_id: ChunkId) -> Path:
        """Say where a chunk's file lies."""
        name = chunk_id.hex()
        return self._chunks / name[:2] / name

    def prepare(self) -> None:
        """Make the folders and clear what an interrupted write left in tmp/."""
        for folder in (self._chunks, self._temporary, self._quarantine):
            self._disk.make_folders(folder)
        self._disk.sync_folder(self._folder)
        for leftover in self._disk.list_files(self._temporary):
            self._disk.remove(leftover)
        # A folder found here may be known to the page cache only: `_make_durable` syncs each before its first use.
        self._durable_folders.clear()
        self._leftovers.clear()

    def scan(self) -> list[ChunkId]:
        """List the ids of all chunk files, ascending."""
        found: list[ChunkId] = []
        for folder in self._disk.list_folders(self._chunks):
            for path in self._disk.list_files(folder):
                chunk_id = _id_of(path)
                if chunk_id is not None:
                    found.append(chunk_id)
        return found

    def write(self, items: Sequence[tuple[ChunkInfo, Buffer]], *, fresh: Iterable[ChunkId]) -> None:
        """Write files, all or none of them, durably; a present one is replaced.

        Args:
            items: What to write.
            fresh: The ids that had no file before: after a failure they have none again.

        Raises:
            OSError: The disk refused.
        """
        staged = self.plan(items)
        try:
            self.stage(staged)
            self.sync(self.publish(staged))
        except BaseException:
            self.discard(staged, fresh=fresh)
            raise

    def plan(self, items: Iterable[tuple[ChunkInfo, Buffer]]) -> list[StagedFile]:
        """Say where files will be written and end up; touches nothing."""
        return [
            StagedFile(info, data, self._temporary / f"{next(self._numbers):x}-{info.chunk_id.short}")
            for info, data in items
        ]

    def stage(self, staged: Iterable[StagedFile]) -> None:
        """Write and fsync files in tmp/; several threads may stage parts of one plan."""
        for file in staged:
            self._disk.write_new(file.temporary, encode_header(file.info), file.data)

    def publish(self, staged: Sequence[StagedFile]) -> list[Path]:
        """Give staged files their names, and return the folders to `sync` before they count as durable."""
        targets = [self.path(file.info.chunk_id) for file in staged]
        folders = sorted({target.parent for target in targets})
        self._make_durable(folders)
        for file, target in zip(staged, targets, strict=True):
            self._disk.replace(file.temporary, target)
            self._leftovers.pop(file.info.chunk_id, None)
        return folders

    def sync(self, folders: Iterable[Path]) -> None:
        """Make the names in folders durable; several threads may share the folders of one plan."""
        for folder in folders:
            self._disk.sync_folder(folder)

    def secure(self, chunk_ids: Iterable[ChunkId]) -> None:
        """Make the names of files durable that were found."""
        folders = sorted({self.path(chunk_id).parent for chunk_id in chunk_ids})
        self._make_durable(folders)
        self.sync(folders)

    def discard(self, staged: Iterable[StagedFile], *, fresh: Iterable[ChunkId]) -> None:
        """Remove what a plan that failed has left: its files in tmp/, and those of `fresh` chunks under their names."""
        self._undo([file.temporary for file in staged])
        ids = list(fresh)
        self._note_leftovers(ids)
        self._undo([self.path(chunk_id) for chunk_id in ids])

    def load(self, chunk_id: ChunkId) -> tuple[ChunkInfo, Buffer]:
        """Read a chunk and verify all of it.

        Raises:
            FileNotFoundError: There is no such file.
            CorruptContentError: Its header, its length or its bytes are wrong.
            OSError: The disk cannot read it.
        """
        return self._verified(chunk_id, self._disk.read(self.path(chunk_id)))

    def load_into(self, chunk_id: ChunkId, room: memoryview, *, verify: bool) -> Buffer:
        """Read a chunk into memory at hand; raises like `load`.

        Args:
            chunk_id: The chunk.
            room: `ROOM_BYTES` longer than the chunk; nobody may write to it while the result is looked at.
            verify: Whether to verify its bytes, and not only its header and length.

        Returns:
            Its bytes, a read-only part of `room`.
        """
        size = self._disk.read_into(self.path(chunk_id), room)
        return self._verified(chunk_id, room[:size].toreadonly(), verify=verify)[1]

    def load_cached(self, chunk_id: ChunkId, size: int) -> Buffer | None:
        """Read and verify a chunk of `size` bytes as `load` does, if no disk has to be waited for.

        Returns:
            Its bytes, or None where `load` has to tell what is there.
        """
        content = self._disk.read_cached(self.path(chunk_id), HEADER_BYTES + size)
        if content is None:
            return None
        try:
            return self._verified(chunk_id, content)[1]
        except CorruptContentError:
            return None

    def _verified(self, chunk_id: ChunkId, content: Buffer, *, verify: bool = True) -> tuple[ChunkInfo, Buffer]:
        info = decode_header(content)
        data = memoryview(content)[HEADER_BYTES:]
        if info.chunk_id != chunk_id or info.size != len(data) or (verify and not matches(chunk_id, data)):
            raise CorruptContentError(f"the bytes of chunk {chunk_id.short} on the disk are damaged")
        return info, data

    def load_header(self, chunk_id: ChunkId) -> ChunkInfo:
        """Read a chunk's header and compare it with the file's name and length; raises like `load`."""
        path = self.path(chunk_id)
        info = decode_header(self._disk.read(path, HEADER_BYTES))
        if info.chunk_id != chunk_id or self._disk.size(path) != HEADER_BYTES + info.size:
            raise CorruptContentError(f"the file of chunk {chunk_id.short} is cut short or misnamed")
        return info

    def remove(self, chunk_ids: Iterable[ChunkId], *, durably: bool) -> None:
        """Delete files; missing ones are fine.

        Args:
            chunk_ids: Whose files to delete.
            durably: Wait until no crash can bring them back.
        """
        ids = list(chunk_ids)
        self._note_leftovers(ids)
        paths = [self.path(chunk_id) for chunk_id in ids]
        for path in paths:
            self._disk.remove(path)
        if durably:
            for folder in dict.fromkeys(path.parent for path in paths):
                if self._disk.exists(folder):
                    self._disk.sync_folder(folder)
            for chunk_id in ids:
                self._leftovers.pop(chunk_id, None)

    def quarantine(self, chunk_id: ChunkId) -> None:
        """Put a damaged file aside as evidence, or delete it where there is enough of that; a missing one is fine."""
        path = self.path(chunk_id)
        self._note_leftovers([chunk_id])
        if len(self._disk.list_files(self._quarantine)) >= self._quarantine_files_max:
            self._disk.remove(path)
            return
        with suppress(FileNotFoundError):
            self._disk.replace(path, self._quarantine / path.name)

    def _make_durable(self, folders: Iterable[Path]) -> None:
        doubtful = [folder for folder in folders if folder not in self._durable_folders]
        if doubtful:
            for folder in doubtful:
                self._disk.make_folders(folder)
            self._disk.sync_folder(self._chunks)
            self._durable_folders.update(doubtful)

    def _undo(self, paths: Iterable[Path]) -> None:
        for path in paths:
            with suppress(OSError):  # `prepare` clears tmp/ at the next start, and a whole chunk does no harm
                self._disk.remove(path)

    def _note_leftovers(self, chunk_ids: Iterable[ChunkId]) -> None:
        self._leftovers.update(dict.fromkeys(chunk_ids))
        while len(self._leftovers) > LEFTOVERS_MAX:
            self._leftovers.pop(next(iter(self._leftovers)), None)


def _id_of(path: Path) -> ChunkId | None:
    name = path.name
    try:
        chunk_id = ChunkId.from_hex(name) if len(name) == 2 * ID_BYTES else None
    except ValueError:
        return None
    # Only the spelling we write ourselves: another one would be a second name for the same chunk.
    return chunk_id if chunk_id is not None and chunk_id.hex() == name and path.parent.name == name[:2] else None
