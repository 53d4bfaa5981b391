"""A file that only takes up room: given up on a full disk, so that deletes and an orderly end still work. Blocks."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from dfs_sdk.runtime.ports import Disk
from dfs_sdk.store.config import StoreConfig
from dfs_sdk.store.faults import Fault, fault_of

RESERVE_FILE = "reserve"


class Reserve:
    """The reserve of one store folder."""

    def __init__(self, disk: Disk, folder: Path, config: StoreConfig) -> None:
        self._disk = disk
        self._folder = folder
        self._path = folder / RESERVE_FILE
        self._bytes = config.reserve_bytes
        self._free_bytes_min = config.free_bytes_min

    def renew(self) -> None:
        """Put the file in its place where there is room for it."""
        if self._bytes == 0 or self._disk.exists(self._path):
            return
        if self._disk.free_bytes(self._folder) >= self._free_bytes_min + 2 * self._bytes:
            with suppress(OSError):  # the store works without it, only less gracefully on a full disk
                self._disk.write_new(self._path, bytes(self._bytes))

    def backed(self, call: Callable[[], None]) -> None:
        """Make a call that must not fail for lack of room: if it does, give up the reserve and make it again."""
        try:
            call()
        except (OSError, sqlite3.Error) as error:
            if fault_of(error) is not Fault.FULL or not self._disk.exists(self._path):
                raise
            self._disk.remove(self._path)
            call()
