"""Replies that are not taken: they hold up neither others nor more memory than is set aside for them (A12, A13)."""

from __future__ import annotations

import asyncio

import pytest

from dfs_sdk.errors import PeerUnreachableError, RemoteError
from dfs_sdk.rpc import Rpc, RpcConfig
from dfs_sdk.rpc.envelope import HEADER_BYTES_MAX, pack_envelope
from dfs_sdk.rpc.router import ANSWERS_PER_TURN
from dfs_sdk.rpc.unacked import HOARD_BYTES_MIN, HOARD_SECONDS, ReplyBudget, ReplyWatch, UnackedBytes
from dfs_sdk.transport.priority import Priority
from tests.fakes.calls import (
    FullQueue,
    Gate,
    Other,
    add,
    ask,
    raw_connection,
    request_envelope,
    turns,
    withhold_acks,
)
from tests.fakes.network import FakeNetwork, FakeSent
from tests.fakes.runtime import LoopClock, run_virtual
from tests.fakes.sums import ADD, Add, Sum

KIB = 1024
MIB = 1024 * KIB


async def test_a_peer_that_takes_no_replies_leaves_the_turns_to_others(network: FakeNetwork) -> None:
    """P-RPC-15: sixteen slow fetches once held all turns, and every other reader waited for two minutes"""
    slow, other, server = network.rpc(), network.rpc(), network.rpc(config=RpcConfig(peer_reply_bytes_max=3000))
    network.introduce(slow, other, server)
    server.serve(Add, add, concurrency_max=4)
    await slow.call(server.node_id, ADD)
    held = withhold_acks(raw_connection(server, slow))
    calls = [asyncio.create_task(slow.call(server.node_id, ADD, body=bytes(3000))) for _ in range(12)]
    await turns(50)
    assert len(held) == 1, "the first goes over"
    assert len(network.scopes[server.node_id]) == 3, "those begun with it wait; the others are not begun"
    assert server._router._routes[Add.tag].running == 0
    assert server._router.calls_held == 11
    answer = await asyncio.wait_for(other.call(server.node_id, ADD), 1.0)
    assert answer.reply.total == 6
    while held:
        held.pop(0).set_result(None)
        await turns(50)
    assert [(await call).reply.total for call in calls] == [6] * 12
    assert server._router.calls_held == 0
    assert server._replies.used_bytes == 0


async def test_a_plain_function_is_not_asked_for_whom_does_not_take_the_answers(network: FakeNetwork) -> None:
    slow, server = network.rpc(), network.rpc(config=RpcConfig(peer_reply_bytes_max=2000))
    network.introduce(slow, server)
    asked: list[int] = []

    def count(_caller: object, _request: object, _body: memoryview) -> Sum:
        asked.append(1)
        return Sum(total=0)

    server.serve_at_once(Add, count)
    await slow.call(server.node_id, ADD)
    held = withhold_acks(raw_connection(server, slow))
    calls = [asyncio.create_task(slow.call(server.node_id, ADD)) for _ in range(9)]
    await turns(50)
    assert len(asked) == 1 + 2
    while held:
        held.pop(0).set_result(None)
        await turns(50)
    assert [(await call).reply.total for call in calls] == [0] * 9


async def test_small_replies_are_charged_for_what_they_cost_beside_their_bytes() -> None:
    """Sixteen megabytes of replies of forty bytes were six hundred of memory."""
    unacked = UnackedBytes(16 * MIB, ReplyBudget(128 * MIB))
    count = 0
    while unacked.may_begin(bulk=True):
        unacked.add(40, FakeSent())
        count += 1
    assert count <= 16 * KIB


async def test_all_peers_together_hold_no_more_than_the_budget_and_one_reply_each(network: FakeNetwork) -> None:
    config = RpcConfig(peer_reply_bytes_max=MIB, total_reply_bytes_max=2 * MIB)
    server = network.rpc(config=config)
    slow = [network.rpc() for _ in range(8)]
    network.introduce(server, *slow)
    server.serve(Add, add, concurrency_max=1, bulk=True)
    for peer in slow:
        await peer.connect(network.contact(server.node_id))
        withhold_acks(raw_connection(server, peer))
    calls = [asyncio.create_task(p.call(server.node_id, ADD, body=bytes(400 * KIB))) for p in slow for _ in range(5)]
    await turns(200)
    assert 2 * MIB <= server._replies.used_bytes <= 2 * MIB + 401 * KIB + 2 * KIB
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


