"""The outside world as ports: what a node may ask of clock, chance, network, disk and threads.

Everything above this floor reaches the world through a `Runtime` and nothing else, so that tests can pass
in a virtual one and replay a failure from its seed. `runtime.system` is the real world.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, MutableSequence, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, Protocol, Self, TypeVar

from dfs_sdk.ids import Address

P = ParamSpec("P")
T = TypeVar("T")

Buffer = bytes | bytearray | memoryview


class Clock(Protocol):
    """Two clocks: one that never jumps, for timers; one that people and other nodes share."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back; its zero means nothing."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch; may jump."""
        ...


class Rng(Protocol):
    """Chance for scheduling and placement: seeded, never for secrets."""

    def random(self) -> float:
        """Draw from [0, 1)."""
        ...

    def uniform(self, a: float, b: float) -> float:
        """Draw from [a, b]."""
        ...

    def randrange(self, start: int, stop: int) -> int:
        """Draw an integer from [start, stop)."""
        ...

    def choice(self, items: Sequence[T]) -> T:
        """Draw one of `items`."""
        ...

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """Draw `count` different positions of `items`."""
        ...

    def shuffle(self, items: MutableSequence[T]) -> None:
        """Shuffle in place."""
        ...

    def child(self, name: str) -> Self:
        """Derive an independent stream, the same one for the same seed and name."""
        ...


class Entropy(Protocol):
    """Secret randomness: keys, tokens, network ids."""

    def token(self, size: int) -> bytes:
        """Draw `size` unpredictable bytes."""
        ...


# A burst that arrived: a buffer of whole datagrams of `segment_bytes` each (the last may be shorter), and its source.
# The buffer is lent for the duration of the call.
DatagramHandler = Callable[[memoryview, int, Address], None]
# Says of one datagram that arrived, lent as well, whether its handler would only count it; if so it has counted it.
# It must be quick and must not raise. A socket may ask before it gathers a burst, and need not.
ForeignTest = Callable[[memoryview], bool]


class UdpSocket(Protocol):
    """A bound UDP socket that moves bursts of equal-sized datagrams."""

    @property
    def local_address(self) -> Address:
        """The address it is bound to."""
        ...

    @property
    def burst_segments_max(self) -> int:
        """The most datagrams one `send` may carry; 1 on the portable backend."""
        ...

    def send(self, burst: Buffer, segment_bytes: int, destination: Address) -> bool:
        """Send whole datagrams of `segment_bytes` (the last may be shorter) from one buffer.

        Returns:
            False when the kernel's queue is full: nothing was sent, `on_writable` will be called.
            Errors of a destination (unreachable, refused, too large) are counted, not raised.
        """
        ...

    def close(self) -> None:
        """Release the socket; no callback comes afterwards."""
        ...

    def throw(self, datagram: bytes, destination: Address) -> None:
        """Send one datagram from any thread, beside the bursts; where that fails, it is lost."""
        ...

    async def closed(self) -> None:
        """Wait until a closed socket's address is free again."""
        ...


class Udp(Protocol):
    """Makes UDP sockets on the running loop."""

    async def bind(
        self,
        address: Address,
        *,
        on_datagrams: DatagramHandler,
        on_writable: Callable[[], None],
        is_foreign: ForeignTest | None = None,
    ) -> UdpSocket:
        """Bind to `address` (port 0 picks one).

        Raises:
            OSError: The address is taken or not ours.
        """
        ...


class DiskLock(Protocol):
    """An exclusive lock held through the operating system, which frees it when the process dies."""

    def release(self) -> None:
        """Free the lock; calling it again is harmless."""
        ...


class DiskFile(Protocol):
    """A regular file held open; several threads may read and write it at the same time."""

    def size(self) -> int:
        """Its length in bytes."""
        ...

    def modified_ns(self) -> int:
        """When it was last written, in nanoseconds since the epoch."""
        ...

    def read_at(self, offset: int, size: int) -> bytes:
        """Read up to `size` bytes; fewer only at the end of the file."""
        ...

    def write_at(self, offset: int, data: Buffer) -> None:
        """Write all of `data`."""
        ...

    def truncate(self, size: int) -> None:
        """Cut or extend it to `size` bytes."""
        ...

    def write_back(self, offset: int, size: int) -> None:
        """Ask the system to begin with making a range durable; promises nothing, `sync` does."""
        ...

    def sync(self) -> None:
        """Make what was written durable."""
        ...

    def close(self) -> None:
        """Let go of it; calling it again is harmless."""
        ...


