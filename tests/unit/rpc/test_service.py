"""Calls over the in-memory network: P-RPC-6 to P-RPC-19."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import ClassVar

import pytest

from dfs_sdk.errors import (
    DeadlineError,
    MessageTooLargeError,
    NodeClosedError,
    PeerUnreachableError,
    ProtocolError,
    RemoteError,
)
from dfs_sdk.ids import Address, NodeId
from dfs_sdk.rpc import Caller, Refusal, RefusalCode, Rpc, RpcConfig
from dfs_sdk.rpc.envelope import CALL_BODY_BYTES_MAX, Envelope, Kind, pack_envelope
from dfs_sdk.rpc.messages import RefusalMessage
from dfs_sdk.rpc.session import EARLY_CANCELS_MAX
from dfs_sdk.transport.priority import Priority
from dfs_sdk.wire import Request, encode
from tests.fakes.network import FakeConnection, FakeNetwork, FakeSent
from tests.fakes.runtime import LoopClock, run_virtual
from tests.fakes.sums import ADD, Add, Sum


@dataclass(frozen=True, slots=True, kw_only=True)
class Other(Request[Sum]):
    tag: ClassVar[int] = 0x7002
    reply: ClassVar[type] = Sum


async def add(caller: Caller, request: Add, body: memoryview) -> tuple[Sum, memoryview]:
    return Sum(total=sum(request.numbers)), body


class Gate:
    """A handler that waits until it is let go and counts what became of its calls."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.running = self.most = self.finished = self.cancelled = 0
        self.order: list[tuple[NodeId, int]] = []

    async def __call__(self, caller: Caller, request: Add, body: memoryview) -> Sum:
        self.running += 1
        self.most = max(self.most, self.running)
        self.order.append((caller.node_id, request.numbers[0] if request.numbers else 0))
        try:
            await self.open.wait()
            self.finished += 1
            return Sum(total=0)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1


