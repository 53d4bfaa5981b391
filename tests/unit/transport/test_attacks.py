"""Attacks on sessions of the transport, each by the name it has in the threat model."""

from __future__ import annotations

import random

import pytest

from dfs_sdk.errors import ForkedNodeError
from dfs_sdk.ids import Address
from dfs_sdk.transport.config import MIB, TransportConfig
from dfs_sdk.transport.frames import Ack, Cancel, PathChallenge, Wanted
from dfs_sdk.transport.outbox import OutgoingMessage, SendState
from dfs_sdk.transport.packet import (
    DATA_HEADER,
    Kind,
)
from dfs_sdk.transport.priority import Priority
from tests.fakes.pair import Pair, Wire
from tests.fakes.rogue import Rogue
from tests.fakes.strangers import ELSEWHERE, answers


def test_a4_replayed_and_renumbered_packets_are_dropped(pair):
    pair.record = True
    message = pair.left.send(random.Random(1).randbytes(200_000))
    pair.run_until(lambda: message.state is SendState.ACKED)
    pair.run_for(1)
    packets = [data for source, _, data in pair.sent if source == pair.left.address]
    received = pair.right.session.receiver
    before, highest = received.received_packets, received.arrivals.highest
    for packet in packets:
        answers(pair, pair.right, packet, pair.left.address)
        kind, index, counter = DATA_HEADER.unpack_from(packet)
        for jump in (2**40, 2**32, 2**64 - 1 - counter, 1):
            forged = DATA_HEADER.pack(kind, index, counter + jump) + packet[DATA_HEADER.size :]
            answers(pair, pair.right, forged, pair.left.address)
    assert received.received_packets == before
    assert received.arrivals.highest == highest
    assert received.replayed_packets >= len(packets)
    assert len(pair.right.messages) == 1
    assert pair.right.closed == []


def test_a4_packet_older_than_the_window_is_not_taken_twice(pair):
    pair.record = True
    first = pair.left.send(b"first")
    pair.run_until(lambda: first.state is SendState.ACKED)
    old = next(data for source, _, data in pair.sent if source == pair.left.address)
    arrivals = pair.right.session.receiver.arrivals
    arrivals.add(arrivals.highest + 20_000, arrivals.highest + 40_000, eliciting=False, now=pair.now, ack_delay_max=1)
    before = pair.right.session.receiver.received_packets
    answers(pair, pair.right, old, pair.left.address)
    assert pair.right.session.receiver.received_packets == before


def test_a5_our_own_datagrams_sent_back_to_us_mean_nothing():
    pair = Pair()
    pair.record = True
    pair.connect()
    pair.left.send(b"x" * 5000)
    pair.run_for(1)
    sessions = pair.left.endpoint.sessions
    for source, _, data in pair.sent:
        if source == pair.left.address:
            answers(pair, pair.left, data, pair.right.address)
    pair.run_for(1)
    assert pair.left.endpoint.sessions == sessions
    assert pair.left.closed == []


ACKS = {
    "never sent": ((0, 10**6),),
    "far future": ((2**63, 2**63 + 1),),
}


@pytest.mark.parametrize("name", ACKS)
def test_a10_acknowledging_what_was_never_sent_closes_the_session(pair, name):
    rogue = Rogue(pair, pair.left, pair.right)
    window = pair.right.session.statistics.window_bytes
    session = pair.right.session
    rogue.say(Ack(ranges=ACKS[name], delay=0).encode())
    assert "never sent" in rogue.verdict
    assert session.statistics.window_bytes <= window


def test_a10_acknowledging_a_skipped_number_closes_the_session():
    pair = Pair(config=TransportConfig(datagram_bytes_max=1200))
    pair.connect()
    message = pair.right.send(bytes(3 * MIB))
    pair.run_until(lambda: bool(pair.right.session.sender.recovery._skipped))
    rogue = Rogue(pair, pair.left, pair.right)
    skipped = pair.right.session.sender.recovery._skipped[0]
    rogue.say(Ack(ranges=((0, skipped + 1),), delay=0).encode())
    assert "skipped" in rogue.verdict
    assert message.state is SendState.FAILED


