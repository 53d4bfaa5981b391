"""Documents on disk: the small durable records of the upper floors, in a database of their own.

They have no chunk file behind them, so this database is their truth and the index may be lost without it. A damaged
one is never thrown away: what can still be read is carried over, the file itself goes to quarantine/.
"""

from __future__ import annotations

import asyncio
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from dfs_sdk.errors import QuotaExceededError, StoreError
from dfs_sdk.ids import ID_BYTES, ChunkId
from dfs_sdk.runtime.ports import Disk
from dfs_sdk.store.base import RESERVED_KIND_PREFIX, closed_error, validate_document
from dfs_sdk.store.database import DamagedDatabaseError, Database, is_damage, remove_database
from dfs_sdk.store.files import QUARANTINE_FOLDER
from dfs_sdk.store.guard import DiskGuard
from dfs_sdk.store.reserve import Reserve

T = TypeVar("T")

DOCUMENTS_FILE = "documents.sqlite"
SALVAGED_FILE = "documents-salvaged.sqlite"
DOCUMENTS_VERSION = 1
PIN_KIND = RESERVED_KIND_PREFIX + "pin"

_SCHEMA = """
CREATE TABLE documents (
  kind TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (kind, key)
)
"""
Item = tuple[bytes, bytes]


class DocumentTable:
    """The table of documents in an open database. Blocks; one thread at a time.

    Args:
        database: Where it lies.
        bytes_max: The most that all values together may take.
    """

    def __init__(self, database: Database, *, bytes_max: int) -> None:
        self._database = database
        self._bytes_max = bytes_max
        row = database.connection.execute("SELECT COALESCE(SUM(LENGTH(value)), 0) FROM documents").fetchone()
        self._used_bytes = int(row[0])

    def put(self, kind: str, items: Sequence[Item]) -> None:
        """Write documents of one kind in one commit.

        Raises:
            QuotaExceededError: They would take more than the bound; none is written.
        """
        used = self._used_bytes
        with self._database.transaction() as connection:
            for key, value in items:
                used += len(value) - self._value_bytes(kind, key)
                connection.execute("INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", (kind, key, value))
            if used > max(self._bytes_max, self._used_bytes):
                raise QuotaExceededError(f"documents would take more than documents_bytes_max = {self._bytes_max}")
        self._used_bytes = used

    def get(self, kind: str, key: bytes) -> bytes | None:
        """Return a value, or None."""
        query = "SELECT value FROM documents WHERE kind = ? AND key = ?"
        row = self._database.connection.execute(query, (kind, key)).fetchone()
        return row[0] if row is not None else None

    def delete(self, kind: str, keys: Sequence[bytes]) -> None:
        """Forget documents of one kind in one commit; missing ones are fine."""
        used = self._used_bytes
        with self._database.transaction() as connection:
            for key in keys:
                used -= self._value_bytes(kind, key)
                connection.execute("DELETE FROM documents WHERE kind = ? AND key = ?", (kind, key))
        self._used_bytes = used

    def list_from(self, kind: str, start: bytes, *, after: bytes | None, prefix: bytes, limit: int) -> list[Item]:
        """Return documents in key order, from `start` on, while their keys start with `prefix`."""
        query = "SELECT key, value FROM documents WHERE kind = ? AND key >= ? AND key > ? ORDER BY key LIMIT ?"
        # In SQLite's order of types an integer is below every blob, also below the empty one.
        lowest: bytes | int = after if after is not None else -1
        found: list[Item] = []
        for key, value in self._database.connection.execute(query, (kind, start, lowest, limit)):
            if not key.startswith(prefix):
                break
            found.append((key, value))
        return found

    def pins(self) -> set[ChunkId]:
        """Return the ids of all pinned chunks."""
        items = self.list_from(PIN_KIND, b"", after=None, prefix=b"", limit=-1)
        return {ChunkId(key) for key, _ in items if len(key) == ID_BYTES}

    def set_pins(self, chunk_ids: Sequence[ChunkId], *, pinned: bool) -> None:
        """Note chunks as pinned, or no longer, in one commit."""
        keys = [bytes(chunk_id) for chunk_id in chunk_ids]
        if pinned:
            self.put(PIN_KIND, [(key, b"") for key in keys])
        else:
            self.delete(PIN_KIND, keys)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _value_bytes(self, kind: str, key: bytes) -> int:
        query = "SELECT LENGTH(value) FROM documents WHERE kind = ? AND key = ?"
        row = self._database.connection.execute(query, (kind, key)).fetchone()
        return int(row[0]) if row is not None else 0


