"""Attacks on what peers grant each other: windows hoarded, refused or forged, readers that take nothing (A12, A13)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dfs_sdk.ids import Address
from dfs_sdk.transport.config import MIB, TransportConfig
from dfs_sdk.transport.frames import Cancel, Close, Wanted, Window
from dfs_sdk.transport.inbox import BASE_WINDOW_BYTES_MIN, Budget, Inbox
from dfs_sdk.transport.outbox import MESSAGE_ID_MAX, OPEN_MESSAGES_MAX, SendState
from dfs_sdk.transport.packet import INITIAL_WINDOW_BYTES
from tests.fakes.pair import Pair, Peer, Wire
from tests.fakes.rogue import Rogue

PING = b"\x01"


def add_peer(pair: Pair, number: int) -> Peer:
    """Connect one more peer to the right one."""
    peer = pair.add(f"peer {number}", Address(f"10.0.{number}.1", 4001))
    peer.endpoint.connect(pair.right.contact, pair.right.address, pair.now)
    pair.run_until(lambda: bool(peer.opened))
    pair.run_for(0.1)
    return peer


def add_rogues(pair: Pair, count: int) -> list[Rogue]:
    """Connect members that only do what a test says."""
    return [Rogue(pair, add_peer(pair, number), pair.right) for number in range(count)]


def chatter(pair: Pair, rogues: list[Rogue], seconds: float, until: Callable[[], bool] = lambda: False) -> float:
    """Let the rogues be heard every other second; returns how long it took until the condition held."""
    began = pair.now
    while pair.now < began + seconds and not until():
        for rogue in rogues:
            pair.inject(rogue.peer.address, rogue.victim.address, rogue.seal(PING))
        pair.run_for(2)
    return pair.now - began


def test_a12_forged_windows_change_neither_queues_nor_what_is_under_way(rogue: Rogue) -> None:
    victim, outbox = rogue.victim, rogue.victim.session.sender.outbox
    messages = [victim.send(bytes(20_000)) for _ in range(2000)]
    for limit in (0, 1, 2**63, 2**64 - 1, 5, 0):
        rogue.say(Window(limit=limit).encode() * 50)
        assert outbox.under_way <= OPEN_MESSAGES_MAX
        recovery = victim.session.sender.recovery
        assert recovery.in_flight_bytes <= 2 * recovery.congestion.window_bytes
    assert rogue.verdict is None
    assert sum(message.state is SendState.SENDING for message in messages) == outbox.under_way


def test_a12_greedy_peers_leave_the_reserve_to_newcomers() -> None:
    pair = Pair()
    pair.connect()
    budget: Budget = pair.right.endpoint._budget
    for rogue in add_rogues(pair, 20):
        rogue.say(Wanted(limit=2**63).encode())
        assert budget.free_bytes >= budget.reserve_bytes - 20 * BASE_WINDOW_BYTES_MIN
    message = pair.left.send(bytes(250_000))
    assert pair.run_until(lambda: message.state is SendState.ACKED) < 3


def test_as_many_idle_peers_as_may_connect_leave_every_one_its_window_for_a_chunk() -> None:
    """Idle ones once took all of the budget: after 341 nobody else was let in."""
    config = TransportConfig()
    budget = Budget(config.window_bytes_total)
    boxes = []
    for _ in range(config.connections_max):
        boxes.append(Inbox(config, budget, initial=INITIAL_WINDOW_BYTES))
        boxes[-1].extend()
    boxes[-1].on_wanted(MIB + 256)
    assert boxes[-1].extend()
    assert boxes[-1].limit >= MIB + 256
    for box in boxes:
        box.close()
    assert budget.free_bytes == budget.total
    assert budget.reserve_bytes == budget.total // 4


def test_a12_hoarded_windows_are_taken_back_once_memory_is_scarce() -> None:
    pair = Pair()
    pair.connect()
    budget: Budget = pair.right.endpoint._budget
    rogues = add_rogues(pair, 20)
    for rogue in rogues:
        rogue.say(Wanted(limit=2**63).encode())
    assert budget.is_scarce
    large = pair.left.send(bytes(4 * MIB))
    taken = chatter(pair, rogues, 120, until=lambda: large.state is SendState.ACKED)
    assert 15 <= taken <= 45
    assert {closed.reason for closed in pair.right.closed} == {"a large window was granted and not used"}
    assert budget.free_bytes >= budget.reserve_bytes
    assert pair.right.endpoint.session(pair.left.identity.node_id) is not None


def test_a12_a_large_window_is_kept_while_it_is_used_or_nobody_else_needs_it() -> None:
    pair = Pair()
    pair.connect()
    (idle,) = add_rogues(pair, 1)
    idle.say(Wanted(limit=2**63).encode())
    chatter(pair, [idle], 120)
    assert pair.right.closed == []
    slow = Pair(wire=Wire(bytes_per_second=50_000), config=TransportConfig(window_bytes_total=64 * MIB))
    slow.connect()
    for _ in range(4):
        slow.left.send(bytes(4 * MIB))
    slow.run_for(1)
    budget: Budget = slow.right.endpoint._budget
    reserved = budget.reserve(budget.free_bytes)
    assert reserved and budget.is_scarce
    slow.run_for(100)
    assert slow.right.closed == []


def test_a13_window_never_granted_closes_the_connection_in_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The peer takes and acknowledges what it granted once, and never grants more."""
    pair = Pair()
    pair.connect()
    monkeypatch.setattr(pair.left.session.receiver.inbox, "extend", lambda: False)
    messages = [pair.right.send(bytes(MIB)) for _ in range(4)]
    pair.run_for(5)
    assert pair.right.session.sender.outbox.is_blocked
    assert 60 <= 5 + pair.run_until(lambda: bool(pair.right.closed), limit=200) <= 120
    assert "took nothing" in pair.right.closed[0].reason
    assert messages[-1].state is SendState.FAILED