@pytest.mark.parametrize(
    "ranges",
    [
        b"\x02\x01"
        + bytes(4)
        + (5).to_bytes(8, "big")
        + (1).to_bytes(4, "big")
        + bytes(7)
        + b"\x01",  # a gap of nothing
        b"\x02\x01"
        + bytes(4)
        + (5).to_bytes(8, "big")
        + (1).to_bytes(4, "big")
        + bytes(3)
        + b"\x01"
        + bytes(4),  # empty
        b"\x02\x01"
        + bytes(4)
        + (5).to_bytes(8, "big")
        + (1).to_bytes(4, "big")
        + (bytes(3) + b"\x09") * 2,  # below zero
        b"\x02\xff"
        + bytes(4)
        + (1000).to_bytes(8, "big")
        + (1).to_bytes(4, "big")
        + (bytes(3) + b"\x01") * 510,  # many
        b"\x02\x00" + bytes(4) + (5).to_bytes(8, "big") + (9).to_bytes(4, "big"),  # below zero
        b"\x02\x00" + bytes(4) + (5).to_bytes(8, "big") + bytes(4),  # empty
    ],
)
def test_a10_impossible_ranges_close_the_session(rogue, ranges):
    rogue.say(ranges)
    assert "impossible" in rogue.verdict, "that some of it was never sent is found out as well"


def lying_transfer(lie) -> float:
    """The bandwidth a sender believes in after a transfer whose receiver alters its acknowledgements."""
    pair = Pair(wire=Wire(bytes_per_second=2e6, delay=0.02), config=TransportConfig(datagram_bytes_max=1452))
    pair.connect()
    arrivals = pair.left.session.receiver.arrivals
    honest = arrivals.ack
    arrivals.ack = lie(honest) if lie else honest  # type: ignore[method-assign]
    message = pair.right.send(bytes(MIB))
    pair.run_until(lambda: message.state is SendState.ACKED)
    return pair.right.session.sender.recovery.congestion._bandwidth.value


@pytest.fixture
def unslotted(monkeypatch):
    """Arrivals whose methods a test may replace on one object."""
    from dfs_sdk.transport import arrivals, receiving

    class OpenArrivals(arrivals.Arrivals):
        pass

    monkeypatch.setattr(receiving, "Arrivals", OpenArrivals)


def test_a11_acknowledgement_games_gain_at_most_a_tenth(unslotted):
    honest = lying_transfer(None)

    def delays(ack):
        return lambda now: Ack(ranges=ack(now).ranges, delay=4000.0)

    def repeats(ack):
        seen = []

        def lie(now):
            seen.append(ack(now))
            return seen[-1] if len(seen) < 2 or len(seen) % 2 else seen[-2]

        return lie

    def only_newest(ack):
        return lambda now: Ack(ranges=ack(now).ranges[:1], delay=0.0)

    for lie in (delays, repeats, only_newest):
        assert lying_transfer(lie) <= 1.1 * honest


def test_a12_floods_of_control_frames_leave_state_not_queues(rogue):
    session = rogue.victim.session
    for number in range(300):
        frames = PathChallenge(token=number.to_bytes(8, "big")).encode() * 20 + b"\x01" * 20
        frames += Wanted(limit=2**63).encode() * 10
        rogue.pair.inject(rogue.peer.address, rogue.victim.address, rogue.seal(frames))
    before = rogue.victim.session.sender.sent_packets
    rogue.pair.run_for(1)
    assert session.sender.sent_packets - before < 20
    assert rogue.victim.endpoint._budget.free_bytes >= 100 * MIB


def test_a13_message_that_is_not_advanced_closes_the_connection_within_two_minutes(rogue):
    rogue.say(rogue.segment(0, 60_000, 0, b"x"))
    began = rogue.pair.now
    offset = 1
    while rogue.verdict is None and rogue.pair.now < began + 200:
        rogue.say(rogue.segment(0, 60_000, offset, b"x"), duration=20)
        offset += 1
    assert "not advanced" in rogue.verdict
    assert 50 <= rogue.pair.now - began <= 120


