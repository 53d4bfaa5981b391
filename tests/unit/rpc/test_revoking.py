"""Large answers on their way: who gave up gets no more of them, and handlers hear when they were taken (P-RPC-9)."""

from __future__ import annotations

import asyncio

import pytest

from dfs_sdk.rpc import Rpc, RpcConfig
from dfs_sdk.rpc.base import Caller
from dfs_sdk.rpc.envelope import Envelope, Kind, pack_envelope
from dfs_sdk.rpc.session import REVOCABLE_BYTES_MIN
from tests.fakes.calls import raw_connection, request_envelope, turns, withhold_acks
from tests.fakes.network import FakeNetwork
from tests.fakes.sums import ADD, Add, Sum

LARGE = bytes(REVOCABLE_BYTES_MIN)


class Teller:
    """Answers with bytes, and counts the answers that were settled."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.settled: list[bool] = []

    async def answer(self, _caller: Caller, _request: Add, _body: memoryview) -> object:
        return Sum(total=1), self.body, self._on_settled

    def _on_settled(self, taken: bool) -> None:
        self.settled.append(taken)


def on_wire(envelope: Envelope) -> memoryview:
    return memoryview(b"".join(pack_envelope(envelope)))


async def met(network: FakeNetwork, teller: Teller, *, config: RpcConfig | None = None) -> tuple[Rpc, Rpc]:
    """Return a caller and a server that have talked."""
    caller, server = network.rpc(), network.rpc(config=config)
    network.introduce(caller, server)
    server.serve(Add, teller.answer)
    await caller.call(server.node_id, ADD)
    await turns(10)
    return caller, server


@pytest.mark.parametrize("body", [b"", LARGE])
async def test_a_handler_hears_once_that_its_answer_was_taken(network: FakeNetwork, body: bytes) -> None:
    teller = Teller(body)
    caller, server = await met(network, teller)
    assert teller.settled == [True]
    held = withhold_acks(raw_connection(server, caller))
    assert bytes((await caller.call(server.node_id, ADD)).body) == body
    await turns(10)
    assert teller.settled == [True]
    held.pop().set_result(None)
    await turns(10)
    assert teller.settled == [True, True]


@pytest.mark.parametrize("waits_for_room", [False, True])
async def test_a_handler_hears_once_of_an_answer_that_nobody_will_take(
    network: FakeNetwork, waits_for_room: bool
) -> None:
    teller = Teller(LARGE)
    caller, server = await met(network, teller, config=RpcConfig(peer_reply_bytes_max=len(LARGE)))
    withhold_acks(raw_connection(server, caller))
    calls = [asyncio.create_task(caller.call(server.node_id, ADD)) for _ in range(1 + waits_for_room)]
    await turns(50)
    assert teller.settled == [True]
    network.kill(caller.node_id)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    await turns(50)
    assert server._replies.used_bytes == 0
    assert teller.settled == [True] + [False] * len(calls), "one was sent, the other waited"


async def test_of_a_large_answer_that_was_given_up_the_rest_is_not_sent(network: FakeNetwork) -> None:
    """Losers of races for chunks were sent to the end: a crowd of thirty moved twice what it needed."""
    teller = Teller(LARGE)
    caller, server = await met(network, teller)
    held = withhold_acks(raw_connection(server, caller))
    session = server._current[caller.node_id]
    session.receive(on_wire(request_envelope(1000)))
    await turns(20)
    assert list(session._revocable) == [1000]
    session.receive(on_wire(Envelope(kind=Kind.CANCEL, call_id=1000)))
    await turns(20)
    assert [sent.cancelled() for sent in held] == [True]
    assert not session._revocable
    assert not session._early_cancels
    assert teller.settled == [True, False]
    assert server._replies.used_bytes == 0


async def test_a_small_answer_needs_no_bookkeeping(network: FakeNetwork) -> None:
    teller = Teller(LARGE[:-200])
    caller, server = await met(network, teller)
    withhold_acks(raw_connection(server, caller))
    await caller.call(server.node_id, ADD)
    assert not server._current[caller.node_id]._revocable
