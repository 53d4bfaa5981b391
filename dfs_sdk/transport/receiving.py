"""The receiving half of a session: opens bursts run by run and lands message bytes at their offsets.

A run is packets of one size with consecutive numbers, as a burst of the sender arrives. It is opened in one tight
loop into a scratch buffer; segments that fill their packets and follow each other are copied from there to their
message and noted once. Nothing is used before its packet is authenticated; a packet that is not costs one trial and a
counter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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
    check_segment,
    read_frames,
)
from dfs_sdk.transport.inbox import Inbox, IncomingMessage
from dfs_sdk.transport.keys import COUNTER_MASK, EPOCH_SHIFT, ReceiveKeys
from dfs_sdk.transport.packet import DATA_BYTES_MIN, DATA_HEADER, DATA_OVERHEAD, DATA_PREFIX, Kind, leading_run
from dfs_sdk.transport.segments import leading_segments
from dfs_sdk.transport.slots import TABLE_ROWS_MIN, Slots

RUN_PACKETS_MAX = 256
SCRATCH_BYTES = 655_360
_HEADER_BYTES = DATA_HEADER.size
_MESSAGE = int(FrameKind.MESSAGE)

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
    authentic_bytes: int
    newest: bool
    completed: list[memoryview]


class _Landing:
    """Consecutive bytes of one message that were copied and not yet noted in its ranges."""

    __slots__ = ("_inbox", "_scratch", "buffer", "completed", "message", "message_id", "start", "stop", "total")

    def __init__(self, inbox: Inbox, scratch: Slots) -> None:
        self._inbox = inbox
        self._scratch = scratch
        self.completed: list[memoryview] = []
        self.message: IncomingMessage | None = None
        self.message_id = -1
        self.start = self.stop = self.total = 0
        self.buffer = memoryview(b"")

    def take(self, first: int, count: int, size: int) -> int:
        """Copy segments that fill their packets and follow each other from the scratch buffer.

        Args:
            first: Slot of the first packet.
            count: How many packets may be looked at, at least 1.
            size: Length of each plaintext.

        Returns:
            How many packets were dealt with, 0 when the first is of another form or its message not needed.

        Raises:
            ProtocolError: The segment is impossible, or the sender breaks a limit.
        """
        data_bytes, view = size - MESSAGE_OVERHEAD, self._scratch.view
        if view[first * size] != _MESSAGE or data_bytes <= 0:
            return 0
        _, message_id, total, offset, announced = MESSAGE_HEADER.unpack_from(view, first * size)
        if announced != data_bytes:
            return 0
        check_segment(total, offset, data_bytes)
        if message_id != self.message_id or total != self.total or offset != self.stop:
            self._begin(message_id, total, offset)
            if self.message is None:
                return 0
        buffer = self.buffer
        if count == 1:
            self.stop = offset + data_bytes
            buffer[offset : self.stop] = view[first * size + MESSAGE_OVERHEAD : (first + 1) * size]
            return 1
        # Only as far as the message reaches.
        places = range(offset, total - data_bytes + 1, data_bytes)[:count]
        count = leading_segments(view[first * size : (first + len(places)) * size], size, places)
        landing: npt.NDArray[np.uint8] = np.ndarray((count, data_bytes), np.uint8, buffer, offset)
        landing[:] = self._scratch.rows(count, size, MESSAGE_OVERHEAD, size, first=first)
        self.stop = offset + count * data_bytes
        return count

    def place(self, segment: Segment) -> None:
        """Copy a segment that lies among other frames."""
        if segment.message_id != self.message_id or segment.offset != self.stop or segment.total_bytes != self.total:
            self._begin(segment.message_id, segment.total_bytes, segment.offset)
        if self.message is not None:
            self.stop = segment.offset + len(segment.data)
            self.buffer[segment.offset : self.stop] = segment.data

    def flush(self) -> None:
        """Note what was copied."""
        if self.message is not None and self._inbox.landed(self.message, self.start, self.stop):
            self.completed.append(self.message.buffer)
        self.message, self.message_id = None, -1

    def _begin(self, message_id: int, total: int, offset: int) -> None:
        self.flush()
        message = self._inbox.find(message_id, total)
        if message is not None:
            self.message, self.message_id, self.buffer = message, message_id, message.buffer
            self.total, self.start, self.stop = total, offset, offset


class _Run:
    """Consecutive packet numbers that were authenticated and not yet noted in the arrivals."""

    __slots__ = ("_arrivals", "_delay_max", "_now", "eliciting", "start", "stop")

    def __init__(self, arrivals: Arrivals, *, delay_max: float, now: float) -> None:
        self._arrivals = arrivals
        self._delay_max = delay_max
        self._now = now
        self.start = self.stop = -1
        self.eliciting = False

    def extend(self, number: int, count: int, *, eliciting: bool) -> None:
        """Note packets from `number` on; what does not continue the run begins another."""
        if number != self.stop or eliciting != self.eliciting:
            self.flush()
            self.start, self.eliciting = number, eliciting
        self.stop = number + count

    def flush(self) -> None:
        """Note the run."""
        if self.start >= 0:
            self._arrivals.add(
                self.start, self.stop, eliciting=self.eliciting, now=self._now, ack_delay_max=self._delay_max
            )
            self.start = self.stop = -1


class Receiver:
    """Opens what arrives for one session."""

    def __init__(
        self, *, config: TransportConfig, keys: ReceiveKeys, inbox: Inbox, scratch: Slots, arrived: Slots
    ) -> None:
        """Take the parts.

        Args:
            config: Settings.
            keys: Opens packets.
            inbox: Takes message bytes.
            scratch: At least `SCRATCH_BYTES` to open packets into; may be shared, nothing stays in it.
            arrived: As much to cut packets in; may be shared as well.
        """
        self._config = config
        self._scratch = scratch
        self._arrived = arrived
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
        landing = _Landing(self.inbox, self._scratch)
        run = _Run(self.arrivals, delay_max=self._config.ack_delay_max, now=now)
        highest, authentic_bytes = self.arrivals.highest, 0
        end, packets_max = len(burst), min(RUN_PACKETS_MAX, SCRATCH_BYTES // segment_bytes)
        while position < end:
            size = min(segment_bytes, end - position)
            count = max(min((end - position) // size, packets_max), 1)
            if size < DATA_BYTES_MIN:
                break
            result = self._open_next(burst[position : position + count * size], size, run, now)
            if result is None:
                break
            number, opened, used = result
            if opened:
                self.received_packets += opened
                authentic_bytes += opened * size
                self._take(number, opened, size - DATA_OVERHEAD, landing, run, on_frame)
            if opened < used:
                # Looking ahead pays only among authentic packets.
                packets_max = 1
            position += used * size
        landing.flush()
        run.flush()
        self.received_bytes += authentic_bytes
        return Opened(position, authentic_bytes, self.arrivals.highest > highest, landing.completed)

    def is_close(self, packet: memoryview, now: float) -> bool:
        """Say whether a packet is authentic and tells of the end; nothing else is taken from it."""
        view, header = self._scratch.view, DATA_HEADER.size
        kind, _, counter = DATA_HEADER.unpack_from(packet)
        try:
            if kind == self.keys.kind:
                size = self.keys.cipher.open_into(counter, packet[:header], packet[header:], view)
            else:
                _, size = self.keys.open_other(packet, view, now)
            return any(isinstance(frame, Close) for frame in read_frames(view[:size]))
        except ProtocolError:
            return False

    def _open_next(self, datagrams: memoryview, size: int, run: _Run, now: float) -> tuple[int, int, int] | None:
        """Open the first of some equal datagrams and those that belong to its run; returns as `_open_run`.

        None: the first one is not of this session.
        """
        prefix, counter, count = leading_run(datagrams, size)
        kind, index = DATA_PREFIX.unpack(prefix)
        if index != self.keys.local_index or kind & ~1 != Kind.DATA:
            return None
        if size > SCRATCH_BYTES:  # more than UDP carries
            self.forged_packets += 1
            return -1, 0, 1
        if kind == self.keys.kind and counter + count <= COUNTER_MASK + 1:
            return self._open_run(counter, count, datagrams, size, run)
        return self._open_other(datagrams[:size], run, now)

    def _open_run(self, counter: int, count: int, datagrams: memoryview, size: int, run: _Run) -> tuple[int, int, int]:
        """Open packets under the present key into the scratch buffer.

        Returns:
            (number of the first, how many are authentic and new, how many datagrams were dealt with).
        """
        keys, arrivals = self.keys, self.arrivals
        number = keys.epoch << EPOCH_SHIFT | counter
        if number != run.stop:
            run.flush()
        if number <= arrivals.highest and not arrivals.are_new(number, number + count):
            if arrivals.is_seen(number):
                self.replayed_packets += 1
                return number, 0, 1
            count = 1
        headers, sealed, plaintexts = self._parts(datagrams, count, size)
        numbers = range(counter, counter + count)
        opened = keys.cipher.open_burst(numbers, headers=headers, sealed=sealed, plaintexts=plaintexts)
        if opened == count:
            return number, count, count
        self.forged_packets += 1
        return number, opened, opened + 1

    def _parts(self, datagrams: memoryview, count: int, size: int) -> tuple[list[memoryview], ...]:
        """Return headers, sealed plaintexts and places for the opened ones of `count` packets."""
        plain = size - DATA_OVERHEAD
        if count < TABLE_ROWS_MIN:
            starts = range(0, count * size, size)
            return (
                [datagrams[at : at + _HEADER_BYTES] for at in starts],
                [datagrams[at + _HEADER_BYTES : at + size] for at in starts],
                [self._scratch.view[at : at + plain] for at in range(0, count * plain, plain)],
            )
        # Copying them costs a quarter of what it costs to cut them where they are.
        self._arrived.view[: count * size] = datagrams[: count * size]
        return (
            self._arrived.cut(count, size, 0, _HEADER_BYTES),
            self._arrived.cut(count, size, _HEADER_BYTES, size),
            self._scratch.cut(count, plain, 0, plain),
        )

    def _open_other(self, packet: memoryview, run: _Run, now: float) -> tuple[int, int, int]:
        """Open one packet of the other key phase; returns as `_open_run`."""
        run.flush()
        try:
            number, _ = self.keys.open_other(packet, self._scratch.view, now)
        except ProtocolError:
            self.forged_packets += 1
            return -1, 0, 1
        if self.arrivals.is_seen(number):
            self.replayed_packets += 1
            return -1, 0, 1
        return number, 1, 1

    def _take(self, number: int, count: int, size: int, landing: _Landing, run: _Run, on_frame: FrameHandler) -> None:
        """Use the plaintexts of `count` packets in the scratch buffer, `size` bytes each."""
        done, ahead = 0, count
        while done < count:
            taken = landing.take(done, min(ahead, count - done), size)
            # Where runs of segments are short, looking far ahead would be work that a peer makes us do.
            ahead = count if taken == ahead else 2 * max(taken, 1)
            if taken:
                run.extend(number + done, taken, eliciting=True)
            else:
                taken = 1
                plaintext = self._scratch.view[done * size : (done + 1) * size]
                run.extend(number + done, 1, eliciting=_take_frames(plaintext, landing, on_frame))
            done += taken


def _take_frames(plaintext: memoryview, landing: _Landing, on_frame: FrameHandler) -> bool:
    """Use the frames of one packet; says whether it asks for an acknowledgement."""
    eliciting = False
    for frame in read_frames(plaintext):
        eliciting = eliciting or not isinstance(frame, _SILENT_FRAMES)
        if isinstance(frame, Segment):
            landing.place(frame)
        else:
            on_frame(frame)
    return eliciting


# Frames that ask for no acknowledgement: two nodes must not acknowledge acknowledgements for ever.
_SILENT_FRAMES = (Ack, Close, PathChallenge, PathResponse)