@pytest.mark.parametrize("concurrency_max", [1, 16])
async def test_replies_that_wait_for_a_queue_of_their_peer_count_as_its_own(
    network: FakeNetwork, concurrency_max: int
) -> None:
    """One peer that grants no window had all the memory: what was made and not sent counted against nobody."""
    server, evil, other = (network.rpc() for _ in range(3))
    network.introduce(server, evil, other)
    body = memoryview(bytes(4 * MIB))

    async def large(_caller: object, _request: object, _body: memoryview) -> tuple[Sum, memoryview]:
        await asyncio.sleep(0)
        return Sum(total=0), body

    server.serve(Add, large, concurrency_max=concurrency_max, bulk=True)
    await evil.connect(network.contact(server.node_id))
    connection = raw_connection(server, evil)
    FullQueue(connection, 8 * MIB)
    ask(server, connection, 1000)
    await turns(400)
    budget, replies = server._replies, server._sessions[connection].replies
    assert replies.held_bytes == budget.used_bytes
    assert budget.used_bytes <= (16 + 4 * concurrency_max) * MIB + 64 * KIB, "the bound and what had begun"
    assert budget.has_bulk_room(0)
    assert (await other.call(server.node_id, ADD, timeout=1)).reply.total == 0


async def test_plain_functions_are_not_asked_while_twice_the_memory_for_replies_is_held(network: FakeNetwork) -> None:
    config = RpcConfig(peer_reply_bytes_max=MIB, total_reply_bytes_max=2 * MIB)
    server, slow = network.rpc(config=config), [network.rpc() for _ in range(20)]
    network.introduce(server, *slow)
    body = memoryview(bytes(20_000))
    server.serve_at_once(Add, lambda *_call: (Sum(total=0), body))
    for peer in slow:
        await peer.connect(network.contact(server.node_id))
        connection = raw_connection(server, peer)
        FullQueue(connection, 8 * MIB)
        ask(server, connection, 100)
        await turns(60)
    refusals = 20 * 100 * 2 * KIB
    assert 4 * MIB <= server._replies.used_bytes <= 4 * MIB + refusals


async def test_who_waited_and_went_away_leaves_the_room_to_the_next(network: FakeNetwork) -> None:
    """A reply that ran out of time in the queue of its peer woke nobody: no later call of that peer was begun."""
    config = RpcConfig(peer_reply_bytes_max=4 * MIB, handler_timeout_max=0.05)
    server, peer = network.rpc(config=config), network.rpc()
    network.introduce(server, peer)
    body = memoryview(bytes(4 * MIB))

    async def large(_caller: object, _request: object, _body: memoryview) -> tuple[Sum, memoryview]:
        return Sum(total=0), body

    begun: list[int] = []

    async def note(_caller: object, _request: object, _body: memoryview) -> Sum:
        begun.append(1)
        return Sum(total=0)

    server.serve(Add, large, concurrency_max=4, bulk=True)
    server.serve(Other, note)
    await peer.connect(network.contact(server.node_id))
    connection = raw_connection(server, peer)
    queue = FullQueue(connection, 8 * MIB)
    ask(server, connection, 3)
    await turns(50)
    queue.unsent_bytes = 8 * MIB  # our own calls fill it meanwhile
    for sent in queue.sent:
        sent.acked.set_result(None)
    while server._router.calls_held:
        await asyncio.sleep(0.01)
    queue.empty()
    ask(server, connection, 5, first=100, tag=Other.tag)
    await turns(50)
    assert len(begun) == 5
    assert server._replies.used_bytes > 0
    for sent in queue.sent[1:]:
        sent.acked.set_result(None)
    await turns(50)
    assert server._replies.used_bytes == 0


async def small(_caller: object, _request: object, _body: memoryview) -> Sum:
    return Sum(total=1)


def test_who_holds_replies_back_is_disconnected_once_memory_is_scarce_and_others_are_served() -> None:
    async def main(clock: LoopClock) -> None:
        async with FakeNetwork(seed=3, clock=clock) as network:
            config = RpcConfig(peer_reply_bytes_max=4 * MIB, total_reply_bytes_max=4 * MIB)
            server, honest = network.rpc(config=config), network.rpc()
            slow = [network.rpc() for _ in range(6)]
            network.introduce(server, honest, *slow)
            server.serve(Add, add, concurrency_max=4, bulk=True)
            server.serve(Other, small)
            calls = []
            for peer in slow:
                await peer.connect(network.contact(server.node_id))
                withhold_acks(raw_connection(server, peer))
                calls += [
                    asyncio.create_task(peer.call(server.node_id, ADD, body=bytes(MIB), timeout=500)) for _ in range(4)
                ]
            await asyncio.sleep(1.0)
            assert server._replies.is_scarce
            began = clock.monotonic()
            assert (await honest.call(server.node_id, Other(), timeout=1)).reply.total == 1, "small ones go on"
            assert (await honest.call(server.node_id, ADD, timeout=100)).reply.total == 6
            assert clock.monotonic() - began <= 2 * (HOARD_SECONDS + 10), "one held all there was, then four a quarter"
            await asyncio.sleep(120.0)
            assert honest.node_id in server.connected()
            assert len(server.connected()) <= 2, "the last one is left alone while nobody needs what it holds"
            assert not server._replies.is_scarce
            for call in calls:
                call.cancel()
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert any(isinstance(outcome, PeerUnreachableError) for outcome in outcomes)

    run_virtual(main)


