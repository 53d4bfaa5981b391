"""What a simulated disk hands out: open files and locks."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING

from dfs_sdk.runtime.ports import Buffer
from dfs_sdk.sim.platter import SimFile

if TYPE_CHECKING:
    from dfs_sdk.sim.disk import SimDisk


class PowerCut(BaseException):
    """The power went: nothing catches this, and no operation works after it."""


class SimDiskLock:
    """A lock that ends with its disk."""

    __slots__ = ("_disk", "_path")

    def __init__(self, disk: SimDisk, path: Path) -> None:
        self._disk = disk
        self._path = path

    def release(self) -> None:
        """Free the lock; calling it again is harmless."""
        self._disk.locked.discard(self._path)


class SimOpenFile:
    """A `DiskFile`: an open file of a simulated disk."""

    __slots__ = ("_disk", "_file", "path")

    def __init__(self, disk: SimDisk, path: Path, file: SimFile) -> None:
        self.path = path
        self._disk = disk
        self._file: SimFile | None = file

    def size(self) -> int:
        """See `DiskFile`."""
        return self._open().size

    def modified_ns(self) -> int:
        """See `DiskFile`."""
        return self._open().modified_ns

    def read_at(self, offset: int, size: int) -> bytes:
        """See `DiskFile`."""
        file = self._open()
        self._disk.step(f"read {self.path}", size=size)
        return file.content[offset : offset + size]

    def write_at(self, offset: int, data: Buffer) -> None:
        """See `DiskFile`."""
        file, content = self._open(), bytes(data)
        self._disk.step(f"pwrite {self.path}", size=len(content))
        if content:
            self._disk.require_room(offset + len(content) - file.size, self.path)
            file.write_at(offset, content)
            file.modified_ns = self._disk.now_ns()

    def truncate(self, size: int) -> None:
        """See `DiskFile`."""
        file = self._open()
        self._disk.step(f"truncate {self.path}")
        self._disk.require_room(size - file.size, self.path)
        file.truncate(size)
        file.modified_ns = self._disk.now_ns()

    def write_back(self, offset: int, size: int) -> None:
        """See `DiskFile`; it promises nothing, and does nothing."""

    def sync(self) -> None:
        """See `DiskFile`."""
        file = self._open()
        try:
            self._disk.step(f"fsync {self.path}")
        except OSError:
            file.lose_sync()
            raise
        file.sync()

    def close(self) -> None:
        """See `DiskFile`."""
        self._file = None

    def _open(self) -> SimFile:
        if self._file is None:
            raise OSError(errno.EBADF, "the file is closed", str(self.path))
        return self._file
