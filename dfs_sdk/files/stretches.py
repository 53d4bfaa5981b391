"""Which stretches of a growing file are complete, so that the disk can begin with them. Pure.

A disk that starts only when the last byte is there makes the user wait for all of it; asked a stretch at a time, it
writes while the rest arrives, and the final fsync finds little left to do.
"""

from __future__ import annotations

MIB = 1024 * 1024
STRETCH_BYTES = 16 * MIB


class Stretches:
    """Counts the bytes of each stretch, in whatever order they land.

    Args:
        size: Length of the file in bytes.
        chunk_bytes: Length of every piece that is noted but the last.
    """

    def __init__(self, size: int, chunk_bytes: int) -> None:
        self._size = size
        self._length = max(STRETCH_BYTES // chunk_bytes, 1) * chunk_bytes
        self._landed: dict[int, int] = {}

    def note(self, offset: int, length: int) -> tuple[int, int] | None:
        """Note that a piece has landed, each piece once.

        Returns:
            Offset and length of its stretch if that is complete now.
        """
        number = offset // self._length
        start = number * self._length
        whole = min(self._length, self._size - start)
        landed = self._landed.pop(number, 0) + length
        if landed < whole:
            self._landed[number] = landed
            return None
        return start, whole
