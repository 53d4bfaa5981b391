"""Attacks by mass, by amplification and on clocks (A2, A4, A6, A22); `python -m tests.campaigns.attacks` for more."""

from __future__ import annotations

import re
from pathlib import Path

import dfs_sdk.transport
from dfs_sdk.dht.messages import FindNode
from dfs_sdk.ids import Address
from dfs_sdk.rpc.envelope import Envelope, Kind, pack_envelope
from dfs_sdk.transport.config import MIB, TransportConfig
from dfs_sdk.transport.frames import MESSAGE_HEADER, FrameKind
from dfs_sdk.transport.handshake import WELCOME_BYTES
from dfs_sdk.transport.keys import SendKeys
from dfs_sdk.transport.outbox import SendState
from dfs_sdk.transport.packet import HELLO_BYTES
from dfs_sdk.transport.packet import Kind as PacketKind
from dfs_sdk.transport.priority import Priority
from dfs_sdk.wire.codec import encode
from tests.campaigns.attacks import half_open, replay
from tests.fakes.pair import Pair
from tests.fakes.strangers import hello_for

SPOOFED = Address("203.0.113.77", 7777)


def question() -> bytes:
    """A call that asks for as much as any answer holds, as a MESSAGE frame."""
    header = encode(FindNode(target=bytes(32), serves=False))
    request = Envelope(
        kind=Kind.REQUEST, call_id=1, tag=FindNode.tag, timeout_ms=5000, priority=Priority.INTERACTIVE, header=header
    )
    call = b"".join(bytes(part) for part in pack_envelope(request))
    return MESSAGE_HEADER.pack(FrameKind.MESSAGE, 0, len(call), 0, len(call)) + call


def answers(pair: Pair, datagrams: list[bytes]) -> list[bytes]:
    """What datagrams from a forged source draw from the right peer in ten seconds."""
    pair.record = True
    for datagram in datagrams:
        pair.inject(SPOOFED, pair.right.address, datagram)
    pair.run_for(10)
    return [data for source, destination, data in pair.sent if destination == SPOOFED]


def test_a2_no_question_rides_with_a_hello_so_nothing_but_a_welcome_answers_it() -> None:
    pair = Pair()
    hello = hello_for(pair.right, seed="spoofer", index=5)
    guess = memoryview(bytearray(2000))
    size = SendKeys(b"guessed secret of 32 bytes......", remote_index=0, now=0).seal(question(), guess)
    drawn = answers(pair, [hello, bytes(guess[:size]), hello[:-32] + question()[:32], hello])
    assert drawn
    assert {data[0] for data in drawn} == {PacketKind.WELCOME}
    assert sum(map(len, drawn)) <= 2 * WELCOME_BYTES <= 3 * 2 * HELLO_BYTES
    assert pair.right.messages == []
    assert pair.right.endpoint.sessions == ()


def test_a4_random_sequences_are_neither_taken_twice_nor_refused_anew() -> None:
    assert replay(3000, seed=1) > 20_000


def test_a6_thousands_of_half_open_handshakes_stay_within_their_bounds() -> None:
    figures = half_open(3000)
    assert figures.half_open_max <= TransportConfig().half_open_max
    assert figures.grown_bytes <= 8 * MIB
    assert figures.answered_bytes <= 3 * figures.bytes_in
    assert figures.newcomer_seconds <= 3


def test_a7_foreign_datagrams_are_known_before_they_are_gathered_and_counted_under_their_kind() -> None:
    pair = Pair()
    pair.connect()
    endpoint = pair.right.endpoint
    sizes = {PacketKind.COOKIE: 64, PacketKind.IDENTIFY: 511, PacketKind.HELLO: HELLO_BYTES}
    kinds = [*PacketKind, 0x00, 0x63]
    foreign = [bytes((kind,)).ljust(sizes.get(kind, WELCOME_BYTES), bytes((kind,))) for kind in kinds]
    assert all(endpoint.is_foreign(memoryview(datagram)) for datagram in foreign)
    assert endpoint.counters == {
        "hello for others": 1,
        "welcome unexpected": 1,
        "cookie unexpected": 1,
        "identify malformed": 1,
        "identified unexpected": 1,
        "index unknown": 2,
        "aside dropped": 1,
        "datagram unknown": 2,
    }


def test_a7_what_answers_us_or_addresses_a_session_that_ended_is_not_foreign() -> None:
    pair = Pair(right_config=TransportConfig(handshakes_under_load=0))
    pair.record = True
    pair.left.endpoint.identify(pair.right.address)
    pair.connect()
    closed = pair.left.send(b"never arrives whole")
    datagrams = [burst.buffer.tobytes() for burst in pair.left.endpoint.datagrams_to_send(pair.now)]
    pair.right.endpoint.close()
    pair.run_for(1)
    assert closed.state is not SendState.ACKED
    assert {PacketKind.COOKIE, PacketKind.WELCOME, PacketKind.IDENTIFIED} <= {data[0] for _, _, data in pair.sent}
    assert datagrams
    assert not any(pair.right.endpoint.is_foreign(memoryview(data)) for data in datagrams)
    counted = pair.left.endpoint.counters + pair.right.endpoint.counters
    assert not [name for name in counted if "unexpected" in name or "malformed" in name]


def test_a22_a_clock_that_jumps_a_day_ends_no_session_whose_peer_is_there() -> None:
    pair = Pair()
    pair.connect()
    first = pair.left.send(bytes(MIB))
    pair.run_for(0.02)
    pair.now += 86_400
    pair.run_until(lambda: first.state is SendState.ACKED, limit=15)
    again = pair.right.send(b"after the jump")
    pair.run_until(lambda: again.state is SendState.ACKED, limit=5)
    assert pair.left.closed == pair.right.closed == []


def test_a22_hellos_carry_no_time_so_replayed_ones_lock_nobody_out() -> None:
    """A HELLO with a time stamp would let a peer's own clock, or a copy of its future, shut it out."""
    pair = Pair()
    pair.record = True
    pair.connect()
    for _ in range(3):
        pair.left.endpoint.close_session(pair.left.session, "restart")
        pair.run_for(1)
        pair.left.notices.clear()
        pair.right.notices.clear()
        pair.connect()
    hellos = [data for source, _, data in pair.sent if data[0] == PacketKind.HELLO and source == pair.left.address]
    pair.left.endpoint.close_session(pair.left.session, "restart")
    pair.run_for(40)
    for hello in reversed(hellos):
        pair.inject(pair.left.address, pair.right.address, hello)
    pair.now -= 30
    pair.left.notices.clear()
    pair.right.notices.clear()
    pair.connect()
    message = pair.left.send(b"let in")
    pair.run_until(lambda: message.state is SendState.ACKED, limit=5)


def test_a22_the_transport_reads_no_wall_clock() -> None:
    folder = Path(dfs_sdk.transport.__path__[0])
    readers = [
        path.name
        for path in folder.glob("*.py")
        if re.search(r"\.wall\(|time\.time\(|datetime", path.read_text(encoding="utf-8"))
    ]
    assert readers == []
    assert re.search(r"\.wall\(", (folder.parent / "peers" / "service.py").read_text(encoding="utf-8"))
