"""Two transports on real sockets of this machine, on both UDP backends."""

from __future__ import annotations

import asyncio
import random
import socket
import sys
from asyncio.subprocess import PIPE
from contextlib import suppress
from pathlib import Path

import pytest

from dfs_sdk.crypto.identity import Identity
from dfs_sdk.errors import DeadlineError, ForkedNodeError, NodeClosedError, PeerUnreachableError
from dfs_sdk.ids import Address, NetworkId
from dfs_sdk.runtime.forks import on_fork_in_child
from dfs_sdk.runtime.system import system_runtime
from dfs_sdk.transport.config import MESSAGE_BYTES_MAX, TransportConfig
from dfs_sdk.transport.contact import Contact
from dfs_sdk.transport.driver import Transport
from dfs_sdk.transport.handshake import Network
from dfs_sdk.transport.outbox import OutgoingMessage
from dfs_sdk.transport.priority import Priority
from tests.fakes.forks import can_fork, exit_code_of_child

pytestmark = pytest.mark.system

NETWORK = Network(network_id=NetworkId(b"s" * 32))
LOOPBACK = Address("127.0.0.1", 0)


class Node:
    """A started transport and what it was told."""

    def __init__(self, udp, *, network=NETWORK, config=None):
        self.runtime = system_runtime(udp=udp)
        self.identity = Identity.generate(self.runtime.entropy)
        self.transport = Transport(
            runtime=self.runtime, identity=self.identity, network=network, config=config, bind=LOOPBACK
        )
        self.opened: asyncio.Queue = asyncio.Queue()
        self.closed: asyncio.Queue = asyncio.Queue()
        self.messages: asyncio.Queue = asyncio.Queue()
        self.transport.on_connection = self.opened.put_nowait
        self.transport.on_closed = lambda connection, reason: self.closed.put_nowait(reason)
        self.transport.on_message = lambda connection, data: self.messages.put_nowait((connection, data))

    @property
    def contact(self):
        public = self.identity.public
        return Contact(ed=public.ed, x=public.x, addresses=(self.transport.local_address,))

    async def __aenter__(self):
        await self.transport.start()
        return self

    async def __aexit__(self, *_exc):
        await self.transport.close()
        await self.runtime.offload.close()


@pytest.fixture(params=["auto", "portable"])
def udp(request):
    return request.param


async def test_messages_of_all_sizes_cross_both_ways(udp):
    sizes = [1, 1000, 70_000, 1 << 20, MESSAGE_BYTES_MAX]
    async with Node(udp) as left, Node(udp) as right, asyncio.timeout(30):
        connection = await left.transport.connect(right.contact, timeout=5)
        assert connection.node_id == right.identity.node_id
        for size in sizes:
            data = random.Random(size).randbytes(size)
            sent = await connection.send([data[:10], data[10:]], priority=Priority.TRANSFER)
            back, received = await right.messages.get()
            assert received == data
            await sent.acked
            await back.send([received], priority=Priority.INTERACTIVE)
            assert (await left.messages.get())[1] == data


async def test_identify_names_who_listens(udp):
    async with Node(udp) as left, Node(udp) as right, asyncio.timeout(10):
        found = await left.transport.identify(right.transport.local_address, timeout=3)
        assert found.contact == right.contact
        assert found.network_id == NETWORK.network_id
        assert found.observed == left.transport.local_address
        assert not found.private


async def test_identify_of_a_silent_address_ends_in_time():
    async with Node("auto") as left:
        silent = Address("127.0.0.1", 1)
        with pytest.raises(DeadlineError):
            await left.transport.identify(silent, timeout=0.2)


async def test_connect_tries_the_next_address_when_the_first_is_silent():
    async with Node("auto") as left, Node("auto") as right, asyncio.timeout(10):
        contact = right.contact
        both = Contact(ed=contact.ed, x=contact.x, addresses=(Address("127.0.0.1", 1), *contact.addresses))
        connection = await left.transport.connect(both, timeout=5)
        assert connection.address == right.transport.local_address


