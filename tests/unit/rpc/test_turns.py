"""Turns of calls over the in-memory network: whose call runs when, how many wait, and when they end."""

from __future__ import annotations

import asyncio

import pytest

from dfs_sdk.errors import (
    DeadlineError,
    PeerUnreachableError,
    RemoteError,
)
from dfs_sdk.rpc import Rpc, RpcConfig
from dfs_sdk.rpc.envelope import Envelope, Kind, pack_envelope
from dfs_sdk.transport.priority import Priority
from dfs_sdk.wire import encode
from tests.fakes.calls import Gate, add, gated_pair, raw_connection, turns
from tests.fakes.network import FakeNetwork
from tests.fakes.runtime import LoopClock, run_virtual
from tests.fakes.sums import ADD, Add


async def test_a_leaving_node_refuses_calls_and_finishes_those_under_way(pair: tuple[Rpc, Rpc]) -> None:
    a, b = pair
    gate = Gate()
    b.serve(Add, gate)
    call = asyncio.create_task(a.call(b.node_id, ADD))
    await turns()
    b.refuse_calls()
    with pytest.raises(RemoteError) as caught:
        await a.call(b.node_id, ADD)
    assert caught.value.code == "LEAVING"
    gate.open.set()
    assert (await call).reply.total == 0


async def test_a_handler_runs_at_most_so_often_at_one_time_and_all_get_their_turn(pair: tuple[Rpc, Rpc]) -> None:
    """P-RPC-14"""
    a, b = pair
    gate = Gate()
    b.serve(Add, gate, concurrency_max=3)
    calls = [asyncio.create_task(a.call(b.node_id, Add(numbers=(n,)))) for n in range(20)]
    await turns(50)
    assert gate.running == 3
    gate.open.set()
    for call in calls:
        await call
    assert gate.most == 3
    assert [number for _, number in gate.order] == list(range(20))


async def test_a_peer_with_many_calls_does_not_delay_another_by_more_than_its_turn(network: FakeNetwork) -> None:
    """P-RPC-14"""
    busy, quiet, server = network.rpc(), network.rpc(), network.rpc()
    network.introduce(busy, quiet, server)
    gate = Gate()
    server.serve(Add, gate, concurrency_max=1)
    many = [asyncio.create_task(busy.call(server.node_id, ADD)) for _ in range(50)]
    await turns(50)
    one = asyncio.create_task(quiet.call(server.node_id, ADD))
    await turns(50)
    gate.open.set()
    for call in (*many, one):
        await call
    assert [node_id for node_id, _ in gate.order].index(quiet.node_id) <= 2


@pytest.mark.parametrize(
    ("config", "body", "admitted"),
    [
        (RpcConfig(peer_calls_max=5), b"", 5),
        (RpcConfig(peer_bytes_max=5 * 1024 * 1024), bytes(1024 * 1024), 4),
        (RpcConfig(peer_bytes_max=5 * 1024 * 1024, total_bytes_max=5 * 1024 * 1024), bytes(2 * 1024 * 1024), 2),
    ],
)
async def test_what_a_peer_keeps_waiting_is_bounded_and_the_rest_told_busy(
    network: FakeNetwork, config: RpcConfig, body: bytes, admitted: int
) -> None:
    """P-RPC-15"""
    a, b = network.rpc(), network.rpc(config=config)
    network.introduce(a, b)
    gate = Gate()
    b.serve(Add, gate, concurrency_max=1)
    calls = [asyncio.create_task(a.call(b.node_id, ADD, body=body)) for _ in range(8)]
    await turns(50)
    assert b._router.calls_held == admitted
    gate.open.set()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, RemoteError)]
    assert len(refused) == 8 - admitted
    assert {error.code for error in refused} == {"BUSY"}
    assert b._router.calls_held == 0
    assert b._router._held == {}


async def test_cancelling_a_call_cancels_its_handler(pair: tuple[Rpc, Rpc]) -> None:
    """P-RPC-9"""
    a, b = pair
    gate = Gate()
    b.serve(Add, gate)
    call = asyncio.create_task(a.call(b.node_id, ADD))
    await turns()
    assert gate.running == 1
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await turns()
    assert gate.cancelled == 1
    assert a._current[b.node_id]._pending == {}
    assert b._current[a.node_id]._incoming == {}


def test_a_call_cancelled_before_its_request_arrived_is_never_carried_out() -> None:
    """P-RPC-9"""

    async def main(clock: LoopClock) -> None:
        async with gated_pair(clock, latency=0.1) as (a, b, gate):
            await a.connect(b.local_contact())
            call = asyncio.create_task(a.call(b.node_id, ADD))
            await asyncio.sleep(0.05)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await asyncio.sleep(1.0)
            assert gate.order == []

    run_virtual(main)


async def test_cancelling_a_call_that_waits_for_its_turn_removes_it(pair: tuple[Rpc, Rpc]) -> None:
    a, b = pair
    gate = Gate()
    b.serve(Add, gate, concurrency_max=1)
    first = asyncio.create_task(a.call(b.node_id, ADD))
    for _ in range(30):
        waiting = asyncio.create_task(a.call(b.node_id, ADD))
        await turns()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    await turns()
    assert b._router.calls_held == 1
    assert not b._router._routes[Add.tag].queues
    gate.open.set()
    await first
    assert gate.finished == 1


def test_a_call_without_an_answer_ends_at_its_time_out_and_so_does_its_handler() -> None:
    """P-RPC-8, P-RPC-9"""

    async def main(clock: LoopClock) -> None:
        async with gated_pair(clock, latency=0.05) as (a, b, gate):
            started = clock.monotonic()
            with pytest.raises(DeadlineError, match="did not answer Add within 2 s"):
                await a.call(b.node_id, ADD, timeout=2.0)
            assert clock.monotonic() - started == pytest.approx(2.0)
            await asyncio.sleep(0.2)
            assert gate.cancelled == 1

    run_virtual(main)


def test_a_handler_ends_at_the_callers_time_out_even_if_no_cancel_arrives() -> None:
    """P-RPC-16"""

    async def main(clock: LoopClock) -> None:
        async with gated_pair(clock, config=RpcConfig(handler_timeout_max=5.0)) as (a, b, gate):
            await a.connect(b.local_contact())
            for call_id, timeout_ms in ((1, 1_000), (2, 2**32 - 1)):
                request = Envelope(
                    kind=Kind.REQUEST,
                    call_id=call_id,
                    tag=Add.tag,
                    timeout_ms=timeout_ms,
                    priority=Priority.INTERACTIVE,
                    header=encode(ADD),
                )
                await raw_connection(a, b).send(pack_envelope(request), priority=Priority.INTERACTIVE)
            await asyncio.sleep(0.5)
            assert gate.running == 2
            await asyncio.sleep(1.0)
            assert gate.running == 1
            await asyncio.sleep(4.0)
            assert gate.running == 0

    run_virtual(main)


def test_connecting_counts_against_the_time_out_of_the_call() -> None:
    async def main(clock: LoopClock) -> None:
        async with FakeNetwork(seed=2, clock=clock, latency=3.0) as network:
            a, b = network.rpc(), network.rpc()
            network.introduce(a, b)
            b.serve(Add, add)
            with pytest.raises(PeerUnreachableError, match="within 2 s"):
                await a.call(b.node_id, ADD, timeout=2.0)
            answer = await a.call(b.node_id, ADD, timeout=30.0)
            assert answer.elapsed == pytest.approx(10.0)  # what is left of the 6 s to connect, then 6 s

    run_virtual(main)
