"""The receiving half of a session: a tight loop that opens bursts and lands message bytes at their offsets.

Consecutive packet numbers and consecutive message bytes are noted as runs, once a burst. Nothing is used before its
packet is authenticated; a packet that is not costs one trial and a counter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from dfs_sdk.errors import ProtocolError
from dfs_sdk.transport.arrivals import Arrivals
from dfs_sdk.transport.config import TransportConfig
from dfs_sdk.transport.frames import (
    MESSAGE_HEADER,
    MESSAGE_OVERHEAD,
    Ack,
    Close,
    Frame,
    FrameKind,
    PathChallenge,
    PathResponse,
    Segment,
    read_frames,
)
from dfs_sdk.transport.inbox import Inbox, IncomingMessage
from dfs_sdk.transport.keys import COUNTER_MASK, EPOCH_SHIFT, ReceiveKeys
from dfs_sdk.transport.packet import DATA_BYTES_MIN, DATA_HEADER, Kind

_HEADER_BYTES = DATA_HEADER.size
_NO_HEADER = (-1, -1, -1)

FrameHandler = Callable[[Frame], None]


@dataclass(slots=True)
class Opened:
    """What one call of `Receiver.open_burst` did.

    Attributes:
        position: Where the first datagram lies that is not of this session.
        authentic_bytes: Bytes of authentic datagrams.
        newest: Whether one of them had the highest number so far.
        completed: Messages that are whole now.
    """

    position: int
    authentic_bytes: int = 0
    newest: bool = False
    completed: list[memoryview] = field(default_factory=list)


class _Landing:
    """Consecutive bytes of one message that were copied and not yet noted in its ranges."""

    __slots__ = ("_inbox", "buffer", "completed", "message", "message_id", "start", "stop", "total")

    def __init__(self, inbox: Inbox, completed: list[memoryview]) -> None:
        self._inbox = inbox
        self.completed = completed
        self.message: IncomingMessage | None = None
        self.message_id = -1
        self.start = self.stop = self.total = 0
        self.buffer = memoryview(b"")

    def place(self, segment: Segment) -> None:
        """Copy a segment that does not continue the landing."""
        self.flush()
        message = self._inbox.find(segment.message_id, segment.total_bytes)
        if message is None:
            return
        self.message, self.message_id = message, segment.message_id
        self.buffer, self.total = message.buffer, message.total
        self.start, self.stop = segment.offset, segment.offset + len(segment.data)
        self.buffer[self.start : self.stop] = segment.data

    def flush(self) -> None:
        """Note what was copied."""
        if self.message is not None and self._inbox.landed(self.message, self.start, self.stop):
            self.completed.append(self.message.buffer)
        self.message, self.message_id = None, -1


class _Run:
    """Consecutive packet numbers that were authenticated and not yet noted in the arrivals."""

    __slots__ = ("_arrivals", "_delay_max", "_now", "eliciting", "start", "stop")

    def __init__(self, arrivals: Arrivals, *, delay_max: float, now: float) -> None:
        self._arrivals = arrivals
        self._delay_max = delay_max
        self._now = now
        self.start = self.stop = -1
        self.eliciting = False

    def begin(self, number: int, *, eliciting: bool) -> None:
        """Note the run so far and start another with one packet."""
        self.flush()
        self.start, self.stop, self.eliciting = number, number + 1, eliciting

    def flush(self) -> None:
        """Note the run."""
        if self.start >= 0:
            self._arrivals.add(
                self.start, self.stop, eliciting=self.eliciting, now=self._now, ack_delay_max=self._delay_max
            )
            self.start = self.stop = -1


class Receiver:
    """Opens what arrives for one session."""

    def __init__(self, *, config: TransportConfig, keys: ReceiveKeys, inbox: Inbox, scratch: memoryview) -> None:
        """Take the parts.

        Args:
            config: Settings.
            keys: Opens packets.
            inbox: Takes message bytes.
            scratch: At least 65,536 bytes to open packets into; may be shared, nothing stays in it.
        """
        self._config = config
        self._scratch = scratch
        self.keys = keys
        self.inbox = inbox
        self.arrivals = Arrivals()
        self.received_bytes = self.received_packets = 0
        self.forged_packets = self.replayed_packets = 0

    def open_burst(
        self, burst: memoryview, position: int, segment_bytes: int, now: float, on_frame: FrameHandler
    ) -> Opened:
        """Open consecutive datagrams of this session.

        Args:
            burst: Datagrams end to end, each `segment_bytes` long but the last.
            position: Where the first datagram of this session begins.
            segment_bytes: See `burst`.
            now: The instant.
            on_frame: Called with every frame that is not part of a message.

        Raises:
            ProtocolError: The peer, proven to be itself, broke the protocol.
        """
        opened = Opened(len(burst))
        landing = _Landing(self.inbox, opened.completed)
        run = _Run(self.arrivals, delay_max=self._config.ack_delay_max, now=now)
        scratch, highest = self._scratch, self.arrivals.highest
        unpack, unpack_header, local_index = MESSAGE_HEADER.unpack_from, DATA_HEADER.unpack_from, self.keys.local_index
        for start in range(position, len(burst), segment_bytes):
            packet = burst[start : start + segment_bytes]
            kind, index, counter = unpack_header(packet) if len(packet) >= DATA_BYTES_MIN else _NO_HEADER
            if index != local_index or kind & ~1 != Kind.DATA:
                opened.position = start
                break
            number, size = self._open(kind, counter, packet, run, now)
            if number < 0:
                continue
            opened.authentic_bytes += len(packet)
            self.received_packets += 1
            # The common case by far: the next packet of a run, with the next bytes of the same message.
            if scratch[0] == FrameKind.MESSAGE:
                _, message_id, total, offset, data_bytes = unpack(scratch)
                if (
                    message_id == landing.message_id
                    and offset == landing.stop
                    and total == landing.total
                    and data_bytes + MESSAGE_OVERHEAD == size
                    and 0 < data_bytes <= total - offset
                    and number == run.stop
                    and run.eliciting
                ):
                    landing.buffer[offset : offset + data_bytes] = scratch[MESSAGE_OVERHEAD:size]
                    landing.stop = offset + data_bytes
                    run.stop = number + 1
                    continue
            self._other(number, scratch[:size], landing, run, on_frame)
        landing.flush()
        run.flush()
        opened.newest = self.arrivals.highest > highest
        self.received_bytes += opened.authentic_bytes
        return opened

    def authenticates(self, packet: memoryview) -> bool:
        """Say whether a packet is authentic under the first key, without taking anything from it."""
        kind, _, counter = DATA_HEADER.unpack_from(packet)
        header = DATA_HEADER.size
        try:
            self.keys.cipher.open_into(counter, packet[:header], packet[header:], self._scratch)
        except ProtocolError:
            return False
        return bool(kind == Kind.DATA)

    def _open(self, kind: int, counter: int, packet: memoryview, run: _Run, now: float) -> tuple[int, int]:
        """Open one packet into the scratch buffer; its number is -1 when it is forged or a replay."""
        keys, arrivals = self.keys, self.arrivals
        try:
            if kind == keys.kind and counter <= COUNTER_MASK:
                number = keys.epoch << EPOCH_SHIFT | counter
                if number != run.stop:
                    run.flush()
                if number <= arrivals.highest and arrivals.is_seen(number):
                    self.replayed_packets += 1
                    return -1, 0
                sealed = packet[_HEADER_BYTES:]
                return number, keys.cipher.open_into(counter, packet[:_HEADER_BYTES], sealed, self._scratch)
            run.flush()
            number, size = keys.open_other(packet, self._scratch, now)
        except ProtocolError:
            self.forged_packets += 1
            return -1, 0
        if arrivals.is_seen(number):
            self.replayed_packets += 1
            return -1, 0
        return number, size

    @staticmethod
    def _other(number: int, plaintext: memoryview, landing: _Landing, run: _Run, on_frame: FrameHandler) -> None:
        eliciting = False
        for frame in read_frames(plaintext):
            eliciting = eliciting or not isinstance(frame, _SILENT_FRAMES)
            if isinstance(frame, Segment):
                landing.place(frame)
            else:
                on_frame(frame)
        if number == run.stop and eliciting == run.eliciting:
            run.stop = number + 1
        else:
            run.begin(number, eliciting=eliciting)


# Frames that ask for no acknowledgement: two nodes must not acknowledge acknowledgements for ever.
_SILENT_FRAMES = (Ack, Close, PathChallenge, PathResponse)