async def test_connect_to_nobody_raises_and_leaves_no_dial():
    async with Node("auto") as left, Node("auto") as right:
        contact = right.contact
        nobody = Contact(ed=contact.ed, x=contact.x, addresses=(Address("127.0.0.1", 1),))
        with pytest.raises(DeadlineError):
            await left.transport.connect(nobody, timeout=0.1)
        with pytest.raises(PeerUnreachableError):
            await left.transport.connect(Contact(ed=contact.ed, x=contact.x), timeout=1)
        assert left.transport.endpoint.next_deadline() is None


async def test_two_that_dial_each_other_at_once_share_one_connection(udp):
    async with Node(udp) as left, Node(udp) as right, asyncio.timeout(10):
        first = asyncio.create_task(left.transport.connect(right.contact, timeout=5))
        second = asyncio.create_task(right.transport.connect(left.contact, timeout=5))
        await first
        await second
        await asyncio.sleep(0.05)
        while not len(left.transport.connections) == len(right.transport.connections) == 1:
            await asyncio.sleep(0.01)


async def test_closing_tells_the_peer_and_fails_what_was_under_way(udp):
    async with Node(udp) as left, Node(udp) as right, asyncio.timeout(10):
        connection = await left.transport.connect(right.contact, timeout=5)
        await right.opened.get()
        await right.transport.close()
        assert "left" in await left.closed.get()
        assert not connection.is_open
        with pytest.raises(PeerUnreachableError):
            await connection.send([b"too late"], priority=Priority.INTERACTIVE)


async def test_send_waits_while_the_queue_is_full_and_goes_on_later():
    config = TransportConfig(send_queue_bytes_max=1 << 20)
    async with Node("auto", config=config) as left, Node("auto") as right, asyncio.timeout(30):
        connection = await left.transport.connect(right.contact, timeout=5)
        queued = []
        for _ in range(32):
            await connection.send([bytes(1 << 20)], priority=Priority.TRANSFER)
            queued.append(connection.statistics.queued_bytes)
        assert max(queued) <= 2 << 20
        for _ in range(32):
            assert len((await right.messages.get())[1]) == 1 << 20


async def test_cancelled_message_does_not_arrive_and_the_next_one_does():
    async with Node("auto") as left, Node("auto") as right, asyncio.timeout(10):
        connection = await left.transport.connect(right.contact, timeout=5)
        sent = await connection.send([bytes(1 << 20)], priority=Priority.TRANSFER)
        sent.cancel()
        assert sent.acked.cancelled()
        await connection.send([b"after"], priority=Priority.TRANSFER)
        assert (await right.messages.get())[1] == b"after"


@can_fork
async def test_forked_child_has_neither_keys_nor_socket(udp):
    """P-KEY-5: A23."""
    async with Node(udp) as left, Node(udp) as right, asyncio.timeout(20):
        connection = await left.transport.connect(right.contact, timeout=5)
        forget = on_fork_in_child(left.transport.wipe)

        def speak() -> int:
            word = OutgoingMessage(memoryview(b"from the child"), Priority.INTERACTIVE)
            with pytest.raises(ForkedNodeError):
                left.transport.endpoint.send(connection._session, word)
            left.transport._transmit()
            return 0 if socket_is_closed(left.transport._socket) else 2

        assert await exit_code_of_child(speak) == 0
        sent = await connection.send([b"from the parent"], priority=Priority.INTERACTIVE)
        await sent.acked
        assert (await right.messages.get())[1] == b"from the parent"
        assert right.messages.empty()
        forget()


def socket_is_closed(udp_socket) -> bool:
    """Whether the child let go of its copy of the socket."""
    inner = udp_socket._socket
    return inner is None or inner.fileno() == -1


