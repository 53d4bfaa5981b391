"""Runs of MESSAGE frames: laid out as one by one, wherever head and body of the message meet."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.transport.frames import MESSAGE_OVERHEAD
from dfs_sdk.transport.outbox import OutgoingMessage
from dfs_sdk.transport.priority import Priority
from dfs_sdk.transport.segments import lay_segments, leading_segments, segment
from dfs_sdk.transport.slots import Slots


def message_of(head_bytes: int, body_bytes: int) -> OutgoingMessage:
    content = bytes((83 * index + 7) % 251 for index in range(head_bytes + body_bytes))
    head, body = memoryview(content)[:head_bytes], memoryview(content)[head_bytes:]
    message = OutgoingMessage(head, Priority.TRANSFER, body=body)
    message.message_id = 0x01020304
    return message


@given(st.integers(0, 60), st.integers(0, 300), st.integers(1, 40), st.data())
def test_segments_lie_as_if_laid_one_by_one(head: int, body: int, step: int, data: st.DataObject) -> None:
    message = message_of(head, body + 1)
    start = data.draw(st.integers(0, message.total - 1))
    stop = data.draw(st.integers(start + 1, message.total))
    slots = Slots(20_000)
    parts = [b"".join(segment(message, at, min(at + step, stop))) for at in range(start, stop, step)]
    assert lay_segments(message, start, stop, step, slots) == len(b"".join(parts))
    assert bytes(slots.view).rstrip(b"\0") == b"".join(parts).rstrip(b"\0")


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 20), st.integers(0, 12), st.integers(0, 14))
def test_a_run_ends_where_a_header_differs(count: int, looked_at: int, step: int, row: int, field: int) -> None:
    message, slots, stride = message_of(0, 20 * step), Slots(1000), step + MESSAGE_OVERHEAD
    lay_segments(message, step, step * (count + 1), step, slots)
    places = range(step, step * (count + 1), step)[:looked_at]
    view = slots.view[: len(places) * stride]
    assert leading_segments(view, stride, places) == len(places)
    # Its first byte is looked at before.
    if 0 < row < len(places):
        slots.view[row * stride + field] ^= 1
        assert leading_segments(view, stride, places) == row
