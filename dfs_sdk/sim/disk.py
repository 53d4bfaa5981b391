"""A disk in memory that loses power, runs full and breaks on command.

It promises what a real one promises and no more. Data is safe after the fsync in `write_new` or `DiskFile.sync`; an
entry of a folder (made, renamed, deleted) after `sync_folder`; an SQLite commit at once. What is not safe when the
power goes may be kept, lost, torn, or kept in another order than it was written. Every operation is one or more
numbered steps at which the power may go or an error may strike (`faults`).
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from dfs_sdk.runtime.ports import Buffer, Rng
from dfs_sdk.sim.database import SimConnection, sqlite_error
from dfs_sdk.sim.disk_files import PowerCut, SimDiskLock, SimOpenFile
from dfs_sdk.sim.faults import DiskHealth, Fault, never
from dfs_sdk.sim.platter import PAGE_BYTES, Dice, Entries, EntryChange, SimFile
from dfs_sdk.sim.shelf import Shelf

__all__ = ["PowerCut", "SimDisk", "Survival"]

Survival = Callable[[], bool]

CAPACITY_BYTES = 1 << 40
JOURNAL_MAX = 4_096
CHANGE_SURVIVES_RATIO = 0.5
ROOT = Path("/")
NOT_ON_THIS_DISK = "no such file on this host's simulated disk; give bytes to bring one there"


class SimDisk:
    """A `Disk` port.

    Args:
        capacity_bytes: Its size; a write beyond it raises ENOSPC.
        health: How well it works.
        rng: Draws what `health` leaves to chance; None where it leaves nothing.
        wall: Tells the time that files are stamped with.
        shelf: Where large pieces of files lie that several disks have; None keeps bytes of its own.

    Attributes:
        capacity_bytes: As given; may be changed at any time.
        health: As given; may be changed at any time.
        busy_seconds: Virtual seconds it has worked so far.
        steps: How many steps there were.
        journal: The names of the last 4,096 of them.
        journal_modes: What was asked of SQLite.
        network: Whether it counts as a network file system.
        locked: Which locks are taken.
        cut_at: The step at which the power goes; None for none.
        fail: Asked at each step whether it fails.
        on_step: Called with the name of each step.
        on_cut: Called when the power goes at a step.
    """

    def __init__(
        self,
        *,
        capacity_bytes: int = CAPACITY_BYTES,
        health: DiskHealth | None = None,
        rng: Rng | None = None,
        wall: Callable[[], float] | None = None,
        shelf: Shelf | None = None,
    ) -> None:
        self.capacity_bytes = capacity_bytes
        self.health = health or DiskHealth()
        self.busy_seconds = 0.0
        self.network = False
        self.steps = 0
        self.journal: deque[str] = deque(maxlen=JOURNAL_MAX)
        self.journal_modes: deque[str] = deque(maxlen=JOURNAL_MAX)
        self.locked: set[Path] = set()
        self.cut_at: int | None = None
        self.fail: Fault = never
        self.on_step: Callable[[str], None] | None = None
        self.on_cut: Callable[[], None] | None = None
        self._rng = rng
        self._wall = wall
        self._shelf = shelf
        self._dark = False
        self._now = Entries(folders={ROOT})
        self._durable = Entries(folders={ROOT})
        self._pending: list[EntryChange] = []
        self._connections: list[sqlite3.Connection] = []
        self._listing: dict[Path, list[Path]] | None = None

    # What happens to it

    def cut_in(self, steps: int) -> None:
        """Let the power go at the step after `steps` more."""
        self.cut_at = self.steps + steps

    def power_on(self, survives: Survival, *, torn: Dice | None = None) -> None:
        """Come back after a power cut, or cut the power here.

        Args:
            survives: Asked for each change of a folder that was not safe, in their order.
            torn: Decides what of unsynced data was written; None loses all of it.
        """
        for change in self._pending:
            if survives():
                self._durable.apply(change)
        self._pending.clear()
        self._end()
        for file in self._durable.files.values():
            file.settle(torn)
        self._now = Entries(files=dict(self._durable.files), folders=set(self._durable.folders))
        self._listing = None
        self._dark = False
        self.cut_at = None
        self.locked.clear()

    def after_power_cut(self, rng: Rng) -> SimDisk:
        """End this disk for good and return what is found when the power is back; chance decides what was kept."""
        heir = self.copy()
        self._end()
        heir.power_on(lambda: rng.random() < CHANGE_SURVIVES_RATIO, torn=rng)
        return heir

    def after_kill(self) -> SimDisk:
        """End it for the process that was killed and return it as the next one finds it: nothing written is lost."""
        heir = self.copy()
        self._end()
        return heir

    def copy(self) -> SimDisk:
        """Make an independent twin with all that is on it, safe or not; without locks and open databases."""
        twin = SimDisk(
            capacity_bytes=self.capacity_bytes, health=self.health, rng=self._rng, wall=self._wall, shelf=self._shelf
        )
        twin.network, twin.busy_seconds, twin.steps, twin.fail = self.network, self.busy_seconds, self.steps, self.fail
        twin.on_step = self.on_step
        copies: dict[int, SimFile] = {}

        def copied(file: SimFile) -> SimFile:
            if id(file) not in copies:
                copies[id(file)] = file.copy()
            return copies[id(file)]

        twin._adopt(
            Entries(
                files={path: copied(file) for path, file in self._now.files.items()}, folders=set(self._now.folders)
            ),
            Entries(
                files={path: copied(file) for path, file in self._durable.files.items()},
                folders=set(self._durable.folders),
            ),
            [change if change.file is None else replace(change, file=copied(change.file)) for change in self._pending],
        )
        return twin

    def overwrite(self, path: Path, content: bytes) -> None:
        """Damage a file behind everybody's back."""
        self._now.files[path].set_all(content)

    def rot(self, path: Path, dice: Dice) -> None:
        """Change one bit of a file, in cache and on the platter; an empty file has none."""
        content = bytearray(self._now.files[path].content)
        if content:
            content[dice.randrange(0, len(content))] ^= 1 << dice.randrange(0, 8)
            self.overwrite(path, bytes(content))

    def all_files(self) -> dict[Path, bytes]:
        """Everything there is to see, by path."""
        return {path: file.content for path, file in sorted(self._now.files.items())}

    def safe(self, path: Path, *, as_read: bool = False) -> bytes | None:
        """Give what a file holds after a power cut here, whatever chance keeps; None if it may be gone or torn.

        No step of the disk: looking changes nothing.

        Args:
            path: Which file.
            as_read: Give pages that a misdirected write spoilt as every reader finds them until the cache is gone.
        """
        file = self._durable.files.get(path)
        if file is None or file.dirty:
            return None
        if any(change.path == path for change in self._pending):
            return None
        return file.durable_as_read() if as_read else file.durable

    def _adopt(self, now: Entries, durable: Entries, pending: list[EntryChange]) -> None:
        self._now, self._durable, self._pending, self._listing = now, durable, pending, None

    def _end(self) -> None:
        self._dark = True
        for connection in self._connections:
            connection.close()
        self._connections.clear()

    # The port

    def make_folders(self, path: Path) -> None:
        """See `Disk`."""
        for folder in [*reversed(path.parents), path]:
            if folder not in self._now.folders:
                self.step(f"mkdir {folder}")
                self._change(EntryChange("folder", folder))

    def write_new(self, path: Path, *parts: Buffer) -> None:
        """See `Disk`."""
        self.step(f"create {path}")
        self._require_folder(path.parent)
        if path in self._now.files:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        file = SimFile(modified_ns=self.now_ns())
        self._change(EntryChange("create", path, file=file))
        try:
            pieces = [bytes(part) for part in parts]
            content = b"".join(pieces)
            file.content = content[: len(content) // 2]
            self.step(f"write {path}", size=len(content))
            self.require_room(len(content) - file.size, path)
            file.content = content
            self.step(f"fsync {path}")
            file.durable = landed = self._misdirected(file, content)
            if self._shelf is not None and landed is content:
                file.hold(self._shelf.hold(pieces))
        except OSError:
            self._change(EntryChange("remove", path))
            raise

    def read(self, path: Path, size_max: int | None = None) -> bytes:
        """See `Disk`."""
        file = self._now.files.get(path)
        self.step(f"read {path}", size=file.size if file is not None else 0)
        if file is not None and self._rng is not None and self._chance(self.health.rot_ratio):
            self.rot(path, self._rng)
        return self._file(path).head(size_max)

    def read_into(self, path: Path, room: memoryview) -> int:
        """See `Disk`."""
        content = self.read(path, len(room))
        room[: len(content)] = content
        return len(content)

    def read_cached(self, _path: Path, _size: int) -> bytes | None:
        """See `Disk.read_cached`: every read of a simulated disk takes its time."""
        return None

    def replace(self, source: Path, target: Path) -> None:
        """See `Disk`."""
        self.step(f"rename {target}")
        self._require_folder(target.parent)
        self._change(EntryChange("rename", source, target=target, file=self._file(source)))

    def sync_folder(self, path: Path) -> None:
        """See `Disk`."""
        self.step(f"sync {path}")
        self._require_folder(path)
        waiting: list[EntryChange] = []
        for change in self._pending:
            if change.touches(path):
                self._durable.apply(change)
            else:
                waiting.append(change)
        self._pending = waiting

    def remove(self, path: Path) -> None:
        """See `Disk`."""
        self.step(f"remove {path}")
        if path in self._now.files:
            self._change(EntryChange("remove", path))

    def exists(self, path: Path) -> bool:
        """See `Disk`."""
        self._require_power()
        return path in self._now.files or path in self._now.folders

    def list_files(self, path: Path) -> list[Path]:
        """See `Disk`."""
        self._require_power()
        return list(self._listed().get(path, ()))

    def list_folders(self, path: Path) -> list[Path]:
        """See `Disk`."""
        self._require_power()
        return sorted(folder for folder in self._now.folders if folder.parent == path and folder != path)

    def size(self, path: Path) -> int:
        """See `Disk`."""
        self._require_power()
        return self._file(path).size

    def free_bytes(self, path: Path) -> int:  # noqa: ARG002 - there is one disk
        """See `Disk`."""
        return max(0, self.capacity_bytes - sum(file.size for file in self._now.files.values()))

    def on_network(self, path: Path) -> bool:  # noqa: ARG002 - there is one disk
        """See `Disk`."""
        return self.network

    def lock(self, path: Path) -> SimDiskLock:
        """See `Disk`."""
        self._require_power()
        if path in self.locked:
            raise BlockingIOError(errno.EWOULDBLOCK, "process 4711", str(path))
        self.locked.add(path)
        return SimDiskLock(self, path)

    def open_index(self, path: Path) -> sqlite3.Connection:
        """See `Disk`."""
        self.step(f"open {path}")
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False, factory=SimConnection)
        self._connections.append(connection)
        if path not in self._now.files:
            self._change(EntryChange("create", path, file=SimFile(durable=b"")))
        connection.mount(self, path, self._now.files[path].content)
        return connection

    def is_folder(self, path: Path) -> bool:
        """See `Disk`."""
        self._require_power()
        return path in self._now.folders

    def open_part(self, path: Path) -> SimOpenFile:
        """See `Disk`."""
        self.step(f"open {path}")
        self._require_folder(path.parent)
        if path in self._now.folders:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        if path not in self._now.files:
            self._change(EntryChange("create", path, file=SimFile(modified_ns=self.now_ns())))
        return SimOpenFile(self, path, self._now.files[path])

    def open_source(self, path: Path) -> SimOpenFile:
        """See `Disk`."""
        self.step(f"open {path}")
        if path in self._now.folders:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if path not in self._now.files:
            raise FileNotFoundError(errno.ENOENT, NOT_ON_THIS_DISK, str(path))
        return SimOpenFile(self, path, self._now.files[path])

    def publish(self, source: Path, target: Path, *, overwrite: bool) -> None:
        """See `Disk`."""
        self.step(f"publish {target}")
        self._require_folder(target.parent)
        if not overwrite and (target in self._now.files or target in self._now.folders):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        self._change(EntryChange("rename", source, target=target, file=self._file(source)))

    # What its files and databases use

    def commit(self, path: Path, commit: Callable[[], bytes]) -> None:
        """Commit a database: a step before it is safe, and one after."""
        self.step(f"commit {path}", sqlite=True)
        if path in self._now.files:
            self._now.files[path].set_all(commit())
        self.step(f"committed {path}")

    def step(self, name: str, *, size: int = 0, sqlite: bool = False) -> None:
        """Take one step, if power and health allow.

        Raises:
            PowerCut: The power goes here, or went before.
            OSError: This step fails.
            sqlite3.Error: The same, of a database.
        """
        self._require_power()
        number, self.steps = self.steps, self.steps + 1
        self.journal.append(name)
        if self.on_step is not None:
            self.on_step(name)
        if number == self.cut_at:
            self._dark = True
            if self.on_cut is not None:
                self.on_cut()
            raise PowerCut(name)
        kind = name.split(" ", 1)[0]
        self.busy_seconds += self.health.seconds(kind, size)
        code = self.fail(number, name)
        if code is None and self._rng is not None:
            code = self.health.draw(kind, self._rng)
        if code is not None:
            raise sqlite_error(code) if sqlite else OSError(code, os.strerror(code), name)

    def require_room(self, size: int, path: Path) -> None:
        """Refuse to grow by `size` bytes what does not fit.

        Raises:
            OSError: The disk is full.
        """
        if size > 0 and self.free_bytes(path) < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    def now_ns(self) -> int:
        """Tell the time that files are stamped with."""
        return int(self._wall() * 1e9) if self._wall is not None else 0

    # Inside

    def _change(self, change: EntryChange) -> None:
        self._now.apply(change)
        self._pending.append(change)
        self._listing = None

    def _listed(self) -> dict[Path, list[Path]]:
        """Group files by folder, once after each change: a start of a store lists hundreds of folders."""
        if self._listing is None:
            self._listing = {}
            for path in sorted(self._now.files):
                self._listing.setdefault(path.parent, []).append(path)
        return self._listing

    def _chance(self, ratio: float) -> bool:
        return ratio > 0 and self._rng is not None and self._rng.random() < ratio

    def _misdirected(self, file: SimFile, content: bytes) -> bytes:
        """Return what the platter gets: now and then a page of it lands in another file."""
        if self._rng is None or not content or not self._chance(self.health.misdirect_ratio):
            return content
        others = [each for each in self._durable.files.values() if each is not file and each.durable_size]
        page = self._rng.randrange(0, -(-len(content) // PAGE_BYTES)) * PAGE_BYTES
        stray = content[page : page + PAGE_BYTES]
        if others:
            victim = self._rng.choice(others)
            durable = victim.durable or b""
            at = self._rng.randrange(0, -(-len(durable) // PAGE_BYTES)) * PAGE_BYTES
            victim.durable = durable[:at] + stray[: len(durable) - at] + durable[at + len(stray) :]
            victim.strays.add(at // PAGE_BYTES)
        file.strays.add(page // PAGE_BYTES)
        return content[:page] + bytes(len(stray)) + content[page + PAGE_BYTES :]

    def _file(self, path: Path) -> SimFile:
        if path not in self._now.files:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return self._now.files[path]

    def _require_folder(self, path: Path) -> None:
        if path not in self._now.folders:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))

    def _require_power(self) -> None:
        if self._dark:
            raise PowerCut