def test_a13_one_byte_a_minute_closes_the_connection(rogue):
    began = rogue.pair.now
    for offset in range(5):
        rogue.say(rogue.segment(0, 60_000, offset, b"x"), duration=60)
    assert "not advanced" in rogue.verdict
    assert rogue.pair.now - began <= 300


def test_a13_budgets_hold_for_one_peer_and_for_all(rogue):
    budget = rogue.victim.endpoint._budget
    rogue.say(Wanted(limit=2**60).encode())
    inbox = rogue.victim.session._inbox
    assert inbox.limit <= TransportConfig().window_bytes_max
    assert budget.total - budget.free_bytes <= TransportConfig().window_bytes_max
    message_id = 0
    while rogue.verdict is None:
        rogue.say(rogue.segment(message_id, 4 * MIB, 0, b"x"))
        message_id += 1
        assert message_id <= 5
    assert "granted" in rogue.verdict
    assert budget.free_bytes == budget.total


def test_a13_message_numbers_and_lengths_are_checked(pair):
    cases = [
        lambda rogue: rogue.segment(0, 0, 0, b"x"),
        lambda rogue: rogue.segment(0, 2**32 - 1, 0, b"x"),
        lambda rogue: rogue.segment(0, 10, 10, b"x"),
        lambda rogue: rogue.segment(0, 10, 0, b""),
        lambda rogue: rogue.segment(0, 10, 0, b"x") + rogue.segment(0, 11, 0, b"x"),
        lambda rogue: rogue.segment(0, 100, 0, b"x")[:-1],
        lambda rogue: Cancel(message_id=3, total_bytes=2**31).encode(),
        lambda rogue: b"\x7f",
    ]
    for make in cases:
        fresh = Pair()
        fresh.connect()
        rogue = Rogue(fresh, fresh.left, fresh.right)
        rogue.say(make(rogue))
        assert rogue.verdict is not None
        assert fresh.right.messages == []
        assert fresh.right.endpoint._budget.free_bytes == fresh.right.endpoint._budget.total


def test_a14_every_flipped_byte_and_every_cut_of_real_datagrams_is_harmless():
    pair = Pair()
    pair.record = True
    pair.connect()
    message = pair.left.send(b"payload")
    pair.run_until(lambda: message.state is SendState.ACKED)
    sessions = pair.right.endpoint.sessions
    for _, _, data in pair.sent:
        for position in range(0, len(data), 1 if len(data) < 300 else 7):
            flipped = bytearray(data)
            flipped[position] ^= 0x55
            for hostile in (bytes(flipped), data[:position], data[position:]):
                for peer in pair.peers:
                    if hostile:
                        peer.endpoint.receive_datagrams(memoryview(hostile), len(hostile), ELSEWHERE, pair.now)
    assert pair.right.endpoint.sessions == sessions
    assert pair.left.closed == pair.right.closed == []
    assert pair.right.messages == [b"payload"]


def test_a19_packets_do_not_cross_sessions():
    pair = Pair()
    pair.connect()
    third = pair.add("third", Address("192.0.2.77", 4001))
    third.endpoint.connect(pair.right.contact, pair.right.address, pair.now)
    pair.run_until(lambda: bool(third.opened) and len(pair.right.opened) == 2)
    pair.record = True
    third.send(b"mine")
    pair.run_for(1)
    stolen = [data for source, _, data in pair.sent if source == third.address]
    target = pair.right.endpoint.session(pair.left.identity.node_id)
    for data in stolen:
        for index in (target.local_index, target.local_index ^ 1, 0, 2**32 - 1):
            kind, _, counter = DATA_HEADER.unpack_from(data)
            answers(pair, pair.right, DATA_HEADER.pack(kind, index, counter) + data[DATA_HEADER.size :], ELSEWHERE)
    assert target.receiver.forged_packets + target.receiver.replayed_packets == len(stolen) == 2
    assert pair.right.messages == [b"mine"]
    assert pair.right.closed == []


