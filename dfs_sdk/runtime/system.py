"""The real world behind the ports: system clock, seeded chance, kernel entropy, disk and worker threads.

Nothing here knows the protocol. The tests bring clocks and networks of their own.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import random
import shutil
import sqlite3
import stat
import sys
import time
from collections.abc import Callable, MutableSequence, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Any, Literal, ParamSpec, Self, TypeVar

from dfs_sdk.errors import ConfigError, ForkedNodeError, NodeClosedError
from dfs_sdk.runtime.cached_reads import read_cached
from dfs_sdk.runtime.files import OpenFile, open_part, open_source, publish, sync_descriptor
from dfs_sdk.runtime.held_files import until_let_go
from dfs_sdk.runtime.locks import FileDiskLock, take_lock
from dfs_sdk.runtime.machine import SystemMachine
from dfs_sdk.runtime.mounts import on_network
from dfs_sdk.runtime.ports import Buffer, Runtime, Udp
from dfs_sdk.runtime.standstill import ThreadStandstills
from dfs_sdk.runtime.tasks import settle
from dfs_sdk.runtime.udp_linux import LinuxUdp
from dfs_sdk.runtime.udp_portable import PortableUdp

P = ParamSpec("P")
T = TypeVar("T")

OFFLOAD_THREADS = 4
OFFLOAD_THREADS_MAX = 256
# About a third of the loop's weight where they compete for a processor.
OFFLOAD_NICENESS = 5
SEED_BYTES = 32
FILE_MODE = 0o600
FOLDER_MODE = 0o700

# Before Python 3.13 the monotonic clock of Windows moves in steps of 16 ms.
_monotonic = time.perf_counter if sys.platform == "win32" else time.monotonic

# Exclusive create that follows no link; the flags a system lacks count as nothing.
_NEW_FILE_FLAGS = (
    os.O_WRONLY
    | os.O_CREAT
    | os.O_EXCL
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


class SystemClock:
    """The clocks of this machine."""

    __slots__ = ()

    def monotonic(self) -> float:
        """Seconds on a clock that is never set, fine enough to measure round trips."""
        return _monotonic()

    def wall(self) -> float:
        """Seconds since the epoch, as this machine believes."""
        return time.time()


class SeededRng:
    """A Mersenne Twister with named children; the same seed and names give the same draws everywhere.

    Args:
        seed: Any integer, or the bytes a parent derived.
    """

    __slots__ = ("_random", "_seed")

    def __init__(self, seed: int | bytes) -> None:
        self._seed = seed if isinstance(seed, bytes) else f"{seed:d}".encode()
        self._random = random.Random(int.from_bytes(hashlib.sha256(b"dfs/rng/1" + self._seed).digest(), "big"))

    def random(self) -> float:
        """Draw from [0, 1)."""
        return self._random.random()

    def uniform(self, a: float, b: float) -> float:
        """Draw from [a, b]."""
        return self._random.uniform(a, b)

    def randrange(self, start: int, stop: int) -> int:
        """Draw an integer from [start, stop)."""
        return self._random.randrange(start, stop)

    def choice(self, items: Sequence[T]) -> T:
        """Draw one of `items`."""
        return self._random.choice(items)

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """Draw `count` different positions of `items`."""
        return self._random.sample(items, count)

    def shuffle(self, items: MutableSequence[T]) -> None:
        """Shuffle in place."""
        self._random.shuffle(items)

    def child(self, name: str) -> Self:
        """Derive an independent stream, whatever was drawn from this one before."""
        return type(self)(hashlib.sha256(b"dfs/rng/child/1" + self._digest() + name.encode()).digest())

    def _digest(self) -> bytes:
        # Seed and name must not run into each other: ("1", "2x") and ("12", "x") are different children.
        return hashlib.sha256(self._seed).digest()


class SystemEntropy:
    """The kernel's generator."""

    __slots__ = ()

    def token(self, size: int) -> bytes:
        """Draw `size` unpredictable bytes."""
        return os.urandom(size)