async def turns(count: int = 20) -> None:
    """Let everything that is ready run."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.fixture
async def network() -> AsyncIterator[FakeNetwork]:
    async with FakeNetwork(seed=1) as network:
        yield network
        assert network.errors == []


@pytest.fixture
def pair(network: FakeNetwork) -> tuple[Rpc, Rpc]:
    a, b = network.rpc(), network.rpc()
    network.introduce(a, b)
    return a, b


def raw_connection(a: Rpc, b: Rpc) -> FakeConnection:
    connection = a.connection(b.node_id)
    assert isinstance(connection, FakeConnection)
    return connection


async def test_a_call_connects_on_demand_and_brings_reply_and_body(pair: tuple[Rpc, Rpc]) -> None:
    """P-RPC-6"""
    a, b = pair
    b.serve(Add, add)
    met: list[object] = []
    b.on_connected(met.append)
    answer = await a.call(b.node_id, ADD, body=b"bulk")
    assert answer.reply == Sum(total=6)
    assert bytes(answer.body) == b"bulk"
    assert a.connected() == [b.node_id]
    assert met == [a.node_id]
    assert a.address(b.node_id) is not None
    assert a.rtt(b.node_id) is not None


async def test_the_handler_knows_who_asks(network: FakeNetwork, pair: tuple[Rpc, Rpc]) -> None:
    a, b = pair
    callers: list[Caller] = []

    async def who(caller: Caller, request: Add, body: memoryview) -> Sum:
        callers.append(caller)
        return Sum(total=0)

    b.serve(Add, who)
    await a.call(b.node_id, ADD)
    assert callers[0].node_id == a.node_id
    assert callers[0].contact == network.contact(a.node_id)


async def test_a_thousand_concurrent_calls_share_one_dial(pair: tuple[Rpc, Rpc]) -> None:
    """P-RPC-7"""
    a, b = pair
    b.serve(Add, add)
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(a.call(b.node_id, Add(numbers=(n, 1)))) for n in range(1000)]
    assert [call.result().reply.total for call in calls] == [n + 1 for n in range(1000)]
    assert len(a._sessions) == 1


async def test_calls_go_both_ways_over_one_connection(pair: tuple[Rpc, Rpc]) -> None:
    a, b = pair
    a.serve(Add, add)
    b.serve(Add, add)
    await a.call(b.node_id, ADD)
    await b.call(a.node_id, ADD)
    assert len(b._sessions) == 1


async def test_a_body_of_the_largest_size_passes_and_one_byte_more_does_not(pair: tuple[Rpc, Rpc]) -> None:
    """P-RPC-4"""
    a, b = pair
    b.serve(Add, add)
    answer = await a.call(b.node_id, ADD, body=bytes(CALL_BODY_BYTES_MAX))
    assert len(answer.body) == CALL_BODY_BYTES_MAX
    with pytest.raises(MessageTooLargeError):
        await a.call(b.node_id, ADD, body=bytes(CALL_BODY_BYTES_MAX + 1))


async def test_a_reply_that_is_too_large_becomes_a_refusal(pair: tuple[Rpc, Rpc]) -> None:
    a, b = pair

    async def too_much(caller: Caller, request: Add, body: memoryview) -> tuple[Sum, bytes]:
        return Sum(total=0), bytes(CALL_BODY_BYTES_MAX + 1)

    b.serve(Add, too_much)
    with pytest.raises(RemoteError) as caught:
        await a.call(b.node_id, ADD)
    assert caught.value.code == "TOO_LARGE"


async def test_a_refusal_carries_its_code_and_text_made_safe_to_print(pair: tuple[Rpc, Rpc]) -> None:
    """P-RPC-12"""
    a, b = pair

    async def refuse(caller: Caller, request: Add, body: memoryview) -> Sum:
        raise Refusal(RefusalCode.STORE_FULL, "no room \x1b[31m\u202e" + "x" * 1000)

    b.serve(Add, refuse)
    with pytest.raises(RemoteError, match="STORE_FULL") as caught:
        await a.call(b.node_id, ADD)
    assert caught.value.code == "STORE_FULL"
    assert "no room" in caught.value.text
    assert "\x1b" not in str(caught.value)
    assert "\u202e" not in str(caught.value)
    assert len(caught.value.text) <= 200


async def test_an_error_in_a_handler_tells_the_caller_nothing_of_the_inside(
    pair: tuple[Rpc, Rpc], caplog: pytest.LogCaptureFixture
) -> None:
    """P-RPC-13"""
    a, b = pair

    async def fail(caller: Caller, request: Add, body: memoryview) -> Sum:
        raise OSError("/home/me/secret.parquet is missing")

    b.serve(Add, fail)
    with caplog.at_level(logging.CRITICAL, "dfs_sdk.rpc.router"), pytest.raises(RemoteError) as caught:
        await a.call(b.node_id, ADD)
    assert caught.value.code == "FAILED"
    assert "secret" not in str(caught.value)


async def test_a_handler_that_finds_its_request_malformed_denies_it(pair: tuple[Rpc, Rpc]) -> None:
    a, b = pair

    async def check(caller: Caller, request: Add, body: memoryview) -> Sum:
        raise ProtocolError("the chunk does not hash to its id")

    b.serve(Add, check)
    with pytest.raises(RemoteError) as caught:
        await a.call(b.node_id, ADD)
    assert caught.value.code == "DENIED"


async def test_a_handler_that_returns_the_wrong_class_is_our_mistake(
    pair: tuple[Rpc, Rpc], caplog: pytest.LogCaptureFixture
) -> None:
    a, b = pair

    async def wrong(caller: Caller, request: Add, body: memoryview) -> Add:
        return request

    b.serve(Add, wrong)
    with caplog.at_level(logging.CRITICAL, "dfs_sdk.rpc.router"), pytest.raises(RemoteError) as caught:
        await a.call(b.node_id, ADD)
    assert caught.value.code == "FAILED"


async def test_a_call_nobody_serves_is_refused_and_the_connection_goes_on(pair: tuple[Rpc, Rpc]) -> None:
    """P-RPC-11"""
    a, b = pair
    b.serve(Add, add)
    with pytest.raises(RemoteError) as caught:
        await a.call(b.node_id, Other())
    assert caught.value.code == "UNKNOWN_CALL"
    assert (await a.call(b.node_id, ADD)).reply.total == 6


async def test_a_tag_is_served_once(pair: tuple[Rpc, Rpc]) -> None:
    a, _ = pair
    a.serve(Add, add)
    with pytest.raises(ValueError, match="served already"):
        a.serve(Add, add)


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
        (RpcConfig(peer_bytes_max=4 * 1024 * 1024), bytes(1024 * 1024), 4),
        (RpcConfig(peer_bytes_max=4 * 1024 * 1024, total_bytes_max=4 * 1024 * 1024), bytes(2 * 1024 * 1024), 2),
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
        async with FakeNetwork(seed=2, clock=clock, latency=0.1) as network:
            a, b = network.rpc(), network.rpc()
            network.introduce(a, b)
            gate = Gate()
            b.serve(Add, gate)
            await a.connect(network.contact(b.node_id))
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
        async with FakeNetwork(seed=2, clock=clock, latency=0.05) as network:
            a, b = network.rpc(), network.rpc()
            network.introduce(a, b)
            gate = Gate()
            b.serve(Add, gate)
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
        async with FakeNetwork(seed=2, clock=clock) as network:
            a, b = network.rpc(), network.rpc(config=RpcConfig(handler_timeout_max=5.0))
            network.introduce(a, b)
            gate = Gate()
            b.serve(Add, gate)
            await a.connect(network.contact(b.node_id))
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


async def test_a_peer_killed_in_mid_call_is_unreachable_and_its_calls_here_end(
    network: FakeNetwork, pair: tuple[Rpc, Rpc]
) -> None:
    """P-RPC-10"""
    a, b = pair
    gates = Gate(), Gate()
    a.serve(Add, gates[0])
    b.serve(Add, gates[1])
    lost: list[tuple[NodeId, str]] = []
    a.on_disconnected(lambda peer, reason: lost.append((peer, reason)))
    ours = asyncio.create_task(a.call(b.node_id, ADD))
    await turns()
    theirs = asyncio.create_task(b.call(a.node_id, ADD))
    await turns()
    network.kill(b.node_id)
    with pytest.raises(PeerUnreachableError):
        await ours
    with pytest.raises(PeerUnreachableError):
        await theirs
    await turns()
    assert gates[0].cancelled == 1
    assert [peer for peer, _ in lost] == [b.node_id]
    assert a.connected() == []
    with pytest.raises(PeerUnreachableError):
        await a.call(b.node_id, ADD)


async def test_a_silently_dead_peer_is_a_deadline_error(network: FakeNetwork, pair: tuple[Rpc, Rpc]) -> None:
    a, b = pair
    b.serve(Add, add)
    await a.call(b.node_id, ADD)
    network.kill(b.node_id, silent=True)
    with pytest.raises(DeadlineError):
        await a.call(b.node_id, ADD)
    network.revive(b.node_id)
    assert (await a.call(b.node_id, ADD)).reply.total == 6


async def test_a_partition_separates_and_heals(network: FakeNetwork) -> None:
    nodes = [network.rpc() for _ in range(4)]
    network.introduce(*nodes)
    for node in nodes:
        node.serve(Add, add)
    ids = [node.node_id for node in nodes]
    await nodes[0].call(ids[2], ADD)
    network.partition(ids[:2], ids[2:])
    assert nodes[0].connected() == []
    with pytest.raises(PeerUnreachableError):
        await nodes[0].call(ids[2], ADD)
    assert (await nodes[0].call(ids[1], ADD)).reply.total == 6
    network.heal()
    assert (await nodes[0].call(ids[2], ADD)).reply.total == 6


async def test_a_restarted_node_with_the_same_keys_is_reached_again(network: FakeNetwork) -> None:
    a, b = network.rpc(), network.rpc()
    network.introduce(a, b)
    b.serve(Add, add)
    await a.call(b.node_id, ADD)
    again = network.rpc(b.identity)
    again.serve(Add, add)
    assert a.connected() == []
    a.book.learn(network.contact(b.node_id), None)
    assert (await a.call(b.node_id, ADD)).reply.total == 6


async def test_a_call_to_an_unknown_peer_or_to_oneself_is_unreachable(pair: tuple[Rpc, Rpc]) -> None:
    a, _ = pair
    with pytest.raises(PeerUnreachableError, match="no address"):
        await a.call(NodeId(bytes(32)), ADD)
    with pytest.raises(PeerUnreachableError, match="itself"):
        await a.call(a.node_id, ADD)


async def test_dialling_an_address_learns_who_is_there(network: FakeNetwork) -> None:
    a, b = network.rpc(), network.rpc()
    b.serve(Add, add)
    address = network.contact(b.node_id).addresses[0]
    found = await a.dial(address)
    assert found.contact.node_id == b.node_id
    assert (await a.call(b.node_id, ADD)).reply.total == 6
    with pytest.raises(DeadlineError):
        await a.dial(Address("10.9.9.9", 1))


async def test_disconnecting_ends_the_connection_on_both_sides(pair: tuple[Rpc, Rpc]) -> None:
    a, b = pair
    b.serve(Add, add)
    await a.call(b.node_id, ADD)
    await a.disconnect(b.node_id)
    assert a.connected() == []
    assert b.connected() == []
    await a.disconnect(b.node_id)
    assert (await a.call(b.node_id, ADD)).reply.total == 6


async def test_a_closed_node_calls_nobody(network: FakeNetwork, pair: tuple[Rpc, Rpc]) -> None:
    a, b = pair
    await network.scopes[a.node_id].close()
    with pytest.raises(NodeClosedError):
        await a.call(b.node_id, ADD)


async def test_a_broken_listener_does_not_disturb_the_others(
    pair: tuple[Rpc, Rpc], caplog: pytest.LogCaptureFixture
) -> None:
    a, b = pair
    b.serve(Add, add)
    met: list[NodeId] = []
    a.on_connected(lambda _peer: 1 / 0)
    a.on_connected(met.append)
    with caplog.at_level(logging.CRITICAL, "dfs_sdk.rpc.service"):
        await a.call(b.node_id, ADD)
    assert met == [b.node_id]


def request_envelope(call_id: int, *, header: bytes | None = None, tag: int = Add.tag) -> Envelope:
    return Envelope(
        kind=Kind.REQUEST,
        call_id=call_id,
        tag=tag,
        timeout_ms=1000,
        priority=Priority.INTERACTIVE,
        header=encode(ADD) if header is None else header,
    )


HOSTILE: dict[str, Callable[[], list[bytes]]] = {
    "no envelope at all": lambda: [b"hello"],
    "an empty message": lambda: [b""],
    "a request that does not decode": lambda: [b"".join(pack_envelope(request_envelope(9, header=b"\xc1")))],
    "one call number used twice": lambda: 2 * [b"".join(pack_envelope(request_envelope(9)))],
    "a refusal that does not decode": lambda: [
        b"".join(pack_envelope(Envelope(kind=Kind.REFUSAL, call_id=1, header=b"\x90")))
    ],
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_envelope_closes_that_connection_and_no_other(network: FakeNetwork, name: str) -> None:
    """P-RPC-17"""
    evil, honest, server = network.rpc(), network.rpc(), network.rpc()
    network.introduce(evil, honest, server)
    gate = Gate()
    server.serve(Add, gate)
    call = asyncio.create_task(honest.call(server.node_id, ADD))
    await evil.connect(network.contact(server.node_id))
    await turns()
    for message in HOSTILE[name]():
        await raw_connection(evil, server).send([message], priority=Priority.INTERACTIVE)
    await turns()
    assert server.connected() == [honest.node_id]
    gate.open.set()
    assert (await call).reply.total == 0
    assert server._router.calls_held == 0


async def answer_with(network: FakeNetwork, reply: Callable[[int], Envelope]) -> BaseException | None:
    """Let a peer answer a call with an envelope of its choice and return what the caller gets."""
    a, evil = network.rpc(), network.rpc()
    network.introduce(a, evil)
    gate = Gate()
    evil.serve(Add, gate)
    call = asyncio.create_task(a.call(evil.node_id, ADD, timeout=5.0))
    await turns()
    parts = pack_envelope(reply(1))
    await raw_connection(evil, a).send(parts, priority=Priority.INTERACTIVE)
    await turns()
    if not call.done():
        call.cancel()
    (outcome,) = await asyncio.gather(call, return_exceptions=True)
    return outcome if isinstance(outcome, BaseException) else None


async def test_a_reply_of_another_kind_or_that_does_not_decode_is_a_protocol_error(network: FakeNetwork) -> None:
    """P-RPC-18"""

    def wrong_tag(call_id: int) -> Envelope:
        return Envelope(kind=Kind.REPLY, call_id=call_id, tag=1, header=encode(Sum(total=1)))

    def garbage(call_id: int) -> Envelope:
        return Envelope(kind=Kind.REPLY, call_id=call_id, tag=Add.tag, header=b"\xc1")

    assert isinstance(await answer_with(network, wrong_tag), ProtocolError)
    assert isinstance(await answer_with(network, garbage), ProtocolError)


async def test_a_refusal_with_a_code_of_a_later_version_is_understood_as_one(network: FakeNetwork) -> None:
    later = RefusalMessage(code=999, text="")
    error = await answer_with(
        network, lambda call_id: Envelope(kind=Kind.REFUSAL, call_id=call_id, header=encode(later))
    )
    assert isinstance(error, RemoteError)
    assert error.code == "CODE_999"


async def test_a_late_reply_and_a_second_one_are_dropped(pair: tuple[Rpc, Rpc]) -> None:
    """P-RPC-19"""
    a, b = pair
    b.serve(Add, add)
    await a.call(b.node_id, ADD)
    for call_id in (1, 77):
        reply = Envelope(kind=Kind.REPLY, call_id=call_id, tag=Add.tag, header=encode(Sum(total=9)))
        await raw_connection(b, a).send(pack_envelope(reply), priority=Priority.INTERACTIVE)
    await turns()
    assert a.connected() == [b.node_id]
    assert (await a.call(b.node_id, ADD)).reply.total == 6


async def test_a_cancel_that_overtakes_its_request_still_counts(pair: tuple[Rpc, Rpc]) -> None:
    """P-RPC-9"""
    a, b = pair
    gate = Gate()
    b.serve(Add, gate)
    await a.connect(b.local_contact())
    connection = raw_connection(a, b)
    await connection.send(pack_envelope(Envelope(kind=Kind.CANCEL, call_id=50)), priority=Priority.INTERACTIVE)
    await connection.send(pack_envelope(request_envelope(50)), priority=Priority.INTERACTIVE)
    await turns()
    assert gate.order == []
    for call_id in range(100, 100 + 2 * EARLY_CANCELS_MAX):
        await connection.send(pack_envelope(Envelope(kind=Kind.CANCEL, call_id=call_id)), priority=Priority.INTERACTIVE)
    await turns()
    assert len(b._current[a.node_id]._early_cancels) == EARLY_CANCELS_MAX


async def test_a_peer_that_floods_calls_and_takes_no_refusals_is_disconnected(network: FakeNetwork) -> None:
    """A12, P-RPC-15"""
    evil, server = network.rpc(), network.rpc(config=RpcConfig(peer_refusals_max=10))
    network.introduce(evil, server)
    await evil.connect(network.contact(server.node_id))
    connection = raw_connection(server, evil)
    blocked = asyncio.Event()

    async def stuck(parts: object, *, priority: Priority) -> None:
        await blocked.wait()

    connection.send = stuck  # type: ignore[assignment,method-assign]
    for call_id in range(1, 30):
        message = pack_envelope(request_envelope(call_id, tag=0x6666))
        if raw := evil.connection(server.node_id):
            await raw.send(message, priority=Priority.INTERACTIVE)
    await turns()
    assert server.connected() == []
    assert len(network.scopes[server.node_id]) <= 10
    blocked.set()


async def test_our_own_address_is_what_peers_agree_on(network: FakeNetwork) -> None:
    """P-RPC-24"""
    a = network.rpc()
    others = [network.rpc() for _ in range(4)]
    network.introduce(a, *others)
    for other in others:
        await a.connect(network.contact(other.node_id))
    liar = raw_connection(a, others[0])
    lie = Address("10.66.66.66", 4001)

    class Lying(FakeConnection):
        @property
        def observed_address(self) -> Address:
            return lie

    liar.__class__ = Lying
    assert lie not in a.local_contact().addresses
    assert a.local_contact().addresses == network.contact(a.node_id).addresses


async def test_messages_that_arrive_while_a_node_closes_are_dropped_in_peace(
    network: FakeNetwork, pair: tuple[Rpc, Rpc]
) -> None:
    a, b = pair
    gate = Gate()
    b.serve(Add, gate, concurrency_max=1)
    calls = [asyncio.create_task(a.call(b.node_id, ADD)) for _ in range(3)]
    await turns()
    await network.scopes[b.node_id].close()
    assert gate.cancelled == 1
    await raw_connection(a, b).send([b"hello"], priority=Priority.INTERACTIVE)
    late = asyncio.create_task(a.call(b.node_id, ADD))
    await turns()
    assert a.connected() == [b.node_id]
    await a.disconnect(b.node_id)
    outcomes = await asyncio.gather(*calls, late, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {PeerUnreachableError}
    await turns()
    assert b._router.calls_held == 0


async def test_a_peer_that_takes_no_replies_holds_turns_and_not_memory(network: FakeNetwork) -> None:
    """A12, P-RPC-15: replies beyond the bound wait until earlier ones are acknowledged"""
    a, b = network.rpc(), network.rpc(config=RpcConfig(peer_reply_bytes_max=1000))
    network.introduce(a, b)
    b.serve(Add, add)
    await a.call(b.node_id, ADD)
    connection = raw_connection(b, a)
    honest_send = connection.send
    held: list[asyncio.Future[None]] = []

    async def send(parts: list[bytes], *, priority: Priority) -> FakeSent:
        await honest_send(parts, priority=priority)
        unacknowledged = FakeSent()
        held.append(unacknowledged.acked)
        return unacknowledged

    connection.send = send  # type: ignore[assignment,method-assign]
    calls = [asyncio.create_task(a.call(b.node_id, ADD, body=bytes(400))) for _ in range(10)]
    await turns(50)
    assert len(held) == 3, "two fit, the third goes over"
    assert b._router.calls_held == 7
    while held:
        held.pop(0).set_result(None)
        await turns(50)
    for call in calls:
        assert (await call).reply.total == 6
    assert b._router.calls_held == 0
