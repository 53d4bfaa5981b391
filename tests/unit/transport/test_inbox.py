"""Messages coming in: assembly, budgets, stalls."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from dfs_sdk.errors import NodeClosedError, ProtocolError
from dfs_sdk.transport.config import MESSAGE_BYTES_MAX, MIB, TransportConfig
from dfs_sdk.transport.inbox import FINISHED_RANGES_MAX, INCOMPLETE_MAX, Budget, Inbox
from dfs_sdk.transport.outbox import charge

CONFIG = TransportConfig()


def make(budget: Budget | None = None, initial: int = 64 * 1024) -> Inbox:
    return Inbox(CONFIG, budget or Budget(128 * MIB), initial=initial)


@pytest.mark.parametrize("seed", range(10))
def test_segments_in_any_order_with_repetitions_make_the_message_once(seed):
    """P-MSG-2."""
    rng = random.Random(seed)
    data = rng.randbytes(10_000)
    cuts = sorted({0, len(data), *(rng.randrange(len(data)) for _ in range(20))})
    pieces = list(pairwise(cuts))
    order = pieces + rng.sample(pieces, len(pieces) // 2)
    rng.shuffle(order)
    inbox = make()
    whole = [
        done
        for start, stop in order
        if (done := inbox.land(0, len(data), start, memoryview(data)[start:stop])) is not None
    ]
    assert len(whole) == 1
    assert whole[0].buffer == data
    assert inbox.incomplete == 0


def test_budget_is_whole_again_after_everything_was_consumed_and_closed():
    budget = Budget(128 * MIB)
    inbox = make(budget)
    inbox.extend()
    for number in range(50):
        inbox.land(number, 1000, 0, memoryview(bytes(1000)))
        inbox.extend()
    inbox.land(50, 1000, 0, memoryview(bytes(10)))
    inbox.close()
    inbox.close()
    assert budget.free_bytes == budget.total


def test_more_than_the_limit_is_a_violation():
    """P-MSG-3."""
    inbox = make()
    inbox.land(0, 64 * 1024 - 256, 0, memoryview(b"x"))
    with pytest.raises(ProtocolError, match="granted"):
        inbox.land(1, 1, 0, memoryview(b"x"))


def test_limit_follows_what_the_peer_wants_up_to_its_share():
    """P-MSG-4."""
    budget = Budget(128 * MIB)
    inbox = make(budget)
    inbox.on_wanted(2**60)
    while inbox.extend():
        pass
    assert inbox.limit == CONFIG.window_bytes_max
    assert inbox.is_hungry
    assert inbox.lacking_bytes == 2**60 - inbox.limit
    inbox.land(0, MIB, 0, memoryview(bytes(MIB)))
    assert inbox.extend()
    assert inbox.limit == CONFIG.window_bytes_max + charge(MIB)


def test_greedy_peers_leave_something_for_the_next():
    budget = Budget(128 * MIB)
    for _ in range(100):
        greedy = make(budget)
        greedy.on_wanted(2**60)
        for _ in range(50):
            greedy.extend()
    assert budget.free_bytes >= 4 * MIB
    with pytest.raises(NodeClosedError):
        make(Budget(100))


def test_one_message_of_the_largest_size_always_fits_an_idle_budget():
    inbox = make()
    inbox.on_wanted(charge(MESSAGE_BYTES_MAX))
    inbox.extend()
    assert inbox.limit >= charge(MESSAGE_BYTES_MAX)


def test_cancelled_message_returns_its_charge_even_when_no_byte_came():
    budget = Budget(128 * MIB)
    inbox = make(budget)
    inbox.land(0, 1000, 0, memoryview(b"x"))
    inbox.on_cancel(0, 1000)
    inbox.on_cancel(1, 500)
    inbox.on_cancel(1, 500)
    assert inbox.incomplete == 0
    assert budget.total - budget.free_bytes == 64 * 1024 - charge(1000) - charge(500)
    assert inbox.land(0, 1000, 0, memoryview(bytes(1000))) is None


def test_numbers_of_messages_are_bounded():
    inbox = make(initial=100 * MIB)
    for number in range(INCOMPLETE_MAX):
        inbox.land(number, 2, 0, memoryview(b"x"))
    with pytest.raises(ProtocolError):
        inbox.land(INCOMPLETE_MAX, 2, 0, memoryview(b"x"))
    gaps = make(initial=100 * MIB)
    with pytest.raises(ProtocolError):
        for number in range(0, 4 * FINISHED_RANGES_MAX, 2):
            gaps.land(number, 1, 0, memoryview(b"x"))


def test_silence_is_no_stall_and_chatter_without_progress_is():
    """P-MSG-7."""
    inbox = make()
    inbox.on_heard(0)
    inbox.land(0, 50_000, 0, memoryview(b"x"))
    assert not inbox.has_stalled(300)
    inbox.on_heard(300)
    assert not inbox.has_stalled(305)
    assert inbox.has_stalled(311)


def test_steady_progress_is_no_stall():
    inbox = make()
    for step in range(3):
        inbox.on_heard(step * 50)
        inbox.land(0, 60_000, step * 16_384, memoryview(bytes(16_384)))
        assert not inbox.has_stalled(step * 50 + 20)
