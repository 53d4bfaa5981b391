"""Memory for messages: used again, and never by two owners."""

from __future__ import annotations

import random

import numpy as np
import pytest

from dfs_sdk.runtime.buffers import IDLE_SECONDS, KEPT_BYTES_MIN, Buffers
from dfs_sdk.transport.config import MIB, TransportConfig
from dfs_sdk.transport.inbox import Budget, Inbox

SIZE = MIB + 100


def place(view: memoryview) -> int:
    """Where the memory of a view begins."""
    return int(np.frombuffer(view, np.uint8).__array_interface__["data"][0])


def test_memory_is_used_again_when_no_view_of_it_is_left():
    buffers = Buffers()
    first = buffers.take(SIZE)
    memory = place(first)
    part = first[10:20]
    del first
    assert place(buffers.take(SIZE)) != memory  # a part of it is still looked at
    del part
    assert memory in {place(buffers.take(SIZE)) for _ in range(2)}
    assert buffers.kept_bytes < 3 * SIZE


@pytest.mark.parametrize("hold", [memoryview, lambda view: view.toreadonly()[5:], lambda view: view.cast("b")[::2]])
def test_memory_that_somebody_looks_at_in_any_way_is_not_lent_again(hold):
    buffers = Buffers()
    view = buffers.take(SIZE)
    view[:] = bytes([7]) * SIZE
    held = hold(view)
    del view
    others = [buffers.take(SIZE) for _ in range(5)]
    for other in others:
        other[:] = bytes(SIZE)
    assert set(held) == {7}
    assert len({place(other) for other in others}) == 5


def test_two_owners_never_share_memory_whatever_is_taken_and_dropped():
    rng = random.Random(5)
    buffers = Buffers(bytes_max=4 * MIB)
    held: list[memoryview] = []
    for _ in range(2000):
        if held and rng.random() < 0.5:
            del held[rng.randrange(len(held))]
        else:
            held.append(buffers.take(rng.choice((100, KEPT_BYTES_MIN, KEPT_BYTES_MIN + 1, MIB, SIZE, 3 * MIB))))
        assert len({place(view) for view in held}) == len(held)
        assert buffers.kept_bytes <= 4 * MIB
        if len(held) > 12:
            held.clear()


@pytest.mark.parametrize("size", [1, KEPT_BYTES_MIN - 1, KEPT_BYTES_MIN, SIZE, 4 * MIB + 64 * 1024])
def test_a_view_has_exactly_the_length_asked_for(size):
    assert len(Buffers().take(size)) == size


def test_small_ones_are_not_remembered():
    buffers = Buffers()
    buffers.take(KEPT_BYTES_MIN - 1)
    assert buffers.kept_bytes == 0


def test_memory_is_forgotten_after_a_while_in_which_none_was_asked_for():
    buffers = Buffers()
    buffers.take(SIZE)
    buffers.rest(100.0)
    buffers.rest(100.0 + IDLE_SECONDS / 2)
    assert buffers.kept_bytes
    buffers.take(SIZE)
    buffers.rest(100.0 + IDLE_SECONDS)
    assert buffers.kept_bytes
    buffers.rest(100.0 + 2 * IDLE_SECONDS)
    assert buffers.kept_bytes == 0


def test_what_an_earlier_message_left_in_the_memory_is_never_handed_over():
    """An inbox gives a message away only when each of its bytes was written anew."""
    inbox = Inbox(TransportConfig(), Budget(128 * MIB), initial=8 * MIB)
    secret = inbox.land(0, SIZE, 0, memoryview(b"s" * SIZE))
    assert secret is not None
    memory = place(secret.buffer)
    del secret
    assert inbox.land(1, SIZE, 100, memoryview(b"n" * (SIZE - 100))) is None
    done = inbox.land(1, SIZE, 0, memoryview(b"n" * 100))
    assert done is not None
    assert place(done.buffer) == memory
    assert bytes(done.buffer) == b"n" * SIZE
