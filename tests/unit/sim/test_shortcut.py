"""What the shortcut transport sends while it dials."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self

import pytest

from dfs_sdk.errors import DeadlineError
from dfs_sdk.ids import Address, NetworkId
from dfs_sdk.sim.shortcut import HELLO, WELCOME, ShortcutTransport
from dfs_sdk.transport.contact import Contact
from dfs_sdk.transport.handshake import Network
from tests.fakes.descs import identity_of
from tests.fakes.runtime import LoopClock, fake_runtime, run_virtual

HERE, THERE = Address("10.0.0.1", 4001), Address("10.0.0.2", 4001)
NETWORK = Network(network_id=NetworkId(bytes(32)))


@dataclass
class Port:
    """A UDP port nobody answers, and its only socket: it keeps what is sent."""

    local_address: Address = HERE
    sent: list[tuple[bytes, Address]] = field(default_factory=list)

    async def bind(self, _address: Address, **_handlers: Callable[..., None]) -> Self:
        return self

    def send(self, datagram: bytes, _segment_bytes: int, destination: Address) -> bool:
        self.sent.append((bytes(datagram), destination))
        return True

    def close(self) -> None:
        """Nothing is open."""


@dataclass
class Recorder(Port):
    """One through which a single peer is dialled: it notes of what kind and when."""

    sent_at: list[float] = field(default_factory=list)
    kinds: Counter[int] = field(default_factory=Counter)

    def send(self, datagram: bytes, segment_bytes: int, destination: Address) -> bool:
        assert destination == THERE
        self.kinds[datagram[0]] += 1
        self.sent_at.append(round(asyncio.get_running_loop().time(), 3))
        return super().send(datagram, segment_bytes, destination)


def dial_for(*waits: tuple[float, float]) -> Recorder:
    """Let callers that come and give up at some instants dial a peer who is away."""

    async def main(clock: LoopClock) -> Recorder:
        recorder = Recorder()
        runtime: Any = replace(fake_runtime(clock=clock), udp=recorder)
        transport = ShortcutTransport(runtime=runtime, identity=identity_of(1), network=NETWORK)
        await transport.start()
        public = identity_of(2).public
        contact = Contact(ed=public.ed, x=public.x, addresses=(THERE,))
        began = asyncio.get_running_loop().time()

        async def wait(since: float, until: float) -> None:
            await asyncio.sleep(since)
            with pytest.raises(DeadlineError):
                await transport.connect(contact, timeout=until - since, anew=True)

        async with asyncio.TaskGroup() as group:
            for since, until in waits:
                group.create_task(wait(since, until))
        recorder.sent_at = [round(at - began, 2) for at in recorder.sent_at]
        await transport.close()
        return recorder

    return run_virtual(main)


def test_hello_is_repeated_at_growing_intervals():
    recorder = dial_for((0, 9.9))
    assert recorder.sent_at == [0, 0.5, 1.25, 2.38, 4.06, 6.59]
    assert set(recorder.kinds) == {HELLO}


def test_of_many_who_wait_for_one_peer_one_says_hello():
    assert dial_for(*[(0.01 * number, 9.9) for number in range(20)]).sent_at == dial_for((0, 9.9)).sent_at


def test_when_the_one_who_says_hello_gives_up_the_next_goes_on():
    recorder = dial_for((0, 2), (1, 9.9))
    assert recorder.sent_at[:3] == [0, 0.5, 1.25]
    assert len(recorder.sent_at) > 4
    gaps = [later - earlier for earlier, later in zip(recorder.sent_at, recorder.sent_at[1:], strict=False)]
    assert max(gaps) <= 4.0


@pytest.mark.parametrize(("source", "answered"), [(THERE, False), (Address("10.0.0.9", 4001), True)])
def test_the_lower_id_insists_on_its_dial_only_if_that_reaches_the_peer(source: Address, answered: bool):
    async def main(clock: LoopClock) -> list[tuple[int, Address]]:
        lower, higher = sorted((identity_of(1), identity_of(2)), key=lambda each: each.node_id)
        ports, transports, dials = {}, {}, []
        async with asyncio.TaskGroup() as group:
            for identity, other, address in ((lower, higher, HERE), (higher, lower, source)):
                port = ports[identity.node_id] = Port(address)
                runtime: Any = replace(fake_runtime(clock=clock), udp=port)
                transport = ShortcutTransport(runtime=runtime, identity=identity, network=NETWORK)
                transports[identity.node_id] = transport
                await transport.start()
                # The lower one knows where the other was; the other may have moved since.
                to = Contact(ed=other.public.ed, x=other.public.x, addresses=(THERE if identity is lower else HERE,))
                dials.append(group.create_task(transport.connect(to, timeout=9)))
            await asyncio.sleep(0.1)
            port = ports[lower.node_id]
            hello, destination = ports[higher.node_id].sent[0]
            assert destination == HERE
            port.sent.clear()
            transports[lower.node_id]._on_datagrams(memoryview(hello), len(hello), source)
            answers = [(datagram[0], to) for datagram, to in port.sent]
            for dial in dials:
                dial.cancel()
        for transport in transports.values():
            await transport.close()
        return answers

    assert run_virtual(main) == ([(WELCOME, source)] if answered else [])
