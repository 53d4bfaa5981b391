"""What can be put: bytes, a path, a binary file object, an async iterable; read piece by piece, off the loop."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from pathlib import Path
from typing import BinaryIO, Protocol

from dfs_sdk.errors import ConfigError
from dfs_sdk.runtime.ports import Buffer, Disk, DiskFile, Offload

UNTITLED = "untitled"
PIECE_BYTES_MAX = 64 * 1024 * 1024

Putable = str | Path | bytes | bytearray | memoryview | BinaryIO | AsyncIterable[bytes]


class Source(Protocol):
    """Something that is read once, from its start to its end."""

    @property
    def name(self) -> str:
        """What it is called if the user does not say."""
        ...

    @property
    def size(self) -> int | None:
        """Its length in bytes, None while unknown."""
        ...

    @property
    def fingerprint(self) -> bytes | None:
        """Names this very content without reading it, so that an interrupted put can go on; None if nothing can."""
        ...

    async def read(self, size: int) -> Buffer:
        """Return the next `size` bytes; fewer only at the end."""
        ...

    async def close(self) -> None:
        """Let go of what was opened here."""
        ...


class BytesSource:
    """Bytes in memory, copied piece by piece where they could change under our hands.

    What is sealed must be what was hashed: a chunk key must never meet two plaintexts.
    """

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        try:
            self._data = memoryview(data).cast("B")
        except TypeError:
            raise ConfigError("the memoryview is not contiguous: give bytes(view) instead") from None
        self._immutable = isinstance(data, bytes)
        self._position = 0
        self.name = UNTITLED
        self.size: int | None = len(self._data)
        self.fingerprint: bytes | None = None

    async def read(self, size: int) -> Buffer:
        """See `Source.read`."""
        piece = self._data[self._position : self._position + size]
        self._position += len(piece)
        return piece if self._immutable else bytes(piece)

    async def close(self) -> None:
        """Nothing was opened."""


class PathSource:
    """A regular file, held open while it is read."""

    def __init__(self, path: Path, file: DiskFile, offload: Offload, *, size: int, modified_ns: int) -> None:
        self._file = file
        self._offload = offload
        self._position = 0
        self.name = path.name
        self.size: int | None = size
        self.fingerprint: bytes | None = f"{path.absolute()}\0{size}\0{modified_ns}".encode("utf-8", "surrogateescape")

    async def read(self, size: int) -> Buffer:
        """See `Source.read`."""
        piece = await self._offload.run(self._file.read_at, self._position, size)
        self._position += len(piece)
        return piece

    async def close(self) -> None:
        """Close the file."""
        self._file.close()


class FileObjectSource:
    """A binary file object of the user's, read in worker threads and left open."""

    def __init__(self, file: BinaryIO, offload: Offload) -> None:
        self._file = file
        self._offload = offload
        name = getattr(file, "name", None)
        self.name = Path(name).name if isinstance(name, str) and name else UNTITLED
        self.size: int | None = None
        self.fingerprint: bytes | None = None

    async def read(self, size: int) -> Buffer:
        """See `Source.read`."""
        return await self._offload.run(self._read, size)

    async def close(self) -> None:
        """The file object is the user's to close."""

    def _read(self, size: int) -> bytes:
        pieces, left = [], size
        while left:
            piece = self._file.read(left)
            if not isinstance(piece, bytes | bytearray):
                raise ConfigError("the file object must be opened in binary mode and block until it has data")
            if not piece:
                break
            pieces.append(bytes(piece))
            left -= len(piece)
        return b"".join(pieces)


class StreamSource:
    """An async iterable of pieces of any length."""

    def __init__(self, stream: AsyncIterable[bytes]) -> None:
        self._iterator: AsyncIterator[bytes] = aiter(stream)
        self._held = bytearray()
        self._ended = False
        self.name = UNTITLED
        self.size: int | None = None
        self.fingerprint: bytes | None = None

    async def read(self, size: int) -> Buffer:
        """See `Source.read`."""
        while len(self._held) < size and not self._ended:
            piece = await anext(self._iterator, None)
            if piece is None:
                self._ended = True
            elif not isinstance(piece, bytes | bytearray | memoryview):
                raise ConfigError(f"the stream gave {type(piece).__name__}: it must give bytes")
            elif len(piece) > PIECE_BYTES_MAX:
                raise ConfigError(f"the stream gave {len(piece)} bytes at once: at most {PIECE_BYTES_MAX}")
            else:
                self._held += piece
        taken = bytes(self._held[:size])
        del self._held[:size]
        return taken

    async def close(self) -> None:
        """End the user's generator, so that its `finally` runs in this task."""
        if (aclose := getattr(self._iterator, "aclose", None)) is not None:
            await aclose()


async def open_source(source: Putable, disk: Disk, offload: Offload) -> Source:
    """Open anything that can be put; the caller closes it.

    Raises:
        ConfigError: It is none of the kinds.
        FileNotFoundError: The path does not exist.
        IsADirectoryError: The path is a folder.
    """
    match source:
        case bytes() | bytearray() | memoryview():
            return BytesSource(source)
        case str() | Path():
            return await _opened(Path(source), disk, offload)
    if isinstance(source, AsyncIterable):
        return StreamSource(source)
    if callable(getattr(source, "read", None)):
        return FileObjectSource(source, offload)
    raise ConfigError(f"cannot put a {type(source).__name__}: give a path, bytes, a binary file or an async iterable")


async def _opened(path: Path, disk: Disk, offload: Offload) -> PathSource:
    """Open a path in a worker thread; a caller who is cancelled meanwhile leaves no file open."""
    opened: list[PathSource] = []
    try:
        await offload.run(lambda: opened.append(_open_path(path, disk, offload)))
    except BaseException:
        for source in opened:
            await source.close()
        raise
    return opened[0]


def _open_path(path: Path, disk: Disk, offload: Offload) -> PathSource:
    path = path.expanduser()
    file = disk.open_source(path)
    try:
        return PathSource(path, file, offload, size=file.size(), modified_ns=file.modified_ns())
    except BaseException:
        file.close()
        raise
