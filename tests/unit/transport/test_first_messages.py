"""The first messages of a session: round trips from the dial to the last byte, and who is told what (P-HS-13)."""

from __future__ import annotations

import pytest

from dfs_sdk.errors import NodeClosedError
from dfs_sdk.ids import Address
from dfs_sdk.transport.config import KIB, MIB, TransportConfig
from dfs_sdk.transport.inbox import PLEDGED_SHARE, Budget, Inbox
from dfs_sdk.transport.outbox import SendState, charge
from dfs_sdk.transport.packet import INITIAL_WINDOW_BYTES
from tests.fakes.cold import cold_fetch, cold_push
from tests.fakes.pair import Pair, Peer, Wire
from tests.fakes.strangers import answers, hello_for

CHUNK_BYTES = MIB + 100
RTT = 0.3


def push_trips(size: int, *, older_dialler: bool = False) -> float:
    """Round trips of a cold push where nothing but the start of the flow limits its rate."""
    return cold_push(Wire(delay=RTT / 2), size, older_dialler=older_dialler) / RTT


def tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let responders write the byte that those of an older version write."""
    monkeypatch.setattr(Budget, "first_window", lambda _budget, _outstanding: INITIAL_WINDOW_BYTES)


def dial_all(pair: Pair, count: int) -> list[Peer]:
    """Let further peers dial the right one in the same instant."""
    peers = [pair.add(f"peer {number}", Address(f"10.0.{number}.1", 4001)) for number in range(count)]
    for peer in peers:
        peer.endpoint.connect(pair.right.contact, pair.right.address, pair.now)
    return peers


# The handshake, the way there, and the round trips in which the start grows from 32 packets.
@pytest.mark.parametrize(("size", "trips"), [(64 * KIB - 256, 2.7), (64 * KIB + 1, 2.7), (CHUNK_BYTES, 6.6)])
def test_a_cold_push_does_not_wait_for_its_window(size: int, trips: float) -> None:
    assert trips - 0.2 <= push_trips(size) <= trips


# One way more, that of the question.
@pytest.mark.parametrize(("size", "trips"), [(64 * KIB + 1, 3.2), (CHUNK_BYTES, 7.1)])
def test_a_cold_fetch_does_not_wait_for_its_window_either(size: int, trips: float) -> None:
    assert trips - 0.2 <= cold_fetch(Wire(delay=RTT / 2), size) / RTT <= trips


@pytest.mark.parametrize("size", [64 * KIB + 1, CHUNK_BYTES])
def test_with_a_peer_of_an_older_version_it_waits_one_round_trip(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    told = push_trips(size)
    assert push_trips(size, older_dialler=True) == pytest.approx(told + 1, abs=0.05)
    tell_nothing(monkeypatch)
    assert push_trips(size) == pytest.approx(told + 1, abs=0.05)


def test_a_first_message_that_is_larger_than_the_window_waits_for_it_and_arrives() -> None:
    assert push_trips(3 * MIB) > push_trips(2 * MIB - 256) + 1


def test_a6_handshakes_that_prove_nothing_reserve_nothing_and_use_up_pledges_only() -> None:
    pair = Pair(config=TransportConfig(handshakes_per_second=1e9, handshake_burst=10**6))
    budget: Budget = pair.right.endpoint._budget
    acceptor = pair.right.endpoint._handshakes._acceptor
    for number in range(150):
        source = Address(f"203.0.{number}.1", 1000 + number)
        assert len(answers(pair, pair.right, hello_for(pair.right, seed=number, index=number), source)) == 1
        assert acceptor._outstanding <= budget.total // PLEDGED_SHARE
        assert budget.free_bytes == budget.total
    assert budget.first_window(acceptor._outstanding) == INITIAL_WINDOW_BYTES
    pair.connect()
    message = pair.left.send(bytes(CHUNK_BYTES))
    pair.run_until(lambda: message.state is SendState.ACKED, limit=3)
    pair.run_for(11)
    assert acceptor._outstanding == 0
    assert pair.right.endpoint._handshakes.half_open == 0


def test_what_is_told_to_many_that_dial_at_once_is_theirs_and_within_the_budget() -> None:
    pair = Pair(wire=Wire(delay=RTT / 2))
    budget: Budget = pair.right.endpoint._budget
    peers = dial_all(pair, 40)
    pair.run_until(lambda: all(peer.opened for peer in peers))
    told = [peer.session.sender.outbox._limit for peer in peers]
    assert min(told) == INITIAL_WINDOW_BYTES
    assert sum(told) <= budget.total // PLEDGED_SHARE + len(told) * INITIAL_WINDOW_BYTES
    assert sum(limit > charge(CHUNK_BYTES) for limit in told) >= 8
    messages = [peer.send(bytes(limit - 256)) for peer, limit in zip(peers, told, strict=True)]
    pair.run_until(lambda: all(message.state is SendState.ACKED for message in messages))
    inboxes = [session.receiver.inbox for session in pair.right.endpoint.sessions]
    assert len(inboxes) == 40
    assert budget.total - budget.free_bytes == sum(inbox.limit - inbox._consumed for inbox in inboxes)
    for peer in peers:
        peer.endpoint.close()
    pair.run_for(1)
    assert budget.free_bytes == budget.total


def test_who_was_told_is_not_refused_when_others_take_all_that_is_spare_meanwhile() -> None:
    config, budget = TransportConfig(), Budget(128 * MIB)
    told: list[int] = []
    while (window := budget.first_window(sum(told))) > INITIAL_WINDOW_BYTES:
        told.append(window - INITIAL_WINDOW_BYTES)
    assert sum(told) <= budget.total // PLEDGED_SHARE
    budget.reserve(budget.spare_bytes)
    assert budget.first_window(0) == INITIAL_WINDOW_BYTES
    boxes = [Inbox(config, budget, initial=INITIAL_WINDOW_BYTES, pledged=pledged) for pledged in told]
    assert [box.limit for box in boxes] == [INITIAL_WINDOW_BYTES + pledged for pledged in told]
    newcomers = len(told) * INITIAL_WINDOW_BYTES
    assert budget.free_bytes >= budget.total // 4 - budget.total // PLEDGED_SHARE - newcomers
    for box in boxes:
        box.close()
    assert budget.spare_bytes == 0
    assert budget.free_bytes == budget.reserve_bytes == budget.total // 4


def test_who_was_told_is_not_refused_by_one_with_hundreds_of_sessions() -> None:
    """What is kept for newcomers shrinks with each session, and what they are told with it."""
    config, budget = TransportConfig(), Budget(128 * MIB)
    for _ in range(400):
        assert budget.enter(INITIAL_WINDOW_BYTES, 0)
    told: list[int] = []
    while (window := budget.first_window(sum(told))) > INITIAL_WINDOW_BYTES:
        told.append(window - INITIAL_WINDOW_BYTES)
    assert len(told) >= 2
    budget.reserve(budget.spare_bytes)
    boxes = [Inbox(config, budget, initial=INITIAL_WINDOW_BYTES, pledged=pledged) for pledged in told]
    assert [box.limit for box in boxes] == [INITIAL_WINDOW_BYTES + pledged for pledged in told]


def test_a_peer_that_was_told_more_than_is_left_is_refused_and_leaves_nothing_behind() -> None:
    budget = Budget(MIB)
    with pytest.raises(NodeClosedError):
        Inbox(TransportConfig(), budget, initial=INITIAL_WINDOW_BYTES, pledged=MIB)
    assert budget.free_bytes == budget.total
    assert budget.reserve_bytes == budget.total // 4
