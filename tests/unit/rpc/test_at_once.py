"""Calls answered by a plain function, without a task: as any other call to its caller, and within the same bounds."""

from __future__ import annotations

import asyncio

import pytest

from dfs_sdk.errors import DeadlineError, PeerUnreachableError, ProtocolError, RemoteError
from dfs_sdk.rpc import Caller, Refusal, RefusalCode, Rpc, RpcConfig
from dfs_sdk.rpc.envelope import CALL_BODY_BYTES_MAX
from dfs_sdk.transport.priority import Priority
from tests.fakes.calls import raw_connection, turns, withhold_acks
from tests.fakes.network import FakeNetwork, FakeSent
from tests.fakes.sums import ADD, Add, Sum


def add(_caller: Caller, request: Add, body: memoryview) -> tuple[Sum, memoryview]:
    return Sum(total=sum(request.numbers)), body


async def test_plain_function_answers_with_reply_and_body(pair: tuple[Rpc, Rpc]) -> None:
    a, b = pair
    b.serve_at_once(Add, add)
    answer = await a.call(b.node_id, ADD, body=b"bulk")
    assert (answer.reply.total, bytes(answer.body)) == (6, b"bulk")
    assert b._router.calls_held == 0
    assert b._current[a.node_id]._incoming == {}


async def test_calls_are_answered_in_the_order_in_which_they_arrive(pair: tuple[Rpc, Rpc]) -> None:
    a, b = pair
    asked: list[int] = []
    b.serve_at_once(Add, lambda _caller, request, _body: (asked.append(request.numbers[0]), Sum(total=0))[1])
    await asyncio.gather(*(a.call(b.node_id, Add(numbers=(number,))) for number in range(50)))
    assert asked == list(range(50))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Refusal(RefusalCode.NOT_FOUND, "not here"), "NOT_FOUND"),
        (ProtocolError("malformed"), "DENIED"),
        (PeerUnreachableError("somebody else"), "FAILED"),
        (RuntimeError("/home/ada/secret"), "FAILED"),
    ],
)
async def test_what_a_plain_function_raises_becomes_a_refusal_that_tells_nothing_of_the_inside(
    pair: tuple[Rpc, Rpc], error: Exception, code: str
) -> None:
    a, b = pair

    def fail(_caller: Caller, _request: Add, _body: memoryview) -> Sum:
        raise error

    b.serve_at_once(Add, fail)
    with pytest.raises(RemoteError) as caught:
        await a.call(b.node_id, ADD)
    assert caught.value.code == code
    assert "secret" not in str(caught.value)
    assert b._router.calls_held == 0


async def test_answer_that_is_too_large_becomes_a_refusal(pair: tuple[Rpc, Rpc]) -> None:
    a, b = pair
    b.serve_at_once(Add, lambda *_asked: (Sum(total=0), bytes(CALL_BODY_BYTES_MAX + 1)))
    with pytest.raises(RemoteError) as caught:
        await a.call(b.node_id, ADD)
    assert caught.value.code == "TOO_LARGE"


async def test_call_cancelled_before_its_turn_is_not_carried_out(pair: tuple[Rpc, Rpc]) -> None:
    a, b = pair
    carried_out: list[object] = []
    b.serve_at_once(Add, lambda *asked: carried_out.append(asked))
    await a.connect(b.local_contact())
    session = b._current[a.node_id]
    admitted = []
    honest_admit = b._router.admit

    def admit(call: object) -> None:
        honest_admit(call)  # type: ignore[arg-type]
        admitted.append(call)
        session.end("gone")

    b._router.admit = admit  # type: ignore[method-assign]
    with pytest.raises(DeadlineError):
        await a.call(b.node_id, ADD, timeout=0.05)
    assert len(admitted) == 1
    assert carried_out == []
    assert b._router.calls_held == 0


async def test_tag_is_served_once_in_whatever_way(pair: tuple[Rpc, Rpc]) -> None:
    a, _ = pair
    a.serve_at_once(Add, add)
    with pytest.raises(ValueError, match="served already"):
        a.serve_at_once(Add, add)


async def test_peer_that_takes_no_answers_makes_them_wait_and_then_the_calls_are_busy(network: FakeNetwork) -> None:
    """A12, P-RPC-15: the bound on unacknowledged answers and that on held calls hold for plain functions, too"""
    a, b = network.rpc(), network.rpc(config=RpcConfig(peer_reply_bytes_max=4000, peer_calls_max=8))
    network.introduce(a, b)
    b.serve_at_once(Add, add)
    await a.call(b.node_id, ADD)
    held = withhold_acks(raw_connection(b, a))
    calls = [asyncio.create_task(a.call(b.node_id, ADD, body=bytes(400))) for _ in range(12)]
    await turns(50)
    assert b._router.calls_held == 5, "of a burst of twelve eight are taken on; two answers fit, the third goes over"
    assert len(held) == 3 + 4, "those, and four refusals"
    refused = [call for call in calls if call.done() and isinstance(call.exception(), RemoteError)]
    assert len(refused) == 4
    while held:
        held.pop(0).set_result(None)
        await turns(50)
    answered = [call for call in calls if call not in refused]
    assert [(await call).reply.total for call in answered] == [6] * 8
    assert b._router.calls_held == 0


async def test_full_send_queue_delays_an_answer_and_loses_none(pair: tuple[Rpc, Rpc]) -> None:
    a, b = pair
    b.serve_at_once(Add, add)
    await a.call(b.node_id, ADD)
    connection = raw_connection(b, a)
    honest_send, room = connection.send_now, asyncio.Event()

    def send_now(parts: list[bytes], *, priority: Priority) -> FakeSent | None:
        return honest_send(parts, priority=priority) if room.is_set() else None

    async def send(parts: list[bytes], *, priority: Priority) -> FakeSent:
        await room.wait()
        return honest_send(parts, priority=priority)

    connection.send_now = send_now  # type: ignore[assignment,method-assign]
    connection.send = send  # type: ignore[assignment,method-assign]
    call = asyncio.create_task(a.call(b.node_id, ADD))
    await turns()
    assert not call.done()
    room.set()
    assert (await call).reply.total == 6


async def test_full_send_queue_of_the_caller_counts_against_its_time_out(pair: tuple[Rpc, Rpc]) -> None:
    a, b = pair
    b.serve_at_once(Add, add)
    await a.call(b.node_id, ADD)
    connection = raw_connection(a, b)

    async def send(_parts: list[bytes], *, priority: Priority) -> FakeSent:
        await asyncio.Event().wait()
        raise AssertionError(priority)

    connection.send_now = lambda _parts, *, priority: None  # type: ignore[assignment,method-assign]
    connection.send = send  # type: ignore[assignment,method-assign]
    with pytest.raises(DeadlineError):
        await a.call(b.node_id, ADD, timeout=0.02)
    assert a._current[b.node_id]._pending == {}