class SystemDisk:
    """Files of this machine; what it calls durable survives a power cut as far as the drive is honest."""

    __slots__ = ()

    def make_folders(self, path: Path) -> None:
        """Create `path` and its missing parents with mode 0700."""
        missing = []
        folder = path
        while not folder.exists() and folder != folder.parent:
            missing.append(folder)
            folder = folder.parent
        for folder in reversed(missing):
            folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
        if not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))

    def write_new(self, path: Path, *parts: Buffer) -> None:
        """Create `path` exclusively with mode 0600, write and fsync; on an error no file is left behind."""
        descriptor = until_let_go(lambda: os.open(path, _NEW_FILE_FLAGS, FILE_MODE))
        try:
            try:
                for part in parts:
                    view = memoryview(part).cast("B")
                    while view:
                        view = view[os.write(descriptor, view) :]
                sync_descriptor(descriptor)
            finally:
                os.close(descriptor)
        except BaseException:
            with suppress(OSError):  # what went wrong first is what the caller has to know
                self.remove(path)
            raise

    def read(self, path: Path, size_max: int | None = None) -> bytes:
        """Read a whole file, or at most its first `size_max` bytes."""
        if size_max is None:
            return until_let_go(path.read_bytes)
        with _opened(path) as file:
            return file.read(size_max) or b""

    def read_into(self, path: Path, room: memoryview) -> int:
        """Read the first bytes of a file into memory at hand and return how many there were."""
        filled = 0
        with _opened(path) as file:
            while count := file.readinto(room[filled:]):
                filled += count
        return filled

    def read_cached(self, path: Path, size: int) -> bytes | None:
        """Read a file of `size` bytes that the page cache has: see `cached_reads.read_cached`."""
        return read_cached(str(path), size)

    def replace(self, source: Path, target: Path) -> None:
        """Rename over `target` atomically."""
        until_let_go(lambda: source.replace(target))

    def sync_folder(self, path: Path) -> None:
        """Flush a folder's entries; Windows offers no such call."""
        if sys.platform == "win32":
            return
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        try:
            sync_descriptor(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, path: Path) -> None:
        """Delete a file; a missing one is fine."""
        until_let_go(lambda: path.unlink(missing_ok=True))

    def exists(self, path: Path) -> bool:
        """Say whether a file or folder is there."""
        return path.exists()

    def list_files(self, path: Path) -> list[Path]:
        """List regular files, links not followed."""
        return _entries(path, lambda entry: entry.is_file(follow_symlinks=False))

    def list_folders(self, path: Path) -> list[Path]:
        """List folders, links not followed."""
        return _entries(path, lambda entry: entry.is_dir(follow_symlinks=False))

    def size(self, path: Path) -> int:
        """The length of a regular file in bytes."""
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, "not a regular file", str(path))
        return status.st_size

    def free_bytes(self, path: Path) -> int:
        """Bytes free for us where `path` lies or will lie."""
        folder = path
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        return shutil.disk_usage(folder).free

    def on_network(self, path: Path) -> bool:
        """Say whether `path` lies, or may lie, on a network file system."""
        return on_network(path)

    def lock(self, path: Path) -> FileDiskLock:
        """Take the exclusive lock kept in the file `path`, or raise `BlockingIOError`."""
        return take_lock(path)

    def open_index(self, path: Path) -> sqlite3.Connection:
        """Open an SQLite file in autocommit mode: the caller says BEGIN and COMMIT."""
        return sqlite3.connect(path, isolation_level=None, check_same_thread=False)

    def is_folder(self, path: Path) -> bool:
        """Say whether `path` is a folder, or a link to one."""
        return path.is_dir()

    def open_part(self, path: Path) -> OpenFile:
        """Open an unfinished file of ours: see `files.open_part`."""
        return open_part(path)

    def open_source(self, path: Path) -> OpenFile:
        """Open a file of the user's to read: see `files.open_source`."""
        return open_source(path)

    def publish(self, source: Path, target: Path, *, overwrite: bool) -> None:
        """Give a finished file its name: see `files.publish`."""
        publish(source, target, overwrite=overwrite)


def _opened(path: Path) -> FileIO:
    return until_let_go(lambda: path.open("rb", buffering=0))


def _entries(path: Path, wanted: Callable[[os.DirEntry[str]], bool]) -> list[Path]:
    try:
        with os.scandir(path) as entries:
            return sorted(Path(entry.path) for entry in entries if wanted(entry))
    except FileNotFoundError:
        return []


