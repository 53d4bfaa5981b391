"""Numeric addresses and socket options that both UDP backends share.

Names are never resolved here: an address that is not numeric is an error, so no peer can make a node ask the DNS.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from contextlib import suppress

from dfs_sdk.ids import Address

# A blocked kernel keeps some 90 packets in the default buffer of 212,992 bytes. macOS refuses what is over its limit.
SOCKET_BUFFER_BYTES = (4 * 1024 * 1024, 2 * 1024 * 1024, 1024 * 1024, 512 * 1024)
DATAGRAM_BYTES_MAX = 65_507  # 65,535 less the IPv4 and UDP headers
CACHED_ADDRESSES_MAX = 4_096
SEGMENTS_MAX = 64
HOST_LENGTH_MAX = 64  # the longest IPv6 text is 45 characters, and a zone may follow

_SO_SNDBUFFORCE = 32
_SO_RCVBUFFORCE = 33
_PMTUDISC_PROBE = 3
# Without it any program of a Windows machine may bind our port as well and take what is meant for us.
_EXCLUSIVE: int | None = getattr(socket, "SO_EXCLUSIVEADDRUSE", None)
_MAPPED_PREFIX = "::ffff:"

# (platform, level, option, value) that set "don't fragment" and keep the kernel from capping what we may try.
_DONT_FRAGMENT = (
    ("linux", socket.IPPROTO_IP, 10, _PMTUDISC_PROBE),
    ("linux", socket.IPPROTO_IPV6, 23, _PMTUDISC_PROBE),
    ("darwin", socket.IPPROTO_IP, 28, 1),
    ("darwin", socket.IPPROTO_IPV6, 62, 1),
    ("win32", socket.IPPROTO_IP, 14, 1),
    ("win32", socket.IPPROTO_IPV6, 14, 1),
)

SocketAddress = tuple[str, int] | tuple[str, int, int, int]


def family_of(host: str) -> socket.AddressFamily:
    """Tell IPv4 from IPv6 by the form of the text."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def open_socket(address: Address) -> socket.socket:
    """Make a bound, non-blocking UDP socket with large buffers and "don't fragment" set.

    The IPv6 wildcard takes IPv4, too.

    Raises:
        OSError: The address is taken, not numeric or not ours.
    """
    family = family_of(address.host)
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if _EXCLUSIVE is not None:
            sock.setsockopt(socket.SOL_SOCKET, _EXCLUSIVE, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address.host != "::"))
        enlarge_buffers(sock)
        forbid_fragments(sock)
        sock.bind(resolve(address, family))
    except BaseException:
        sock.close()
        raise
    return sock


def enlarge_buffers(sock: socket.socket) -> None:
    """Ask for 4 MiB both ways, past the system's limit where we may, for less where that is refused."""
    for force, plain in ((_SO_RCVBUFFORCE, socket.SO_RCVBUF), (_SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        options = (force, plain) if sys.platform == "linux" else (plain,)
        _set_first(sock, [(option, size) for option in options for size in SOCKET_BUFFER_BYTES])


def _set_first(sock: socket.socket, candidates: list[tuple[int, int]]) -> None:
    for option, value in candidates:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, option, value)
            return


def forbid_fragments(sock: socket.socket) -> None:
    """Set "don't fragment" where the system knows it, so that path MTU discovery sees the truth."""
    for platform, level, option, value in _DONT_FRAGMENT:
        if sys.platform == platform:
            with suppress(OSError):  # the other family's option on a socket of one family
                sock.setsockopt(level, option, value)


def resolve(address: Address, family: int) -> SocketAddress:
    """Turn a numeric address into what the socket of `family` takes.

    Raises:
        OSError: Not numeric, an impossible port, or IPv6 on an IPv4 socket.
    """
    host, port = address
    if family == socket.AF_INET6 and ":" not in host:
        host = _MAPPED_PREFIX + host
    if not 0 <= port <= 65_535 or not 0 < len(host) <= HOST_LENGTH_MAX or "\0" in host:
        raise OSError(errno.EINVAL, f"not an address: {host[:HOST_LENGTH_MAX]!r}, {port}")
    try:
        found = socket.getaddrinfo(
            host, port, family=family, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        )
    except (socket.gaierror, UnicodeError, ValueError) as error:
        raise OSError(errno.EAFNOSUPPORT, f"not an address of this socket: {host!r}") from error
    sockaddr = found[0][4]
    if len(sockaddr) == 4:
        return (str(sockaddr[0]), int(sockaddr[1]), int(sockaddr[2]), int(sockaddr[3]))
    return (str(sockaddr[0]), int(sockaddr[1]))


class AddressBook:
    """Remembers translations between our addresses and the socket's, a bounded number of them.

    A full side is emptied: a flood of forged sources costs translations, not memory.
    """

    __slots__ = ("_family", "_incoming", "_outgoing")

    def __init__(self, family: int) -> None:
        self._family = family
        self._outgoing: dict[Address, SocketAddress | None] = {}
        self._incoming: dict[SocketAddress, Address] = {}

    def outgoing(self, address: Address) -> SocketAddress | None:
        """What the socket calls `address`; None when it cannot send there."""
        try:
            return self._outgoing[address]
        except KeyError:
            pass
        if len(self._outgoing) >= CACHED_ADDRESSES_MAX:
            self._outgoing.clear()
        try:
            found: SocketAddress | None = resolve(address, self._family)
        except OSError:
            found = None
        self._outgoing[address] = found
        return found

    def incoming(self, sockaddr: SocketAddress) -> Address:
        """What we call the source `sockaddr`: IPv4 in its own form on a socket for both families, too."""
        try:
            return self._incoming[sockaddr]
        except KeyError:
            pass
        if len(self._incoming) >= CACHED_ADDRESSES_MAX:
            self._incoming.clear()
        host = sockaddr[0]
        if host.startswith(_MAPPED_PREFIX) and "." in host:
            host = host.removeprefix(_MAPPED_PREFIX)
        found = Address(host, sockaddr[1])
        self._incoming[sockaddr] = found
        return found


def error_name(error: OSError) -> str:
    """The symbol to count an error under, as ECONNREFUSED or EMSGSIZE."""
    return errno.errorcode.get(error.errno or 0, os.strerror(error.errno or 0))
