"""Where equal pieces of files lie in memory once, whichever disks of a world hold them.

The copies of a chunk are equal to the byte on all its holders. A disk that keeps handles instead of bytes behaves as
any other: whoever reads gets the bytes, and what is damaged, torn or overwritten becomes that file's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakValueDictionary

from dfs_sdk.crypto.hashing import blake3_256

SHARED_BYTES_MIN = 1024
"""Smaller pieces are not worth a handle."""

_DOMAIN = b"dfs/sim/shelf/1"


class Handle:
    """A piece that lies in memory once, for as long as somebody holds it."""

    __slots__ = ("__weakref__", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data


class Held:
    """A content made of pieces: small ones as they are, large ones by handle; never changed.

    Attributes:
        size: Bytes in all.
    """

    __slots__ = ("_pieces", "size")

    def __init__(self, pieces: Sequence[bytes | Handle]) -> None:
        self._pieces = tuple(pieces)
        self.size = sum(map(len, map(_bytes, self._pieces)))

    def read(self, size_max: int | None = None) -> bytes:
        """Lay the pieces together, as far as `size_max` needs them."""
        first = _bytes(self._pieces[0]) if self._pieces else b""
        if size_max is not None and 0 <= size_max <= len(first):
            return first[:size_max]
        return b"".join(map(_bytes, self._pieces))[:size_max]


class Shelf:
    """The pieces of one world."""

    def __init__(self) -> None:
        self._handles: WeakValueDictionary[bytes, Handle] = WeakValueDictionary()

    def __len__(self) -> int:
        """How many different pieces are held."""
        return len(self._handles)

    @property
    def held_bytes(self) -> int:
        """How much memory they take."""
        return sum(len(handle.data) for handle in self._handles.values())

    def hold(self, pieces: Sequence[bytes]) -> Held:
        """Give a content whose large pieces are shared with all others that are equal."""
        return Held([self._handle(piece) if len(piece) >= SHARED_BYTES_MIN else piece for piece in pieces])

    def _handle(self, data: bytes) -> Handle:
        name = blake3_256(_DOMAIN, data)
        handle = self._handles.get(name)
        if handle is None:
            handle = self._handles[name] = Handle(data)
        return handle


def _bytes(piece: bytes | Handle) -> bytes:
    return piece.data if isinstance(piece, Handle) else piece
