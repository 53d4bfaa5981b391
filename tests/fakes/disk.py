"""A disk in memory that loses power, runs full and breaks on command.

It promises what a real one promises and no more. Data is safe after the fsync in `write_new`; an entry of a folder
(made, renamed, deleted) after `sync_folder`; an SQLite commit at once. What is not safe when the power goes may be
kept, lost or, for data, torn: the test chooses. Every operation is one or more numbered steps at which the power may
go or an error may strike.
"""

from __future__ import annotations

import errno
import os
import random
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dfs_sdk.runtime.ports import Buffer

Survival = Callable[[], bool]


class PowerCut(BaseException):
    """The power went: nothing catches this, and no operation works after it."""


@dataclass(slots=True)
class FakeFile:
    """A file: what a reader sees and what the platter has."""

    content: bytes = b""
    durable: bytes | None = None


@dataclass(frozen=True, slots=True)
class EntryChange:
    """A change of folders that is not safe yet."""

    kind: str
    path: Path
    target: Path | None = None
    file: FakeFile | None = None

    def touches(self, folder: Path) -> bool:
        return self.path.parent == folder or (self.target is not None and self.target.parent == folder)


@dataclass(slots=True)
class Entries:
    """What the folders hold."""

    files: dict[Path, FakeFile] = field(default_factory=dict)
    folders: set[Path] = field(default_factory=set)

    def apply(self, change: EntryChange) -> None:
        match change.kind:
            case "folder":
                if change.path.parent in self.folders:
                    self.folders.add(change.path)
            case "create":
                if change.path.parent in self.folders and change.file is not None:
                    self.files[change.path] = change.file
            case "rename":
                assert change.target is not None
                assert change.file is not None
                # What was renamed is this file, whatever its old name stands for on the platter.
                if change.target.parent in self.folders:
                    if self.files.get(change.path) is change.file:
                        del self.files[change.path]
                    self.files[change.target] = change.file
            case "remove":
                self.files.pop(change.path, None)


class FakeLock:
    def __init__(self, disk: FakeDisk, path: Path) -> None:
        self._disk = disk
        self._path = path

    def release(self) -> None:
        self._disk.locked.discard(self._path)


