"""The chunk index: what `Holdings` needs at the next start, so that no file has to be opened for it.

It holds nothing that the chunk files do not say themselves, except the time of the last read: lost or damaged it is
rebuilt from them.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dfs_sdk.ids import ChunkId
from dfs_sdk.runtime.ports import Disk
from dfs_sdk.store.base import CELL_MAX, CHUNK_BYTES_MAX, REMOVAL_HASH_BYTES, REPLICAS_MAX, ChunkInfo, Role
from dfs_sdk.store.database import DamagedDatabaseError, Database, is_damage, remove_database

INDEX_FILE = "index.sqlite"
INDEX_VERSION = 1

_SCHEMA = """
CREATE TABLE chunks (
  id BLOB PRIMARY KEY, size INTEGER NOT NULL, cell INTEGER NOT NULL, role INTEGER NOT NULL,
  removal_hash BLOB NOT NULL, stored_at REAL NOT NULL, last_read_at REAL NOT NULL,
  replicas INTEGER NOT NULL
) WITHOUT ROWID
"""
_Row = tuple[bytes, int, int, int, bytes, float, float, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexChanges:
    """What one commit writes.

    Attributes:
        kept: Chunks that are held, with all their fields.
        dropped: Chunks that are not.
        reads: Held chunks of which only the last read is to be written.
    """

    kept: Sequence[ChunkInfo] = ()
    dropped: Sequence[ChunkId] = ()
    reads: Sequence[ChunkInfo] = ()


class ChunkIndex:
    """The table of chunks in an open database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self) -> dict[ChunkId, ChunkInfo]:
        """Read all rows.

        Raises:
            DamagedDatabaseError: A row cannot be what we wrote.
        """
        try:
            rows = self._database.connection.execute("SELECT * FROM chunks ORDER BY id")
            return {info.chunk_id: info for info in map(_info_of, rows)}
        except sqlite3.DatabaseError as error:
            if is_damage(error):
                raise DamagedDatabaseError(str(error)) from error
            raise
        except (TypeError, ValueError) as error:
            raise DamagedDatabaseError(str(error)) from error

    def apply(self, batch: Iterable[IndexChanges]) -> None:
        """Write the changes in order, all in one durable commit."""
        with self._database.transaction() as connection:
            for changes in batch:
                connection.executemany("DELETE FROM chunks WHERE id = ?", [(key,) for key in changes.dropped])
                connection.executemany(
                    "UPDATE chunks SET last_read_at = ? WHERE id = ?",
                    [(info.last_read_at_wall, info.chunk_id) for info in changes.reads],
                )
                connection.executemany(
                    "INSERT OR REPLACE INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?)", map(_row_of, changes.kept)
                )

    def close(self) -> None:
        """Close the database."""
        self._database.close()


def open_index(disk: Disk, folder: Path) -> tuple[ChunkIndex, dict[ChunkId, ChunkInfo]]:
    """Open the index of a store and read it; a damaged one is replaced by an empty one."""
    path = folder / INDEX_FILE
    try:
        return _opened(disk, path)
    except DamagedDatabaseError:
        remove_database(disk, path)
        return _opened(disk, path)


def _opened(disk: Disk, path: Path) -> tuple[ChunkIndex, dict[ChunkId, ChunkInfo]]:
    database = Database(disk, path, schema=_SCHEMA, version=INDEX_VERSION)
    try:
        if database.found_version not in (0, INDEX_VERSION):
            raise DamagedDatabaseError(f"an index of version {database.found_version}")
        index = ChunkIndex(database)
        return index, index.load()
    except BaseException:
        database.close()
        raise


def _row_of(info: ChunkInfo) -> _Row:
    return (
        bytes(info.chunk_id),
        info.size,
        info.cell,
        info.role.value,
        info.removal_hash,
        info.stored_at_wall,
        info.last_read_at_wall,
        info.replicas,
    )


def _info_of(row: _Row) -> ChunkInfo:
    chunk_id, size, cell, role, removal_hash, stored_at, last_read_at, replicas = row
    sound = 0 <= size <= CHUNK_BYTES_MAX and 0 <= cell <= CELL_MAX and len(removal_hash) in (0, REMOVAL_HASH_BYTES)
    sound = sound and 1 <= replicas <= REPLICAS_MAX
    if not (sound and math.isfinite(stored_at) and math.isfinite(last_read_at)):
        raise ValueError("a row is out of range")
    return ChunkInfo(
        chunk_id=ChunkId(chunk_id),
        size=size,
        cell=cell,
        role=Role(role),
        removal_hash=removal_hash,
        stored_at_wall=stored_at,
        last_read_at_wall=last_read_at,
        replicas=replicas,
    )
