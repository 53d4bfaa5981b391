"""Peers that break the rules of calls lose their connection, and nobody else anything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from dfs_sdk.errors import (
    ProtocolError,
    RemoteError,
)
from dfs_sdk.rpc import Rpc, RpcConfig
from dfs_sdk.rpc.envelope import Envelope, Kind, pack_envelope
from dfs_sdk.rpc.messages import RefusalMessage
from dfs_sdk.rpc.session import EARLY_CANCELS_MAX
from dfs_sdk.transport.priority import Priority
from dfs_sdk.wire import encode
from tests.fakes.calls import Gate, add, raw_connection, request_envelope, turns, withhold_acks
from tests.fakes.network import FakeNetwork
from tests.fakes.sums import ADD, Add, Sum

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


async def test_a_peer_that_takes_no_replies_holds_neither_turns_nor_memory(network: FakeNetwork) -> None:
    """A12, P-RPC-15: replies beyond the bound wait until earlier ones are acknowledged"""
    a, b = network.rpc(), network.rpc(config=RpcConfig(peer_reply_bytes_max=4000))
    network.introduce(a, b)
    b.serve(Add, add)
    await a.call(b.node_id, ADD)
    held = withhold_acks(raw_connection(b, a))
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