class ThreadOffload:
    """Worker threads, started on demand.

    Calls beyond the number of threads wait in a queue; each is held by the task that awaits it, so the callers' own
    bounds are the queue's bound.

    What computes has threads of its own, fewer than the machine has processors: more of them than can run at one time
    would only take turns, with each other and with the loop. All of them give way to the loop where the system lets
    single threads do so.

    Args:
        threads: The most threads that wait for a disk, and the most that compute, 1 to 256.
        processors: How many this process may use; asked of the system if not given.
        name: Prefix of the threads' names.
    """

    def __init__(
        self, *, threads: int = OFFLOAD_THREADS, processors: int | None = None, name: str = "dfs-offload"
    ) -> None:
        if not 1 <= threads <= OFFLOAD_THREADS_MAX:
            raise ConfigError(f"threads must be 1 to {OFFLOAD_THREADS_MAX}, not {threads}")
        beside_loop = max((_processors() if processors is None else processors) - 1, 1)
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name, initializer=_give_way)
        self._computing = ThreadPoolExecutor(
            min(threads, beside_loop), thread_name_prefix=f"{name}-compute", initializer=_give_way
        )
        self._running: dict[Future[Any], None] = {}
        self._closed = False
        self._pid = os.getpid()

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function` in a worker thread.

        A cancelled caller gets its cancellation when the function has ended, or at once if it had not begun: whatever
        it does to the disk is over when the caller cleans up.

        Raises:
            NodeClosedError: After `close`.
            ForkedNodeError: This is a forked child: what it would do to the disk, the parent does.
            Exception: Whatever `function` raises.
        """
        return await self._run_in(self._executor, partial(function, *args, **kwargs))

    async def compute(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function`, which keeps a processor busy, in a thread beside those of `run`; else as `run`."""
        return await self._run_in(self._computing, partial(function, *args, **kwargs))

    async def _run_in(self, executor: ThreadPoolExecutor, call: Callable[[], T]) -> T:
        try:
            future = self._submit(executor, call)
        except _InterpreterExitError:
            return call()
        loop = asyncio.get_running_loop()
        woken = loop.create_future()
        # Woken by one call on the loop: `wrap_future` and `shield` take one more of its turns, and under load a turn
        # takes milliseconds.
        future.add_done_callback(partial(_wake_from_thread, loop, woken))
        try:
            await woken
        except asyncio.CancelledError:
            if not future.cancel():
                ended = asyncio.wrap_future(future)
                await settle(ended)
                ended.exception()  # seen: the caller asked to be cancelled and gets just that
            raise
        return future.result()

    async def close(self) -> None:
        """Refuse new calls, wait for running ones and join the threads."""
        self._closed = True
        cancelled: asyncio.CancelledError | None = None
        for future in tuple(self._running):
            try:
                await settle(asyncio.wrap_future(future))
            except asyncio.CancelledError as error:
                cancelled = error
        for executor in (self._executor, self._computing):
            executor.shutdown(wait=True)  # every thread is idle: this takes microseconds
        if cancelled is not None:
            raise cancelled

    def _submit(self, executor: ThreadPoolExecutor, call: Callable[[], T]) -> Future[T]:
        if self._closed:
            raise NodeClosedError("the worker threads are closed: the node is not running")
        if os.getpid() != self._pid:
            raise ForkedNodeError("this node belongs to the parent process: start a new node in the child")
        try:
            future = executor.submit(call)
        except RuntimeError as error:
            # Pools refuse work once the interpreter exits, before atexit handlers say goodbye.
            raise _InterpreterExitError from error
        self._running[future] = None
        future.add_done_callback(self._forget)
        return future

    def _forget(self, future: Future[Any]) -> None:
        self._running.pop(future, None)


def _wake_from_thread(loop: asyncio.AbstractEventLoop, woken: asyncio.Future[None], _future: Future[Any]) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits
        loop.call_soon_threadsafe(_wake, woken)


def _wake(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)


def _give_way() -> None:
    """Lower the weight of the calling thread."""
    if sys.platform == "linux":  # elsewhere this would be the weight of the whole process
        with suppress(OSError):  # a sandbox may forbid it
            os.nice(OFFLOAD_NICENESS)


def _processors() -> int:
    """Say how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _InterpreterExitError(Exception):
    """No thread can be had any more: the caller does the work itself."""


def system_runtime(
    *, threads: int = OFFLOAD_THREADS, seed: int | None = None, udp: Literal["auto", "portable"] = "auto"
) -> Runtime:
    """Bundle the real world.

    Args:
        threads: Worker threads for disk and heavy computation.
        seed: Makes scheduling and placement repeatable (never keys); None draws one.
        udp: "auto" takes Linux batches where the system has them, "portable" one datagram a call everywhere.

    Raises:
        ConfigError: `udp` or `threads` is none of the allowed values.
    """
    if udp not in ("auto", "portable"):
        raise ConfigError(f'udp must be "auto" or "portable", not {udp!r}')
    entropy = SystemEntropy()
    backend: Udp = LinuxUdp() if udp == "auto" and sys.platform == "linux" else PortableUdp()
    return Runtime(
        clock=SystemClock(),
        rng=SeededRng(entropy.token(SEED_BYTES) if seed is None else seed),
        entropy=entropy,
        udp=backend,
        disk=SystemDisk(),
        offload=ThreadOffload(threads=threads),
        machine=SystemMachine(),
        # A browser's Python has no threads.
        standstills=ThreadStandstills() if sys.platform != "emscripten" else None,
    )
