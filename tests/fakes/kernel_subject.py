"""What the kernel matrix puts into a kernel: `make` is the one place that says which object that is.

A `Subject` is two nodes that know each other, with meters beside the first on the same home: a task that ticks, a
socket that talks to itself, a lag meter, and a goodbye that comes after the node's own.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

from dfs_sdk.ids import Address
from dfs_sdk.node.news import LoopBlocked
from dfs_sdk.node.node import Node
from dfs_sdk.runtime.facade import SyncFacade, hops
from dfs_sdk.runtime.homes import HomeKind
from dfs_sdk.runtime.lag import LagMeter
from dfs_sdk.runtime.ports import UdpSocket
from dfs_sdk.runtime.system import system_runtime
from dfs_sdk.runtime.tasks import TaskScope

TICK_SECONDS = 0.01
CONTENT = bytes(range(256)) * 1_000


class Subject:
    """Counts ticks and datagrams for as long as its loop runs."""

    def __init__(self, evidence: Path, home: HomeKind) -> None:
        listen = "127.0.0.1:0"
        self.node = Node("first", store=evidence.with_suffix(".store"), listen=listen, home=home)
        self.peer = Node("second", store="memory", listen=listen, home=home)
        self._home = self.node._home
        self._evidence = evidence
        self._runtime = system_runtime()
        self._scope = TaskScope("subject", on_error=lambda name, error: self.failures.append((name, repr(error))))
        self._meter = LagMeter(on_lag=lambda seconds: self.lags.append(seconds))
        self._socket: UdpSocket | None = None
        self._arrived = asyncio.Event()
        self.failures: list[tuple[str, str]] = []
        self.lags: list[float] = []
        self.news: list[str] = []
        self.ticks = 0
        self.received = 0
        self.waiting = 0
        self.sync = SyncFacade(self)

    @property
    def home_name(self) -> str:
        return type(self._home).__name__

    @property
    def home_tasks(self) -> list[str]:
        """Calls that still run on the notebook's loop."""
        return sorted(name for task in asyncio.all_tasks() if (name := task.get_name()).startswith("dfs-home/"))

    @hops
    async def start(self) -> None:
        await self.node.start()
        await self.peer.start()
        await self.peer.join(self.node.invite())
        self.node.subscribe(LoopBlocked, lambda event: self.news.append(event.text))
        self._socket = await self._runtime.udp.bind(
            Address("127.0.0.1", 0), on_datagrams=self._on_datagrams, on_writable=lambda: None
        )
        self._meter.start()
        self._scope.every("tick", TICK_SECONDS, self._tick, rng=self._runtime.rng)
        self._home.on_exit(self.leave)

    @hops
    async def echo(self, value: int) -> tuple[int, bool]:
        """Wait for a datagram, so that the answer takes a round through the loop's selector."""
        self._arrived.clear()
        async with asyncio.timeout(20):
            await self._arrived.wait()
        return value, threading.get_ident() == self._home.thread_id

    @hops
    async def count(self, to: int) -> AsyncIterator[int]:
        for number in range(to):
            await asyncio.sleep(0)
            yield number

    @hops
    async def wait_long(self, began: str) -> None:
        self.waiting += 1
        try:
            note(began, "began")
            await asyncio.sleep(600)
        finally:
            await asyncio.sleep(TICK_SECONDS)
            self.waiting -= 1

    @hops
    async def leave(self) -> None:
        """Say goodbye on disk, through the worker threads if there still are any; the node has gone before."""
        await self._runtime.offload.run(self._evidence.write_text, f"{self.node!r} after {self.ticks} ticks")

    def submit_echo(self, value: int, path: str) -> None:
        """What a widget's callback does: start and return."""

        async def work() -> None:
            result = await self.echo(value)
            note(path, repr(result))

        self._home.submit(work())

    async def _tick(self) -> None:
        self.ticks += 1
        if self._socket is not None:
            self._socket.send(b"tick", 4, self._socket.local_address)

    def _on_datagrams(self, batch: memoryview, segment_bytes: int, source: Address) -> None:
        self.received += -(-len(batch) // segment_bytes)
        self._arrived.set()


def note(path: str, text: str) -> None:
    """Leave evidence for the test that watches from outside; it is complete as soon as it is there."""
    fresh = Path(f"{path}.new")
    fresh.write_text(text)
    fresh.rename(path)


async def make(evidence: str, home: HomeKind = "auto") -> Subject:
    """Make and start the object under test."""
    subject = Subject(Path(evidence), home)
    await subject.start()
    return subject
