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

from dfs_sdk.errors import StoreError
from dfs_sdk.files.names import safe_file_name
from dfs_sdk.files.opened import OpenedFile
from dfs_sdk.files.seal import seal_chunk
from dfs_sdk.runtime.memory import LentMemory
from dfs_sdk.runtime.ports import Buffer, Disk, DiskFile

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Sink(Protocol):
    """Takes the chunks of one file in any order; its methods are called in worker threads, several at one time."""

    @property
    def resumes(self) -> bool:
        """Whether an earlier attempt left something: then `saved` is worth asking."""
        ...

    def saved(self, index: int) -> bool:
        """Say whether an earlier attempt saved this chunk: what is there is verified."""
        ...

    def land(self, index: int, sealed: Buffer) -> None:
        """Open a chunk whose bytes were held against its id and put it in its place; twice does no harm.

        Raises:
            CorruptContentError: It is not this chunk of this file.
            StoreError: There is no room.
        """
        ...

    def write_back(self, offset: int, length: int) -> None:
        """Begin to make a stretch durable in which nothing is missing."""
        ...


class MemorySink:
    """Opens the chunks into one run of memory.

    Args:
        file: What is downloaded.
    """

    resumes = False

    def __init__(self, file: OpenedFile) -> None:
        self._opened = file
        self._memory = LentMemory(file.size)
        self._view = self._memory.getbuffer()

    def saved(self, _index: int) -> bool:
        """Memory keeps nothing between two attempts."""
        return False

    def land(self, index: int, sealed: Buffer) -> None:
        """See `Sink.land`."""
        offset, length = self._opened.span(index)
        self._opened.decrypt_into(index, sealed, self._view[offset : offset + length])

    def write_back(self, offset: int, length: int) -> None:
        """Memory is as durable as it gets."""

    def content(self) -> bytes:
        """Return the whole, once, when every chunk has landed."""
        self._view.release()
        return self._memory.getvalue()


class DestinationExistsError(FileExistsError):
    """There is a file of that name already.

    Args:
        target: The destination.
    """

    def __init__(self, target: Path) -> None:
        super().__init__(f"{target} exists: give another destination, or overwrite=True (`--overwrite`)")
        self.target = target


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
        self._scratch: list[bytearray] = []

    def open(self) -> None:
        """Make the folder and open the part file.

        Raises:
            DestinationExistsError: The destination exists and may not be replaced, or is a folder.
            StoreError: There is no room for the file.
        """
        if self._disk.exists(self.target) and (not self._overwrite or self._disk.is_folder(self.target)):
            raise DestinationExistsError(self.target)
        self._disk.make_folders(self.target.parent)
        self._file = self._disk.open_part(self.part)
        self._saved_bytes = self._file.size()
        free = self._disk.free_bytes(self.target.parent)
        if self._opened.size - self._saved_bytes > free:
            raise StoreError(f"{self.target.parent} has room for {free} bytes, the file has {self._opened.size}")

    @property
    def resumes(self) -> bool:
        """See `Sink.resumes`."""
        return self._saved_bytes > 0

    def saved(self, index: int) -> bool:
        """See `Sink.saved`."""
        offset, length = self._opened.span(index)
        if self._file is None or offset + length > self._saved_bytes:
            return False
        sealed = seal_chunk(self._opened.keys, index, self._file.read_at(offset, length))
        return sealed.chunk_id == self._opened.manifest.chunk_ids[index]

    def land(self, index: int, sealed: Buffer) -> None:
        """See `Sink.land`."""
        offset, length = self._opened.span(index)
        scratch = self._take_scratch()
        plain = memoryview(scratch)[:length]
        self._opened.decrypt_into(index, sealed, plain)
        with self._room():
            self._part().write_at(offset, plain)
        self._scratch.append(scratch)

    def write_back(self, offset: int, length: int) -> None:
        """See `Sink.write_back`."""
        self._part().write_back(offset, length)

    def finish(self) -> Path:
        """Make the file durable and give it its name.

        Raises:
            StoreError: The disk is full.
            FileExistsError: Something took the name meanwhile; the part file stays.
        """
        file = self._part()
        with self._room():
            if self._opened.chunk_count == 0:
                file.write_at(0, self._opened.contents.inline)
            file.truncate(self._opened.size)
            file.sync()
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

    def _part(self) -> DiskFile:
        if self._file is None:
            raise StoreError("the part file is not open")
        return self._file

    def _take_scratch(self) -> bytearray:
        """Take memory for one chunk: as much is kept as worker threads ever opened chunks at one time."""
        try:
            return self._scratch.pop()
        except IndexError:
            return bytearray(self._opened.manifest.chunk_bytes)

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()


def resolve_target(disk: Disk, destination: Path, name: str) -> Path:
    """Decide the path: the destination itself, or a safe name inside it if it is a folder."""
    destination = destination.expanduser()
    return destination / safe_file_name(name) if disk.is_folder(destination) else destination
