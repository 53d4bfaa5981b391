"""Runs of MESSAGE frames that fill their packets: laid out in one go, told apart in one go.

A run is a table with a row for each plaintext: the frame's header, then its bytes. In a run only the offset differs.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from struct import Struct

import numpy as np

from dfs_sdk.runtime.ports import Buffer
from dfs_sdk.transport.frames import MESSAGE_HEADER, MESSAGE_OVERHEAD, FrameKind
from dfs_sdk.transport.outbox import OutgoingMessage
from dfs_sdk.transport.slots import Slots

# Where the offset lies in the frame's header.
_OFFSET_AT, _OFFSET_BYTES = 9, 4


def segment(message: OutgoingMessage, start: int, stop: int) -> tuple[bytes, Buffer]:
    """Build the MESSAGE frame for bytes [start, stop) in two parts: its header and the bytes."""
    header = MESSAGE_HEADER.pack(FrameKind.MESSAGE, message.message_id, message.total, start, stop - start)
    return header, message.cut(start, stop)


def segments(message: OutgoingMessage, start: int, stop: int, step: int) -> Iterator[bytes]:
    """Build the MESSAGE frames for bytes [start, stop) of a message, one by one, `step` bytes each but the last."""
    for at in range(start, stop, step):
        yield b"".join(segment(message, at, min(at + step, stop)))


def lay_segments(message: OutgoingMessage, start: int, stop: int, step: int, slots: Slots) -> int:
    """Lay the MESSAGE frames for bytes [start, stop) of a message into slots, `step` bytes each but the last.

    Returns:
        How many bytes all of them take.
    """
    stride, count = step + MESSAGE_OVERHEAD, (stop - start) // step
    last = start + count * step
    if count:
        header, _ = segment(message, start, start + step)
        slots.rows(count, stride, 0, MESSAGE_OVERHEAD)[:] = np.frombuffer(header, np.uint8)
        slots.numbers(count, stride, _OFFSET_AT, _OFFSET_BYTES)[:] = np.arange(start, last, step)
        # Bytes of the head, which is short, share few slots with those of the body: only these are joined.
        border = min(-(-max(len(message.head) - start, 0) // step), count)
        for low, high in ((0, border), (border, count)):
            if low < high:
                data = message.cut(start + low * step, start + high * step)
                rows = slots.rows(high - low, stride, MESSAGE_OVERHEAD, stride, first=low)
                rows[:] = np.frombuffer(data, np.uint8).reshape(high - low, step)
    size = count * stride
    if last < stop:
        for part in segment(message, last, stop):
            slots.view[size : size + len(part)] = part
            size += len(part)
    return size


def leading_segments(plaintexts: memoryview, size: int, places: range) -> int:
    """Say how many plaintexts of one size are each a segment of the first one's message, at these places in it."""
    constant, _, data_bytes = _segments_layout(size, 1).unpack_from(plaintexts)
    count = len(places)
    fields = _segments_layout(size, count).unpack(plaintexts)
    constants, offsets, sizes = fields[::3], fields[1::3], fields[2::3]
    if constants.count(constant) == count == sizes.count(data_bytes) and offsets == tuple(places):
        return count
    rows = zip(constants, offsets, sizes, places, strict=True)
    return next(index for index, row in enumerate(rows) if row[:3] != (constant, row[3], data_bytes))


@lru_cache(maxsize=256)
def _segments_layout(size: int, count: int) -> Struct:
    """Headers of `count` segments that fill plaintexts of `size` bytes: what repeats in them, offsets, lengths."""
    constant_bytes = MESSAGE_HEADER.size - 6
    return Struct(">" + f"{constant_bytes}sIH{size - MESSAGE_OVERHEAD}x" * count)
