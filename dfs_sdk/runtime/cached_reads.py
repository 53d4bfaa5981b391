"""Reading a small file that the page cache has, without a wait: what a loop may do itself.

A worker thread that reads 4 KiB costs the loop some six switches of threads, most of which wait for Python's lock; the
read itself takes 4 µs. Linux can be asked to open a file only if every name on its way is in its caches, and to read
only what lies in the page cache; any other system, and any other file, is a matter for a worker.

Source: openat2(2), RESOLVE_CACHED (Linux 5.12), and preadv2(2), RWF_NOWAIT (Linux 4.14): io_uring tries its opens and
reads in the same way before it hands them to a worker.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Callable

OPENAT2 = 437  # the same on every architecture that Python's Linux wheels exist for
AT_FDCWD = -100
RESOLVE_CACHED = 0x20
# Without a block, lest somebody put a FIFO in the place of a file.
OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)


def read_cached(path: str, size: int) -> bytes | None:
    """Read a whole file of `size` bytes if that takes no wait.

    Returns:
        Its bytes; None where it may take one, where the system cannot say, where there is no such file, or one of
        another length: a read that may wait will tell.
    """
    if _open_cached is None:
        return None
    descriptor = _open_cached(os.fsencode(path))
    if descriptor < 0:
        return None
    content = bytearray(size + 1)  # one more tells a longer file
    try:
        found = os.preadv(descriptor, [content], 0, os.RWF_NOWAIT)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return bytes(memoryview(content)[:size]) if found == size else None


def _opener() -> Callable[[bytes], int] | None:
    """Bind the system call, None where there is none; it returns a descriptor, or -1."""
    if sys.platform != "linux" or not hasattr(os, "RWF_NOWAIT"):
        return None
    try:
        call = ctypes.CDLL(None).syscall
    except (AttributeError, OSError):  # a C library of another kind
        return None
    call.restype = ctypes.c_long
    number, folder = ctypes.c_long(OPENAT2), ctypes.c_int(AT_FDCWD)
    how = ctypes.create_string_buffer(struct.pack("=QQQ", OPEN_FLAGS, 0, RESOLVE_CACHED), 24)
    length = ctypes.c_size_t(len(how))

    def open_cached(path: bytes) -> int:
        return int(call(number, folder, path, how, length))

    return open_cached


_open_cached = _opener()
