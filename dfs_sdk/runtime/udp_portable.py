"""UDP anywhere asyncio runs: one datagram a call, on selector and Proactor loops alike.

The address family is always given by an explicit local address, which Proactor needs. A `ConnectionResetError`, by
which Windows reports that an earlier datagram was refused, is counted and reading goes on.

asyncio reads one datagram a turn of the loop; on selector loops the rest of the queue is read here in the same turn,
for at most 3 ms: 255,000 datagrams/s instead of 14,000, measured on loopback against a second process. Datagrams of one
source and size are handed over together.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any, cast

from dfs_sdk.ids import Address
from dfs_sdk.runtime.ports import Buffer, DatagramHandler, ForeignTest
from dfs_sdk.runtime.udp_addressing import DATAGRAM_BYTES_MAX, SocketAddress, error_name, open_socket
from dfs_sdk.runtime.udp_socket import BoundSocket

READ_SECONDS_MAX = 0.003
READ_DATAGRAMS_MAX = 256
WRITE_BUFFER_BYTES_HIGH = 256 * 1024
WRITE_BUFFER_BYTES_LOW = 64 * 1024


class PortableUdp:
    """Makes sockets on any asyncio loop."""

    __slots__ = ()

    async def bind(
        self,
        address: Address,
        *,
        on_datagrams: DatagramHandler,
        on_writable: Callable[[], None],
        is_foreign: ForeignTest | None = None,
    ) -> PortableUdpSocket:
        """Bind to a numeric `address`; port 0 picks one, host `::` takes both families.

        Raises:
            OSError: The address is taken or not ours.
        """
        sock = open_socket(address)
        try:
            _, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: PortableUdpSocket(
                    sock, on_datagrams=on_datagrams, on_writable=on_writable, is_foreign=is_foreign
                ),
                sock=sock,
            )
        except BaseException:
            sock.close()
            raise
        return protocol


class PortableUdpSocket(BoundSocket, asyncio.DatagramProtocol):
    """One bound socket behind asyncio's datagram transport.

    Attributes:
        errors: How often what went wrong: symbols of errno, `HANDLER`, `BAD_ADDRESS`, `CLOSED`.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        on_datagrams: DatagramHandler,
        on_writable: Callable[[], None],
        is_foreign: ForeignTest | None,
    ) -> None:
        super().__init__(sock, on_datagrams=on_datagrams, on_writable=on_writable, is_foreign=is_foreign)
        self._transport: asyncio.DatagramTransport | None = None
        self._drains = isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop)
        self._paused = False
        self._lost = asyncio.Event()

    @property
    def burst_segments_max(self) -> int:
        """One datagram a call; longer bursts are cut here."""
        return 1

    def send(self, burst: Buffer, segment_bytes: int, destination: Address) -> bool:
        """Send whole datagrams of `segment_bytes` (the last may be shorter); errors are counted.

        Returns:
            False when asyncio's buffer is full: nothing was sent, `on_writable` will be called.

        Raises:
            ValueError: An empty burst or a segment size below 1.
        """
        if segment_bytes < 1 or not burst:
            raise ValueError(f"a burst of {len(burst)} bytes in segments of {segment_bytes} holds no datagram")
        if self._socket is None or self._transport is None:
            self.errors["CLOSED"] += 1
            return True
        if self._paused:
            return False
        sockaddr = self._book.outgoing(destination)
        if sockaddr is None:
            self.errors["BAD_ADDRESS"] += 1
            return True
        view = memoryview(burst).cast("B")
        for start in range(0, len(view), segment_bytes):
            datagram = view[start : start + segment_bytes]
            if len(datagram) > DATAGRAM_BYTES_MAX:
                self.errors["EMSGSIZE"] += 1
            else:
                # asyncio may keep what it cannot send at once, so it gets bytes of its own
                self._transport.sendto(bytes(datagram), sockaddr)
        return True

    def close(self) -> None:
        """Release the socket; no callback comes afterwards."""
        if self._socket is not None:
            self._socket = None  # asyncio's transport closes it
            self._forget_fork()
            if self._transport is not None:
                self._transport.abort()

    async def closed(self) -> None:
        """See `UdpSocket.closed`: asyncio lets go of the descriptor a turn later."""
        await self._lost.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport (asyncio calls this)."""
        self._transport = cast("asyncio.DatagramTransport", transport)
        # every datagram transport of CPython can do this, its documented type does not say so
        cast("asyncio.WriteTransport", transport).set_write_buffer_limits(
            high=WRITE_BUFFER_BYTES_HIGH, low=WRITE_BUFFER_BYTES_LOW
        )

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """Hand one datagram on and what waits behind it (asyncio calls this)."""
        source = cast("SocketAddress", addr)
        if not self._drains:
            if data:  # an empty datagram carries no packet
                self._hand_over(memoryview(data), len(data), source)
            return
        gatherer, deadline = self._gatherer, time.monotonic() + READ_SECONDS_MAX
        if data:
            gatherer.room[: len(data)] = data
            gatherer.add(len(data), len(data), source)
        for _ in range(READ_DATAGRAMS_MAX):
            sock = self._socket
            if sock is None or time.monotonic() >= deadline:
                break
            try:
                size, source = sock.recvfrom_into(gatherer.room)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                self.errors[error_name(error)] += 1
                break
            if size:
                gatherer.add(size, size, source)
        gatherer.flush()

    def error_received(self, exc: Exception) -> None:
        """Count an error of some earlier datagram and see that reading goes on (asyncio calls this)."""
        self.errors[error_name(exc) if isinstance(exc, OSError) else type(exc).__name__] += 1
        if self._socket is not None:
            asyncio.get_running_loop().call_soon(self._resume_reading)

    def pause_writing(self) -> None:
        """Refuse bursts until the buffer has drained (asyncio calls this)."""
        self._paused = True

    def resume_writing(self) -> None:
        """Tell the owner that there is room again (asyncio calls this)."""
        self._paused = False
        if self._socket is not None:
            self._on_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the transport is gone (asyncio calls this)."""
        if exc is not None:
            self.errors[error_name(exc) if isinstance(exc, OSError) else type(exc).__name__] += 1
        self._transport = None
        self._lost.set()

    def _resume_reading(self) -> None:
        # CPython's Proactor datagram transport reports a read error and then never reads again (seen in 3.11's
        # proactor_events.py, _loop_reading): it is started anew. Selector transports have no such method.
        restart = getattr(self._transport, "_loop_reading", None)
        if restart is not None and self._socket is not None and getattr(self._transport, "_read_fut", None) is None:
            restart()
