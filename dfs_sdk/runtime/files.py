"""Open files, read and written at offsets, and giving a finished file its name without harming another.

What is downloaded is written to files that we created ourselves: exclusively, through no link, and never under a second
name. Source: CERT C rules FIO02, FIO45 and POS35 on races between looking at a path and using it.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import threading
from contextlib import suppress
from pathlib import Path

from dfs_sdk.runtime.held_files import until_let_go
from dfs_sdk.runtime.ports import Buffer

_CAN_REFUSE_LINKS = hasattr(os, "O_NOFOLLOW")
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
# A FIFO opened for reading waits for its writer; with this flag it does not, and is then refused.
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)
# EINVAL is what Windows says on FAT.
_NO_LINKS = frozenset(
    {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES, errno.EINVAL}
)
# What file systems of other machines answer on macOS to a request to flush the drive.
_NO_FULL_SYNC = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOTTY})
FILE_MODE = 0o600
_AT_OFFSETS = hasattr(os, "pread")
_WRITE_BACK: int | None = getattr(os, "POSIX_FADV_DONTNEED", None)


class OpenFile:
    """A regular file held open; several threads may read and write it at the same time."""

    __slots__ = ("_descriptor", "_seek_lock", "path")

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor: int | None = descriptor
        self._seek_lock = threading.Lock()  # only where a system cannot read at an offset in one step

    def size(self) -> int:
        """Its length in bytes."""
        return os.fstat(self._open()).st_size

    def modified_ns(self) -> int:
        """When it was last written, in nanoseconds since the epoch."""
        return os.fstat(self._open()).st_mtime_ns

    def read_at(self, offset: int, size: int) -> bytes:
        """Read up to `size` bytes; fewer only at the end of the file."""
        pieces, left = [], size
        while left and (piece := self._read_some(offset, left)):
            pieces.append(piece)
            offset += len(piece)
            left -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def write_at(self, offset: int, data: Buffer) -> None:
        """Write all of `data`."""
        view = memoryview(data).cast("B")
        while view:
            written = self._write_some(offset, view)
            offset += written
            view = view[written:]

    def truncate(self, size: int) -> None:
        """Cut or extend it to `size` bytes."""
        os.ftruncate(self._open(), size)

    def write_back(self, offset: int, size: int) -> None:
        """Ask the system to begin with making a range durable; nothing happens where it offers no such call.

        Linux answers this advice by starting to write what is dirty; what is clean leaves the page cache.
        """
        descriptor = self._open()
        if _WRITE_BACK is not None:
            with suppress(OSError):  # a file system may refuse advice; what it fails to write `sync` will tell
                os.posix_fadvise(descriptor, offset, size, _WRITE_BACK)

    def sync(self) -> None:
        """Make what was written durable."""
        sync_descriptor(self._open())

    def close(self) -> None:
        """Let go of it; calling it again is harmless."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _read_some(self, offset: int, size: int) -> bytes:
        if _AT_OFFSETS:
            return os.pread(self._open(), size, offset)
        with self._seek_lock:
            os.lseek(self._open(), offset, os.SEEK_SET)
            return os.read(self._open(), size)

    def _write_some(self, offset: int, view: memoryview) -> int:
        if _AT_OFFSETS:
            return os.pwrite(self._open(), view, offset)
        with self._seek_lock:
            os.lseek(self._open(), offset, os.SEEK_SET)
            return os.write(self._open(), view)

    def _open(self) -> int:
        if self._descriptor is None:
            raise OSError(errno.EBADF, "the file is closed", str(self.path))
        return self._descriptor


def open_part(path: Path) -> OpenFile:
    """Open a part file of ours to read and write, creating it exclusively with mode 0600 where it is missing.

    Raises:
        FileExistsError: Something else lies there: a link, no regular file, a file with a second name or another owner.
    """
    try:
        return OpenFile(path, os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_FOLLOW, FILE_MODE))
    except FileExistsError:
        pass
    in_the_way = FileExistsError(errno.EEXIST, "something that is no part file of ours is in the way", str(path))
    if not _CAN_REFUSE_LINKS and path.is_symlink():
        raise in_the_way
    try:
        descriptor = until_let_go(lambda: os.open(path, os.O_RDWR | _NO_WAIT | _NO_FOLLOW))
    except OSError as error:
        raise in_the_way from error
    if not _is_ours(os.fstat(descriptor)):
        os.close(descriptor)
        raise in_the_way
    return OpenFile(path, descriptor)


def open_source(path: Path) -> OpenFile:
    """Open a file of the user's to read; links are followed, since the user named it.

    Raises:
        FileNotFoundError: It is missing.
        IsADirectoryError: It is a folder.
        OSError: It is no regular file, or not ours to read.
    """
    flags = os.O_RDONLY | _NO_WAIT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except PermissionError as error:
        if not path.is_dir():  # Windows opens no folder
            raise
        raise IsADirectoryError(errno.EISDIR, "this is a folder, not a file", str(path)) from error
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode):
        return OpenFile(path, descriptor)
    os.close(descriptor)
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "this is a folder, not a file", str(path))
    raise OSError(errno.EINVAL, "this is no regular file", str(path))


def publish(source: Path, target: Path, *, overwrite: bool) -> None:
    """Rename a finished file to `target`; not durable before the folder is synced.

    Args:
        source: A file in the same folder.
        target: Its name to be. A link of that name is replaced, not followed.
        overwrite: Replace what has that name; otherwise it is left alone.

    Raises:
        FileExistsError: The name is taken and `overwrite` is false; `source` is still there.
    """
    if overwrite:
        until_let_go(lambda: source.replace(target))
        return
    try:
        target.hardlink_to(source)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _publish_without_links(source, target)
    else:
        until_let_go(source.unlink)


def sync_descriptor(descriptor: int) -> None:
    """Make what was written to an open file durable, or a folder's entries."""
    if sys.platform == "darwin":
        import fcntl

        try:
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # fsync alone leaves data in the drive's own cache
        except OSError as error:
            if error.errno not in _NO_FULL_SYNC:
                raise
        else:
            return
    os.fsync(descriptor)


def _publish_without_links(source: Path, target: Path) -> None:
    """Claim the name with an empty file first, which no other program can have; it goes again if that is all."""
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW, FILE_MODE)
    claimed = os.fstat(descriptor)
    os.close(descriptor)
    try:
        until_let_go(lambda: source.replace(target))
    except OSError:
        with suppress(OSError):
            found = target.lstat()
            if os.path.samestat(claimed, found) and found.st_size == 0:
                target.unlink()
        raise


def _is_ours(status: os.stat_result) -> bool:
    owner = getattr(os, "geteuid", lambda: status.st_uid)()
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_uid == owner
