"""UDP backends when a system refuses: bursts, full queues, resets, loops that watch nothing; on loopback sockets."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import deque
from typing import Any

import pytest

from dfs_sdk.runtime import udp_linux, udp_waiting
from dfs_sdk.runtime.udp_linux import LinuxUdp
from dfs_sdk.runtime.udp_portable import PortableUdp, PortableUdpSocket
from dfs_sdk.runtime.udp_waiting import AwaitedSocket
from tests.fakes.parties import Party, linux_only, parties, without_selectors

pytestmark = pytest.mark.system


@pytest.fixture
def without_selector(monkeypatch: pytest.MonkeyPatch) -> None:
    without_selectors(monkeypatch)


class FakeSocket:
    """Wraps a real socket and refuses calls as told."""

    def __init__(self, real: socket.socket) -> None:
        self.real = real
        self.refuse_burst: OSError | None = None
        self.single_answers: deque[OSError | None] = deque()
        self.read_answers: deque[OSError] = deque()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def sendmsg(self, *args: Any) -> int:
        if self.refuse_burst is not None:
            raise self.refuse_burst
        return self.real.sendmsg(*args)

    def sendto(self, data: Any, address: Any) -> int:
        answer = self.single_answers.popleft() if self.single_answers else None
        if answer is not None:
            raise answer
        return self.real.sendto(data, address)

    def recvfrom_into(self, buffer: Any) -> tuple[int, Any]:
        if self.read_answers:
            raise self.read_answers.popleft()
        return self.real.recvfrom_into(buffer)


def wrap(party: Party) -> FakeSocket:
    fake = FakeSocket(party.socket._socket)  # type: ignore[attr-defined]
    party.socket._socket = fake  # type: ignore[attr-defined]
    return fake


@linux_only
@pytest.mark.parametrize(("code", "tries"), [(errno.EINVAL, udp_linux.SEGMENT_REFUSALS_MAX), (errno.EIO, 1)])
async def test_refused_segmentation_falls_back_to_single_datagrams(code: int, tries: int) -> None:
    async with parties(LinuxUdp()) as (a, b):
        wrap(a).refuse_burst = OSError(code, "refused")
        a.socket._segments = True  # type: ignore[attr-defined]
        for number in range(tries):
            assert a.socket.burst_segments_max == 64
            await a.send(b"abcdefghij", 3, b.address)
            await b.expect(4 * (number + 1))
        assert a.socket.burst_segments_max == 1
        await a.send(b"abcdefghij", 3, b.address)
        assert await b.expect(4 * (tries + 1)) == [b"abc", b"def", b"ghi", b"j"] * (tries + 1)
        assert not a.errors


@linux_only
async def test_segments_too_large_for_the_device_do_not_end_segmentation() -> None:
    async with parties(LinuxUdp()) as (a, b):
        fake = wrap(a)
        a.socket._segments = True  # type: ignore[attr-defined]
        for _ in range(5):
            fake.refuse_burst = OSError(errno.EMSGSIZE, "too large")
            fake.single_answers.extend(OSError(errno.EMSGSIZE, "too large") for _ in range(4))
            assert a.socket.send(b"abcdefghij", 3, b.address)
        assert a.socket.burst_segments_max == 64
        assert a.errors["EMSGSIZE"] == 20


@linux_only
async def test_full_queue_says_so_and_calls_back_when_there_is_room() -> None:
    async with parties(LinuxUdp()) as (a, b):
        fake = wrap(a)
        fake.refuse_burst = BlockingIOError(errno.EAGAIN, "full")
        a.socket._segments = True  # type: ignore[attr-defined]
        assert not a.socket.send(b"abcdef", 3, b.address)
        assert not a.socket.send(b"z", 1, b.address), "blocked until the callback"
        async with asyncio.timeout(5):
            await a.room.wait()
        fake.refuse_burst = None
        await a.send(b"abcdef", 3, b.address)
        assert await b.expect(2) == [b"abc", b"def"]


@linux_only
async def test_burst_that_was_half_sent_when_the_queue_filled_is_completed_in_order() -> None:
    async with parties(LinuxUdp()) as (a, b):
        a.socket._segments = False  # type: ignore[attr-defined]
        await send_through_a_full_queue(a, b)


async def send_through_a_full_queue(a: Party, b: Party) -> None:
    wrap(a).single_answers.extend([None, None, BlockingIOError(errno.EAGAIN, "full"), None, BlockingIOError()])
    assert a.socket.send(b"aabbccddee", 2, b.address)
    assert not a.socket.send(b"ff", 2, b.address)
    async with asyncio.timeout(5):
        await a.room.wait()
    await a.send(b"ff", 2, b.address)
    assert await b.expect(6) == [b"aa", b"bb", b"cc", b"dd", b"ee", b"ff"]


async def test_portable_backend_waits_for_room_and_keeps_the_order() -> None:
    async with parties(PortableUdp()) as (a, b):
        await send_through_a_full_queue(a, b)


@pytest.mark.usefixtures("without_selector")
async def test_loop_that_cannot_tell_when_there_is_room_is_asked_again() -> None:
    async with parties(PortableUdp()) as (a, b):
        await send_through_a_full_queue(a, b)


@pytest.mark.usefixtures("without_selector")
async def test_refused_datagrams_fill_no_queue() -> None:
    """CPython 3.13's transports take theirs to be full after 32,768 datagrams, others after one error."""
    async with parties(PortableUdp()) as (a, b):
        fake = wrap(a)
        for number in range(3):
            fake.single_answers.append(OSError(errno.EMSGSIZE, "too large"))
            assert a.socket.send(b"probe", 5, b.address)
            assert a.socket.send(b"data", 4, b.address)
            await b.expect(number + 1)
        assert b.datagrams == [b"data"] * 3
        assert a.errors["EMSGSIZE"] == 3


