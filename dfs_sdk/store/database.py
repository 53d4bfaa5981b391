"""An SQLite database as the store uses it: one connection, one user, every commit on the disk before it returns.

Everything here blocks and runs in offload threads, one at a time for each database.
Source: https://www.sqlite.org/pragma.html for journal_mode, locking_mode, synchronous and fullfsync.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dfs_sdk.runtime.ports import Disk

SIDE_FILES = ("-wal", "-shm", "-journal")
JOURNAL_BYTES_MAX = 16 * 1024 * 1024


class DamagedDatabaseError(Exception):
    """The file is no database, or one that SQLite finds inconsistent."""


class Database:
    """An open database file.

    Args:
        disk: Opens the file.
        path: Its path; its folder exists.
        schema: The statement that makes its one table.
        version: Of the schema, from 1.

    Raises:
        DamagedDatabaseError: The file is damaged; it is left as it is, closed.
        OSError, sqlite3.Error: The file cannot be opened.
    """

    def __init__(self, disk: Disk, path: Path, *, schema: str, version: int) -> None:
        self.path = path
        self.found_version: int = 0
        self._connection = disk.open_index(path)
        try:
            self._set_up(network=disk.on_network(path))
            if self.found_version == 0:
                self._create(schema, version)
            self._require_sound()
        except sqlite3.DatabaseError as error:
            self.close()
            if is_damage(error):
                raise DamagedDatabaseError(str(error)) from error
            raise
        except BaseException:
            self.close()
            raise

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection, for reading."""
        return self._connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Make all changes of the block durable at its end, or none of them."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
            self._connection.commit()
        except BaseException:
            with suppress(sqlite3.Error):
                self._connection.rollback()
            raise

    def close(self) -> None:
        """Close the file; calling it again is harmless."""
        with suppress(sqlite3.Error):  # nothing is pending: every change was committed in its transaction
            self._connection.close()

    def _set_up(self, *, network: bool) -> None:
        self._connection.isolation_level = None
        # Exclusive comes first: a write-ahead log opened so keeps its index in our memory instead of a shared file.
        self._pragma("locking_mode = EXCLUSIVE")
        self._pragma(f"journal_mode = {'DELETE' if network else 'WAL'}")
        self._pragma("synchronous = FULL")
        # On macOS fsync alone leaves data in the drive's own cache; elsewhere these say nothing.
        self._pragma("fullfsync = ON")
        self._pragma("checkpoint_fullfsync = ON")
        self._pragma(f"journal_size_limit = {JOURNAL_BYTES_MAX}")
        self._pragma("trusted_schema = OFF")
        self.found_version = self._connection.execute("PRAGMA user_version").fetchone()[0]

    def _create(self, schema: str, version: int) -> None:
        with self.transaction() as connection:
            connection.execute(schema)
            connection.execute(f"PRAGMA user_version = {version:d}")

    def _require_sound(self) -> None:
        verdict = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise DamagedDatabaseError(str(verdict))

    def _pragma(self, text: str) -> None:
        self._connection.execute(f"PRAGMA {text}").fetchone()


def is_damage(error: sqlite3.Error) -> bool:
    """Say whether an error means that the file's content is damaged, not that it cannot be reached."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # raised by the Python module itself: the content has an unexpected shape
        return True
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISMATCH)


def remove_database(disk: Disk, path: Path) -> None:
    """Delete a closed database and what belongs to it, the main file last.

    The log goes first: found beside a new database it would be replayed into it.
    """
    for suffix in SIDE_FILES:
        disk.remove(path.with_name(path.name + suffix))
    disk.remove(path)
