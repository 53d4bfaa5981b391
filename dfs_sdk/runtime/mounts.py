"""Whether a path lies on a network file system, where some durability promises of a local one do not hold.

SQLite's write-ahead log needs memory shared by all its users, which no network file system gives.
Source: https://www.sqlite.org/wal.html, "All processes using a database must be on the same host computer".
"""

from __future__ import annotations

import sys
from pathlib import Path

MOUNTS = Path("/proc/mounts")

# Everything else counts as a network: mistaking a local disk for one costs speed, the reverse costs data.
LOCAL_FILE_SYSTEMS = frozenset(
    ("bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay", "ramfs", "reiserfs", "tmpfs", "xfs", "zfs")
)


def on_network(path: Path) -> bool:
    """Say whether `path` lies, or may lie, on a network file system; True wherever that cannot be told."""
    if sys.platform != "linux":
        return True
    try:
        kind = file_system_of(path.resolve(), MOUNTS.read_text(encoding="utf-8", errors="surrogateescape"))
    except OSError:
        return True
    return kind not in LOCAL_FILE_SYSTEMS


def file_system_of(path: Path, mounts: str) -> str | None:
    """Find the type of the file system that holds an absolute `path` in the text of /proc/mounts.

    The longest mount point wins, and of two equal ones the later: it covers the earlier.
    """
    best: tuple[int, str] | None = None
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = Path(_unescaped(fields[1]))
        depth = len(point.parts)
        if path.is_relative_to(point) and (best is None or depth >= best[0]):
            best = (depth, fields[2])
    return best[1] if best else None


def _unescaped(field: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, character)
    return field
