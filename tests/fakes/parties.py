"""Parties on real loopback sockets: what arrives at a UDP backend, and whether it takes more."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable

import pytest

from dfs_sdk.ids import Address
from dfs_sdk.runtime.ports import Udp, UdpSocket

LOOPBACK = Address("127.0.0.1", 0)
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="UDP_SEGMENT and UDP_GRO are Linux options")


class Party:
    """A socket that collects what arrives, cut into datagrams."""

    def __init__(self) -> None:
        self.datagrams: list[bytes] = []
        self.sources: set[Address] = set()
        self.batches = 0
        self.socket: UdpSocket
        self.on_datagram: Callable[[bytes, Address], None] = lambda _data, _source: None
        self._arrived = asyncio.Event()
        self.room = asyncio.Event()

    @property
    def address(self) -> Address:
        return self.socket.local_address

    @property
    def errors(self) -> Counter[str]:
        return self.socket.errors  # type: ignore[attr-defined, no-any-return]

    def receive(self, batch: memoryview, segment_bytes: int, source: Address) -> None:
        assert 0 < segment_bytes <= len(batch)
        self.batches += 1
        self.sources.add(source)
        self._arrived.set()
        for start in range(0, len(batch), segment_bytes):
            datagram = bytes(batch[start : start + segment_bytes])
            self.datagrams.append(datagram)
            self.on_datagram(datagram, source)

    def writable(self) -> None:
        self.room.set()

    async def expect(self, count: int) -> list[bytes]:
        async with asyncio.timeout(20):
            while len(self.datagrams) < count:
                self._arrived.clear()
                await self._arrived.wait()
        return self.datagrams

    async def send(self, burst: bytes, segment_bytes: int, destination: Address) -> None:
        async with asyncio.timeout(20):
            while not self.socket.send(burst, segment_bytes, destination):
                self.room.clear()
                await self.room.wait()


@contextlib.asynccontextmanager
async def parties(udp: Udp, count: int = 2, address: Address = LOOPBACK) -> AsyncIterator[list[Party]]:
    made = []
    try:
        for _ in range(count):
            party = Party()
            party.socket = await udp.bind(address, on_datagrams=party.receive, on_writable=party.writable)
            made.append(party)
        yield made
    finally:
        for party in made:
            party.socket.close()
            await party.socket.closed()


def without_selectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let loops refuse to watch a descriptor, as the Proactor of Windows does."""

    def refuse(*_arguments: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(asyncio.SelectorEventLoop, "add_reader", refuse)
