"""Frames: the bytes each is made of, and what happens to other bytes."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dfs_sdk.errors import ProtocolError
from dfs_sdk.ids import Address
from dfs_sdk.transport.config import MESSAGE_BYTES_MAX
from dfs_sdk.transport.frames import (
    ACK_RANGES_MAX,
    MESSAGE_HEADER,
    PADDING,
    PING,
    Ack,
    Cancel,
    Close,
    FrameKind,
    Observed,
    PathChallenge,
    PathResponse,
    Ping,
    Segment,
    Wanted,
    Window,
    read_frames,
)

GOLDEN = {
    "ack": (
        Ack(ranges=((7, 11), (2, 5)), delay=0.002),
        "02 01 000007d0 000000000000000a 00000004 00000002 00000003",
    ),
    "window": (Window(limit=65536), "04 0000000000010000"),
    "wanted": (Wanted(limit=3), "05 0000000000000003"),
    "cancel": (Cancel(message_id=1, total_bytes=2), "06 00000001 00000002"),
    "challenge": (PathChallenge(token=b"12345678"), "07 3132333435363738"),
    "response": (PathResponse(token=b"12345678"), "08 3132333435363738"),
    "observed v4": (
        Observed(address=Address("192.0.2.1", 4001)),
        "09 04 00 0fa1 c0000201 000000000000000000000000",
    ),
    "observed v6": (
        Observed(address=Address("2001:db8::1", 1)),
        "09 06 00 0001 20010db8000000000000000000000001",
    ),
    "close": (Close(code=2, reason="bye"), "0a 02 03 627965"),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_frame_has_these_bytes_and_reads_back(name):
    """P-FRM-2."""
    frame, golden = GOLDEN[name]
    assert frame.encode() == bytes.fromhex(golden)
    assert list(read_frames(memoryview(frame.encode()))) == [frame]


def test_message_frame_has_these_bytes():
    data = bytes.fromhex("03 00000005 0000000a 00000004 0003 616263")
    assert MESSAGE_HEADER.pack(FrameKind.MESSAGE, 5, 10, 4, 3) + b"abc" == data
    (segment,) = read_frames(memoryview(data))
    assert isinstance(segment, Segment)
    assert (segment.message_id, segment.total_bytes, segment.offset, bytes(segment.data)) == (5, 10, 4, b"abc")


def test_several_frames_share_a_packet_and_padding_ends_it():
    data = PING + Window(limit=1).encode() + PADDING * 3 + b"\xff"
    assert list(read_frames(memoryview(data))) == [Ping(), Window(limit=1)]


@given(st.binary(max_size=300))
@example(b"")
@example(b"\x0b")
def test_any_bytes_are_frames_or_a_protocol_error(data):
    try:
        frames = list(read_frames(memoryview(data)))
    except ProtocolError:
        return
    for frame in frames:
        if isinstance(frame, Segment):
            assert 0 < len(frame.data) <= frame.total_bytes - frame.offset <= MESSAGE_BYTES_MAX
        if isinstance(frame, Ack):
            edges = [edge for start, stop in reversed(frame.ranges) for edge in (start, stop)]
            assert edges == sorted(set(edges))
            assert edges[0] >= 0


@pytest.mark.parametrize("name", GOLDEN)
def test_frame_cut_at_any_byte_is_a_protocol_error(name):
    data = GOLDEN[name][0].encode()
    for length in range(1, len(data)):
        with pytest.raises(ProtocolError):
            list(read_frames(memoryview(data[:length])))


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), min_size=1, max_size=100), st.floats(0, 10))
def test_acknowledgement_keeps_its_highest_ranges(steps, delay):
    ranges, position = [], 0
    for gap, length in steps:
        ranges.append((position + gap, position + gap + length))
        position += gap + length
    ack = Ack(ranges=tuple(reversed(ranges)), delay=delay)
    (read,) = read_frames(memoryview(ack.encode()))
    assert isinstance(read, Ack)
    assert read.ranges == ack.ranges[: ACK_RANGES_MAX + 1]
    assert abs(read.delay - delay) < 1e-5


def test_acknowledgement_leaves_out_what_lies_beyond_a_change_of_keys_too_far():
    ack = Ack(ranges=((2**34, 2**34 + 1), (5, 6)), delay=0)
    (read,) = read_frames(memoryview(ack.encode()))
    assert read == Ack(ranges=((2**34, 2**34 + 1),), delay=0)


def test_long_reason_is_cut_at_a_character():
    (read,) = read_frames(memoryview(Close(code=0, reason="é" * 100).encode()))
    assert read == Close(code=0, reason="é" * 64)


def test_reason_of_a_peer_cannot_drive_a_terminal():
    (read,) = read_frames(memoryview(Close(code=0, reason="\x1b]0;own\x07ed\n").encode()))
    assert read == Close(code=0, reason="\ufffd]0;own\ufffded\ufffd")
