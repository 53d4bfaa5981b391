"""A buffer of equal parts, cut once for each shape and not once for each packet, read and written as a table.

Making a memoryview costs about as much as a tenth of sealing a packet; bursts have the same few shapes over and over.
What is alike in all packets of a burst, or follows a rule, is a column of the table.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dfs_sdk.runtime.memory import LentMemory

# A connection uses about six shapes; where many sizes mix, cutting anew costs what it cost without a memory.
SHAPES_MAX = 32
# What is set up for a table costs what these many rows cost one by one.
TABLE_ROWS_MIN = 16


class Slots:
    """One buffer and views of its parts.

    Attributes:
        view: All of the buffer.
    """

    __slots__ = ("_cuts", "view")

    def __init__(self, size_bytes: int) -> None:
        self.view = LentMemory(size_bytes).getbuffer()
        self._cuts: dict[tuple[int, int, int], list[memoryview]] = {}

    def cut(self, count: int, stride: int, start: int, stop: int) -> list[memoryview]:
        """Return views of bytes [start, stop) of each slot; slots lie end to end, `stride` bytes each.

        Args:
            count: How many are needed; there may be more in the list, which is not the caller's to change.
            stride: The length of a slot, at least 1.
            start: Where each view begins in its slot.
            stop: Where it ends, at most `stride`.

        Raises:
            ValueError: The buffer is too short.
        """
        views = self._cuts.get((stride, start, stop))
        if views is None:
            if len(self._cuts) >= SHAPES_MAX:
                self._cuts.clear()
            views = self._cuts[stride, start, stop] = []
        if len(views) < count:
            if count * stride > len(self.view):
                raise ValueError(f"{count} slots of {stride} bytes in a buffer of {len(self.view)}")
            for position in range(len(views) * stride, count * stride, stride):
                views.append(self.view[position + start : position + stop])
        return views

    def rows(self, count: int, stride: int, start: int, stop: int, *, first: int = 0) -> npt.NDArray[np.uint8]:
        """Return bytes [start, stop) of each of `count` slots from slot `first` on, to read or write all in one go.

        Raises:
            ValueError: The buffer is too short.
        """
        return np.ndarray((count, stop - start), np.uint8, self.view, first * stride + start, (stride, 1))

    def numbers(self, count: int, stride: int, start: int, size: int) -> npt.NDArray[Any]:
        """Return the big-endian numbers, `size` bytes each, that begin at byte `start` of the first `count` slots.

        Raises:
            ValueError: The buffer is too short.
        """
        return np.ndarray((count,), f">u{size}", self.view, start, (stride,))