def test_a_slow_reader_is_left_alone_while_it_reads() -> None:
    watch: ReplyWatch[str] = ReplyWatch()
    held, taken = 8 * MIB, 0
    for at in range(0, 300, 5):
        taken += held // 64 * 5 // 15 + 1
        assert watch.find([("slow", held, taken), ("small", HOARD_BYTES_MIN - 1, 0)], float(at)) == []
    found = [watch.find([("slow", held, taken)], 300.0 + at) for at in range(0, 25, 5)]
    assert found[-1] == ["slow"]
    assert found[0] == []


def test_nobody_is_found_by_a_look_that_comes_late() -> None:
    """This node stood still: what its peers took meanwhile is still to be read."""
    watch: ReplyWatch[str] = ReplyWatch()
    assert watch.find([("slow", 8 * MIB, 0)], 0.0) == []
    for at in (60.0, 65.0, 70.0, 75.0):
        assert watch.find([("slow", 8 * MIB, 0)], at) == []
    assert watch.find([("slow", 8 * MIB, 0)], 80.0) == ["slow"]


def test_those_who_keep_all_others_at_one_reply_each_are_looked_at() -> None:
    """Below the bound at which memory counted as scarce, and above the one from which no further reply was begun"""
    budget = ReplyBudget(128 * MIB)
    budget.take(96 * MIB)
    assert not budget.has_bulk_room(1)
    assert budget.is_scarce


@pytest.mark.parametrize("spare", [0, 1])
def test_who_holds_nothing_may_begin_while_anything_is_left(spare: int) -> None:
    budget = ReplyBudget(1000)
    budget.take(1000 - spare)
    assert budget.has_bulk_room(0) is bool(spare)
    assert not budget.has_bulk_room(1)
    assert budget.has_room
    budget.give(900)
    assert budget.has_bulk_room(600)
    assert not budget.has_bulk_room(700)
    budget.take(1901)
    assert not budget.has_room


async def test_requests_of_many_headers_are_refused_like_those_of_many_bodies(network: FakeNetwork) -> None:
    """P-RPC-15: a thousand waiting calls with headers of 60 KiB were 60 MiB that nobody counted"""
    evil, server = network.rpc(), network.rpc(config=RpcConfig(peer_bytes_max=5 * MIB))
    network.introduce(evil, server)
    gate = Gate()
    server.serve(Add, gate, concurrency_max=1)
    await evil.connect(network.contact(server.node_id))
    header = b"\x92\x93\x01\x02\x03\xc5" + (60_000).to_bytes(2, "big") + bytes(60_000)
    assert len(header) <= HEADER_BYTES_MAX
    for call_id in range(1, 200):
        parts = pack_envelope(request_envelope(call_id, header=header))
        await raw_connection(evil, server).send(parts, priority=Priority.INTERACTIVE)
    await turns(50)
    assert server._router.calls_held == 5 * MIB // len(header)
    assert server.connected() == [evil.node_id]


async def test_a_packet_of_many_small_calls_is_answered_in_many_turns_and_peers_alternate(
    network: FakeNetwork,
) -> None:
    busy, other, server = network.rpc(), network.rpc(), network.rpc()
    network.introduce(busy, other, server)
    order: list[object] = []

    def note(caller: object, _request: object, _body: memoryview) -> Sum:
        order.append(caller)
        return Sum(total=0)

    server.serve_at_once(Add, note)
    server.serve_at_once(Other, note)
    for peer in (busy, other):
        await peer.connect(network.contact(server.node_id))
    from_busy, from_other = raw_connection(server, busy), raw_connection(server, other)
    for call_id in range(1, 501):
        server._on_message(from_busy, memoryview(b"".join(pack_envelope(request_envelope(call_id)))))
    server._on_message(from_other, memoryview(b"".join(pack_envelope(request_envelope(1, tag=Other.tag)))))
    await asyncio.sleep(0)
    assert len(order) == ANSWERS_PER_TURN
    assert any(caller.node_id == other.node_id for caller in order)  # type: ignore[attr-defined]
    await turns(40)
    assert len(order) == 501
    assert server._router.calls_held == 0


async def test_a_call_cancelled_before_its_turn_among_many_is_not_carried_out(pair: tuple[Rpc, Rpc]) -> None:
    a, b = pair
    order: list[int] = []

    def note(_caller: object, request: Add, _body: memoryview) -> Sum:
        order.append(request.numbers[0])
        return Sum(total=0)

    b.serve_at_once(Add, note)
    await a.connect(b.local_contact())
    calls = [asyncio.create_task(a.call(b.node_id, Add(numbers=(n,)))) for n in range(100)]
    while not order:
        await asyncio.sleep(0)
    b._current[a.node_id].end("gone")
    await turns(20)
    assert order == list(range(ANSWERS_PER_TURN))
    assert b._router.calls_held == 0
    for call in calls:
        call.cancel()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert not any(isinstance(outcome, RemoteError) for outcome in outcomes)
