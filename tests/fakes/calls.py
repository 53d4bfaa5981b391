"""What tests of calls share: a handler that waits, raw envelopes, turns of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from dfs_sdk.ids import NodeId
from dfs_sdk.rpc import Caller, Rpc, RpcConfig
from dfs_sdk.rpc.envelope import Envelope, Kind, pack_envelope
from dfs_sdk.runtime.ports import Buffer
from dfs_sdk.transport.priority import Priority
from dfs_sdk.wire import Request, encode
from tests.fakes.network import FakeConnection, FakeNetwork, FakeSent
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


@asynccontextmanager
async def gated_pair(
    clock: Any, *, latency: float = 0.0, config: RpcConfig | None = None
) -> AsyncIterator[tuple[Rpc, Rpc, Gate]]:
    """Two nodes that have met; the second answers sums through a gate."""
    async with FakeNetwork(seed=2, clock=clock, latency=latency) as network:
        a, b, gate = network.rpc(), network.rpc(config=config), Gate()
        network.introduce(a, b)
        b.serve(Add, gate)
        yield a, b, gate


def withhold_acks(connection: FakeConnection) -> list[asyncio.Future[None]]:
    """Let messages of a connection arrive unacknowledged; the futures say so, in the order of the messages."""
    honest_send, honest_close, held = connection.send_now, connection.close, list[asyncio.Future[None]]()

    def send_now(parts: Sequence[Buffer], *, priority: Priority) -> FakeSent:
        honest_send(parts, priority=priority)
        unacknowledged = FakeSent()
        held.append(unacknowledged.acked)
        return unacknowledged

    def close(reason: str) -> None:
        honest_close(reason)
        for acked in held:
            acked.cancel()

    connection.send_now = send_now  # type: ignore[method-assign]
    connection.close = close  # type: ignore[method-assign]
    return held


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


class FullQueue:
    """Lets a connection behave as that to a peer which grants no window: what is sent stays unsent.

    From `bytes_max` unsent bytes on `send_now` takes nothing and `send` waits.

    Attributes:
        unsent_bytes: Of all senders; a test sets it to let others' messages fill the queue.
        sent: Of each message that was taken, in order.
    """

    def __init__(self, connection: FakeConnection, bytes_max: int) -> None:
        self.unsent_bytes = 0
        self.sent: list[FakeSent] = []
        self._bytes_max = bytes_max
        self._emptied = asyncio.Event()
        connection.send_now = self._send_now  # type: ignore[assignment,method-assign]
        connection.send = self._send  # type: ignore[method-assign]

    def empty(self) -> None:
        """Have everything sent, and those that wait go on."""
        self.unsent_bytes = 0
        self._emptied.set()

    def _send_now(self, parts: Sequence[Buffer], *, priority: Priority) -> FakeSent | None:
        if self.unsent_bytes >= self._bytes_max:
            return None
        self.unsent_bytes += sum(map(len, parts))
        self.sent.append(FakeSent())
        return self.sent[-1]

    async def _send(self, parts: Sequence[Buffer], *, priority: Priority) -> FakeSent:
        while (sent := self._send_now(parts, priority=priority)) is None:
            self._emptied.clear()
            await self._emptied.wait()
        return sent


def ask(server: Rpc, connection: FakeConnection, count: int, *, first: int = 1, tag: int = Add.tag) -> None:
    """Let calls with consecutive ids arrive at a server."""
    for call_id in range(first, first + count):
        parts = pack_envelope(request_envelope(call_id, tag=tag))
        server._on_message(connection, memoryview(b"".join(parts)))
