"""Two endpoints on a wire that loses, repeats, reorders and damages datagrams."""

from __future__ import annotations

import random

import pytest

from dfs_sdk.transport.config import MESSAGE_BYTES_MAX
from dfs_sdk.transport.outbox import SendState
from tests.fakes.pair import Pair, Wire


def content(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def test_handshake_opens_one_session_on_both_sides():
    """P-HS-1."""
    pair = Pair()
    pair.connect()
    assert pair.left.session.peer == pair.right.identity.public
    assert pair.right.session.peer == pair.left.identity.public
    assert pair.left.session.observed_address == pair.left.address


def test_small_message_arrives_and_is_acknowledged():
    pair = Pair()
    pair.connect()
    message = pair.left.send(b"hello")
    pair.run_until(lambda: message.state is SendState.ACKED)
    assert pair.right.messages == [b"hello"]
    assert pair.left.settled == [message]


@pytest.mark.parametrize("size", [1, 1355, 1356, 1357, 70_000, MESSAGE_BYTES_MAX])
def test_message_of_any_size_arrives_intact(size):
    pair = Pair()
    pair.connect()
    data = content(size)
    message = pair.left.send(data)
    pair.run_until(lambda: message.state is SendState.ACKED)
    assert pair.right.messages == [data]


HOSTILE_WIRES = {
    "10 % loss": Wire(loss=0.1),
    "reordering": Wire(jitter=0.02),
    "duplicates": Wire(repeat=0.3),
    "damage": Wire(damage=0.05),
    "all at once": Wire(loss=0.1, jitter=0.02, repeat=0.1, damage=0.02),
}


@pytest.mark.parametrize("name", HOSTILE_WIRES)
def test_four_mebibyte_messages_arrive_intact_both_ways_over_a_hostile_wire(name):
    pair = Pair(wire=HOSTILE_WIRES[name])
    pair.connect()
    to_right, to_left = content(4 << 20, 1), content(4 << 20, 2)
    sent = [pair.left.send(to_right), pair.right.send(to_left)]
    pair.run_until(lambda: all(message.state is SendState.ACKED for message in sent), limit=120)
    assert pair.right.messages == [to_right]
    assert pair.left.messages == [to_left]
