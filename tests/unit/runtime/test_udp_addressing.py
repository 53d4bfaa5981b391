"""Sockets as each system wants them, and addresses as the system and we name them."""

from __future__ import annotations

import errno
import socket

import pytest

from dfs_sdk.ids import Address
from dfs_sdk.runtime import udp_addressing
from dfs_sdk.runtime.udp_addressing import CACHED_ADDRESSES_MAX, AddressBook


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
    with udp_addressing.open_socket(Address("127.0.0.1", 0)) as sock:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_address_book_is_bounded() -> None:
    book = AddressBook(socket.AF_INET)
    for number in range(3 * CACHED_ADDRESSES_MAX):
        host = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        assert book.outgoing(Address(host, 1)) == (host, 1)
        assert book.incoming((host, 1)) == Address(host, 1)
    assert len(book._outgoing) <= CACHED_ADDRESSES_MAX
    assert len(book._incoming) <= CACHED_ADDRESSES_MAX
