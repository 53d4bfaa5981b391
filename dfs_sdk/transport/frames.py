"""Frames: the items inside a sealed packet, each a fixed layout behind a kind byte.

`read_frames` turns the plaintext of an authentic packet into typed frames and raises `ProtocolError` for anything
else. MESSAGE is the frame that carries almost every byte; its layout is public here because the burst loops read and
write it directly. All integers are big-endian.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from struct import Struct, error

from dfs_sdk.errors import ProtocolError
from dfs_sdk.ids import Address
from dfs_sdk.transport.config import MESSAGE_BYTES_MAX
from dfs_sdk.transport.packet import ADDRESS_BYTES, pack_address, unpack_address

# The highest ranges of received packets that fit one frame: 64 · 8 bytes, and with 10 % loss some 600 packets.
ACK_RANGES_MAX = 64
REASON_BYTES_MAX = 128
ACK_DELAY_US_MAX = 2**32 - 1
# What one packet may hold: an honest one has an ACK, 32 CANCELs and one of each that tells state, and 512 messages are
# open at most. Without these a datagram of 65,000 PINGs would hold the loop for as long as a thousand packets.
CONTROLS_MAX = 64
SEGMENTS_MAX = 1024
GAP_MAX = 2**32 - 1


class FrameKind(IntEnum):
    """First byte of a frame."""

    PADDING = 0x00
    PING = 0x01
    ACK = 0x02
    MESSAGE = 0x03
    WINDOW = 0x04
    WANTED = 0x05
    CANCEL = 0x06
    PATH_CHALLENGE = 0x07
    PATH_RESPONSE = 0x08
    OBSERVED = 0x09
    CLOSE = 0x0A


class CloseCode(IntEnum):
    """Why a connection ended."""

    DONE = 0
    PROTOCOL_VIOLATION = 1
    REPLACED = 2
    OVERLOADED = 3
    STALLED = 4


# kind, message id, total bytes, offset, bytes in this frame
MESSAGE_HEADER = Struct(">BIIIH")
MESSAGE_OVERHEAD = MESSAGE_HEADER.size
# kind, number of further ranges, delay in µs, largest packet number, packets in the first range
_ACK_HEADER = Struct(">BBIQI")
_U64 = Struct(">BQ")
_CANCEL = Struct(">BII")
_TOKEN = Struct(">B8s")
_CLOSE_HEADER = Struct(">BBB")

PADDING = bytes((FrameKind.PADDING,))
PING = bytes((FrameKind.PING,))


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks for an acknowledgement and nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """Packets that arrived.

    Attributes:
        ranges: Half-open ranges of packet numbers, highest first, at least one, neither touching nor overlapping.
        delay: Seconds between the arrival of the highest and the sending of this frame.
    """

    ranges: tuple[tuple[int, int], ...]
    delay: float

    def encode(self) -> bytes:
        """Build the frame; ranges beyond 64, or beyond a gap of 2³² packets, are left out."""
        first_start, first_stop = self.ranges[0]
        fields: list[int] = []
        below = first_start
        for start, stop in self.ranges[1 : ACK_RANGES_MAX + 1]:
            if below - stop > GAP_MAX:
                break
            fields += (below - stop, stop - start)
            below = start
        delay_us = min(int(self.delay * 1e6), ACK_DELAY_US_MAX)
        count = len(fields) // 2
        header = _ACK_HEADER.pack(FrameKind.ACK, count, delay_us, first_stop - 1, first_stop - first_start)
        return header + _ranges_layout(count).pack(*fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A part of a message.

    Attributes:
        message_id: Number of the message in its direction.
        total_bytes: Length of the whole message, 1 … `MESSAGE_BYTES_MAX`.
        offset: Where `data` lies in it.
        data: At least one byte; lent.
    """

    message_id: int
    total_bytes: int
    offset: int
    data: memoryview


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The sum of message charges the receiver has agreed to, from the beginning of the session."""

    limit: int

    def encode(self) -> bytes:
        """Build the frame."""
        return _U64.pack(FrameKind.WINDOW, self.limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The sum of message charges the sender would like to reach."""

    limit: int

    def encode(self) -> bytes:
        """Build the frame."""
        return _U64.pack(FrameKind.WANTED, self.limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """The sender gives a message up; its length says what it was charged."""

    message_id: int
    total_bytes: int

    def encode(self) -> bytes:
        """Build the frame."""
        return _CANCEL.pack(FrameKind.CANCEL, self.message_id, self.total_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class PathChallenge:
    """Asks whoever answers at an address to prove it: return the 8-byte token."""

    token: bytes

    def encode(self) -> bytes:
        """Build the frame."""
        return _TOKEN.pack(FrameKind.PATH_CHALLENGE, self.token)


@dataclass(frozen=True, slots=True, kw_only=True)
class PathResponse:
    """Returns the token of a challenge."""

    token: bytes

    def encode(self) -> bytes:
        """Build the frame."""
        return _TOKEN.pack(FrameKind.PATH_RESPONSE, self.token)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Tells the peer from which address its packets come."""

    address: Address

    def encode(self) -> bytes:
        """Build the frame."""
        return bytes((FrameKind.OBSERVED,)) + pack_address(self.address)


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """Ends the connection.

    Attributes:
        code: Why, for programs.
        reason: Why, for people; at most 128 bytes of UTF-8.
    """

    code: int
    reason: str

    def encode(self) -> bytes:
        """Build the frame; a longer reason is cut."""
        text = self.reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore").encode()
        return _CLOSE_HEADER.pack(FrameKind.CLOSE, self.code, len(text)) + text


Frame = Ping | Ack | Segment | Window | Wanted | Cancel | PathChallenge | PathResponse | Observed | Close


def read_frames(plaintext: memoryview) -> Iterator[Frame]:
    """Yield the frames of one packet's plaintext, checked in themselves.

    Args:
        plaintext: What `ReceiveCipher.open_into` verified; segments lend from it.

    Raises:
        ProtocolError: An unknown kind, a frame that is cut, a field out of range, or too many frames.
    """
    position, end = 0, len(plaintext)
    controls, segments = CONTROLS_MAX, SEGMENTS_MAX
    if end == 0:
        raise ProtocolError("a packet without a frame")
    while position < end:
        kind = plaintext[position]
        if kind == FrameKind.PADDING:
            return
        reader = _READERS.get(kind)
        if reader is None:
            raise ProtocolError(f"frame kind {kind:#04x} is unknown")
        try:
            frame, position = reader(plaintext, position)
        except error:
            raise ProtocolError(f"a frame of kind {kind:#04x} is cut short") from None
        if position > end:
            raise ProtocolError(f"a frame of kind {kind:#04x} is cut short")
        if kind == FrameKind.MESSAGE:
            segments -= 1
        else:
            controls -= 1
        if controls < 0 or segments < 0:
            raise ProtocolError("a packet of too many frames")
        yield frame


def check_segment(total_bytes: int, offset: int, size: int) -> None:
    """Raise `ProtocolError` unless a segment lies within a message that may exist."""
    if not 0 < total_bytes <= MESSAGE_BYTES_MAX or size == 0 or offset + size > total_bytes:
        raise ProtocolError(f"segment [{offset}, {offset + size}) of a message of {total_bytes} bytes")


@lru_cache(maxsize=ACK_RANGES_MAX + 1)
def _ranges_layout(count: int) -> Struct:
    """Gap and length of `count` further ranges."""
    return Struct(f">{2 * count}I")


def _read_ping(_plaintext: memoryview, position: int) -> tuple[Frame, int]:
    return Ping(), position + 1


def _read_ack(plaintext: memoryview, position: int) -> tuple[Frame, int]:
    _, count, delay_us, largest, first = _ACK_HEADER.unpack_from(plaintext, position)
    if count > ACK_RANGES_MAX or not 0 < first <= largest + 1:
        raise ProtocolError("an acknowledgement of too many or impossible ranges")
    fields = _ranges_layout(count).unpack_from(plaintext, position + _ACK_HEADER.size)
    start = largest + 1 - first
    ranges = [(start, largest + 1)]
    for index in range(0, 2 * count, 2):
        gap, length = fields[index], fields[index + 1]
        stop = start - gap
        start = stop - length
        if gap == 0 or length == 0 or start < 0:
            raise ProtocolError("an acknowledgement with an impossible range")
        ranges.append((start, stop))
    return Ack(ranges=tuple(ranges), delay=delay_us / 1e6), position + _ACK_HEADER.size + 8 * count


def _read_message(plaintext: memoryview, position: int) -> tuple[Frame, int]:
    _, message_id, total, offset, size = MESSAGE_HEADER.unpack_from(plaintext, position)
    check_segment(total, offset, size)
    start = position + MESSAGE_OVERHEAD
    segment = Segment(message_id=message_id, total_bytes=total, offset=offset, data=plaintext[start : start + size])
    return segment, start + size


def _read_window(plaintext: memoryview, position: int) -> tuple[Frame, int]:
    return Window(limit=_U64.unpack_from(plaintext, position)[1]), position + _U64.size


def _read_wanted(plaintext: memoryview, position: int) -> tuple[Frame, int]:
    return Wanted(limit=_U64.unpack_from(plaintext, position)[1]), position + _U64.size


def _read_cancel(plaintext: memoryview, position: int) -> tuple[Frame, int]:
    _, message_id, total = _CANCEL.unpack_from(plaintext, position)
    check_segment(total, 0, total)
    return Cancel(message_id=message_id, total_bytes=total), position + _CANCEL.size


def _read_challenge(plaintext: memoryview, position: int) -> tuple[Frame, int]:
    return PathChallenge(token=_TOKEN.unpack_from(plaintext, position)[1]), position + _TOKEN.size


def _read_response(plaintext: memoryview, position: int) -> tuple[Frame, int]:
    return PathResponse(token=_TOKEN.unpack_from(plaintext, position)[1]), position + _TOKEN.size


def _read_observed(plaintext: memoryview, position: int) -> tuple[Frame, int]:
    stop = position + 1 + ADDRESS_BYTES
    return Observed(address=unpack_address(plaintext[position + 1 : stop])), stop


def _read_close(plaintext: memoryview, position: int) -> tuple[Frame, int]:
    _, code, size = _CLOSE_HEADER.unpack_from(plaintext, position)
    start = position + _CLOSE_HEADER.size
    text = bytes(plaintext[start : start + size])
    if size > REASON_BYTES_MAX:
        raise ProtocolError("a reason of more than 128 bytes")
    return Close(code=code, reason=_printable(text.decode(errors="replace"))), start + size


def _printable(text: str) -> str:
    """Replace what could drive a terminal or a log: the words are a peer's."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


_READERS: dict[int, Callable[[memoryview, int], tuple[Frame, int]]] = {
    FrameKind.PING: _read_ping,
    FrameKind.ACK: _read_ack,
    FrameKind.MESSAGE: _read_message,
    FrameKind.WINDOW: _read_window,
    FrameKind.WANTED: _read_wanted,
    FrameKind.CANCEL: _read_cancel,
    FrameKind.PATH_CHALLENGE: _read_challenge,
    FrameKind.PATH_RESPONSE: _read_response,
    FrameKind.OBSERVED: _read_observed,
    FrameKind.CLOSE: _read_close,
}