async def test_sixteen_mebibytes_cross_to_another_process_and_back(udp):
    """Calls pass meanwhile: small messages do not queue behind bulk."""
    root = Path(__file__).parents[2]
    echo = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.fakes.echo_process", udp, cwd=root, stdin=PIPE, stdout=PIPE
    )
    try:
        port = int(await echo.stdout.readline())
        async with Node(udp) as node, asyncio.timeout(60):
            found = await node.transport.identify(Address("127.0.0.1", port), timeout=5)
            connection = await node.transport.connect(found.contact, timeout=5)
            bulk = [random.Random(number).randbytes(1 << 20) for number in range(16)]
            for data in bulk:
                await connection.send([data], priority=Priority.TRANSFER)
            await connection.send([b"call"], priority=Priority.INTERACTIVE)
            returned = [bytes((await node.messages.get())[1]) for _ in range(17)]
            assert sorted(returned) == sorted([*bulk, b"call"])
            assert returned[-1] != b"call"
    finally:
        echo.stdin.close()
        assert await echo.wait() == 0


async def test_cancelled_waiting_leaves_nothing_behind():
    """Connecting, asking and sending are given up at any moment without a trace."""
    config = TransportConfig(send_queue_bytes_max=1)
    silent = Address("127.0.0.1", 1)
    async with Node("auto", config=config) as left, Node("auto") as right, asyncio.timeout(20):
        nobody = Contact(ed=right.contact.ed, x=right.contact.x, addresses=(silent,))
        for waiting in (
            left.transport.connect(nobody, timeout=5),
            left.transport.identify(silent, timeout=5),
        ):
            task = asyncio.create_task(waiting)
            await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        transport = left.transport
        assert transport.endpoint.next_deadline() is None
        assert transport._dial_waiters == transport._identify_waiters == {}
        connection = await transport.connect(right.contact, timeout=5)
        await connection.send([bytes(4 << 20)], priority=Priority.TRANSFER)
        task = asyncio.create_task(connection.send([b"never"], priority=Priority.TRANSFER))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not connection._waiting
        assert len((await right.messages.get())[1]) == 4 << 20
        await connection.send([b"and on"], priority=Priority.TRANSFER)
        assert (await right.messages.get())[1] == b"and on"


async def test_closing_while_somebody_connects_ends_the_waiting(udp):
    async with Node(udp) as left, Node(udp) as right:
        nobody = Contact(ed=right.contact.ed, x=right.contact.x, addresses=(Address("127.0.0.1", 1),))
        waiting = asyncio.create_task(left.transport.connect(nobody, timeout=5))
        asking = asyncio.create_task(left.transport.identify(Address("127.0.0.1", 1), timeout=5))
        await asyncio.sleep(0.01)
        await left.transport.close()
        for task in (waiting, asking):
            with pytest.raises(NodeClosedError):
                await task
        with pytest.raises(NodeClosedError):
            await left.transport.connect(right.contact, timeout=1)


async def test_transfer_goes_on_under_a_flood_of_garbage():
    """A7: a flood of 20,000 datagrams is read, counted and dropped."""
    garbage = [random.Random(number).randbytes(200 + number) for number in range(100)]
    garbage += [bytes((0x10 | number % 2,)) + random.Random(number).randbytes(1000) for number in range(100)]
    async with Node("auto") as left, Node("auto") as right, asyncio.timeout(60):
        connection = await left.transport.connect(right.contact, timeout=5)
        target = tuple(right.transport.local_address)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as attacker:
            attacker.setblocking(False)
            for _ in range(100):
                for datagram in garbage:
                    with suppress(BlockingIOError):
                        attacker.sendto(datagram, target)
                sent = await connection.send([bytes(100_000)], priority=Priority.TRANSFER)
                await sent.acked
        dropped = right.transport.statistics
        assert dropped["datagram unknown"] + dropped["index unknown"] + dropped["handshake dropped"] > 1000
        assert right.messages.qsize() == 100
        assert len(right.transport.connections) == 1
        assert right.closed.empty()
