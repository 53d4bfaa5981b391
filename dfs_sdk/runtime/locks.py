"""A lock on a folder against other processes, kept by the operating system: a killed holder lets go at once.

The lock file itself stays empty and in place. Who holds it is written in a second file beside it: Windows lets nobody
read a locked file.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

HOLDER_SUFFIX = ".holder"
HOLDER_BYTES_MAX = 32


class FileDiskLock:
    """A held lock; made by `take_lock`."""

    __slots__ = ("_holder", "_lock", "_owner_pid")

    def __init__(self, lock: FileLock, holder: Path) -> None:
        self._lock = lock
        self._holder = holder
        self._owner_pid = os.getpid()

    def release(self) -> None:
        """Free the lock; calling it again, or in a forked child, is harmless."""
        if os.getpid() == self._owner_pid and self._lock.is_locked:
            _forget_holder(self._holder)
            self._lock.release()


def take_lock(path: Path) -> FileDiskLock:
    """Take the lock kept in the file `path`, at once or not at all.

    Raises:
        BlockingIOError: Another holder has it; `strerror` names its process where that is known.
        OSError: The lock file cannot be made.
    """
    holder = path.with_name(path.name + HOLDER_SUFFIX)
    lock = FileLock(path, mode=0o600, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise BlockingIOError(errno.EWOULDBLOCK, _holder_in_words(holder), str(path)) from None
    try:
        holder.write_text(f"{os.getpid()}\n", encoding="ascii")
    except OSError:
        _forget_holder(holder)  # on a full disk the lock is good without its note
    return FileDiskLock(lock, holder)


def _forget_holder(holder: Path) -> None:
    with suppress(OSError):  # Windows deletes nothing that another process is just reading; the lock counts, not this
        holder.unlink(missing_ok=True)


def _holder_in_words(holder: Path) -> str:
    try:
        with holder.open("rb") as file:
            text = file.read(HOLDER_BYTES_MAX).strip()
    except OSError:
        text = b""
    if not (text.isdigit() and text.isascii()):
        return "another process"
    return "this process" if int(text) == os.getpid() else f"process {int(text)}"
