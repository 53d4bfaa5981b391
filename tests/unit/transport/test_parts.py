"""Messages in two parts: what lies where it was is cut like what was joined, and only what never changes lies there."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dfs_sdk.runtime.memory import LentMemory
from dfs_sdk.transport.connection import LENT_BYTES_MIN, split
from dfs_sdk.transport.outbox import NO_BODY, OutgoingMessage, SendState
from dfs_sdk.transport.priority import Priority
from tests.fakes.pair import Pair, Wire

BODY = random.Random(1).randbytes(LENT_BYTES_MIN)


@given(head=st.binary(min_size=1, max_size=30), body=st.binary(max_size=30), cut=st.tuples(*[st.integers(0, 60)] * 2))
@example(head=b"ab", body=b"cd", cut=(1, 3))
@example(head=b"ab", body=b"cd", cut=(2, 2))
def test_every_stretch_is_that_of_the_joined_bytes(head, body, cut):
    message = OutgoingMessage(memoryview(head), Priority.TRANSFER, body=memoryview(body))
    start, stop = sorted(min(at, message.total) for at in cut)
    assert message.total == len(head + body)
    assert bytes(message.cut(start, stop)) == (head + body)[start:stop]


@pytest.mark.parametrize("border", [1, 100, 1355, 1356, 50_000, 199_999])
def test_a_message_in_two_parts_arrives_whole_over_a_hostile_wire(border):
    pair = Pair(wire=Wire(loss=0.1, jitter=0.02, repeat=0.1, damage=0.02))
    pair.connect()
    data = random.Random(2).randbytes(200_000)
    message = OutgoingMessage(memoryview(data)[:border], Priority.TRANSFER, body=memoryview(data)[border:])
    pair.left.endpoint.send(pair.left.session, message)
    pair.run_until(lambda: message.state is SendState.ACKED)
    assert pair.right.messages == [data]


def lent(content):
    view = LentMemory(len(content)).getbuffer()
    view[:] = content
    return view


@pytest.mark.parametrize("last", [BODY, memoryview(BODY), memoryview(b"head" + BODY)[4:], lent(BODY).toreadonly()])
def test_large_bytes_are_left_where_they_are(last):
    head, body = split([b"one", b"two", last])
    assert bytes(head) == b"onetwo"
    assert body == BODY
    assert body.obj is memoryview(last).obj


@pytest.mark.parametrize("make", [bytearray, lambda data: memoryview(bytearray(data)).toreadonly(), lent])
def test_memory_that_can_change_is_copied_at_once(make):
    memory = make(BODY)
    head, body = split([b"one", memory])
    changed = memory.obj if isinstance(memory, memoryview) and memory.readonly else memory
    changed[:] = bytes(len(changed))
    assert bytes(head) + bytes(body) == b"one" + BODY


@pytest.mark.parametrize("parts", [[], [b""], [b"one", b"two"], [BODY, b"two"], [b"one", BODY[1:]]])
def test_everything_else_is_joined(parts):
    head, body = split(parts)
    assert head == b"".join(parts)
    assert body is NO_BODY
