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
from dfs_sdk.runtime import udp_linux, udp_portable
from dfs_sdk.runtime.ports import Udp, UdpSocket
from dfs_sdk.runtime.udp_addressing import CACHED_ADDRESSES_MAX, AddressBook
from dfs_sdk.runtime.udp_linux import LinuxUdp, LinuxUdpSocket
from dfs_sdk.runtime.udp_portable import PortableUdp, PortableUdpSocket

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


@pytest.fixture(params=[pytest.param("linux", marks=linux_only), "portable"])
def udp(request: pytest.FixtureRequest) -> Udp:
    return LinuxUdp() if request.param == "linux" else PortableUdp()


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
        await asyncio.sleep(0)


def numbered(number: int, size: int) -> bytes:
    return number.to_bytes(4, "big") + bytes((number + i) & 0xFF for i in range(size - 4))


async def test_ten_thousand_datagrams_of_mixed_sizes_pass_both_ways(udp: Udp) -> None:
    total, window = 10_000, 32
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
        sock = getattr(a.socket, "_socket", None) or a.socket._transport.get_extra_info("socket")  # type: ignore[attr-defined]
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


def wrap(party: Party) -> FakeSocket:
    assert isinstance(party.socket, LinuxUdpSocket)
    fake = FakeSocket(party.socket._socket)  # type: ignore[arg-type]
    party.socket._socket = fake  # type: ignore[assignment]
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
        fake = wrap(a)
        a.socket._segments = False  # type: ignore[attr-defined]
        fake.single_answers.extend([None, None, BlockingIOError(errno.EAGAIN, "full"), None, BlockingIOError()])
        assert a.socket.send(b"aabbccddee", 2, b.address)
        assert not a.socket.send(b"ff", 2, b.address)
        async with asyncio.timeout(5):
            await a._room.wait()
        await a.send(b"ff", 2, b.address)
        assert await b.expect(6) == [b"aa", b"bb", b"cc", b"dd", b"ee", b"ff"]


async def test_portable_backend_survives_the_resets_of_windows() -> None:
    async with parties(PortableUdp()) as (a, b):
        assert isinstance(a.socket, PortableUdpSocket)

        class Proactorlike:
            restarted = 0
            _read_fut = None

            def _loop_reading(self) -> None:
                self.restarted += 1
                self._read_fut = object()

        real, fake = a.socket._transport, Proactorlike()
        a.socket._transport = fake  # type: ignore[assignment]
        a.socket.error_received(ConnectionResetError(errno.ECONNRESET, "reset"))
        a.socket.error_received(ConnectionResetError(errno.ECONNRESET, "reset"))
        await asyncio.sleep(0)
        a.socket._transport = real
        assert fake.restarted == 1
        assert a.errors["ECONNRESET"] == 2
        await b.send(b"still", 5, a.address)
        assert await a.expect(1) == [b"still"]


async def test_portable_backend_pauses_and_resumes() -> None:
    async with parties(PortableUdp()) as (a, b):
        assert isinstance(a.socket, PortableUdpSocket)
        a.socket.pause_writing()
        assert not a.socket.send(b"x", 1, b.address)
        a.socket.resume_writing()
        assert a._room.is_set()
        assert a.socket.send(b"x", 1, b.address)
        assert await b.expect(1) == [b"x"]


def test_address_book_is_bounded() -> None:
    book = AddressBook(socket.AF_INET)
    for number in range(3 * CACHED_ADDRESSES_MAX):
        host = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        assert book.outgoing(Address(host, 1)) == (host, 1)
        assert book.incoming((host, 1)) == Address(host, 1)
    assert len(book._outgoing) <= CACHED_ADDRESSES_MAX
    assert len(book._incoming) <= CACHED_ADDRESSES_MAX
