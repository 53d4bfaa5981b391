"""UDP on Linux: up to 64 datagrams for one system call, both ways.

`UDP_SEGMENT` lets the kernel cut one buffer into datagrams (GSO), `UDP_GRO` hands over a run of datagrams of one
source in one buffer. Where the kernel or the device refuses, each datagram is sent by itself; callers see no
difference.

Nothing a destination does raises: errors are counted by their symbol. The reader returns to the loop after at most
1.5 ms or 64 batches; the selector is level-triggered and calls again.

Source: Linux udp(7); Willem de Bruijn, "Optimizing UDP for content delivery: GSO, pacing and zerocopy" (LPC 2018).
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import struct
import time
from collections.abc import Callable

from dfs_sdk.ids import Address
from dfs_sdk.runtime.ports import Buffer, DatagramHandler, ForeignTest
from dfs_sdk.runtime.udp_addressing import DATAGRAM_BYTES_MAX, SEGMENTS_MAX, SocketAddress, error_name, open_socket
from dfs_sdk.runtime.udp_socket import BoundSocket

logger = logging.getLogger(__name__)

READ_SECONDS_MAX = 0.0015
READ_BATCHES_MAX = 64
SEGMENT_REFUSALS_MAX = 3  # in a row, each followed by single datagrams that passed: then GSO is given up

_SOL_UDP = 17
_UDP_SEGMENT = 103
_UDP_GRO = 104
_SEGMENT_SIZE = struct.Struct("=H")
_GRO_SIZE = struct.Struct("=i")
# As a plain number: arithmetic on flags of the enum class took an eighth of the time of a flood of small datagrams.
_TRUNCATED = int(socket.MSG_TRUNC)
_ANCILLARY_BYTES = socket.CMSG_SPACE(_GRO_SIZE.size) if hasattr(socket, "CMSG_SPACE") else 0


class LinuxUdp:
    """Makes batching sockets on a selector loop."""

    __slots__ = ()

    async def bind(
        self,
        address: Address,
        *,
        on_datagrams: DatagramHandler,
        on_writable: Callable[[], None],
        is_foreign: ForeignTest | None = None,
    ) -> LinuxUdpSocket:
        """Bind to a numeric `address`; port 0 picks one, host `::` takes both families.

        Raises:
            OSError: The address is taken or not ours.
        """
        return LinuxUdpSocket(
            open_socket(address), on_datagrams=on_datagrams, on_writable=on_writable, is_foreign=is_foreign
        )


class LinuxUdpSocket(BoundSocket):
    """One bound socket, read and written on the loop it was made on.

    Attributes:
        errors: How often what went wrong: symbols of errno, `TRUNCATED`, `HANDLER`, `BAD_ADDRESS`, `CLOSED`.
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
        self._loop = asyncio.get_running_loop()
        self._segments = _try_option(sock, _UDP_SEGMENT, 0)
        self._batches_in = _try_option(sock, _UDP_GRO, 1)
        self._refusals = 0
        self._blocked = False
        # What is left of a burst whose first part the kernel took before its queue was full: at most one.
        self._rest: tuple[bytes, int, SocketAddress] | None = None
        self._loop.add_reader(sock.fileno(), self._read)

    @property
    def burst_segments_max(self) -> int:
        """The most datagrams that one system call moves at present."""
        return SEGMENTS_MAX if self._segments else 1

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
        self._block(sock)
        if sent == 0:
            return False
        self._rest = (bytes(view[sent:]), segment_bytes, sockaddr)
        return True

    def close(self) -> None:
        """Release the socket; no callback comes afterwards."""
        sock, self._socket = self._socket, None
        if sock is None:
            return
        self._forget_fork()
        if not self._loop.is_closed():
            self._loop.remove_reader(sock.fileno())
            self._loop.remove_writer(sock.fileno())
        self._rest = None
        sock.close()

    async def closed(self) -> None:
        """See `UdpSocket.closed`: `close` frees the address at once."""

    def _abandon(self) -> None:
        super()._abandon()
        self._rest = None

    def _send_parts(self, sock: socket.socket, view: memoryview, segment: int, to: SocketAddress) -> int:
        """Send until done or the queue is full; return the bytes dealt with."""
        sent, total = 0, len(view)
        batch = segment * max(1, min(SEGMENTS_MAX, DATAGRAM_BYTES_MAX // segment))
        while sent < total:
            stop = min(sent + (batch if self._segments else segment), total)
            part = view[sent:stop]
            try:
                if stop - sent <= segment:
                    sock.sendto(part, to)
                else:
                    ancillary = [(_SOL_UDP, _UDP_SEGMENT, _SEGMENT_SIZE.pack(segment))]
                    sock.sendmsg([part], ancillary, 0, to)
                    self._refusals = 0
            except (BlockingIOError, InterruptedError):
                return sent
            except OSError as error:
                if stop - sent <= segment:
                    self.errors[error_name(error)] += 1
                elif not self._send_singly(sock, part, segment, to, error):
                    return sent
            sent = stop
        return sent

    def _send_singly(
        self, sock: socket.socket, part: memoryview, segment: int, to: SocketAddress, refused: OSError
    ) -> bool:
        """Send a refused batch one by one: datagrams too large for the device fail here, too, and are not GSO's fault.

        Returns:
            False when the queue was full at the first datagram. Later ones that find it full are lost, as UDP may.
        """
        passed = 0
        for start in range(0, len(part), segment):
            try:
                sock.sendto(part[start : start + segment], to)
                passed += 1
            except (BlockingIOError, InterruptedError):
                if start == 0:
                    return False
                self.errors["EAGAIN"] += 1
            except OSError as error:
                self.errors[error_name(error)] += 1
        if passed:
            self._refusals += 1
            if refused.errno == errno.EIO or self._refusals >= SEGMENT_REFUSALS_MAX:
                self._segments = False  # EIO: the device cannot fill in checksums of segments
                logger.info("UDP_SEGMENT refused (%s): sending datagrams one by one", error_name(refused))
        return True

    def _block(self, sock: socket.socket) -> None:
        self._blocked = True
        self._loop.add_writer(sock.fileno(), self._write)

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
        self._loop.remove_writer(sock.fileno())
        self._blocked = False
        self._on_writable()

    def _read(self) -> None:
        deadline = time.monotonic() + READ_SECONDS_MAX
        for _ in range(READ_BATCHES_MAX):
            sock = self._socket
            if sock is None or not self._read_batch(sock) or time.monotonic() >= deadline:
                break
        self._gatherer.flush()

    def _read_batch(self, sock: socket.socket) -> bool:
        """Take one batch; return False when there was none."""
        try:
            size, ancillary, flags, source = sock.recvmsg_into([self._gatherer.room], _ANCILLARY_BYTES)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            self.errors[error_name(error)] += 1
            return True
        if flags & _TRUNCATED:
            self.errors["TRUNCATED"] += 1
            return True
        if size == 0:
            return True  # an empty datagram carries no packet
        segment = size
        for level, kind, data in ancillary:
            if level == _SOL_UDP and kind == _UDP_GRO and len(data) >= _GRO_SIZE.size:
                segment = _GRO_SIZE.unpack_from(data)[0] or size
        self._gatherer.add(size, segment, source)
        return True


def _try_option(sock: socket.socket, option: int, value: int) -> bool:
    try:
        sock.setsockopt(_SOL_UDP, option, value)
    except OSError:
        return False
    return True