class Disk(Protocol):
    """Blocking file operations, called from offload threads; each either happens or raises `OSError`."""

    def make_folders(self, path: Path) -> None:
        """Create `path` and its parents, private to the owner, where they are missing."""
        ...

    def write_new(self, path: Path, *parts: Buffer) -> None:
        """Create `path` exclusively, write `parts` one after the other and fsync the file."""
        ...

    def read(self, path: Path, size_max: int | None = None) -> bytes:
        """Read a whole file, or at most its first `size_max` bytes."""
        ...

    def read_into(self, path: Path, room: memoryview) -> int:
        """Read the first bytes of a file into `room` and return how many there were, at most its length."""
        ...

    def read_cached(self, path: Path, size: int) -> bytes | None:
        """Read a whole file of `size` bytes if no disk has to be waited for; None otherwise, and in any doubt.

        The one read that a loop may make itself, of few bytes.
        """
        ...

    def replace(self, source: Path, target: Path) -> None:
        """Rename over `target` atomically; not durable before `sync_folder`."""
        ...

    def sync_folder(self, path: Path) -> None:
        """Make the entries of a folder durable (does nothing where the system has no such call)."""
        ...

    def remove(self, path: Path) -> None:
        """Delete a file; a missing one is fine."""
        ...

    def exists(self, path: Path) -> bool:
        """Say whether a file or folder is there."""
        ...

    def list_files(self, path: Path) -> list[Path]:
        """List the regular files directly inside a folder, sorted; none when it is missing."""
        ...

    def list_folders(self, path: Path) -> list[Path]:
        """List the folders directly inside a folder, sorted; none when it is missing."""
        ...

    def size(self, path: Path) -> int:
        """The length of a file in bytes."""
        ...

    def free_bytes(self, path: Path) -> int:
        """Bytes that may still be written where `path` lies."""
        ...

    def on_network(self, path: Path) -> bool:
        """Say whether `path` lies, or may lie, on a network file system."""
        ...

    def lock(self, path: Path) -> DiskLock:
        """Take the exclusive lock kept in the file `path`, at once or not at all.

        Raises:
            BlockingIOError: Another holder has it; `strerror` names its process where that is known.
        """
        ...

    def open_index(self, path: Path) -> sqlite3.Connection:
        """Open (or create) an SQLite database that any one thread at a time may use."""
        ...

    def is_folder(self, path: Path) -> bool:
        """Say whether `path` is a folder, or a link to one."""
        ...

    def open_part(self, path: Path) -> DiskFile:
        """Open an unfinished file of ours to read and write, creating it exclusively where it is missing.

        Raises:
            FileExistsError: Something else lies there: a link, no regular file, a file with a second name.
        """
        ...

    def open_source(self, path: Path) -> DiskFile:
        """Open a regular file of the user's to read."""
        ...

    def publish(self, source: Path, target: Path, *, overwrite: bool) -> None:
        """Rename a finished file to `target` in the same folder; not durable before `sync_folder`.

        Raises:
            FileExistsError: The name is taken and `overwrite` is false; `source` is still there.
        """
        ...


class Offload(Protocol):
    """Runs blocking or heavy work off the loop."""

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function` in a worker thread and wait for it without holding the loop."""
        ...

    async def compute(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """As `run`, for work that keeps a processor busy: one processor at least is left to the loop."""
        ...

    async def close(self) -> None:
        """Wait for running work and end the threads."""
        ...


class Standstills(Protocol):
    """Notices that an event loop stands still."""

    def watch(self, tell: Callable[[], None], *, after: float, every: float) -> Callable[[], None]:
        """Begin to watch the running loop.

        Args:
            tell: Called on another thread while the loop stands still.
            after: Seconds without a turn before the first call, above 0.
            every: Seconds between further calls.

        Returns:
            A function that ends it, to be called on the loop: `tell` neither runs nor is called afterwards.
        """
        ...


class Machine(Protocol):
    """The machine a node runs on."""

    async def lookup(self, host: str, port: int) -> list[Address]:
        """Resolve a name that the user gave (never a peer's); numeric hosts come back as they are.

        Raises:
            OSError: The name is unknown.
        """
        ...

    def addresses(self) -> list[str]:
        """The IP addresses others on our networks reach this machine at."""
        ...

    def fingerprint(self) -> bytes:
        """16 bytes that are the same for all nodes of one machine."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """All ports a node needs, passed in at its construction.

    Attributes:
        transport: Makes a transport that carries whole messages in some other way than sealed over `udp`, with the
            arguments of `transport.driver.Transport`; a floor above knows its type. None for the real one.
        standstills: Watches the loop; None where nothing else runs on it, or no other thread could tell.
    """

    clock: Clock
    rng: Rng
    entropy: Entropy
    udp: Udp
    disk: Disk
    offload: Offload
    machine: Machine
    transport: Callable[..., Any] | None = None
    standstills: Standstills | None = None
