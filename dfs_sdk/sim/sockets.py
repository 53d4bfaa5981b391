"""UDP sockets of simulated hosts, behind the same port as the real ones."""

from __future__ import annotations

import contextvars
import errno
import os
from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from dfs_sdk.ids import Address
from dfs_sdk.runtime.ports import Buffer, DatagramHandler, ForeignTest
from dfs_sdk.sim.loop import SimLoop

if TYPE_CHECKING:
    from dfs_sdk.sim.network import SimNetwork
    from dfs_sdk.sim.stations import Route, Station

RECEIVE_PACKETS = 90
"""Datagrams that a socket keeps while nobody reads: what Linux keeps in its default 212,992 bytes."""

BURST_SEGMENTS_MAX = 64
ROUTES_MAX = 4_096
EPHEMERAL_PORT = 32_768
PORT_MAX = 65_535
ANY_HOSTS = ("0.0.0.0", "::", "")  # noqa: S104 - what callers write for every interface


class Life(Protocol):
    """One run of a host, from its start to its crash."""

    @property
    def is_alive(self) -> bool:
        """Whether what it does still has effects."""
        ...


class SimUdp:
    """The `Udp` port of one life of a host.

    Args:
        network: Where it is attached.
        station: As what.
        life: Whose sockets these are.
        loop: Where datagrams are handed over.
        receive_packets: Datagrams a socket keeps while its kernel is blocked.
    """

    __slots__ = ("_life", "_loop", "_network", "_receive_packets", "_station")

    def __init__(
        self,
        network: SimNetwork,
        station: Station,
        life: Life,
        loop: SimLoop,
        *,
        receive_packets: int = RECEIVE_PACKETS,
    ) -> None:
        self._network = network
        self._station = station
        self._life = life
        self._loop = loop
        self._receive_packets = receive_packets

    async def bind(
        self,
        address: Address,
        *,
        on_datagrams: DatagramHandler,
        on_writable: Callable[[], None],  # noqa: ARG002 - there is always room
        is_foreign: ForeignTest | None = None,  # noqa: ARG002 - bursts are not gathered here
    ) -> SimSocket:
        """Bind to the host's own address; port 0 picks one.

        Raises:
            OSError: The address is taken or not ours.
        """
        if not self._life.is_alive:
            raise OSError(errno.ENETDOWN, "this host crashed")
        host, port = address
        if host not in (*ANY_HOSTS, self._station.address):
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        own = self._station.address
        if port == 0:
            port = next(
                (free for free in range(EPHEMERAL_PORT, PORT_MAX) if not self._network.is_taken(Address(own, free))), 0
            )
        if not 1 <= port <= PORT_MAX or self._network.is_taken(Address(own, port)):
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        return SimSocket(
            self._network,
            self._station,
            self._life,
            self._loop,
            local=Address(host, port),
            on_datagrams=on_datagrams,
            receive_packets=self._receive_packets,
        )


class SimSocket:
    """One bound socket.

    Attributes:
        station: Whose it is.
        port: Where it listens.
        errors: How often what went wrong: `CLOSED`, `HANDLER`.
    """

    __slots__ = (
        "_buffer",
        "_buffered",
        "_closed",
        "_context",
        "_life",
        "_local",
        "_loop",
        "_network",
        "_on_datagrams",
        "_receive_packets",
        "_routes",
        "errors",
        "port",
        "station",
    )

    def __init__(
        self,
        network: SimNetwork,
        station: Station,
        life: Life,
        loop: SimLoop,
        *,
        local: Address,
        on_datagrams: DatagramHandler,
        receive_packets: int,
    ) -> None:
        self.station = station
        self.port = local.port
        self.errors: Counter[str] = Counter()
        self._network = network
        self._life = life
        self._loop = loop
        self._local = local
        self._on_datagrams = on_datagrams
        self._receive_packets = receive_packets
        # As with a reader of a real loop, callbacks run in the context that bound the socket.
        self._context = contextvars.copy_context()
        self._routes: dict[Address, Route] = {}
        self._buffer: deque[tuple[bytes, int, Address]] = deque()
        self._buffered = 0
        self._closed = False
        network.listen(self)

    @property
    def local_address(self) -> Address:
        """The address it is bound to."""
        return self._local

    @property
    def burst_segments_max(self) -> int:
        """The most datagrams one `send` may carry."""
        return BURST_SEGMENTS_MAX

    @property
    def is_closed(self) -> bool:
        """Whether it takes nothing more."""
        return self._closed or not self._life.is_alive

    def send(self, burst: Buffer, segment_bytes: int, destination: Address) -> bool:
        """Send whole datagrams of `segment_bytes` (the last may be shorter); it is never refused.

        Raises:
            ValueError: An empty burst or a segment size below 1.
        """
        if segment_bytes < 1 or not burst:
            raise ValueError(f"a burst of {len(burst)} bytes in segments of {segment_bytes} holds no datagram")
        if self._closed or not self._life.is_alive:
            self.errors["CLOSED"] += 1
            return True
        network = self._network
        route = self._routes.get(destination)
        if route is None or route.epoch != network.epoch:
            if len(self._routes) >= ROUTES_MAX:
                self._routes.clear()
            route = self._routes[destination] = network.route(self, destination)
        network.send(route, bytes(burst), segment_bytes)
        return True

    def throw(self, datagram: bytes, destination: Address) -> None:
        """Send one datagram; a simulated host has no other threads."""
        self.send(datagram, len(datagram), destination)

    def receive(self, data: bytes, segment_bytes: int, source: Address) -> int:
        """Take datagrams that arrived: hand them on, or keep some while the kernel is blocked.

        Returns:
            How many were not dropped.
        """
        if self._loop.frozen:
            return self._keep(data, segment_bytes, source)
        self._hand_on(data, segment_bytes, source)
        return -(-len(data) // segment_bytes)

    def drain(self) -> None:
        """Hand on what was kept."""
        kept, self._buffer, self._buffered = self._buffer, deque(), 0
        for data, segment_bytes, source in kept:
            if not self.is_closed:
                self._hand_on(data, segment_bytes, source)

    def drop_kept(self) -> None:
        """Lose what was kept."""
        self._buffer.clear()
        self._buffered = 0

    def close(self) -> None:
        """Release the address; no callback comes afterwards."""
        if not self._closed:
            self._closed = True
            self.drop_kept()
            self._network.hang_up(self)

    async def closed(self) -> None:
        """See `UdpSocket.closed`: the address is free at once."""

    def _keep(self, data: bytes, segment_bytes: int, source: Address) -> int:
        count = -(-len(data) // segment_bytes)
        room = min(count, self._receive_packets - self._buffered)
        if room > 0:
            self._buffer.append((data[: room * segment_bytes], segment_bytes, source))
            self._buffered += room
        return max(room, 0)

    def _hand_on(self, data: bytes, segment_bytes: int, source: Address) -> None:
        loop = self._loop
        loop.scheduler.enter(loop)
        try:
            self._context.run(self._on_datagrams, memoryview(data), segment_bytes, source)
        except Exception as error:  # noqa: BLE001 - as the real sockets: the handler's error is told, reading goes on
            self.errors["HANDLER"] += 1
            loop.call_exception_handler({"message": "the handler of datagrams failed", "exception": error})
