"""Both UDP backends keep one contract, on real loopback sockets."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter

import pytest

from dfs_sdk.ids import Address
from dfs_sdk.runtime import udp_linux, udp_portable
from dfs_sdk.runtime.ports import Udp
from dfs_sdk.runtime.udp_linux import LinuxUdp
from dfs_sdk.runtime.udp_portable import PortableUdp
from tests.fakes.parties import Party, linux_only, parties, without_selectors

pytestmark = pytest.mark.system

FLOOD = 400  # small datagrams that fit the least receive buffer Linux gives


@pytest.fixture(params=[pytest.param("linux", marks=linux_only), "portable", "portable without a selector"])
def udp(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Udp:
    if request.param == "portable without a selector":
        without_selectors(monkeypatch)
    return LinuxUdp() if request.param == "linux" else PortableUdp()


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
