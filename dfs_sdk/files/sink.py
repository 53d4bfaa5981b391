"""Where a download goes: memory, or a part file that becomes the destination when all of it is verified.

The part file lies beside the destination, so that the last step is a rename. What an earlier attempt left in it is
never trusted: each chunk of it is sealed again and its id compared.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from dfs_sdk.crypto.hashing import Blake3
from dfs_sdk.errors import StoreError
from dfs_sdk.files.names import safe_file_name
from dfs_sdk.files.opened import OpenedFile
from dfs_sdk.files.seal import seal_chunk
from dfs_sdk.runtime.ports import Disk, DiskFile

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Sink(Protocol):
    """Takes the chunks of one file in order; its methods are called in worker threads."""

    def saved(self, index: int) -> bytes | None:
        """Return a chunk that an earlier attempt saved, verified; None if it must be fetched."""
        ...

    def write(self, index: int, data: bytes, hasher: Blake3, *, was_saved: bool) -> None:
        """Take a chunk and feed the hash of the whole."""
        ...


class MemorySink:
    """Keeps the pieces in memory."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def saved(self, _index: int) -> None:
        """Memory keeps nothing between two attempts."""

    def write(self, _index: int, data: bytes, hasher: Blake3, *, was_saved: bool) -> None:  # noqa: ARG002 - as a sink
        """Keep a chunk."""
        hasher.update(data)
        self._pieces.append(data)

    def joined(self) -> bytes:
        """Return the whole; in a worker thread, since it copies."""
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)


class PartSink:
    """Writes to `NAME.part-ID` beside the destination.

    Args:
        disk: The disk.
        target: The destination.
        file: What is downloaded.
        overwrite: Whether the destination may be replaced.
    """

    def __init__(self, disk: Disk, target: Path, file: OpenedFile, *, overwrite: bool) -> None:
        self._disk = disk
        self._opened = file
        self._overwrite = overwrite
        self.target = target
        self.part = target.with_name(f"{target.name}.part-{file.link.manifest_id.short}")
        self._file: DiskFile | None = None
        self._saved_bytes = 0

    def open(self) -> None:
        """Make the folder and open the part file.

        Raises:
            FileExistsError: The destination exists and may not be replaced, or is a folder.
            StoreError: There is no room for the file.
        """
        if self._disk.exists(self.target) and (not self._overwrite or self._disk.is_folder(self.target)):
            raise FileExistsError(f"{self.target} exists: give another destination, or overwrite=True")
        self._disk.make_folders(self.target.parent)
        self._file = self._disk.open_part(self.part)
        self._saved_bytes = self._file.size()
        free = self._disk.free_bytes(self.target.parent)
        if self._opened.size - self._saved_bytes > free:
            raise StoreError(f"{self.target.parent} has room for {free} bytes, the file has {self._opened.size}")

    def saved(self, index: int) -> bytes | None:
        """See `Sink.saved`."""
        offset, length = self._opened.span(index)
        if self._file is None or offset + length > self._saved_bytes:
            return None
        data = self._file.read_at(offset, length)
        sealed = seal_chunk(self._opened.keys, index, data)
        return data if sealed.chunk_id == self._opened.manifest.chunk_ids[index] else None

    def write(self, index: int, data: bytes, hasher: Blake3, *, was_saved: bool) -> None:
        """See `Sink.write`."""
        hasher.update(data)
        if self._file is not None and not was_saved:
            with self._room():
                self._file.write_at(self._opened.span(index)[0], data)

    def finish(self) -> Path:
        """Make the file durable and give it its name.

        Raises:
            StoreError: The disk is full.
            FileExistsError: Something took the name meanwhile; the part file stays.
        """
        if self._file is None:
            raise StoreError("the part file is not open")
        with self._room():
            if self._opened.chunk_count == 0:
                self._file.write_at(0, self._opened.contents.inline)
            self._file.truncate(self._opened.size)
            self._file.sync()
        self._close()
        self._disk.publish(self.part, self.target, overwrite=self._overwrite)
        self._disk.sync_folder(self.target.parent)
        return self.target

    def leave(self) -> None:
        """Close the part file, and delete it if nothing is in it that the next attempt could use."""
        if self._file is not None:
            empty = self._file.size() == 0
            self._close()
            if empty:
                self._disk.remove(self.part)

    @contextmanager
    def _room(self) -> Iterator[None]:
        """Say it in words when the disk fills up: others write there, too."""
        try:
            yield
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            folder = self.target.parent
            raise StoreError(f"there is no room left in {folder}: make some, then get the file again") from error

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()


def resolve_target(disk: Disk, destination: Path, name: str) -> Path:
    """Decide the path: the destination itself, or a safe name inside it if it is a folder."""
    destination = destination.expanduser()
    return destination / safe_file_name(name) if disk.is_folder(destination) else destination