def test_a20_flapping_addresses_change_the_path_once_a_round_trip_and_draw_little():
    """P-PATH-3."""
    pair = Pair()
    pair.connect()
    pair.run_for(1)
    rogue = Rogue(pair, pair.left, pair.right)
    pair.record = True
    for number in range(200):
        pair.inject(Address("203.0.113.9", 1000 + number), pair.right.address, rogue.seal(b"\x01"))
        pair.run_for(0.001)
    to_strangers: dict[Address, int] = {}
    for source, destination, data in pair.sent:
        if source == pair.right.address and destination.host == "203.0.113.9":
            to_strangers[destination] = to_strangers.get(destination, 0) + len(data)
    assert pair.right.session.address == pair.left.address
    assert len(to_strangers) <= 12
    assert all(size <= 3 * 30 for size in to_strangers.values())


def test_a20_copied_packet_from_elsewhere_does_not_move_the_peer(pair):
    pair.record = True
    pair.wire.cut = True
    pair.left.send(b"captured")
    pair.run_for(0.01)
    captured = next(data for source, _, data in pair.sent if source == pair.left.address)
    pair.wire.cut = False
    pair.inject(ELSEWHERE, pair.right.address, captured)
    pair.run_for(5)
    assert pair.right.session.address == pair.left.address
    assert pair.right.messages == [b"captured"]


def test_a23_wiped_endpoint_seals_and_opens_nothing(pair):
    message = OutgoingMessage(memoryview(b"from the child"), Priority.INTERACTIVE)
    session = pair.left.session
    pair.left.send(bytes(100_000))
    pair.left.endpoint.wipe()
    with pytest.raises(ForkedNodeError):
        pair.left.endpoint.send(session, message)
    with pytest.raises(ForkedNodeError):
        pair.left.endpoint.connect(pair.right.contact, pair.right.address, pair.now)
    with pytest.raises(ForkedNodeError):
        pair.left.endpoint.identify(pair.right.address)
    pair.left.endpoint.handle_timer(pair.now + 10)
    assert list(pair.left.endpoint.datagrams_to_send(pair.now + 10)) == []
    assert pair.left.endpoint.next_deadline() is None


def test_no_key_and_counter_pair_repeats_on_a_hostile_wire():
    pair = Pair(wire=Wire(loss=0.1, jitter=0.02), config=TransportConfig(rekey_packets=500, datagram_bytes_max=1452))
    pair.record = True
    pair.connect()
    messages = [pair.left.send(bytes(MIB)), pair.right.send(bytes(MIB))]
    pair.run_until(lambda: all(message.state is SendState.ACKED for message in messages))
    packets = [data for _, _, data in pair.sent if data[0] & ~1 == Kind.DATA]
    keys: dict[int, list[int]] = {}  # by receiver's index: the phase of each key in turn
    nonces = set()
    for data in packets:
        kind, index, counter = DATA_HEADER.unpack_from(data)
        phases = keys.setdefault(index, [])
        if not phases or phases[-1] != kind & 1:
            phases.append(kind & 1)
        nonces.add((index, len(phases), counter))
    assert len(keys) == 2
    assert all(len(phases) > 2 for phases in keys.values())
    assert len(nonces) == len(packets)


def test_a25_one_public_prefix_holds_eight_connections_and_private_ones_are_exempt():
    pair = Pair(config=TransportConfig(handshake_burst=100))
    for number in range(12):
        peer = pair.add(f"public {number}", Address(f"93.184.216.{number + 1}", 4001))
        peer.endpoint.connect(pair.right.contact, pair.right.address, pair.now)
        pair.run_until(lambda peer=peer: bool(peer.opened))
        pair.run_for(1)
    assert len(pair.right.endpoint.sessions) == 8
    for number in range(12):
        peer = pair.add(f"private {number}", Address(f"10.0.0.{number + 1}", 4001))
        peer.endpoint.connect(pair.right.contact, pair.right.address, pair.now)
        pair.run_until(lambda peer=peer: bool(peer.opened))
    pair.run_for(1)
    assert len(pair.right.endpoint.sessions) == 20
