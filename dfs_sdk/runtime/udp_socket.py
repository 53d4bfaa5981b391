"""What the sockets of both backends are: a bound address, counters, a queue of one burst, a handler that may fail."""

from __future__ import annotations

import logging
import socket
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import ClassVar

from dfs_sdk.ids import Address
from dfs_sdk.runtime.forks import on_fork_in_child
from dfs_sdk.runtime.ports import Buffer, DatagramHandler, ForeignTest
from dfs_sdk.runtime.udp_addressing import AddressBook, SocketAddress, error_name, open_socket
from dfs_sdk.runtime.udp_bursts import BurstGatherer
from dfs_sdk.runtime.udp_waiting import AwaitedSocket, Waiting, WatchedSocket

logger = logging.getLogger(__name__)


class BoundSocket(ABC):
    """One bound socket, read and written on the loop it was made on; a backend says how a batch is read and sent.

    Args:
        sock: Bound and non-blocking; closed with this.
        on_datagrams: Gets every burst until the socket is closed.
        on_writable: Called when there is room again after `send` said that there was none.
        is_foreign: See `BurstGatherer`.

    Attributes:
        errors: How often what went wrong: symbols of errno, `HANDLER`, `BAD_ADDRESS`, `CLOSED`, `TRUNCATED`.
    """

    _read_seconds_max: float
    _read_batches_max: int

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
        self._blocked = False
        # What is left of a burst whose first part the kernel took before its queue was full: at most one.
        self._rest: tuple[bytes, int, SocketAddress] | None = None
        self._forget_fork = on_fork_in_child(self._abandon)
        self._waiting = self._begin_to_wait(sock)

    @property
    def local_address(self) -> Address:
        """The address it is bound to."""
        return self._local

    @property
    @abstractmethod
    def burst_segments_max(self) -> int:
        """The most datagrams that one system call moves at present."""

    def send(self, burst: Buffer, segment_bytes: int, destination: Address) -> bool:
        """Send whole datagrams of `segment_bytes` (the last may be shorter); errors are counted.

        Returns:
            False when the kernel's queue is full: nothing was sent, `on_writable` will be called.

        Raises:
            ValueError: An empty burst or a segment size below 1.
        """
        if segment_bytes < 1 or not burst:
            raise ValueError(f"a burst of {len(burst)} bytes in segments of {segment_bytes} holds no datagram")
        sock = self._socket
        if sock is None:
            self.errors["CLOSED"] += 1
            return True
        if self._blocked:
            return False
        sockaddr = self._book.outgoing(destination)
        if sockaddr is None:
            self.errors["BAD_ADDRESS"] += 1
            return True
        view = memoryview(burst).cast("B")
        sent = self._send_parts(sock, view, segment_bytes, sockaddr)
        if sent == len(view):
            return True
        self._blocked = True
        self._waiting.await_room()
        if sent == 0:
            return False
        self._rest = (bytes(view[sent:]), segment_bytes, sockaddr)
        return True

    def throw(self, datagram: bytes, destination: Address) -> None:
        """See `UdpSocket.throw`; counts nothing, for the counters are the loop's."""
        sock = self._socket
        sockaddr = self._book.outgoing(destination)
        if sock is not None and sockaddr is not None:
            with suppress(OSError):
                sock.sendto(datagram, sockaddr)

    def close(self) -> None:
        """Release the socket; no callback comes afterwards."""
        if self._socket is not None:
            self._socket = self._rest = None
            self._forget_fork()
            self._waiting.close()

    async def closed(self) -> None:
        """See `UdpSocket.closed`."""
        await self._waiting.closed()

    @abstractmethod
    def _send_parts(self, sock: socket.socket, view: memoryview, segment: int, to: SocketAddress) -> int:
        """Send until done or the queue is full; return the bytes dealt with."""

    @abstractmethod
    def _read_batch(self, sock: socket.socket) -> bool:
        """Take one batch into the gatherer; return False when there was none."""

    def _begin_to_wait(self, sock: socket.socket) -> Waiting:
        try:
            return WatchedSocket(sock, on_readable=self._read, on_room=self._write)
        except NotImplementedError:
            return AwaitedSocket(sock, on_arrived=self._arrived, on_error=self._count_error, on_room=self._write)

    def _write(self) -> None:
        sock = self._socket
        if sock is None:
            return
        if self._rest is not None:
            data, segment, to = self._rest
            sent = self._send_parts(sock, memoryview(data), segment, to)
            if sent < len(data):
                self._rest = (data[sent:], segment, to)
                return
            self._rest = None
        self._waiting.room_found()
        self._blocked = False
        self._on_writable()

    def _read(self) -> None:
        deadline = time.monotonic() + self._read_seconds_max
        for _ in range(self._read_batches_max):
            sock = self._socket
            if sock is None or not self._read_batch(sock) or time.monotonic() >= deadline:
                break
        self._gatherer.flush()

    def _arrived(self, data: bytes, source: SocketAddress) -> None:
        """Take a datagram that was waited for, and what waits behind it."""
        self._gatherer.room[: len(data)] = data
        self._gatherer.add(len(data), len(data), source)
        self._read()

    def _count_error(self, error: OSError) -> None:
        self.errors[error_name(error)] += 1

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
        sock, self._socket, self._rest = self._socket, None, None
        if sock is not None:
            sock.close()


class SocketUdp:
    """The `Udp` of one backend: binds sockets of its class."""

    __slots__ = ()
    _socket_class: ClassVar[type[BoundSocket]]

    async def bind(
        self,
        address: Address,
        *,
        on_datagrams: DatagramHandler,
        on_writable: Callable[[], None],
        is_foreign: ForeignTest | None = None,
    ) -> BoundSocket:
        """Bind to a numeric `address`; port 0 picks one, host `::` takes both families.

        Raises:
            OSError: The address is taken or not ours.
        """
        return self._socket_class(
            open_socket(address), on_datagrams=on_datagrams, on_writable=on_writable, is_foreign=is_foreign
        )