def test_a13_acknowledging_nothing_closes_the_connection_in_bounded_time(rogue: Rogue) -> None:
    messages = [rogue.victim.send(bytes(1000)) for _ in range(10)]
    taken = chatter(rogue.pair, [rogue], 200, until=lambda: rogue.verdict is not None)
    assert 60 <= taken <= 120
    assert {message.state for message in messages} == {SendState.FAILED}


def test_a13_a_slow_path_and_a_blocked_kernel_are_no_refusal() -> None:
    pair = Pair(wire=Wire(bytes_per_second=20_000), config=TransportConfig(datagram_bytes_max=1452))
    pair.connect()
    message = pair.left.send(bytes(3 * MIB // 2))
    assert pair.run_until(lambda: message.state is SendState.ACKED, limit=300) > 70
    second = pair.left.send(bytes(MIB // 4))
    pair.run_for(5)
    pair.right.asleep = True
    pair.run_for(130)
    pair.right.asleep = False
    pair.run_until(lambda: second.state is SendState.ACKED, limit=300)
    assert pair.left.closed == pair.right.closed == []


def test_what_follows_a_close_in_its_packet_touches_no_budget(rogue: Rogue) -> None:
    """Found by fuzzing: a message after CLOSE was charged to a budget that was settled already, and grew it."""
    budget: Budget = rogue.victim.endpoint._budget
    close = Close(code=0, reason="bye").encode()
    rogue.say(close + rogue.segment(7, 4, 0, b"data") + Cancel(message_id=8, total_bytes=4 * MIB).encode())
    assert "bye" in (rogue.verdict or "")
    assert budget.free_bytes == budget.total
    assert rogue.victim.messages == []


def test_message_numbers_end_with_the_connection_and_not_with_an_error() -> None:
    pair = Pair()
    pair.connect()
    outbox = pair.left.session.sender.outbox
    outbox._next_id = MESSAGE_ID_MAX - 1
    messages = [pair.left.send(bytes((number,)) * 100) for number in range(5)]
    pair.run_until(lambda: bool(pair.left.closed), limit=60)
    assert [message.state for message in messages] == [SendState.ACKED] * 2 + [SendState.FAILED] * 3
    assert "numbers" in pair.left.closed[0].reason
    pair.left.notices.clear()
    pair.right.notices.clear()
    pair.connect()
    last = pair.left.send(b"again")
    pair.run_until(lambda: last.state is SendState.ACKED)
