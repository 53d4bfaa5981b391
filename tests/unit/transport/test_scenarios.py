"""Life with a peer: it blocks, sleeps, roams, restarts, dials at the same time; paths grow and shrink."""

from __future__ import annotations

import random

import pytest

from dfs_sdk.errors import NodeClosedError, PeerUnreachableError
from dfs_sdk.ids import Address, NetworkId
from dfs_sdk.transport.config import MIB, TransportConfig
from dfs_sdk.transport.handshake import Network
from dfs_sdk.transport.notices import SessionMute
from dfs_sdk.transport.outbox import SendState
from dfs_sdk.transport.packet import Kind
from dfs_sdk.transport.priority import Priority
from tests.fakes.pair import NETWORK, Pair, Peer, Wire


def content(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.fixture
def pair():
    pair = Pair()
    pair.connect()
    return pair


@pytest.mark.parametrize("seconds", [1, 10, 60, 290])
def test_transfer_resumes_within_five_seconds_after_the_receiver_was_blocked(seconds):
    """P-REC-6: row 7 of the bar."""
    pair = Pair(wire=Wire(bytes_per_second=5e6))
    pair.connect()
    messages = [pair.left.send(content(MIB, seed)) for seed in range(4)]
    pair.run_for(0.5)
    assert 0 < len(pair.right.messages) < 4
    pair.right.asleep = True
    pair.run_for(seconds)
    before = pair.left.session.sender.sent_bytes
    pair.right.asleep = False
    pair.run_until(lambda: len(pair.right.messages) >= 3, limit=6)
    pair.run_until(lambda: all(message.state is SendState.ACKED for message in messages), limit=6)
    assert pair.left.closed == pair.right.closed == []
    assert pair.left.session.sender.sent_bytes - before < 9 * MIB


def test_sender_that_was_blocked_goes_on_when_it_wakes():
    pair = Pair(wire=Wire(bytes_per_second=5e6))
    pair.connect()
    message = pair.left.send(content(4 * MIB))
    pair.run_for(0.3)
    pair.left.asleep = True
    pair.run_for(200)
    pair.left.asleep = False
    pair.run_until(lambda: message.state is SendState.ACKED, limit=6)


def test_silent_connection_survives_five_minutes_without_traffic(pair):
    """P-SES-3."""
    pair.right.asleep = True
    pair.run_for(300)
    pair.right.asleep = False
    message = pair.left.send(b"still there?")
    pair.run_until(lambda: message.state is SendState.ACKED, limit=6)
    assert pair.left.closed == []


def test_connection_whose_peer_vanished_is_closed_after_the_idle_timeout(pair):
    """P-SES-3."""
    message = pair.left.send(content(100_000))
    pair.wire.cut = True
    pair.run_for(400)
    (closed,) = pair.left.closed
    assert "nothing was heard" in closed.reason
    assert closed.unsettled == (message,)
    assert message.state is SendState.FAILED


def test_waking_after_a_long_sleep_asks_before_giving_up(pair):
    pair.run_for(1)
    pair.left.asleep = pair.right.asleep = True
    pair.run_for(3600)
    pair.left.asleep = pair.right.asleep = False
    pair.run_for(30)
    assert pair.left.closed == pair.right.closed == []


def test_keep_alive_holds_an_idle_connection_open(pair):
    pair.run_for(1000)
    assert pair.left.closed == pair.right.closed == []


def test_first_round_trip_is_that_of_the_handshake():
    """P-REC-7."""
    pair = Pair(wire=Wire(delay=0.03))
    pair.left.endpoint.connect(pair.right.contact, pair.right.address, pair.now)
    pair.run_until(lambda: bool(pair.left.opened))
    assert abs(pair.left.session.rtt - 0.06) < 1e-9


def test_first_reply_of_a_cold_peer_takes_one_round_trip_after_that_of_the_handshake():
    pair = Pair(wire=Wire(delay=0.03))
    pair.left.endpoint.connect(pair.right.contact, pair.right.address, pair.now)
    took = pair.run_until(lambda: bool(pair.left.opened))
    pair.left.send(b"give me", Priority.INTERACTIVE)
    took += pair.run_until(lambda: bool(pair.right.messages))
    pair.right.send(content(4096), Priority.INTERACTIVE)
    took += pair.run_until(lambda: bool(pair.left.messages))
    assert pair.left.messages == [content(4096)]
    assert abs(took - 2 * 0.06) < 1e-9


def test_session_the_responder_never_took_up_is_given_up():
    """P-SES-4."""
    pair = Pair()
    pair.filter = lambda source, destination, data: data[0] != Kind.DATA
    pair.record = True
    pair.left.endpoint.connect(pair.right.contact, pair.right.address, pair.now)
    pair.run_for(15)
    assert [closed.reason for closed in pair.left.closed] == ["the peer did not take up the connection"]
    assert sum(data[0] == Kind.DATA for _, _, data in pair.sent) >= 8
    assert pair.right.opened == []


def test_small_message_passes_bulk(pair):
    """P-MSG-6."""
    pair.wire.bytes_per_second = 1e6
    pair.left.send(content(4 * MIB), Priority.TRANSFER)
    pair.run_for(1.0)
    call = pair.left.send(b"call", Priority.INTERACTIVE)
    took = pair.run_until(lambda: call.state is SendState.ACKED)
    assert took < 1.0
    assert pair.right.messages == [b"call"]


def test_cancelled_message_frees_its_window_and_never_arrives(pair):
    pair.wire.bytes_per_second = 1e6
    messages = [pair.left.send(content(4 * MIB)) for _ in range(8)]
    pair.run_for(0.5)
    for message in messages:
        pair.left.endpoint.cancel(pair.left.session, message)
    last = pair.left.send(b"last")
    pair.run_until(lambda: last.state is SendState.ACKED)
    pair.run_for(2)
    assert pair.right.messages == [b"last"]
    assert pair.right.session._inbox.incomplete == 0


def test_keys_change_in_the_middle_of_a_transfer_and_nothing_is_lost():
    """P-KEY-3."""
    pair = Pair(wire=Wire(loss=0.02, jitter=0.005), config=TransportConfig(rekey_packets=300, datagram_bytes_max=1452))
    pair.connect()
    data = content(4 * MIB)
    messages = [pair.left.send(data), pair.right.send(data)]
    pair.run_until(lambda: all(message.state is SendState.ACKED for message in messages))
    assert pair.left.session.sender.keys.epoch >= 5
    # The very last packets may have brought one more change, which shows when something leaves under it.
    last = [pair.left.send(b"last"), pair.right.send(b"last")]
    pair.run_until(lambda: all(message.state is SendState.ACKED for message in last))
    assert pair.right.session.receiver.keys.epoch == pair.left.session.sender.keys.epoch
    assert pair.right.messages == pair.left.messages == [data, b"last"]


def test_keys_change_by_age():
    pair = Pair(config=TransportConfig(rekey_interval=60))
    pair.connect()
    for _ in range(4):
        pair.run_for(61)
        message = pair.left.send(b"x")
        pair.run_until(lambda message=message: message.state is SendState.ACKED)
    assert pair.left.session.sender.keys.epoch >= 3


def test_both_dial_at_once_and_keep_the_handshake_of_the_lower_id():
    """P-HS-9: A19."""
    pair = Pair()
    pair.left.endpoint.connect(pair.right.contact, pair.right.address, pair.now)
    pair.right.endpoint.connect(pair.left.contact, pair.left.address, pair.now)
    pair.run_until(lambda: bool(pair.left.opened and pair.right.opened))
    pair.run_for(5)
    assert len(pair.left.opened) == len(pair.right.opened) == 1
    lower = min(pair.peers, key=lambda peer: peer.identity.node_id)
    assert lower.session.initiated


@pytest.mark.parametrize("seed", range(20))
def test_crossing_handshakes_on_a_bad_wire_end_in_one_connection_and_no_message_arrives_twice(seed):
    """P-HS-9: A19."""
    pair = Pair(wire=Wire(seed=seed, loss=0.3, jitter=0.5, repeat=0.2))
    pair.left.endpoint.connect(pair.right.contact, pair.right.address, pair.now)
    pair.right.endpoint.connect(pair.left.contact, pair.left.address, pair.now)
    pair.run_until(lambda: bool(pair.left.opened and pair.right.opened))
    pair.run_for(20)
    assert len(pair.left.endpoint.sessions) == len(pair.right.endpoint.sessions) == 1
    sent = [pair.left.send(b"once"), pair.right.send(b"only")]
    pair.run_until(lambda: all(message.state is SendState.ACKED for message in sent), limit=120)
    pair.run_for(20)
    assert pair.right.messages == [b"once"]
    assert pair.left.messages == [b"only"]


def _lower_and_higher(pair: Pair) -> tuple[Peer, Peer]:
    lower, higher = sorted(pair.peers, key=lambda peer: peer.identity.node_id)
    return lower, higher


def test_a_hello_is_answered_at_once_while_its_sender_is_dialled_where_it_was():
    """P-HS-9: a peer that was restarted on another port, and is looked for at the old one."""
    pair = Pair()
    lower, higher = _lower_and_higher(pair)
    lower.endpoint.connect(higher.contact, Address("203.0.113.77", 4001), pair.now)
    pair.run_for(0.1)
    higher.endpoint.connect(lower.contact, lower.address, pair.now)
    assert pair.run_until(lambda: bool(lower.opened and higher.opened)) < 0.2


def test_a_peer_that_starts_just_after_it_was_dialled_waits_for_one_repetition_at_most():
    """P-HS-9: the HELLO of the lower id found nobody there."""
    pair = Pair()
    lower, higher = _lower_and_higher(pair)
    pair.filter = lambda _source, destination, _data: destination != higher.address or pair.now > 1000.05
    lower.endpoint.connect(higher.contact, higher.address, pair.now)
    pair.run_for(0.1)
    higher.endpoint.connect(lower.contact, lower.address, pair.now)
    assert pair.run_until(lambda: bool(lower.opened and higher.opened)) < 0.6


def test_restarted_peer_replaces_its_former_self(pair):
    """P-HS-10."""
    former = pair.left.session
    again = Peer("left", pair.left.address, config=TransportConfig())
    again.identity = pair.left.identity
    again.endpoint.identity = pair.left.identity
    again.endpoint.__init__(
        identity=pair.left.identity,
        network=NETWORK,
        config=TransportConfig(),
        rng=again.endpoint._rng,
        entropy=pair.left.endpoint._entropy,
    )
    pair.peers[0] = pair.left = again
    again.endpoint.connect(pair.right.contact, pair.right.address, pair.now)
    pair.run_until(lambda: len(pair.right.opened) == 2 and bool(again.opened))
    assert former.node_id == pair.right.identity.node_id
    assert [closed.reason for closed in pair.right.closed] == ["replaced by another connection with this peer"]
    pair.right.send(b"welcome back")
    pair.run_until(lambda: again.messages == [b"welcome back"])


def _mute(peer: Peer) -> list[SessionMute]:
    return [notice for notice in peer.notices if isinstance(notice, SessionMute)]


def test_a_peer_that_acknowledges_nothing_is_called_mute_in_seconds_and_then_ever_less_often(pair):
    """P-SES-5."""
    pair.left.send(b"heard")
    pair.run_for(60)
    assert _mute(pair.left) == []
    pair.wire.cut = True
    pair.left.send(b"unheard")
    assert pair.run_until(lambda: bool(_mute(pair.left))) < 4
    pair.run_for(240)
    assert 5 <= len(_mute(pair.left)) <= 12


def test_a_blocked_peer_that_is_dialled_anew_keeps_its_session_and_its_messages(pair):
    """P-SES-5: not one byte is lost to the question."""
    former = pair.left.session
    pair.right.asleep = True
    messages = [pair.left.send(content(100_000)) for _ in range(3)]
    for _ in range(3):
        pair.left.endpoint.connect(pair.right.contact, pair.right.address, pair.now)
        pair.run_for(10)
        pair.left.endpoint.abandon(pair.right.identity.node_id)
    pair.left.endpoint.connect(pair.right.contact, pair.right.address, pair.now)
    pair.right.asleep = False
    pair.run_until(lambda: all(message.state is SendState.ACKED for message in messages))
    assert pair.left.session is former
    assert len(pair.right.messages) == 3


def test_a_peer_that_lost_the_session_gets_another_at_the_second_handshake(pair):
    """P-SES-5: the same process, which forgot us."""
    former = pair.left.session
    lost = pair.right.session
    lost.drop("forgotten")
    pair.right.endpoint._end(lost)
    pair.left.send(b"to nobody")
    for _ in range(2):
        pair.left.endpoint.connect(pair.right.contact, pair.right.address, pair.now)
        pair.run_for(3)
        pair.left.endpoint.abandon(pair.right.identity.node_id)
    assert pair.left.session is not former
    pair.left.send(b"to somebody")
    pair.run_until(lambda: pair.right.messages == [b"to somebody"])


def test_peer_that_moves_is_followed_after_it_answered_a_challenge(pair):
    """P-PATH-1."""
    moved = Address("203.0.113.9", 5000)
    pair.left.address = moved
    pair.left.send(b"from elsewhere")
    pair.run_until(lambda: pair.right.session.address == moved)
    reply = pair.right.send(content(100_000))
    pair.run_until(lambda: reply.state is SendState.ACKED)
    assert pair.left.session.observed_address == moved


def test_path_mtu_climbs_to_what_the_wire_carries():
    """P-MTU-2."""
    pair = Pair(wire=Wire(mtu=9000))
    pair.connect()
    message = pair.left.send(content(4 * MIB))
    pair.run_until(lambda: message.state is SendState.ACKED)
    pair.run_for(5)
    assert pair.left.session.sender.mtu.size == 8952


def test_path_that_stops_carrying_large_packets_is_noticed():
    """P-MTU-4."""
    pair = Pair()
    pair.connect()
    message = pair.left.send(content(MIB))
    pair.run_until(lambda: message.state is SendState.ACKED)
    pair.wire.mtu = 1400
    message = pair.left.send(content(MIB))
    pair.run_until(lambda: message.state is SendState.ACKED, limit=30)
    assert pair.left.session.sender.mtu.size == 1200


def test_transfer_fills_a_clean_bottleneck():
    pair = Pair(wire=Wire(bytes_per_second=2e6, delay=0.025))
    pair.connect()
    messages = [pair.left.send(content(4 * MIB)) for _ in range(3)]
    took = pair.run_until(lambda: all(message.state is SendState.ACKED for message in messages))
    assert 12 * MIB / took > 0.8 * 2e6


def test_random_loss_does_not_stop_a_transfer():
    pair = Pair(wire=Wire(bytes_per_second=2e6, delay=0.025, loss=0.05))
    pair.connect()
    messages = [pair.left.send(content(4 * MIB)) for _ in range(3)]
    took = pair.run_until(lambda: all(message.state is SendState.ACKED for message in messages))
    assert 12 * MIB / took > 0.6 * 2e6


def test_closing_reaches_the_peer_even_when_the_packet_was_lost(pair):
    """P-SES-2."""
    pair.filter = lambda source, destination, data: False
    pair.left.endpoint.close_session(pair.left.session, "enough")
    pair.run_for(1)
    pair.filter = lambda *_: True
    pair.right.send(b"hello?")
    pair.run_until(lambda: bool(pair.right.closed))
    assert "enough" in pair.right.closed[0].reason


def test_closed_session_refuses_messages(pair):
    session = pair.left.session
    pair.left.endpoint.close_session(session, "enough")
    pair.run_for(0.1)
    from dfs_sdk.transport.outbox import OutgoingMessage

    with pytest.raises(PeerUnreachableError):
        pair.left.endpoint.send(session, OutgoingMessage(memoryview(b"x"), Priority.INTERACTIVE))


def test_network_changes_only_without_connections(pair):
    other = Network(network_id=NetworkId(b"o" * 32))
    with pytest.raises(NodeClosedError):
        pair.left.endpoint.set_network(other)
    pair.left.endpoint.close_session(pair.left.session, "moving")
    pair.run_for(1)
    pair.left.endpoint.set_network(other)
    assert pair.left.endpoint.network is other


def test_identify_answer_is_not_larger_than_the_question():
    pair = Pair()
    pair.record = True
    token = pair.left.endpoint.identify(pair.right.address)
    pair.run_for(1)
    (notice,) = pair.left.notices
    assert notice.token == token
    assert notice.identified.contact == pair.right.contact
    question, answer = [data for _, _, data in pair.sent]
    assert question[0] == Kind.IDENTIFY
    assert len(answer) <= len(question)


def test_same_seed_gives_the_same_datagrams():
    traces = []
    for _ in range(2):
        pair = Pair(wire=Wire(loss=0.05, jitter=0.01))
        pair.record = True
        pair.connect()
        message = pair.left.send(content(300_000))
        pair.run_until(lambda message=message: message.state is SendState.ACKED)
        traces.append(pair.sent)
    assert traces[0] == traces[1]