class FakeDisk:
    """A `Disk` port.

    Args:
        capacity_bytes: Its size; a write beyond it raises ENOSPC.
    """

    def __init__(self, *, capacity_bytes: int = 1 << 40) -> None:
        self.capacity_bytes = capacity_bytes
        self.network = False
        self.steps = 0
        self.journal: list[str] = []
        self.journal_modes: list[str] = []
        self.locked: set[Path] = set()
        self.cut_at: int | None = None
        self.fail: Callable[[int, str], int | None] = lambda _step, _name: None
        self._dark = False
        self._now = Entries(folders={Path("/")})
        self._durable = Entries(folders={Path("/")})
        self._pending: list[EntryChange] = []
        self._connections: list[sqlite3.Connection] = []

    # What a test does to it.

    def cut_in(self, steps: int) -> None:
        """Let the power go at the step after `steps` more."""
        self.cut_at = self.steps + steps

    def power_on(self, survives: Survival, *, torn: random.Random | None = None) -> None:
        """Come back after a power cut, or cut the power here.

        Args:
            survives: Asked for each change that was not safe.
            torn: Tears unsafe data at a random place; None loses it all.
        """
        for change in self._pending:
            if survives():
                self._durable.apply(change)
        self._pending.clear()
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        for file in self._durable.files.values():
            if file.durable is None:
                length = torn.randrange(len(file.content) + 1) if torn is not None else 0
                file.durable = file.content[:length]
            file.content = file.durable
        self._now = Entries(files=dict(self._durable.files), folders=set(self._durable.folders))
        self._dark = False
        self.cut_at = None
        self.locked.clear()

    def overwrite(self, path: Path, content: bytes) -> None:
        """Damage a file behind everybody's back."""
        self._now.files[path].content = self._now.files[path].durable = content

    def all_files(self) -> dict[Path, bytes]:
        """Everything there is to see."""
        return {path: file.content for path, file in sorted(self._now.files.items())}

    def copy(self) -> FakeDisk:
        """Make another disk with the same content, all of it safe, in its folders and files alone."""
        twin = FakeDisk(capacity_bytes=self.capacity_bytes)
        for path, content in self.all_files().items():
            twin._now.files[path] = twin._durable.files[path] = FakeFile(content, content)
        twin._now.folders, twin._durable.folders = set(self._now.folders), set(self._now.folders)
        return twin

    # The port.

    def make_folders(self, path: Path) -> None:
        for folder in [*reversed(path.parents), path]:
            if folder not in self._now.folders:
                self._step(f"mkdir {folder}")
                self._change(EntryChange("folder", folder))

    def write_new(self, path: Path, *parts: Buffer) -> None:
        self._step(f"create {path}")
        self._require_folder(path.parent)
        if path in self._now.files:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        file = FakeFile()
        self._change(EntryChange("create", path, file=file))
        try:
            content = b"".join(bytes(part) for part in parts)
            file.content = content[: len(content) // 2]
            self._step(f"write {path}")
            if self.free_bytes(path) + len(file.content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            file.content = content
            self._step(f"fsync {path}")
            file.durable = content
        except OSError:
            self._change(EntryChange("remove", path))
            raise

    def read(self, path: Path, size_max: int | None = None) -> bytes:
        self._step(f"read {path}")
        return self._file(path).content[:size_max]

    def replace(self, source: Path, target: Path) -> None:
        self._step(f"rename {target}")
        self._require_folder(target.parent)
        self._change(EntryChange("rename", source, target=target, file=self._file(source)))

    def sync_folder(self, path: Path) -> None:
        self._step(f"sync {path}")
        self._require_folder(path)
        waiting: list[EntryChange] = []
        for change in self._pending:
            if change.touches(path):
                self._durable.apply(change)
            else:
                waiting.append(change)
        self._pending = waiting

    def remove(self, path: Path) -> None:
        self._step(f"remove {path}")
        if path in self._now.files:
            self._change(EntryChange("remove", path))

    def exists(self, path: Path) -> bool:
        self._require_power()
        return path in self._now.files or path in self._now.folders

    def list_files(self, path: Path) -> list[Path]:
        self._require_power()
        return sorted(file for file in self._now.files if file.parent == path)

    def list_folders(self, path: Path) -> list[Path]:
        self._require_power()
        return sorted(folder for folder in self._now.folders if folder.parent == path and folder != path)

    def size(self, path: Path) -> int:
        self._require_power()
        return len(self._file(path).content)

    def free_bytes(self, path: Path) -> int:
        return max(0, self.capacity_bytes - sum(len(file.content) for file in self._now.files.values()))

    def on_network(self, path: Path) -> bool:
        return self.network

    def lock(self, path: Path) -> FakeLock:
        self._require_power()
        if path in self.locked:
            raise BlockingIOError(errno.EWOULDBLOCK, "process 4711", str(path))
        self.locked.add(path)
        return FakeLock(self, path)

    def open_index(self, path: Path) -> sqlite3.Connection:
        self._step(f"open {path}")
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False, factory=_FakeConnection)
        connection.disk, connection.path = self, path  # type: ignore[attr-defined]
        self._connections.append(connection)
        if path in self._now.files:
            if content := self._now.files[path].content:
                connection.deserialize(content)
        else:
            self._change(EntryChange("create", path, file=FakeFile(durable=b"")))
        return connection

    def commit(self, path: Path, commit: Callable[[], bytes]) -> None:
        """Commit a database: a step before it is safe, and one after."""
        self._step(f"commit {path}", sqlite=True)
        if path in self._now.files:
            file = self._now.files[path]
            file.content = file.durable = commit()
        self._step(f"committed {path}")

    def _change(self, change: EntryChange) -> None:
        self._now.apply(change)
        self._pending.append(change)

    def _file(self, path: Path) -> FakeFile:
        if path not in self._now.files:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return self._now.files[path]

    def _require_folder(self, path: Path) -> None:
        if path not in self._now.folders:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))

    def _require_power(self) -> None:
        if self._dark:
            raise PowerCut

    def _step(self, name: str, *, sqlite: bool = False) -> None:
        self._require_power()
        step, self.steps = self.steps, self.steps + 1
        self.journal.append(name)
        if step == self.cut_at:
            self._dark = True
            raise PowerCut(name)
        code = self.fail(step, name)
        if code is not None:
            raise _sqlite_error(code) if sqlite else OSError(code, os.strerror(code), name)


class _FakeConnection(sqlite3.Connection):
    """A database in memory whose commits go to the disk."""

    disk: FakeDisk
    path: Path

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if sql.startswith("PRAGMA journal_mode"):
            # A log in memory would keep commits from `serialize`; what was asked for is noted for the test.
            self.disk.journal_modes.append(sql.rpartition(" ")[2])
            sql = "PRAGMA journal_mode = MEMORY"
        return super().execute(sql, *parameters)

    def commit(self) -> None:
        if self.in_transaction:
            self.disk.commit(self.path, self._committed)

    def _committed(self) -> bytes:
        super().commit()
        return self.serialize()

    def __del__(self) -> None:
        # A process that lost its power closed nothing, and Python 3.13 complains of that.
        self.close()


_SQLITE_ERRORS = {
    errno.ENOSPC: ("SQLITE_FULL", "database or disk is full"),
    errno.EMFILE: ("SQLITE_NOMEM", "out of memory"),
}


def _sqlite_error(code: int) -> sqlite3.Error:
    name, words = _SQLITE_ERRORS.get(code, ("SQLITE_IOERR_FSYNC", "disk I/O error"))
    error: Any = sqlite3.OperationalError(words)
    error.sqlite_errorname, error.sqlite_errorcode = name, getattr(sqlite3, name)
    return error
