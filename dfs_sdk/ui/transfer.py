"""Files between the browser and the node: pieces of 1 MiB with acknowledgements, a window of four, either way.

A single message above 10 MiB would close the connection of the notebook without a word; and a sender that does not
wait would fill the memory of the slower side. Lost pieces are sent again, repeated ones are ignored, a silent other
side ends the transfer with an error in words. Everything here runs on the node's home loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from dfs_sdk.errors import DeadlineError, DfsError
from dfs_sdk.ui.face import ReaderFace

PIECE_BYTES = 2**20
WINDOW_PIECES = 4
SILENCE_SECONDS_MAX = 60.0
FILE_BYTES_MAX = 2**50


class Upload:
    """Receives the pieces of one file in order.

    Args:
        size: Bytes of the whole file.
        acknowledge: Called with the index of the next piece wanted, after each piece that was taken.
        silence: Seconds without a piece after which the browser counts as gone.
    """

    def __init__(self, size: int, *, acknowledge: Callable[[int], None], silence: float = SILENCE_SECONDS_MAX) -> None:
        self._size = size
        self._acknowledge = acknowledge
        self._silence = silence
        self._next = 0
        self._waiting: dict[int, bytes] = {}
        self._arrived = asyncio.Event()

    @property
    def piece_count(self) -> int:
        """How many pieces make up the file."""
        return -(-self._size // PIECE_BYTES)

    def receive(self, index: int, piece: bytes) -> None:
        """Take a piece that arrived; one that was there already only makes us say again what we wait for.

        Raises:
            ValueError: Its index is beyond the window or the file, or its length is not the one it must have.
        """
        if index < self._next or index in self._waiting:
            self._acknowledge(self._next)
            return
        if index >= min(self.piece_count, self._next + WINDOW_PIECES):
            raise ValueError(f"piece {index} of {self.piece_count} arrived while waiting for {self._next}")
        if len(piece) != min(PIECE_BYTES, self._size - index * PIECE_BYTES):
            raise ValueError(f"piece {index} has {len(piece)} bytes: the file changed while it was read")
        self._waiting[index] = piece
        self._arrived.set()

    async def pieces(self) -> AsyncIterator[bytes]:
        """Iterate over the pieces in order; taking one asks the browser for more.

        Raises:
            DeadlineError: The browser fell silent.
        """
        while self._next < self.piece_count:
            piece = await self._take()
            self._acknowledge(self._next)
            yield piece

    async def _take(self) -> bytes:
        while self._next not in self._waiting:
            self._arrived.clear()
            try:
                async with asyncio.timeout(self._silence):
                    await self._arrived.wait()
            except TimeoutError as error:
                raise DeadlineError("the browser stopped sending: keep its tab open and upload again") from error
        self._next += 1
        return self._waiting.pop(self._next - 1)


class Download:
    """Sends the pieces of one file to the browser.

    Args:
        size: Bytes of the whole file.
        send: Called with an index and a piece.
        silence: Seconds without an acknowledgement after which the browser counts as gone.
    """

    def __init__(self, size: int, *, send: Callable[[int, bytes], None], silence: float = SILENCE_SECONDS_MAX) -> None:
        self._size = size
        self._send = send
        self._silence = silence
        self._acknowledged = 0
        self._unacknowledged: dict[int, bytes] = {}
        self._moved = asyncio.Event()

    @property
    def piece_count(self) -> int:
        """How many pieces make up the file."""
        return -(-self._size // PIECE_BYTES)

    def acknowledge(self, next_index: int) -> None:
        """Note that the browser has all pieces below `next_index`; the same number again means it lost some."""
        if next_index > self._acknowledged:
            for index in range(self._acknowledged, next_index):
                self._unacknowledged.pop(index, None)
            self._acknowledged = next_index
            self._moved.set()
            return
        for index, piece in tuple(self._unacknowledged.items()):
            self._send(index, piece)

    async def run(self, reader: ReaderFace) -> None:
        """Send the whole file and return when the browser has it.

        Raises:
            DeadlineError: The browser fell silent.
            DfsError: The file ended before its size.
        """
        for index in range(self.piece_count):
            await self._until_acknowledged(index - WINDOW_PIECES + 1)
            piece = await self._read(reader, min(PIECE_BYTES, self._size - index * PIECE_BYTES))
            self._unacknowledged[index] = piece
            self._send(index, piece)
        await self._until_acknowledged(self.piece_count)

    async def _until_acknowledged(self, count: int) -> None:
        while self._acknowledged < count:
            self._moved.clear()
            try:
                async with asyncio.timeout(self._silence):
                    await self._moved.wait()
            except TimeoutError as error:
                raise DeadlineError("the browser stopped answering: keep its tab open and download again") from error

    async def _read(self, reader: ReaderFace, size: int) -> bytes:
        parts: list[bytes] = []
        missing = size
        while missing:
            part = await reader.read(missing)
            if not part:
                raise DfsError(f"the file ended {missing} bytes early")
            parts.append(part)
            missing -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def download_folder() -> Path:
    """The folder of its own where fetched files go, made if need be: never one that Python imports from."""
    folder = Path("dfs_downloads")
    folder.mkdir(exist_ok=True)
    return folder.resolve()
