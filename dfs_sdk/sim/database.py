"""SQLite on a simulated disk: a database in memory whose commits, and nothing else, reach the platter."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dfs_sdk.sim.disk import SimDisk

_ERRORS = {
    errno.ENOSPC: ("SQLITE_FULL", "database or disk is full"),
    errno.EMFILE: ("SQLITE_NOMEM", "out of memory"),
}


class SimConnection(sqlite3.Connection):
    """A connection; what was not committed when the power goes never was."""

    _disk: SimDisk
    _path: Path

    def mount(self, disk: SimDisk, path: Path, content: bytes) -> None:
        """Say where commits go, and read what is there.

        Args:
            disk: The disk.
            path: The database's file.
            content: What the file holds; nothing for a new one.
        """
        self._disk = disk
        self._path = path
        if content:
            self.deserialize(content)

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        """Run a statement; a log in memory would keep commits from `serialize`, so there is none."""
        if sql.startswith("PRAGMA journal_mode"):
            self._disk.journal_modes.append(sql.rpartition(" ")[2])
            sql = "PRAGMA journal_mode = MEMORY"
        return super().execute(sql, *parameters)

    def commit(self) -> None:
        """Commit what is pending to the disk."""
        if self.in_transaction:
            self._disk.commit(self._path, self._committed)

    def _committed(self) -> bytes:
        super().commit()
        return self.serialize()

    def __del__(self) -> None:
        # A process that lost its power closed nothing, and Python 3.13 complains of that.
        self.close()


def sqlite_error(code: int) -> sqlite3.Error:
    """Make the error SQLite would raise for an `errno` of the disk."""
    name, words = _ERRORS.get(code, ("SQLITE_IOERR_FSYNC", "disk I/O error"))
    error = sqlite3.OperationalError(words)
    error.sqlite_errorname, error.sqlite_errorcode = name, getattr(sqlite3, name)
    return error
