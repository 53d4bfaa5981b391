"""Files between the browser and the node: pieces of 1 MiB with acknowledgements and a window, either way.

A single message above 10 MiB would close the connection of the notebook without a word; and a sender that does not
wait would fill the memory of the slower side. Lost pieces are sent again, repeated ones are ignored, a silent other
side ends the move with an error in words. Time in which this loop stood still, such as during a long cell, is no
silence of the browser. Everything here runs on the node's home loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from dfs_sdk.errors import DeadlineError, DfsError
from dfs_sdk.files.sink import DestinationExistsError
from dfs_sdk.ui.face import NodeFace, ReaderFace

PIECE_BYTES = 2**20
WINDOW_PIECES = 8
SILENCE_SECONDS_MAX = 120.0
SILENCE_SLICES = 24
RESEND_SECONDS_MIN = 3.0
WAITING_TOLD_SECONDS = 3.0
ACKNOWLEDGED_PIECES = 4  # in one message, of a fast upload; half a window, so that pieces stay on their way
ACKNOWLEDGED_SECONDS = 0.25
FILE_BYTES_MAX = 2**50
NAMES_TRIED_MAX = 1_000


class BrowserSilentError(DeadlineError):
    """The browser stopped answering: keep its tab open, then try again."""


class Progress(NamedTuple):
    """How far an upload is.

    Attributes:
        taken: Pieces that the node took; the browser may send a window beyond.
        arrived: Pieces that are here without a gap; what is missing after them was lost.
    """

    taken: int
    arrived: int


class Upload:
    """Receives the pieces of one file in order.

    Args:
        size: Bytes of the whole file.
        acknowledge: Called with the progress after pieces were taken, several at a time if they come fast, and when
            the browser asks.
        silence: Seconds without a piece after which the browser counts as gone.
    """

    def __init__(
        self, size: int, *, acknowledge: Callable[[Progress], None], silence: float = SILENCE_SECONDS_MAX
    ) -> None:
        self._size = size
        self._acknowledge = acknowledge
        self._silence = silence
        self._next = self._said = 0
        self._said_at = -ACKNOWLEDGED_SECONDS
        self._waiting: dict[int, bytes] = {}
        self._arrived = asyncio.Event()
        self._fault: ValueError | None = None

    @property
    def piece_count(self) -> int:
        """How many pieces make up the file."""
        return -(-self._size // PIECE_BYTES)

    @property
    def progress(self) -> Progress:
        """How far it is."""
        arrived = self._next
        while arrived in self._waiting:
            arrived += 1
        return Progress(self._next, arrived)

    def receive(self, index: int, piece: bytes) -> None:
        """Take a piece that arrived; one that cannot be right ends the upload, one that was there already is ignored.

        What cannot be right is an index beyond the window or the file, or a length that the piece cannot have.
        """
        if index < self._next or index in self._waiting:
            return
        if index >= min(self.piece_count, self._next + WINDOW_PIECES):
            self._fault = ValueError(f"piece {index} of {self.piece_count} arrived while waiting for {self._next}")
        elif len(piece) != min(PIECE_BYTES, self._size - index * PIECE_BYTES):
            self._fault = ValueError(f"piece {index} has {len(piece)} bytes: the file changed while it was read")
        else:
            self._waiting[index] = piece
        self._arrived.set()

    def say(self) -> None:
        """Tell the browser how far it is: it asks when it has heard nothing for a while."""
        self._arrived.set()  # a browser that asks is there
        self._tell()

    async def pieces(self) -> AsyncIterator[bytes]:
        """Iterate over the pieces in order; taking one asks the browser for more.

        Raises:
            BrowserSilentError: The browser fell silent.
            ValueError: A piece cannot be right.
        """
        while self._next < self.piece_count:
            piece = await self._take()
            due = asyncio.get_running_loop().time() - self._said_at >= ACKNOWLEDGED_SECONDS
            if due or self._next - self._said >= ACKNOWLEDGED_PIECES or self._next == self.piece_count:
                self._tell()
            yield piece

    def _tell(self) -> None:
        self._said, self._said_at = self._next, asyncio.get_running_loop().time()
        self._acknowledge(self.progress)

    async def _take(self) -> bytes:
        while self._next not in self._waiting and self._fault is None:
            self._arrived.clear()
            await _heard(
                self._arrived, self._silence, "the browser stopped sending: keep its tab open and upload again"
            )
        if self._fault is not None:
            raise self._fault
        self._next += 1
        return self._waiting.pop(self._next - 1)


class Download:
    """Sends the pieces of one file to the browser.

    Args:
        size: Bytes of the whole file.
        first: The piece to begin with: the browser has those before it from an earlier attempt.
        send: Called with an index and a piece.
        wait: Called with the seconds for which the network has given nothing, from 3 on and every 3 s.
        silence: Seconds without an acknowledgement after which the browser counts as gone.
    """

    def __init__(
        self,
        size: int,
        *,
        first: int = 0,
        send: Callable[[int, bytes], None],
        wait: Callable[[float], None],
        silence: float = SILENCE_SECONDS_MAX,
    ) -> None:
        self._size = size
        self._send = send
        self._wait = wait
        self._silence = silence
        self._first = self._acknowledged = min(first, self.piece_count)
        self._unacknowledged: dict[int, bytes] = {}
        self._moved = asyncio.Event()
        self._resent_at = -RESEND_SECONDS_MIN

    @property
    def piece_count(self) -> int:
        """How many pieces make up the file."""
        return -(-self._size // PIECE_BYTES)

    def acknowledge(self, next_index: int) -> None:
        """Note that the browser has all pieces below `next_index`; the same number again means it lost some.

        Repetitions that waited together for a loop that stood still make the pieces go out once.
        """
        self._moved.set()
        if next_index > self._acknowledged:
            for index in range(self._acknowledged, min(next_index, self.piece_count)):
                self._unacknowledged.pop(index, None)
            self._acknowledged = next_index
            return
        now = asyncio.get_running_loop().time()
        if now - self._resent_at >= RESEND_SECONDS_MIN:
            self._resent_at = now
            for index, piece in tuple(self._unacknowledged.items()):
                self._send(index, piece)

    async def run(self, reader: ReaderFace) -> None:
        """Send the file from its first piece wanted, and return when the browser has it.

        Raises:
            BrowserSilentError: The browser fell silent.
            DfsError: The file ended before its size.
        """
        await reader.seek(self._first * PIECE_BYTES)
        for index in range(self._first, self.piece_count):
            await self._until_acknowledged(index - WINDOW_PIECES + 1)
            with _told_while_waiting(self._wait):
                piece = await _read(reader, min(PIECE_BYTES, self._size - index * PIECE_BYTES))
            self._unacknowledged[index] = piece
            self._send(index, piece)
        await self._until_acknowledged(self.piece_count)

    async def _until_acknowledged(self, count: int) -> None:
        while self._acknowledged < count:
            self._moved.clear()
            complaint = "the browser stopped answering: keep its tab open and download again"
            await _heard(self._moved, self._silence, complaint)


async def _heard(event: asyncio.Event, silence: float, complaint: str) -> None:
    """Wait in slices: a loop that stood still finds one of them over, not all, and then hears what waited for it."""
    for _ in range(SILENCE_SLICES):
        try:
            async with asyncio.timeout(silence / SILENCE_SLICES):
                await event.wait()
        except TimeoutError:
            continue
        return
    raise BrowserSilentError(complaint)


@contextmanager
def _told_while_waiting(wait: Callable[[float], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    begun, timers = loop.time(), list[asyncio.TimerHandle]()

    def again() -> None:
        timers[:] = [loop.call_later(WAITING_TOLD_SECONDS, tell)]

    def tell() -> None:
        again()
        wait(loop.time() - begun)

    again()
    try:
        yield
    finally:
        timers[0].cancel()


async def _read(reader: ReaderFace, size: int) -> bytes:
    parts: list[bytes] = []
    missing = size
    while missing:
        part = await reader.read(missing)
        if not part:
            raise DfsError(f"the file ended {missing} bytes early")
        parts.append(part)
        missing -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def fetched(node: NodeFace, what: str) -> Path:
    """Get a file to the kernel's disk, into the folder of fetched files; beside one of the same name, as `name (2)`.

    Raises:
        DestinationExistsError: There are very many of the same name.
        DfsError: It could not be got.
    """
    try:
        return Path(await node.get(what, download_folder()))
    except DestinationExistsError as error:
        return Path(await node.get(what, _beside(error.target)))


def _beside(target: Path) -> Path:
    for number in range(2, NAMES_TRIED_MAX + 2):
        free = target.with_name(f"{target.stem} ({number}){target.suffix}")
        if not free.exists():
            return free
    return target


def download_folder() -> Path:
    """The folder of its own where fetched files go, made if need be: never one that Python imports from."""
    folder = Path("dfs_downloads")
    folder.mkdir(exist_ok=True)
    return folder.resolve()
