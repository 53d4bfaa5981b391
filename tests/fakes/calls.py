"""What tests of calls share: a handler that waits, raw envelopes, turns of the loop."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import ClassVar

from dfs_sdk.ids import NodeId
from dfs_sdk.rpc import Caller, Rpc
from dfs_sdk.rpc.envelope import Envelope, Kind
from dfs_sdk.transport.priority import Priority
from dfs_sdk.wire import Request, encode
from tests.fakes.network import FakeConnection
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


def raw_connection(a: Rpc, b: Rpc) -> FakeConnection:
    connection = a.connection(b.node_id)
    assert isinstance(connection, FakeConnection)
    return connection


def request_envelope(call_id: int, *, header: bytes | None = None, tag: int = Add.tag) -> Envelope:
    return Envelope(
        kind=Kind.REQUEST,
        call_id=call_id,
        tag=tag,
        timeout_ms=1000,
        priority=Priority.INTERACTIVE,
        header=encode(ADD) if header is None else header,
    )