class ResettingLoop:
    """Stands in for a socket's loop whose waits end in errors, as those of Windows do after an ICMP message."""

    def __init__(self, loop: asyncio.AbstractEventLoop, errors: list[OSError]) -> None:
        self._loop = loop
        self._errors = errors

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    async def sock_recvfrom(self, sock: socket.socket, size: int) -> tuple[bytes, Any]:
        if self._errors:
            raise self._errors.pop()
        return await self._loop.sock_recvfrom(sock, size)


@pytest.mark.usefixtures("without_selector")
async def test_resets_of_windows_end_no_reading() -> None:
    async with parties(PortableUdp()) as (a, b):
        assert isinstance(a.socket, PortableUdpSocket)
        waiting = a.socket._waiting
        assert isinstance(waiting, AwaitedSocket)
        reset = ConnectionResetError(errno.ECONNRESET, "an earlier datagram was refused")
        unreachable = OSError(errno.EINVAL, "ERROR_PORT_UNREACHABLE")
        waiting._loop = ResettingLoop(waiting._loop, [reset, unreachable, reset])  # type: ignore[assignment]
        await b.send(b"wakes", 5, a.address)
        await a.expect(1)
        await b.send(b"still", 5, a.address)
        assert await a.expect(2) == [b"wakes", b"still"]
        assert a.errors == {"ECONNRESET": 2, "EINVAL": 1}


@pytest.mark.usefixtures("without_selector")
async def test_error_that_stays_does_not_hold_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait that fails at once, again and again, is tried at a pace once it has failed so often in a row."""
    monkeypatch.setattr(udp_waiting, "ERROR_PAUSE_SECONDS", 3600.0)
    async with parties(PortableUdp(), 1) as (a,):
        waiting = a.socket._waiting  # type: ignore[attr-defined]
        waiting._loop = ResettingLoop(waiting._loop, [OSError(errno.ENETDOWN, "down") for _ in range(1_000)])
        for _ in range(3 * udp_waiting.ERRORS_AT_ONCE):
            await asyncio.sleep(0)
        assert a.errors["ENETDOWN"] == udp_waiting.ERRORS_AT_ONCE


@pytest.mark.usefixtures("without_selector")
async def test_a_thousand_resets_in_a_row_do_not_deafen_a_socket() -> None:
    """Of a peer that was killed with as many packets under way: each one cost a pause, a minute in all."""
    async with parties(PortableUdp()) as (a, b):
        waiting = a.socket._waiting  # type: ignore[attr-defined]
        reset = ConnectionResetError(errno.ECONNRESET, "an earlier datagram was refused")
        waiting._loop = ResettingLoop(waiting._loop, [reset] * 1_000)
        await b.send(b"wakes", 5, a.address)
        await a.expect(1)
        await b.send(b"still", 5, a.address)
        await a.expect(2)
        assert a.errors["ECONNRESET"] == 1_000


@pytest.mark.usefixtures("without_selector")
async def test_socket_waiting_for_a_datagram_frees_its_address_when_closed() -> None:
    async with parties(PortableUdp(), 1) as (a,):
        await asyncio.sleep(0)
        a.socket.close()
        await a.socket.closed()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind(a.address)


async def test_reset_met_while_a_queue_is_emptied_ends_no_reading() -> None:
    async with parties(PortableUdp()) as (a, b):
        fake = wrap(a)
        fake.read_answers.append(ConnectionResetError(errno.ECONNRESET, "an earlier datagram was refused"))
        await b.send(b"still", 5, a.address)
        assert await a.expect(1) == [b"still"]
        assert a.errors == {"ECONNRESET": 1}
