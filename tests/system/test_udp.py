"""Both UDP backends keep one contract, on real loopback sockets."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import sys
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from dfs_sdk.ids import Address
from dfs_sdk.runtime import udp_addressing, udp_linux, udp_portable, udp_waiting
from dfs_sdk.runtime.ports import Udp, UdpSocket
from dfs_sdk.runtime.udp_addressing import CACHED_ADDRESSES_MAX, AddressBook
from dfs_sdk.runtime.udp_linux import LinuxUdp
from dfs_sdk.runtime.udp_portable import PortableUdp, PortableUdpSocket
from dfs_sdk.runtime.udp_waiting import AwaitedSocket

pytestmark = pytest.mark.system

LOOPBACK = Address("127.0.0.1", 0)
FLOOD = 400  # small datagrams that fit the least receive buffer Linux gives
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
        self._room = asyncio.Event()

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
        self._room.set()

    async def expect(self, count: int) -> list[bytes]:
        async with asyncio.timeout(20):
            while len(self.datagrams) < count:
                self._arrived.clear()
                await self._arrived.wait()
        return self.datagrams

    async def send(self, burst: bytes, segment_bytes: int, destination: Address) -> None:
        async with asyncio.timeout(20):
            while not self.socket.send(burst, segment_bytes, destination):
                self._room.clear()
                await self._room.wait()


Bind = Callable[..., Any]


def refuse_to_watch(*_arguments: object) -> None:
    """What a Proactor loop does when it is asked to watch a descriptor."""
    raise NotImplementedError


@pytest.fixture(params=[pytest.param("linux", marks=linux_only), "portable", "portable without a selector"])
def udp(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Udp:
    if request.param == "portable without a selector":
        monkeypatch.setattr(asyncio.SelectorEventLoop, "add_reader", refuse_to_watch)
    return LinuxUdp() if request.param == "linux" else PortableUdp()


@pytest.fixture
def without_selector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio.SelectorEventLoop, "add_reader", refuse_to_watch)


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


def numbered(number: int, size: int) -> bytes:
    return number.to_bytes(4, "big") + bytes((number + i) & 0xFF for i in range(size - 4))


async def test_thousands_of_datagrams_of_mixed_sizes_pass_both_ways(udp: Udp) -> None:
    total, window = 5_000, 32
    sizes = (4, 17, 300, 1_200, 1_452, 4_000)
    async with parties(udp) as (a, b):
        tokens = asyncio.Semaphore(window)
        a.on_datagram = lambda _data, _source: tokens.release()
        b.on_datagram = lambda data, source: None if b.socket.send(data, len(data), source) else pytest.fail("full")
        for number in range(total):
            async with asyncio.timeout(20):
                await tokens.acquire()
            size = sizes[number % len(sizes)]
            await a.send(numbered(number, size), size, b.address)
        await a.expect(total)
        expected = [numbered(n, sizes[n % len(sizes)]) for n in range(total)]
        assert sorted(b.datagrams) == expected
        assert sorted(a.datagrams) == expected
        assert a.sources == {b.address}
        assert b.sources == {a.address}
        assert not a.errors
        assert not b.errors


async def test_burst_with_a_short_tail_arrives_as_datagrams(udp: Udp) -> None:
    async with parties(udp) as (a, b):
        burst = b"".join(numbered(n, 1_200) for n in range(40)) + b"tail"
        await a.send(burst, 1_200, b.address)
        got = await b.expect(41)
        assert b"".join(got) == burst
        assert [len(d) for d in got] == [1_200] * 40 + [4]


@pytest.mark.parametrize("segment", [1, 999, 1_452, 9_000, 32_000, 40_000])
async def test_burst_of_any_segment_size_is_cut_right(udp: Udp, segment: int) -> None:
    async with parties(udp) as (a, b):
        burst = bytes(range(256)) * (segment * 130 // 256 + 1) if segment < 2_000 else bytes(5 * segment + 7)
        await a.send(burst, segment, b.address)
        got = await b.expect(-(-len(burst) // segment))
        assert b"".join(got) == burst
        assert all(len(d) == segment for d in got[:-1])


async def test_sixty_kilobyte_datagrams_pass(udp: Udp) -> None:
    async with parties(udp) as (a, b):
        for number in range(20):
            await a.send(numbered(number, 60_000), 60_000, b.address)
            await b.expect(number + 1)
        assert b.datagrams == [numbered(n, 60_000) for n in range(20)]


async def test_too_large_a_datagram_is_counted_not_raised(udp: Udp) -> None:
    async with parties(udp) as (a, b):
        assert a.socket.send(bytes(65_508), 65_508, b.address)
        assert a.errors["EMSGSIZE"] == 1
        await a.send(b"after", 5, b.address)
        assert await b.expect(1) == [b"after"]


@pytest.mark.parametrize("host", ["example.invalid", "", "::1", "300.1.1.1", "127.0.0.1\0", "é" * 300])
async def test_destination_that_is_no_address_of_the_socket_is_counted(udp: Udp, host: str) -> None:
    async with parties(udp, 1) as (a,):
        assert a.socket.send(b"x", 1, Address(host, 9))
        assert a.socket.send(b"x", 1, Address(host, 9))
        assert a.errors["BAD_ADDRESS"] == 2


@pytest.mark.parametrize("port", [-1, 65_536, 10**12])
async def test_impossible_port_is_counted(udp: Udp, port: int) -> None:
    async with parties(udp, 1) as (a,):
        assert a.socket.send(b"x", 1, Address("127.0.0.1", port))
        assert a.errors["BAD_ADDRESS"] == 1


async def test_unreachable_destination_neither_raises_nor_stops_the_socket(udp: Udp) -> None:
    async with parties(udp) as (a, b):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
            closed.bind(("127.0.0.1", 0))
            nobody = Address(*closed.getsockname())
        for _ in range(5):
            assert a.socket.send(b"knock", 5, nobody)
            await asyncio.sleep(0.01)
        assert a.socket.send(b"x" * 100, 10, Address("255.255.255.255", 9))
        await b.send(b"hello", 5, a.address)
        assert await a.expect(1) == [b"hello"]
        await a.send(b"hello", 5, b.address)
        assert await b.expect(1) == [b"hello"]


async def test_ipv6_loopback_works(udp: Udp) -> None:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        pytest.skip(f"this machine has no IPv6 loopback: {error}")
    async with parties(udp, address=Address("::1", 0)) as (a, b):
        await a.send(b"six" * 500, 300, b.address)
        assert b"".join(await b.expect(5)) == b"six" * 500
        assert b.sources == {a.address}
        assert a.address.host == "::1"
        assert str(a.address) == f"[::1]:{a.address.port}"


async def test_ipv6_wildcard_takes_both_families_and_names_ipv4_plainly(udp: Udp) -> None:
    try:
        async with parties(udp, 1, Address("::", 0)) as (both,), parties(udp, 1) as (four,):
            await four.send(b"to both" * 10, 7, Address("127.0.0.1", both.address.port))
            await both.expect(10)
            assert both.sources == {four.address}
            await both.send(b"back" * 10, 4, four.address)
            assert await four.expect(10) == [b"back"] * 10
    except OSError as error:
        pytest.skip(f"this machine has no IPv6: {error}")


async def test_no_callback_comes_after_close(udp: Udp) -> None:
    async with parties(udp) as (a, b):
        for _ in range(50):
            await a.send(b"x" * 1_000, 100, b.address)
        b.socket.close()
        b.socket.close()
        await asyncio.sleep(0.05)
        assert b.datagrams == []
        assert b.socket.send(b"x", 1, a.address)
        assert b.errors["CLOSED"] == 1


async def test_handler_may_close_its_socket(udp: Udp) -> None:
    async with parties(udp) as (a, b):
        b.on_datagram = lambda _data, _source: b.socket.close()
        for _ in range(20):
            await a.send(b"x" * 100, 100, b.address)
        await b.expect(1)
        await asyncio.sleep(0.02)
        assert b.batches == 1


async def test_failing_handler_does_not_stop_the_reader(udp: Udp, caplog: pytest.LogCaptureFixture) -> None:
    async with parties(udp) as (a, b):

        def fail(data: bytes, _source: Address) -> None:
            if data == b"bad":
                raise RuntimeError("handler broke")

        b.on_datagram = fail
        await a.send(b"bad", 3, b.address)
        await b.expect(1)
        await a.send(b"good", 4, b.address)
        assert await b.expect(2) == [b"bad", b"good"]
        assert b.errors["HANDLER"] == 1
        assert "handler broke" in caplog.text


async def test_flood_does_not_hold_the_loop(udp: Udp) -> None:
    async with parties(udp, 1) as (a,):
        turn, per_turn = 0, Counter[int]()
        loop = asyncio.get_running_loop()

        def count_turns() -> None:
            nonlocal turn
            turn += 1
            if len(a.datagrams) < FLOOD:
                loop.call_soon(count_turns)

        def arrived(_data: bytes, _source: Address) -> None:
            per_turn[turn] += 1

        a.on_datagram = arrived
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as raw:
            for _ in range(FLOOD):
                raw.sendto(b"flood", a.address)
        count_turns()
        await a.expect(FLOOD)
        assert max(per_turn.values()) <= max(udp_linux.READ_BATCHES_MAX, udp_portable.READ_DATAGRAMS_MAX + 1)
        assert len(per_turn) >= 2


async def test_empty_datagram_is_ignored(udp: Udp) -> None:
    async with parties(udp, 1) as (a,):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as raw:
            raw.sendto(b"", a.address)
            raw.sendto(b"full", a.address)
        assert await a.expect(1) == [b"full"]


async def test_burst_without_a_datagram_is_our_own_mistake(udp: Udp) -> None:
    async with parties(udp) as (a, b):
        for burst, segment in ((b"", 1), (b"x", 0), (b"x", -1)):
            with pytest.raises(ValueError, match="datagram"):
                a.socket.send(burst, segment, b.address)


async def test_taken_port_raises(udp: Udp) -> None:
    async with parties(udp, 1) as (a,):
        with pytest.raises(OSError):
            await udp.bind(a.address, on_datagrams=a.receive, on_writable=a.writable)


async def test_name_is_no_address_to_bind(udp: Udp) -> None:
    with pytest.raises(OSError, match="address"):
        await udp.bind(Address("localhost", 0), on_datagrams=Party().receive, on_writable=lambda: None)


async def test_sockets_ask_for_large_buffers(udp: Udp) -> None:
    async with parties(udp, 1) as (a,):
        sock = a.socket._socket  # type: ignore[attr-defined]
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= 400_000


@linux_only
async def test_linux_moves_many_datagrams_in_one_batch() -> None:
    async with parties(LinuxUdp()) as (a, b):
        if a.socket.burst_segments_max == 1:
            pytest.skip("this kernel has no UDP_SEGMENT")
        await a.send(bytes(64 * 1_000), 1_000, b.address)
        await b.expect(64)
        assert b.batches < 64
        assert a.socket.burst_segments_max == 64


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
            await a._room.wait()
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
        await a._room.wait()
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


class Noted:
    """A socket that notes its options, and refuses those of a list."""

    def __init__(self, *, refused: tuple[int, ...] = ()) -> None:
        self.refused = refused
        self.options: list[tuple[int, int, int]] = []

    def setsockopt(self, level: int, option: int, value: int) -> None:
        if value in self.refused:
            raise OSError(errno.ENOBUFS, "No buffer space available")
        self.options.append((level, option, value))


@pytest.mark.parametrize(
    ("platform", "options"),
    [
        ("linux", [(socket.IPPROTO_IP, 10, 3), (socket.IPPROTO_IPV6, 23, 3)]),
        ("darwin", [(socket.IPPROTO_IP, 28, 1), (socket.IPPROTO_IPV6, 62, 1)]),
        ("win32", [(socket.IPPROTO_IP, 14, 1), (socket.IPPROTO_IPV6, 14, 1)]),
        ("freebsd14", []),
    ],
)
def test_every_system_has_its_own_way_to_forbid_fragments(
    monkeypatch: pytest.MonkeyPatch, platform: str, options: list[tuple[int, int, int]]
) -> None:
    monkeypatch.setattr(udp_addressing.sys, "platform", platform)
    noted = Noted()
    udp_addressing.forbid_fragments(noted)  # type: ignore[arg-type]
    assert noted.options == options


def test_macos_gets_the_largest_buffers_it_grants(monkeypatch: pytest.MonkeyPatch) -> None:
    """It refuses what is over its limit; and the size of its send buffer is that of the largest datagram."""
    monkeypatch.setattr(udp_addressing.sys, "platform", "darwin")
    noted = Noted(refused=udp_addressing.SOCKET_BUFFER_BYTES[:2])
    udp_addressing.enlarge_buffers(noted)  # type: ignore[arg-type]
    granted = udp_addressing.SOCKET_BUFFER_BYTES[2]
    assert noted.options == [(socket.SOL_SOCKET, option, granted) for option in (socket.SO_RCVBUF, socket.SO_SNDBUF)]


def test_port_is_ours_alone_where_others_could_bind_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows, by an option that every system has: SO_KEEPALIVE stands in for SO_EXCLUSIVEADDRUSE."""
    monkeypatch.setattr(udp_addressing, "_EXCLUSIVE", socket.SO_KEEPALIVE)
    with udp_addressing.open_socket(LOOPBACK) as sock:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_address_book_is_bounded() -> None:
    book = AddressBook(socket.AF_INET)
    for number in range(3 * CACHED_ADDRESSES_MAX):
        host = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        assert book.outgoing(Address(host, 1)) == (host, 1)
        assert book.incoming((host, 1)) == Address(host, 1)
    assert len(book._outgoing) <= CACHED_ADDRESSES_MAX
    assert len(book._incoming) <= CACHED_ADDRESSES_MAX
