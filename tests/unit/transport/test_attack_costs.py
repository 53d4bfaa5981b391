"""Attacks that cost a member little and its victim much: memory and time for each byte sent stay within bounds."""

from __future__ import annotations

import pytest

from dfs_sdk.ids import Address
from dfs_sdk.runtime.buffers import Buffers
from dfs_sdk.transport.config import DATAGRAM_BYTES_MIN, MIB, TransportConfig
from dfs_sdk.transport.frames import CONTROLS_MAX, MESSAGE_OVERHEAD, SEGMENTS_MAX, PathChallenge, Wanted
from dfs_sdk.transport.inbox import RUN_BYTES_MIN, RUNS_FREE, Budget, Inbox
from dfs_sdk.transport.packet import DATA_HEADER, DATA_OVERHEAD, Kind
from tests.fakes.pair import Pair
from tests.fakes.rogue import Rogue
from tests.fakes.strangers import ELSEWHERE, answers, initiation_of

PING = b"\x01"


@pytest.mark.parametrize("order", [1, -1], ids=["upwards", "downwards"])
def test_a12_a_message_in_pieces_of_a_byte_ends_the_session_before_it_costs_much(rogue: Rogue, order: int) -> None:
    """Four megabytes of them once held the loop for 22 s, and went on: the time grew with the square."""
    total = 60_000
    offsets = range(1, total, 2)[::order]
    inbox = rogue.victim.session._inbox
    runs = 0
    for first in range(0, 1000, 100):
        rogue.say(b"".join(rogue.segment(0, total, offset, b"x") for offset in offsets[first : first + 100]))
        if rogue.verdict is not None:
            break
        runs = len(inbox._incomplete[0].received)
    assert runs <= RUNS_FREE + total // RUN_BYTES_MIN
    assert rogue.verdict is not None
    assert "pieces" in rogue.verdict


def test_a12_a_message_of_which_every_second_packet_is_lost_is_no_such_thing() -> None:
    inbox = Inbox(TransportConfig(), Budget(128 * MIB), initial=16 * MIB)
    total, step = 4 * MIB, DATAGRAM_BYTES_MIN - DATA_OVERHEAD - MESSAGE_OVERHEAD
    message = inbox.find(0, total)
    assert message is not None
    for at in range(0, total, 2 * step):
        assert not inbox.landed(message, at, min(at + step, total))
    for at in range(step, total, 2 * step):
        done = inbox.landed(message, at, min(at + step, total))
    assert done


FRAMES = {
    "questions": (PING, CONTROLS_MAX),
    "challenges": (PathChallenge(token=bytes(8)).encode(), CONTROLS_MAX),
    "wishes": (Wanted(limit=1).encode(), CONTROLS_MAX),
    "segments": (b"\x03" + bytes(4) + (2).to_bytes(4, "big") + bytes(4) + b"\0\1x", SEGMENTS_MAX),
}


@pytest.mark.parametrize("name", FRAMES)
def test_a12_one_packet_of_many_frames_ends_the_session(rogue: Rogue, name: str) -> None:
    """A datagram of 64,000 questions once held the loop for 60 ms."""
    frame, most = FRAMES[name]
    rogue.say(frame * most)
    assert rogue.verdict is None
    rogue.say(frame * (most + 1))
    assert rogue.verdict == "a packet of too many frames"


def test_a4_keys_that_change_with_every_packet_leave_no_memory_behind(rogue: Rogue) -> None:
    """Each left a range that was never forgotten."""
    arrivals, keys = rogue.victim.session.receiver.arrivals, rogue.session.sender.keys
    first = rogue.seal(PING)
    rogue.pair.inject(rogue.peer.address, rogue.victim.address, first)
    for _ in range(200):
        for _ in range(3):
            keys.skip()
            rogue.say(PING, duration=0.001)
        keys.on_acked(keys.next_number - 1)
        assert keys.change_if_due(rogue.pair.now, interval=0, packets=1)
    assert rogue.verdict is None
    assert arrivals.highest >> 32 == 199
    assert len(arrivals._seen) <= 2 * 3 + 1
    before = rogue.victim.session.receiver.received_packets
    rogue.pair.inject(rogue.peer.address, rogue.victim.address, first)
    rogue.pair.run_for(0.01)
    assert rogue.victim.session.receiver.received_packets == before


def test_a6_forged_first_packets_make_no_session_and_spoil_none() -> None:
    """Whoever began a handshake knows the index, and a session costs ten times what a trial of its key does."""
    pair = Pair()
    victim, budget = pair.right, pair.right.endpoint._budget
    initiation = initiation_of(victim)
    (welcome,) = answers(pair, victim, initiation.hello(), ELSEWHERE)
    agreement = initiation.on_welcome(memoryview(welcome))
    forged = DATA_HEADER.pack(Kind.DATA, agreement.remote_index, 0) + bytes(40)
    for _ in range(100):
        assert answers(pair, victim, forged, ELSEWHERE) == []
    assert victim.endpoint.counters["confirmation forged"] == 100
    assert budget.releases == 0, "no session was made and dropped"
    assert budget.free_bytes == budget.total
    assert victim.endpoint.sessions == ()
    assert victim.endpoint._handshakes.half_open == 1


def test_a12_giving_up_what_was_never_begun_takes_no_memory() -> None:
    buffers = Buffers()
    inbox = Inbox(TransportConfig(), Budget(128 * MIB), initial=16 * MIB, buffers=buffers)
    inbox.on_cancel(0, 4 * MIB)
    assert buffers.kept_bytes == 0
    assert inbox.find(0, 4 * MIB) is None, "it is over"
    assert inbox.incomplete == 0


@pytest.mark.parametrize("crowd", ["2001:db8:{number:x}::1", "10.0.0.{number}"])
def test_a25_a_crowd_of_one_network_pushes_out_itself_and_nobody_else(
    crowd: str,
) -> None:
    """The longest silent one went, whoever it was: 512 chatty identities of one IPv6 /48 were everybody a node knew."""
    pair = Pair(right_config=TransportConfig(connections_max=10))
    hub = pair.right
    dialled = [pair.add(f"dialled {number}", Address(f"10.0.1.{number}", 4001)) for number in range(1, 4)]
    for peer in dialled:
        hub.endpoint.connect(peer.contact, peer.address, pair.now)
    came = [pair.add(f"came {number}", Address(f"100.{64 + number}.0.1", 4001)) for number in range(3)]
    for peer in came:
        peer.endpoint.connect(hub.contact, hub.address, pair.now)
    pair.run_for(2)
    for number in range(1, 13):
        peer = pair.add(f"crowd {number}", Address(crowd.format(number=number), 4001))
        peer.endpoint.connect(hub.contact, hub.address, pair.now)
        pair.run_for(2)
        assert peer.opened
    kept = {session.node_id for session in hub.endpoint.sessions}
    assert len(kept) == 10
    assert kept >= {peer.identity.node_id for peer in (*dialled, *came)}
