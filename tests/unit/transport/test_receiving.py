"""The receiving half against a plain model: whatever a burst mixes, each authentic packet counts once."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.errors import ProtocolError
from dfs_sdk.transport.config import MIB, TransportConfig
from dfs_sdk.transport.frames import MESSAGE_HEADER, MESSAGE_OVERHEAD, PADDING, PING, Frame, FrameKind
from dfs_sdk.transport.inbox import Budget, Inbox
from dfs_sdk.transport.keys import ReceiveKeys, SendKeys
from dfs_sdk.transport.packet import DATA_OVERHEAD
from dfs_sdk.transport.receiving import RUN_PACKETS_MAX, SCRATCH_BYTES, Receiver
from dfs_sdk.transport.slots import Slots

SECRET = bytes(32)
STEP = 20
PACKET_BYTES = STEP + MESSAGE_OVERHEAD + DATA_OVERHEAD
SEGMENTS = 6
MESSAGES = 3
TOTAL = SEGMENTS * STEP


@dataclass
class Ends:
    """A sender's keys and a receiver, and what came out of it."""

    keys: SendKeys = field(default_factory=lambda: SendKeys(SECRET, remote_index=7, now=0.0))
    frames: list[Frame] = field(default_factory=list)
    completed: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        config = TransportConfig()
        inbox = Inbox(config, Budget(128 * MIB), initial=8 * MIB)
        self.receiver = Receiver(
            config=config,
            keys=ReceiveKeys(SECRET, local_index=7),
            inbox=inbox,
            scratch=Slots(SCRATCH_BYTES),
            arrived=Slots(SCRATCH_BYTES),
        )

    def seal(self, plaintext: bytes) -> bytes:
        out = memoryview(bytearray(len(plaintext) + DATA_OVERHEAD))
        self.keys.seal(plaintext, out)
        return bytes(out)

    def receive(self, packets: list[bytes]) -> int:
        """Hand packets of one size over as one burst and return the authentic bytes."""
        opened = self.receiver.open_burst(memoryview(b"".join(packets)), 0, len(packets[0]), 1.0, self.frames.append)
        assert opened.position == len(packets) * len(packets[0])
        self.completed += map(bytes, opened.completed)
        return opened.authentic_bytes


def content(message_id: int) -> bytes:
    return bytes((message_id * 83 + index) % 251 for index in range(TOTAL))


def segment(message_id: int, place: int) -> bytes:
    header = MESSAGE_HEADER.pack(FrameKind.MESSAGE, message_id, TOTAL, place * STEP, STEP)
    return header + content(message_id)[place * STEP : (place + 1) * STEP]


def small(message_id: int, place: int, cut: int) -> bytes:
    """A packet of the same size with a PING and a part of a segment."""
    start, stop = place * STEP, place * STEP + cut
    header = MESSAGE_HEADER.pack(FrameKind.MESSAGE, message_id, TOTAL, start, cut)
    return (PING + header + content(message_id)[start:stop]).ljust(STEP + MESSAGE_OVERHEAD, PADDING)


PLACES = st.tuples(st.integers(0, MESSAGES - 1), st.integers(0, SEGMENTS - 1))
PACKETS = st.one_of(
    PLACES.map(lambda where: segment(*where)),
    PLACES.map(lambda where: small(*where, cut=STEP - 3)),
    st.just(PING.ljust(STEP + MESSAGE_OVERHEAD, PADDING)),
)


@given(
    st.lists(PACKETS, max_size=30),
    st.sets(st.integers(0, 40), max_size=5),
    st.lists(st.integers(0, 40), max_size=5),
    st.lists(st.integers(1, 60), min_size=1, max_size=8),
    st.booleans(),
)
def test_any_mixture_lands_where_it_belongs_and_counts_once(
    plaintexts: list[bytes], damaged: set[int], repeated: list[int], cuts: list[int], backwards: bool
) -> None:
    ends = Ends()
    whole = [segment(message_id, place) for message_id in range(MESSAGES) for place in range(SEGMENTS)]
    packets = [ends.seal(plaintext) for plaintext in plaintexts]
    damaged = {at for at in damaged if at < len(packets)}
    for at in damaged:
        packets[at] = packets[at][:-1] + bytes((packets[at][-1] ^ 1,))
    good = [packet for at, packet in enumerate(packets) if at not in damaged]
    again = [good[at % len(good)] for at in repeated] if good else []
    # What was damaged is not sent again here: every byte comes once more in a packet of its own.
    last = [ends.seal(plaintext) for plaintext in whole]
    queue = (packets[::-1] if backwards else packets) + again + last
    authentic = 0
    while queue:
        size = cuts.pop(0) if cuts else len(queue)
        burst, queue = queue[:size], queue[size:]
        authentic += ends.receive(burst)
    receiver = ends.receiver
    assert sorted(ends.completed) == sorted(content(message_id) for message_id in range(MESSAGES))
    assert receiver.received_packets == len(good) + len(last)
    assert authentic == receiver.received_bytes == (len(good) + len(last)) * PACKET_BYTES
    assert receiver.replayed_packets == len(again)
    assert receiver.forged_packets == len(damaged)
    numbers = {number for start, stop in receiver.arrivals.ack(1.0).ranges for number in range(start, stop)}
    assert numbers == set(range(len(packets) + len(last))) - damaged


def test_a_burst_longer_than_the_scratch_buffer_is_taken_in_parts() -> None:
    ends = Ends()
    packets = [ends.seal(segment(0, place % SEGMENTS)) for place in range(3 * RUN_PACKETS_MAX + 1)]
    assert ends.receive(packets) == len(packets) * PACKET_BYTES
    assert ends.completed == [content(0)]


def test_a_datagram_beyond_what_udp_carries_is_refused() -> None:
    ends = Ends()
    assert ends.receive([ends.seal(PADDING * SCRATCH_BYTES)]) == 0
    assert ends.receiver.forged_packets == 1


def test_a_segment_beyond_its_message_ends_the_run_it_stands_in() -> None:
    ends = Ends()
    beyond = MESSAGE_HEADER.pack(FrameKind.MESSAGE, 0, TOTAL, TOTAL - STEP + 1, STEP) + bytes(STEP)
    packets = [ends.seal(plaintext) for plaintext in (segment(0, 0), segment(0, 1), beyond)]
    with pytest.raises(ProtocolError, match="segment"):
        ends.receive(packets)


def test_a_message_that_changes_its_length_within_a_run_is_a_violation() -> None:
    ends = Ends()
    other = MESSAGE_HEADER.pack(FrameKind.MESSAGE, 0, TOTAL + STEP, STEP, STEP) + bytes(STEP)
    with pytest.raises(ProtocolError, match="length"):
        ends.receive([ends.seal(segment(0, 0)), ends.seal(other)])
