"""Calls over the in-memory network."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated, ClassVar

import pytest

from dfs_sdk.rpc import Caller, Rpc
from dfs_sdk.wire import U32, Request, Size
from tests.fakes.network import FakeNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    total: U32


@dataclass(frozen=True, slots=True, kw_only=True)
class Add(Request[Sum]):
    tag: ClassVar[int] = 0x7001
    reply: ClassVar[type] = Sum
    numbers: Annotated[tuple[U32, ...], Size(0, 16)]


async def add(caller: Caller, request: Add, body: memoryview) -> tuple[Sum, memoryview]:
    return Sum(total=sum(request.numbers)), body


@pytest.fixture
async def network():
    async with FakeNetwork(seed=1) as network:
        yield network


@pytest.fixture
def pair(network: FakeNetwork) -> tuple[Rpc, Rpc]:
    a, b = network.rpc(), network.rpc()
    network.introduce(a, b)
    return a, b


async def test_call_connects_on_demand_and_brings_reply_and_body(pair: tuple[Rpc, Rpc]) -> None:
    a, b = pair
    b.serve(Add, add)
    met: list[object] = []
    b.on_connected(met.append)
    answer = await a.call(b.node_id, Add(numbers=(1, 2, 3)), body=b"bulk")
    assert answer.reply == Sum(total=6)
    assert bytes(answer.body) == b"bulk"
    assert a.connected() == [b.node_id]
    assert met == [a.node_id]


async def test_a_thousand_concurrent_calls_share_one_dial(pair: tuple[Rpc, Rpc]) -> None:
    a, b = pair
    b.serve(Add, add)
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(a.call(b.node_id, Add(numbers=(n, 1)))) for n in range(1000)]
    assert [call.result().reply.total for call in calls] == [n + 1 for n in range(1000)]
    assert len(a._sessions) == 1
