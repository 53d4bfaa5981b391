"""Calls over the in-memory network: requests, replies, bodies and refusals."""

from __future__ import annotations

import asyncio
import logging

import pytest

from dfs_sdk.errors import (
    MessageTooLargeError,
    ProtocolError,
    RemoteError,
)
from dfs_sdk.rpc import Caller, Refusal, RefusalCode, Rpc
from dfs_sdk.rpc.envelope import CALL_BODY_BYTES_MAX
from tests.fakes.calls import Other, add
from tests.fakes.network import FakeNetwork
from tests.fakes.sums import ADD, Add, Sum


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