class OpenDocuments:
    """An open table and its turn: one thread at a time.

    Args:
        table: The open table.
        guard: Runs what touches the disk.
        reserve: Given up so that deletes succeed on a full disk.
    """

    def __init__(self, table: DocumentTable, guard: DiskGuard, reserve: Reserve) -> None:
        self._table = table
        self._guard = guard
        self._reserve = reserve
        self._turn = asyncio.Lock()
        self._closed = False

    async def read(self, call: Callable[[DocumentTable], T]) -> T:
        """Run a reading call in a thread.

        Raises:
            NodeClosedError: The store was closed meanwhile.
        """
        async with self._turn:
            self._require_open()
            return await self._guard.read(lambda: call(self._table))

    async def write(self, call: Callable[[DocumentTable], None], *, frees: bool = False) -> None:
        """Run a writing call in a thread; one that `frees` room may use the reserve.

        A call that has begun ends before a cancelled caller gets its cancellation; one that waits is withdrawn.

        Raises:
            NodeClosedError: The store was closed meanwhile.
        """
        async with self._turn:
            self._require_open()
            if frees:
                await self._guard.write(lambda: self._reserve.backed(lambda: call(self._table)))
            else:
                await self._guard.write(lambda: call(self._table))

    async def write_pins(self, chunk_ids: Sequence[ChunkId], *, pinned: bool) -> None:
        """Make pins durable, or their removal."""
        await self.write(lambda table: table.set_pins(chunk_ids, pinned=pinned), frees=not pinned)

    async def close(self) -> None:
        """Close the table when the running call has ended."""
        async with self._turn:
            self._closed = True
            await self._guard.read(self._table.close)

    def _require_open(self) -> None:
        if self._closed:
            raise closed_error()


class StoredDocuments(ABC):
    """The document half of a disk store; the other half says how its table is reached."""

    @abstractmethod
    async def _read_documents(self, call: Callable[[DocumentTable], T]) -> T:
        """Run a reading call on the table."""

    @abstractmethod
    async def _write_documents(self, call: Callable[[DocumentTable], None], *, frees: bool = False) -> None:
        """Run a writing call on the table, to its end."""

    async def put_document(self, kind: str, key: bytes, value: bytes) -> None:
        """See `DocumentStore.put_document`."""
        await self.put_documents(kind, [(key, value)])

    async def put_documents(self, kind: str, items: Sequence[Item]) -> None:
        """See `DocumentStore.put_documents`."""
        for key, value in items:
            validate_document(kind, key, value)
        await self._write_documents(lambda table: table.put(kind, items))

    async def get_document(self, kind: str, key: bytes) -> bytes | None:
        """See `DocumentStore.get_document`."""
        return await self._read_documents(lambda table: table.get(kind, key))

    async def delete_document(self, kind: str, key: bytes) -> None:
        """See `DocumentStore.delete_document`."""
        validate_document(kind, key, b"")
        await self._write_documents(lambda table: table.delete(kind, [key]), frees=True)

    async def list_documents(
        self, kind: str, *, prefix: bytes = b"", after: bytes | None = None, limit: int | None = None
    ) -> list[Item]:
        """See `DocumentStore.list_documents`."""
        return await self._read_documents(
            lambda table: table.list_from(
                kind, prefix, after=after, prefix=prefix, limit=-1 if limit is None else limit
            )
        )


def open_documents(disk: Disk, folder: Path, *, bytes_max: int) -> tuple[DocumentTable, str | None]:
    """Open the documents of a store; of a damaged database what can be read is kept.

    Returns:
        The table, and what had to be repaired.

    Raises:
        StoreError: They were written by a newer version.
    """
    path, salvaged = folder / DOCUMENTS_FILE, folder / SALVAGED_FILE
    if disk.exists(salvaged) and not disk.exists(path):
        disk.replace(salvaged, path)  # a salvage was cut off at its last step
    repair = None
    try:
        database = _opened(disk, path)
        try:
            return DocumentTable(database, bytes_max=bytes_max), None
        except sqlite3.DatabaseError as error:
            database.close()
            if not is_damage(error):
                raise
            raise DamagedDatabaseError(str(error)) from error
    except DamagedDatabaseError as error:
        kept = _salvage(disk, path, salvaged)
        repair = f"{path} was damaged ({error}): {kept} documents were carried over, the file is kept"
    return DocumentTable(_opened(disk, path), bytes_max=bytes_max), repair


def _opened(disk: Disk, path: Path) -> Database:
    database = Database(disk, path, schema=_SCHEMA, version=DOCUMENTS_VERSION)
    if database.found_version > DOCUMENTS_VERSION:
        database.close()
        raise StoreError(
            f"{path} has format {database.found_version}, this program knows {DOCUMENTS_VERSION}: "
            "use the version of dfs_sdk that made it, or another folder"
        )
    return database


def _salvage(disk: Disk, path: Path, salvaged: Path) -> int:
    """Copy what can be read into a sound database and put it in the place of the damaged one."""
    remove_database(disk, salvaged)
    fresh = _opened(disk, salvaged)
    kept = 0
    with fresh.transaction() as connection:
        for row in _readable_rows(disk, path):
            connection.execute("INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", row)
            kept += 1
    fresh.close()
    number = len(disk.list_files(path.parent / QUARANTINE_FOLDER))
    disk.replace(path, path.parent / QUARANTINE_FOLDER / f"documents-{number}.sqlite")
    remove_database(disk, path)  # the logs beside it
    disk.replace(salvaged, path)
    disk.sync_folder(path.parent)
    return kept


def _readable_rows(disk: Disk, path: Path) -> Iterator[tuple[str, bytes, bytes]]:
    connection = disk.open_index(path)
    try:
        with suppress(sqlite3.Error):
            for kind, key, value in connection.execute("SELECT kind, key, value FROM documents NOT INDEXED"):
                if isinstance(kind, str) and isinstance(key, bytes) and isinstance(value, bytes):
                    yield kind, key, value
    finally:
        with suppress(sqlite3.Error):
            connection.close()
