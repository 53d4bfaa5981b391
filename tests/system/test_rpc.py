"""Calls over real UDP on loopback."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import ClassVar

import pytest

from dfs_sdk.crypto.identity import Identity
from dfs_sdk.errors import DeadlineError, PeerUnreachableError, RemoteError
from dfs_sdk.ids import Address, NetworkId
from dfs_sdk.rpc import Caller, Refusal, RefusalCode, Rpc
from dfs_sdk.rpc.envelope import CALL_BODY_BYTES_MAX
from dfs_sdk.runtime.system import system_runtime
from dfs_sdk.runtime.tasks import TaskScope
from dfs_sdk.transport.driver import Transport
from dfs_sdk.transport.handshake import Network
from dfs_sdk.transport.priority import Priority
from dfs_sdk.wire import Request
from tests.fakes.sums import ADD, Add, Sum

pytestmark = pytest.mark.system

NETWORK = Network(network_id=NetworkId(bytes(range(32))), psk=bytes(32))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait(Request[Sum]):
    tag: ClassVar[int] = 0x7002
    reply: ClassVar[type] = Sum


class RealNode:
    """One node up to its calls, on loopback."""

    def __init__(self, *, udp: str = "auto", identity: Identity | None = None, port: int = 0) -> None:
        self.runtime = system_runtime(udp=udp)  # type: ignore[arg-type]
        self.errors: list[tuple[str, BaseException]] = []
        self.scope = TaskScope("node", on_error=lambda name, error: self.errors.append((name, error)))
        self.identity = identity or Identity.generate(self.runtime.entropy)
        self.transport = Transport(
            runtime=self.runtime, identity=self.identity, network=NETWORK, bind=Address("127.0.0.1", port)
        )
        self.rpc = Rpc(runtime=self.runtime, transport=self.transport, identity=self.identity, scope=self.scope)
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.rpc.serve(Add, self._on_add)
        self.rpc.serve(Wait, self._on_wait)

    async def __aenter__(self) -> RealNode:
        await self.transport.start()
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.scope.close()
        await self.transport.close()
        await self.runtime.offload.close()
        assert self.errors == []

    async def _on_add(self, caller: Caller, request: Add, body: memoryview) -> tuple[Sum, memoryview]:
        return Sum(total=sum(request.numbers)), body

    async def _on_wait(self, caller: Caller, request: Wait, body: memoryview) -> Sum:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()
        raise AssertionError("it waits for ever")


@pytest.fixture(params=["auto", "portable"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[tuple[RealNode, RealNode]]:
    async with RealNode(udp=request.param) as a, RealNode(udp=request.param) as b:
        await a.rpc.dial(b.transport.local_address)
        yield a, b


async def test_dialling_and_calling_a_bare_address(pair: tuple[RealNode, RealNode]) -> None:
    a, b = pair
    found = await a.rpc.dial(b.transport.local_address)
    assert found.contact.node_id == b.rpc.node_id
    answer = await a.rpc.call(b.rpc.node_id, ADD, body=b"bulk")
    assert (answer.reply, bytes(answer.body)) == (Sum(total=6), b"bulk")
    back = await b.rpc.call(a.rpc.node_id, ADD)
    assert back.reply == Sum(total=6)
    assert a.rpc.address(b.rpc.node_id) == b.transport.local_address
    assert b.transport.local_address in b.rpc.local_contact().addresses


async def test_a_thousand_concurrent_calls(pair: tuple[RealNode, RealNode]) -> None:
    a, b = pair
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(a.rpc.call(b.rpc.node_id, Add(numbers=(n, 1)), timeout=30.0)) for n in range(1000)]
    assert [call.result().reply.total for call in calls] == [n + 1 for n in range(1000)]
    assert len(a.transport.connections) == 1


async def test_bodies_of_the_largest_size_both_ways(pair: tuple[RealNode, RealNode]) -> None:
    a, b = pair
    bodies = [bytes([n]) * CALL_BODY_BYTES_MAX for n in range(4)]
    async with asyncio.TaskGroup() as group:
        calls = [
            group.create_task(a.rpc.call(b.rpc.node_id, ADD, body=body, priority=Priority.TRANSFER, timeout=30.0))
            for body in bodies
        ]
    for call, body in zip(calls, bodies, strict=True):
        assert bytes(call.result().body) == body


async def test_a_small_call_overtakes_bulk(pair: tuple[RealNode, RealNode]) -> None:
    a, b = pair
    await a.rpc.call(b.rpc.node_id, ADD)
    body = bytes(CALL_BODY_BYTES_MAX)
    bulk = [
        asyncio.create_task(a.rpc.call(b.rpc.node_id, ADD, body=body, priority=Priority.TRANSFER, timeout=30.0))
        for _ in range(6)
    ]
    await asyncio.sleep(0)
    await a.rpc.call(b.rpc.node_id, ADD)
    assert not all(call.done() for call in bulk)
    for call in bulk:
        await call


async def test_cancelling_a_call_cancels_its_handler_over_there(pair: tuple[RealNode, RealNode]) -> None:
    a, b = pair
    call = asyncio.create_task(a.rpc.call(b.rpc.node_id, Wait()))
    async with asyncio.timeout(10):
        await b.started.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await b.cancelled.wait()


async def test_a_call_that_takes_too_long_is_a_deadline_error(pair: tuple[RealNode, RealNode]) -> None:
    a, b = pair
    with pytest.raises(DeadlineError):
        await a.rpc.call(b.rpc.node_id, Wait(), timeout=0.2)
    async with asyncio.timeout(10):
        await b.cancelled.wait()


async def test_a_peer_that_closes_in_mid_call_is_unreachable(pair: tuple[RealNode, RealNode]) -> None:
    a, b = pair
    lost: list[str] = []
    a.rpc.on_disconnected(lambda _peer, reason: lost.append(reason))
    call = asyncio.create_task(a.rpc.call(b.rpc.node_id, Wait(), timeout=20.0))
    await b.started.wait()
    await b.transport.close()
    with pytest.raises(PeerUnreachableError):
        await call
    assert len(lost) == 1
    assert a.rpc.connected() == []


async def test_a_peer_that_vanishes_in_mid_call_is_a_deadline_error(pair: tuple[RealNode, RealNode]) -> None:
    a, b = pair
    call = asyncio.create_task(a.rpc.call(b.rpc.node_id, Wait(), timeout=1.0))
    await b.started.wait()
    b.transport.wipe()  # no goodbye leaves without keys
    await b.transport.close()
    with pytest.raises(DeadlineError):
        await call


async def test_nobody_at_an_address_is_unreachable() -> None:
    async with RealNode() as a, RealNode() as b:
        contact = b.rpc.local_contact()
        await b.transport.close()
        a.rpc.book.learn(contact, None)
        with pytest.raises(PeerUnreachableError):
            await a.rpc.call(contact.node_id, ADD, timeout=0.5)
        with pytest.raises(DeadlineError):
            await a.rpc.dial(contact.addresses[0], timeout=0.3)


async def test_a_hostile_message_closes_that_connection_only(caplog: pytest.LogCaptureFixture) -> None:
    async with AsyncExitStack() as stack:
        evil, honest, server = [await stack.enter_async_context(RealNode()) for _ in range(3)]
        gone = asyncio.Event()
        evil.rpc.on_disconnected(lambda _peer, _reason: gone.set())
        for node in (evil, honest):
            await node.rpc.dial(server.transport.local_address)
            await node.rpc.call(server.rpc.node_id, ADD)
        connection = evil.rpc.connection(server.rpc.node_id)
        assert connection is not None
        with caplog.at_level(logging.ERROR):
            await connection.send([b"not an envelope"], priority=Priority.INTERACTIVE)
            async with asyncio.timeout(10):
                await gone.wait()
        assert caplog.records == []
        assert server.rpc.connected() == [honest.rpc.node_id]
        assert (await honest.rpc.call(server.rpc.node_id, ADD)).reply == Sum(total=6)
        # The connection was at fault, not the node: it may come back.
        assert (await evil.rpc.call(server.rpc.node_id, ADD)).reply == Sum(total=6)


async def test_a_refusal_crosses_the_wire() -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Refused(Request[Sum]):
        tag: ClassVar[int] = 0x7003
        reply: ClassVar[type] = Sum

    async def refuse(caller: Caller, request: Refused, body: memoryview) -> Sum:
        raise Refusal(RefusalCode.STORE_FULL, "no room")

    async with RealNode() as a, RealNode() as b:
        b.rpc.serve(Refused, refuse)
        await a.rpc.dial(b.transport.local_address)
        with pytest.raises(RemoteError, match="STORE_FULL: no room"):
            await a.rpc.call(b.rpc.node_id, Refused())


async def test_many_nodes_call_one() -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(RealNode())
        clients = [await stack.enter_async_context(RealNode()) for _ in range(20)]

        async def use(client: RealNode) -> int:
            await client.rpc.dial(server.transport.local_address)
            answers = [await client.rpc.call(server.rpc.node_id, ADD) for _ in range(20)]
            return sum(answer.reply.total for answer in answers)

        async with asyncio.TaskGroup() as group:
            totals = [group.create_task(use(client)) for client in clients]
        assert {total.result() for total in totals} == {120}
        assert len(server.rpc.connected()) == 20


async def test_a_node_that_crashed_and_comes_back_with_its_keys_and_port_is_reached_again() -> None:
    async with RealNode() as a:
        async with RealNode() as first:
            await a.rpc.dial(first.transport.local_address)
            await a.rpc.call(first.rpc.node_id, ADD)
            port = first.transport.local_address.port
            first.transport.wipe()
        async with RealNode(identity=first.identity, port=port) as second:
            second.rpc.book.learn(a.rpc.local_contact(), None)
            assert (await second.rpc.call(a.rpc.node_id, ADD)).reply == Sum(total=6)
            assert (await a.rpc.call(second.rpc.node_id, ADD)).reply == Sum(total=6)
            assert len(a.rpc.connected()) == 1


@pytest.mark.parametrize("same_port", [True, False])
async def test_a_peer_that_crashed_and_says_nothing_after_its_restart_is_reached_again_in_seconds(
    same_port: bool,
) -> None:
    async with RealNode() as a:
        async with RealNode() as first:
            await a.rpc.dial(first.transport.local_address)
            await a.rpc.call(first.rpc.node_id, ADD)
            port = first.transport.local_address.port
            first.transport.abort()
        async with RealNode(identity=first.identity, port=port if same_port else 0) as second:
            # What gossip says of it; it knows nobody itself.
            a.rpc.book.learn(second.rpc.local_contact(), None)
            with pytest.raises(PeerUnreachableError, match="replaced"):
                await a.rpc.call(second.rpc.node_id, ADD, timeout=8)
            assert (await a.rpc.call(second.rpc.node_id, ADD, timeout=2)).reply == Sum(total=6)
            assert len(a.rpc.connected()) == 1
