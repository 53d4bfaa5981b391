"""Sockets in the air between transports of one virtual loop: no bytes leave the process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from dfs_sdk.crypto.identity import Identity
from dfs_sdk.ids import Address
from dfs_sdk.transport.contact import Contact
from dfs_sdk.transport.driver import Transport
from tests.fakes.pair import NETWORK
from tests.fakes.runtime import fake_runtime


class Air:
    """Sockets of one loop that hand datagrams to each other at once, as far as `passes` lets them."""

    def __init__(self) -> None:
        self.sockets: dict[Address, Socket] = {}
        self.passes: Callable[[Address], bool] = lambda _source: True

    async def bind(self, address, *, on_datagrams, on_writable, is_foreign):
        assert on_writable is not None and is_foreign is not None
        local = Address("192.0.2.1", 4001 + len(self.sockets))
        self.sockets[local] = Socket(self, local, on_datagrams)
        return self.sockets[local]


class Socket:
    """One end."""

    def __init__(self, air: Air, local: Address, on_datagrams) -> None:
        self.local_address = local
        self._air = air
        self.on_datagrams = on_datagrams

    def send(self, burst, segment_bytes, destination) -> bool:
        receiver = self._air.sockets.get(destination)
        if receiver is not None and self._air.passes(self.local_address):
            data = memoryview(bytes(burst))
            asyncio.get_running_loop().call_later(0.005, receiver.on_datagrams, data, segment_bytes, self.local_address)
        return True

    def close(self) -> None:
        self._air.sockets.pop(self.local_address, None)

    async def closed(self) -> None:
        return


async def two(clock, air: Air) -> tuple[Transport, Transport, list[str]]:
    """Two transports with a connection, and why it ended at the second one."""
    reasons: list[str] = []
    made, contacts = [], []
    for seed in (1, 2):
        runtime = replace(fake_runtime(seed, clock=clock), udp=air)
        identity = Identity.generate(runtime.entropy)
        transport = Transport(runtime=runtime, identity=identity, network=NETWORK)
        transport.on_closed = lambda _connection, reason: reasons.append(reason)
        await transport.start()
        public = identity.public
        contacts.append(Contact(ed=public.ed, x=public.x, addresses=(transport.local_address,)))
        made.append(transport)
    left, right = made
    left.on_closed = lambda *_: None
    await left.connect(contacts[1], timeout=5)
    await asyncio.sleep(1)
    return left, right, reasons
