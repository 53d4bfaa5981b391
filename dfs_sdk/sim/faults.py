"""How a simulated disk misbehaves: at a numbered step, for ever from one on, or now and then with some probability.

A step is one operation with a name such as `write /store/tmp/3` or `commit /store/index.db`; its first word is its
kind: `mkdir, create, write, fsync, read, rename, sync, remove, open, commit, committed, pwrite, truncate, publish`.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass

from dfs_sdk.errors import ConfigError
from dfs_sdk.runtime.ports import Rng

Fault = Callable[[int, str], int | None]
"""Given the number and the name of a step, the `errno` it fails with, or None."""

READS = ("read", "open")
WRITES = ("mkdir", "create", "write", "rename", "remove", "commit", "pwrite", "truncate", "publish")
SYNCS = ("fsync", "sync", "commit")


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskHealth:
    """How well a disk works and how fast. Ratios within [0, 1] are of operations, times in seconds.

    Attributes:
        read_error_ratio: Reads that fail with EIO.
        write_error_ratio: Changes that fail with EIO and change nothing.
        full_ratio: Changes that fail with ENOSPC.
        sync_error_ratio: fsyncs that fail; the pages count as clean afterwards and are lost.
        misdirect_ratio: Writes of which one page lands in another file; seen when the cache is gone.
        rot_ratio: Reads that find one bit of the file changed, for good.
        seek_seconds: What each operation takes.
        sync_seconds: What an fsync takes on top.
        rate_bytes: Bytes a second read or written; 0 for no limit.
    """

    read_error_ratio: float = 0.0
    write_error_ratio: float = 0.0
    full_ratio: float = 0.0
    sync_error_ratio: float = 0.0
    misdirect_ratio: float = 0.0
    rot_ratio: float = 0.0
    seek_seconds: float = 0.0
    sync_seconds: float = 0.0
    rate_bytes: float = 0.0

    def __post_init__(self) -> None:
        for name in (
            "read_error_ratio", "write_error_ratio", "full_ratio", "sync_error_ratio", "misdirect_ratio", "rot_ratio",
        ):  # fmt: skip
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}: give a ratio between 0 and 1")
        if min(self.seek_seconds, self.sync_seconds, self.rate_bytes) < 0:
            raise ConfigError("seek_seconds, sync_seconds and rate_bytes are 0 or more")

    @property
    def draws_nothing(self) -> bool:
        """Whether it does all it is asked to."""
        ratios = (self.read_error_ratio, self.write_error_ratio, self.full_ratio, self.sync_error_ratio)
        return not any((*ratios, self.misdirect_ratio, self.rot_ratio))

    def seconds(self, kind: str, size: int) -> float:
        """Say how long one operation takes."""
        taken = self.seek_seconds + (self.sync_seconds if kind in SYNCS else 0.0)
        return taken + size / self.rate_bytes if self.rate_bytes else taken

    def draw(self, kind: str, rng: Rng) -> int | None:
        """Draw the error of one operation, or None."""
        if kind in READS and self.read_error_ratio and rng.random() < self.read_error_ratio:
            return errno.EIO
        if kind in SYNCS and self.sync_error_ratio and rng.random() < self.sync_error_ratio:
            return errno.EIO
        if kind in WRITES:
            if self.full_ratio and rng.random() < self.full_ratio:
                return errno.ENOSPC
            if self.write_error_ratio and rng.random() < self.write_error_ratio:
                return errno.EIO
        return None


def never(_step: int, _name: str) -> None:
    """Fail no step."""


def once(step: int, code: int) -> Fault:
    """Fail exactly one step, by its number."""
    return lambda number, _name: code if number == step else None


def ever(step: int, code: int) -> Fault:
    """Fail every step from one on, by its number."""
    return lambda number, _name: code if number >= step else None


def named(kind: str, code: int) -> Fault:
    """Fail every step of one kind."""
    return lambda _number, name: code if name.split(" ", 1)[0] == kind else None
