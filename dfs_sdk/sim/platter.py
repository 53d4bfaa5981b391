"""What is on a simulated disk: files with a cached and a durable content, entries of folders, changes not yet safe.

Source: T. S. Pillai et al., "All File Systems Are Not Created Equal" (OSDI 2014), for what a crash may leave; A.
Rebello et al., "Can Applications Recover from fsync Failures?" (ATC 2020), for what a failed fsync leaves: pages that
look written, count as clean, and are gone after the next start.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from dfs_sdk.sim.shelf import Held

PAGE_BYTES = 4096
SECTOR_BYTES = 512


class Dice(Protocol):
    """What decides a crash's outcome: an `Rng`, or a `random.Random`."""

    def random(self) -> float:
        """Draw from [0, 1)."""
        ...

    def randrange(self, start: int, stop: int) -> int:
        """Draw an integer from [start, stop)."""
        ...


class SimFile:
    """A file: what a reader sees and what the platter has.

    Args:
        content: What a reader sees.
        durable: What the platter has.
        modified_ns: When it was written.

    Attributes:
        modified_ns: When it was last written, nanoseconds since the epoch.
        dirty: Pages that the next fsync writes, of a file that was opened to write at offsets.
        strays: Pages that a misdirected write spoilt on the platter; no reader sees it while the cache is kept.
    """

    __slots__ = ("_content", "_durable", "dirty", "modified_ns", "strays")

    def __init__(self, content: bytes = b"", durable: bytes | None = None, modified_ns: int = 0) -> None:
        self._content: bytes | Held = content
        self._durable: bytes | Held | None = durable
        self.modified_ns = modified_ns
        self.dirty: set[int] = set()
        self.strays: set[int] = set()

    @property
    def content(self) -> bytes:
        """What a reader sees."""
        return _bytes(self._content)

    @content.setter
    def content(self, content: bytes) -> None:
        self._content = content

    @property
    def durable(self) -> bytes | None:
        """What the platter has; None for a file that was never synced."""
        return None if self._durable is None else _bytes(self._durable)

    @durable.setter
    def durable(self, durable: bytes | None) -> None:
        self._durable = durable

    @property
    def size(self) -> int:
        """Bytes that a reader sees."""
        return _size(self._content)

    @property
    def durable_size(self) -> int:
        """Bytes that the platter has."""
        return 0 if self._durable is None else _size(self._durable)

    def head(self, size_max: int | None) -> bytes:
        """Give the first bytes that a reader sees; None gives all of them."""
        content = self._content
        return content.read(size_max) if isinstance(content, Held) else content[:size_max]

    def hold(self, held: Held) -> None:
        """Keep what cache and platter have alike by handle from now on."""
        self._content = self._durable = held

    def write_at(self, offset: int, data: bytes) -> None:
        """Write into the cache; a hole is filled with zeros."""
        content = self.content.ljust(offset, b"\0")
        self.content = content[:offset] + data + content[offset + len(data) :]
        self.dirty.update(range(offset // PAGE_BYTES, (offset + len(data) - 1) // PAGE_BYTES + 1))

    def truncate(self, size: int) -> None:
        """Cut the cache or extend it with zeros."""
        low, high = sorted((size, len(self.content)))
        self.dirty.update(range(low // PAGE_BYTES, high // PAGE_BYTES + 1))
        self.content = self.content[:size].ljust(size, b"\0")

    def sync(self) -> None:
        """Write the dirty pages to the platter."""
        self.durable = self._with_pages(self.dirty)
        self.strays -= self.dirty
        self.dirty.clear()

    def lose_sync(self) -> None:
        """Fail to sync: the pages count as clean and were not written."""
        # What was to be there never was: from now on the page is lost to this, not to a misdirected write.
        self.strays -= self.dirty
        self.dirty.clear()
        if self._durable is None:
            self._durable = b""

    def settle(self, rng: Dice | None) -> None:
        """Lose the cache: chance decides which unsynced pages were written, some of them in part; None: none was."""
        if self._durable is None and not self.dirty:
            length = rng.randrange(0, self.size + 1) if rng is not None else 0
            self.durable = self.content[:length]
        elif self.dirty and rng is not None:
            written = {page for page in sorted(self.dirty) if rng.random() < 0.5}
            torn = {page for page in sorted(written) if rng.random() < 0.1}
            self.durable = self._with_pages(written - torn)
            for page in sorted(torn):
                start = page * PAGE_BYTES
                end = start + SECTOR_BYTES * rng.randrange(0, PAGE_BYTES // SECTOR_BYTES)
                durable = self.durable
                self.durable = durable[:start] + self.content[start:end] + durable[end:]
        self._durable = self._durable or b""
        self._content = self._durable
        self.dirty.clear()
        self.strays.clear()

    def set_all(self, content: bytes) -> None:
        """Set cache and platter at once."""
        self.content = self.durable = content
        self.strays.clear()

    def durable_as_read(self) -> bytes | None:
        """Give what the platter has, but pages that a misdirected write spoilt as the cache still shows them."""
        return None if self._durable is None else self._with_pages(self.strays)

    def copy(self) -> SimFile:
        """Make an independent twin; contents are shared, since bytes never change."""
        twin = SimFile(modified_ns=self.modified_ns)
        twin._content, twin._durable = self._content, self._durable
        twin.dirty, twin.strays = set(self.dirty), set(self.strays)
        return twin

    def _with_pages(self, pages: set[int]) -> bytes:
        """Lay pages of the cache over the platter's content; its length becomes that of the cache."""
        content, durable = self.content, self.durable
        if not pages and durable is not None and len(durable) == len(content):
            return durable
        if len(pages) >= -(-len(content) // PAGE_BYTES):
            return content
        laid = bytearray((durable or b"")[: len(content)].ljust(len(content), b"\0"))
        for page in pages:
            start = page * PAGE_BYTES
            laid[start : start + PAGE_BYTES] = content[start : start + PAGE_BYTES]
        return bytes(laid)


def _bytes(content: bytes | Held) -> bytes:
    return content.read() if isinstance(content, Held) else content


def _size(content: bytes | Held) -> int:
    return content.size if isinstance(content, Held) else len(content)


@dataclass(frozen=True, slots=True)
class EntryChange:
    """A change of folders that is not safe yet.

    Attributes:
        kind: "folder", "create", "rename" or "remove".
        path: What it is about.
        target: The other name, of a rename.
        file: Which file, where it is about one.
    """

    kind: str
    path: Path
    target: Path | None = None
    file: SimFile | None = None

    def touches(self, folder: Path) -> bool:
        """Say whether an fsync of `folder` makes it safe."""
        return self.path.parent == folder or (self.target is not None and self.target.parent == folder)


@dataclass(slots=True)
class Entries:
    """What the folders hold."""

    files: dict[Path, SimFile] = field(default_factory=dict)
    folders: set[Path] = field(default_factory=set)

    def apply(self, change: EntryChange) -> None:
        """Carry a change out, as far as its folder is there."""
        match change.kind:
            case "folder":
                if change.path.parent in self.folders:
                    self.folders.add(change.path)
            case "create":
                if change.path.parent in self.folders and change.file is not None:
                    self.files[change.path] = change.file
            case "rename" if change.target is not None and change.file is not None:
                # What was renamed is this file, whatever its old name stands for on the platter.
                if change.target.parent in self.folders:
                    if self.files.get(change.path) is change.file:
                        del self.files[change.path]
                    self.files[change.target] = change.file
            case "remove":
                self.files.pop(change.path, None)
