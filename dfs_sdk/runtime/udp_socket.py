"""What the sockets of both backends are: a bound address, counters, and a handler that gets bursts and may fail."""

from __future__ import annotations

import logging
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from dfs_sdk.ids import Address
from dfs_sdk.runtime.forks import on_fork_in_child
from dfs_sdk.runtime.ports import DatagramHandler, ForeignTest
from dfs_sdk.runtime.udp_addressing import AddressBook, SocketAddress
from dfs_sdk.runtime.udp_bursts import BurstGatherer

logger = logging.getLogger(__name__)


class BoundSocket:
    """One bound socket; a backend reads it into the gatherer and sends.

    Args:
        sock: Bound.
        on_datagrams: Gets every burst until the socket is closed.
        on_writable: For the backend to call when there is room again.
        is_foreign: See `BurstGatherer`.

    Attributes:
        errors: How often what went wrong, by names that the backend lists.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        on_datagrams: DatagramHandler,
        on_writable: Callable[[], None],
        is_foreign: ForeignTest | None,
    ) -> None:
        self.errors: Counter[str] = Counter()
        self._socket: socket.socket | None = sock  # None once it is closed
        self._on_datagrams = on_datagrams
        self._on_writable = on_writable
        self._book = AddressBook(sock.family)
        self._local = self._book.incoming(sock.getsockname())
        self._gatherer = BurstGatherer(self._hand_over, is_foreign)
        self._forget_fork = on_fork_in_child(self._abandon)

    @property
    def local_address(self) -> Address:
        """The address it is bound to."""
        return self._local

    def throw(self, datagram: bytes, destination: Address) -> None:
        """See `UdpSocket.throw`; counts nothing, for the counters are the loop's."""
        sock = self._socket
        sockaddr = self._book.outgoing(destination)
        if sock is not None and sockaddr is not None:
            with suppress(OSError):
                sock.sendto(datagram, sockaddr)

    def _hand_over(self, burst: memoryview, segment_bytes: int, source: SocketAddress) -> None:
        if self._socket is None:
            return
        try:
            self._on_datagrams(burst, segment_bytes, self._book.incoming(source))
        except Exception:
            self.errors["HANDLER"] += 1
            logger.exception("the handler of datagrams failed")

    def _abandon(self) -> None:
        """Let go of the socket in a forked child; the loop and what it holds are the parent's and stay untouched."""
        sock, self._socket = self._socket, None
        if sock is not None:
            sock.close()
