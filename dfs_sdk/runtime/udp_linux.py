"""UDP on Linux: up to 64 datagrams for one system call, both ways.

`UDP_SEGMENT` lets the kernel cut one buffer into datagrams (GSO), `UDP_GRO` hands over a run of datagrams of one
source in one buffer. Where the kernel or the device refuses, each datagram is sent by itself; callers see no
difference.

Nothing a destination does raises: errors are counted by their symbol. The reader returns to the loop after at most
1.5 ms or 64 batches; the selector is level-triggered and calls again.

Source: Linux udp(7); Willem de Bruijn, "Optimizing UDP for content delivery: GSO, pacing and zerocopy" (LPC 2018).
"""

from __future__ import annotations

import errno
import logging
import socket
import struct
from collections.abc import Callable

from dfs_sdk.runtime.ports import DatagramHandler, ForeignTest
from dfs_sdk.runtime.udp_addressing import DATAGRAM_BYTES_MAX, SEGMENTS_MAX, SocketAddress, error_name
from dfs_sdk.runtime.udp_socket import BoundSocket, SocketUdp

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


class LinuxUdpSocket(BoundSocket):
    """One bound socket; see `BoundSocket`."""

    _read_seconds_max = READ_SECONDS_MAX
    _read_batches_max = READ_BATCHES_MAX

    def __init__(
        self,
        sock: socket.socket,
        *,
        on_datagrams: DatagramHandler,
        on_writable: Callable[[], None],
        is_foreign: ForeignTest | None,
    ) -> None:
        super().__init__(sock, on_datagrams=on_datagrams, on_writable=on_writable, is_foreign=is_foreign)
        self._segments = _try_option(sock, _UDP_SEGMENT, 0)
        self._batches_in = _try_option(sock, _UDP_GRO, 1)
        self._refusals = 0

    @property
    def burst_segments_max(self) -> int:
        """The most datagrams that one system call moves at present."""
        return SEGMENTS_MAX if self._segments else 1

    def _send_parts(self, sock: socket.socket, view: memoryview, segment: int, to: SocketAddress) -> int:
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

    def _read_batch(self, sock: socket.socket) -> bool:
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


class LinuxUdp(SocketUdp):
    """Makes batching sockets on a selector loop."""

    __slots__ = ()
    _socket_class = LinuxUdpSocket


def _try_option(sock: socket.socket, option: int, value: int) -> bool:
    try:
        sock.setsockopt(_SOL_UDP, option, value)
    except OSError:
        return False
    return True
