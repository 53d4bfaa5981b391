"""Which bytes leave next: priorities, windows, repetition, cancellation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.errors import ConfigError, MessageTooLargeError
from dfs_sdk.transport.config import MESSAGE_BYTES_MAX, MIB
from dfs_sdk.transport.outbox import (
    MESSAGE_CHARGE,
    OPEN_MESSAGES_MAX,
    STARVATION_BESIDE_CALLS,
    STARVATION_INTERVAL,
    Outbox,
    OutgoingMessage,
    SendState,
    charge,
)
from dfs_sdk.transport.priority import Priority


def message(size: int = 1000, priority: Priority = Priority.TRANSFER) -> OutgoingMessage:
    return OutgoingMessage(memoryview(bytes(size)), priority)


@pytest.fixture
def outbox():
    box = Outbox()
    box.grant(2**40)
    return box


def test_more_urgent_message_goes_first_even_when_another_was_begun(outbox):
    bulk, call = message(priority=Priority.TRANSFER), message(priority=Priority.INTERACTIVE)
    outbox.push(bulk)
    assert outbox.next_message(0) is bulk
    outbox.took(bulk, 0, 100, 0)
    outbox.push(call)
    assert outbox.next_message(0) is call
    outbox.took(call, 0, call.total, 0)
    assert outbox.next_message(0) is bulk


def test_background_leaves_only_where_it_may_and_nobody_asks_without_some(outbox):
    asked = []

    def refused() -> bool:
        asked.append(True)
        return False

    bulk, low = message(priority=Priority.TRANSFER), message(priority=Priority.BACKGROUND)
    outbox.push(bulk)
    assert outbox.next_message(0, refused) is bulk
    outbox.took(bulk, 0, bulk.total, 0)
    assert outbox.next_message(0, refused) is None
    assert not asked
    outbox.push(low)
    assert outbox.next_message(0, refused) is None
    assert asked
    assert outbox.next_message(0, lambda: True) is low
    outbox.push(more := message(priority=Priority.TRANSFER))
    assert outbox.next_message(0, refused) is more


def test_begun_message_without_a_turn_gets_one_burst_after_a_while(outbox):
    """P-MSG-6."""
    slow, bulk = message(priority=Priority.BACKGROUND), message(10**6, priority=Priority.TRANSFER)
    outbox.push(slow)
    outbox.took(outbox.next_message(0), 0, 10, 0)
    outbox.push(bulk)
    assert outbox.next_message(STARVATION_INTERVAL) is bulk
    assert outbox.next_message(STARVATION_INTERVAL + 0.1) is slow
    outbox.took(slow, 10, 20, STARVATION_INTERVAL + 0.1)
    assert outbox.next_message(STARVATION_INTERVAL + 0.2) is bulk


def test_call_goes_ahead_of_a_message_without_a_turn_unless_calls_never_end(outbox):
    """P-MSG-6."""
    slow, call = message(priority=Priority.BACKGROUND), message(priority=Priority.INTERACTIVE)
    outbox.push(slow)
    outbox.took(outbox.next_message(0), 0, 10, 0)
    outbox.push(call)
    assert outbox.next_message(STARVATION_INTERVAL + 0.1) is call
    assert outbox.next_message(STARVATION_BESIDE_CALLS) is call
    assert outbox.next_message(STARVATION_BESIDE_CALLS + 0.1) is slow
    outbox.took(slow, 10, 20, STARVATION_BESIDE_CALLS + 0.1)
    assert outbox.next_message(STARVATION_BESIDE_CALLS + 0.2) is call


def test_message_waits_for_the_window_and_asks_for_it():
    outbox = Outbox()
    outbox.grant(charge(1000))
    first, second = message(), message()
    outbox.push(first)
    outbox.push(second)
    assert outbox.next_message(0) is first
    outbox.took(first, 0, 1000, 0)
    assert outbox.next_message(0) is None
    assert outbox.is_blocked
    assert outbox.ask() == 2 * charge(1000)
    assert outbox.ask() is None
    outbox.grant(2 * charge(1000))
    assert outbox.next_message(0) is second


def test_blocked_call_does_not_let_new_bulk_pass_but_lets_repetitions(outbox):
    box = Outbox()
    box.grant(charge(1000))
    begun, call, bulk = message(), message(1000, Priority.INTERACTIVE), message(1)
    box.push(begun)
    box.took(box.next_message(0), 0, 1000, 0)
    box.push(call)
    box.push(bulk)
    assert box.next_message(0) is None
    box.on_lost(begun, 0, 500)
    assert box.next_message(0) is begun


def test_only_bytes_that_did_not_arrive_are_repeated(outbox):
    sent = message(1000)
    outbox.push(sent)
    outbox.took(outbox.next_message(0), 0, 1000, 0)
    outbox.on_acked(sent, 200, 400)
    outbox.on_lost(sent, 0, 600)
    assert list(sent.to_send) == [(0, 200), (400, 600)]
    assert outbox.unsent_bytes == 400
    assert not outbox.on_acked(sent, 400, 1000)
    assert outbox.on_acked(sent, 0, 200)
    assert sent.state is SendState.ACKED
    assert outbox.unsent_bytes == 0
    assert outbox.is_empty


def test_messages_are_numbered_in_the_order_in_which_they_begin(outbox):
    late, early = message(priority=Priority.TRANSFER), message(priority=Priority.INTERACTIVE)
    for each in (late, early):
        outbox.push(each)
    for _ in range(2):
        begun = outbox.next_message(0)
        outbox.took(begun, 0, begun.total, 0)
    assert (early.message_id, late.message_id) == (0, 1)


def test_open_messages_are_bounded(outbox):
    """P-MSG-5."""
    for _ in range(OPEN_MESSAGES_MAX + 5):
        outbox.push(message(1))
    begun = 0
    while (each := outbox.next_message(0)) is not None:
        outbox.took(each, 0, 1, 0)
        begun += 1
    assert begun == OPEN_MESSAGES_MAX


def test_cancelling_tells_whether_the_peer_has_to_know(outbox):
    queued, begun = message(), message(priority=Priority.INTERACTIVE)
    outbox.push(queued)
    outbox.push(begun)
    outbox.took(outbox.next_message(0), 0, 10, 0)
    assert outbox.cancel(begun)
    assert not outbox.cancel(queued)
    assert not outbox.cancel(queued)
    assert outbox.unsent_bytes == 0
    assert outbox.next_message(0) is None
    outbox.on_lost(begun, 0, 10)
    assert outbox.next_message(0) is None


def test_end_of_the_connection_fails_all_in_order(outbox):
    begun, queued = message(), message()
    outbox.push(begun)
    outbox.took(outbox.next_message(0), 0, 10, 0)
    outbox.push(queued)
    assert outbox.fail_all() == [begun, queued]
    assert {begun.state, queued.state} == {SendState.FAILED}
    assert outbox.is_empty


def test_empty_and_oversized_messages_are_refused(outbox):
    with pytest.raises(ConfigError):
        outbox.push(message(0))
    with pytest.raises(MessageTooLargeError):
        outbox.push(message(MESSAGE_BYTES_MAX + 1))


def test_charge_counts_more_than_bytes():
    assert charge(0) == MESSAGE_CHARGE


@given(
    st.lists(st.tuples(st.integers(1, MIB), st.sampled_from(list(Priority))), max_size=30),
    st.lists(st.integers(0, 2**22), max_size=10),
)
def test_sender_never_begins_more_than_it_was_granted(sizes, limits):
    """P-MSG-3."""
    outbox = Outbox()
    for size, priority in sizes:
        outbox.push(message(size, priority))
    used = granted = 0
    for limit in limits:
        outbox.grant(limit)
        granted = max(granted, limit)
        while (each := outbox.next_message(0)) is not None:
            used += charge(each.total)
            outbox.took(each, 0, each.total, 0)
            assert used <= granted
