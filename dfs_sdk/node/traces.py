"""What is kept of connections beyond their rings: the traces of closed ones, and the ends of transfers.

A connection keeps its latest samples itself, and they go with it. Here they are taken over when it closes, every half
minute of a transfer over it and when that ends: at that instant it tells of the bytes since its last sample, too, which
later it would mix with those of what follows. All that is kept is bounded: the longest traces become coarser, the more
so the longer ago, and where that does not help those that ended longest ago are forgotten.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from dfs_sdk.ids import NodeId
from dfs_sdk.rpc.ports import ConnectionPort
from dfs_sdk.transport.trace import TRACE_LENGTH_MAX, Samples, in_rows, joined

# Ten full rings, some 600 KB.
SAMPLES_KEPT_MAX = 10 * TRACE_LENGTH_MAX
# Between two samples of a coarse trace, in parts of their age.
SPACING_RATIO_MIN = 0.0005
THINNED_RATIO_MAX = 0.75
# Shorter traces are not made coarser: of all that is kept, and of any.
COARSE_RATIO_MIN, COARSE_LENGTH_MIN = 0.01, 4
NO_SAMPLES: Final = in_rows()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ConnectionTrace:
    """What one connection went through.

    Attributes:
        peer: The other side.
        connection: A number of its own among those of this node.
        samples: What is left, oldest first.
        lost: Between these two instants on the monotonic clock samples may have made room for later ones; the first
            is above the second if none have.
        coarse_until: Before this instant samples were left out: what went before an instant in that time is not known.
    """

    peer: NodeId
    connection: int
    samples: Samples
    lost: tuple[float, float]
    coarse_until: float


class Connections(Protocol):
    """Who knows the open connections; `rpc.service.Rpc` does."""

    def connected(self) -> list[NodeId]:
        """List the peers with an open connection."""
        ...

    def connection(self, peer: NodeId) -> ConnectionPort | None:
        """Give the connection to a peer."""
        ...

    def on_closed(self, handler: Callable[[ConnectionPort], None]) -> None:
        """Call `handler` with each connection that has closed."""
        ...


class Traces:
    """The traces of one node's connections, open and closed.

    Args:
        connections: Whose.
        samples_max: How many samples are kept besides those that open connections keep.
    """

    def __init__(self, connections: Connections, *, samples_max: int = SAMPLES_KEPT_MAX) -> None:
        self._connections = connections
        self._samples_max = samples_max
        self._open: dict[ConnectionPort, _Line] = {}
        self._closed: list[_Line] = []
        self._numbered = 0
        self._held = 0
        self._forgotten_until = -math.inf
        connections.on_closed(self._on_closed)

    @property
    def forgotten_until(self) -> float:
        """Until this instant, on the monotonic clock, there may have been connections of which nothing is left."""
        return self._forgotten_until

    def keep(self, peers: Iterable[NodeId]) -> None:
        """Take over what the open connections with some peers have noted until this moment."""
        for peer in sorted(peers):
            connection = self._connections.connection(peer)
            if connection is not None:
                self._take(connection)

    def of(self, peers: Container[NodeId] | None = None) -> list[ConnectionTrace]:
        """Give the traces of the connections with some peers, or with all, in the order of their numbers.

        Connections over which nothing worth noting went are left out.
        """
        for peer in self._connections.connected():
            connection = self._connections.connection(peer)
            if connection is not None and len(connection.trace):
                self._line(connection)
        rings = [(line, connection.trace) for connection, line in self._open.items() if _is_in(line.peer, peers)]
        rings += [(line, NO_SAMPLES) for line in self._closed if _is_in(line.peer, peers)]
        traces = [line.trace(ring) for line, ring in rings]
        return sorted((trace for trace in traces if len(trace.samples)), key=lambda trace: trace.connection)

    def _on_closed(self, connection: ConnectionPort) -> None:
        self._take(connection)
        line = self._open.pop(connection, None)
        if line is not None and len(line.kept):
            self._closed.append(line)

    def _take(self, connection: ConnectionPort) -> None:
        samples = connection.trace
        if len(samples):
            self._held += self._line(connection).take(samples)
            self._make_room()

    def _line(self, connection: ConnectionPort) -> _Line:
        line = self._open.get(connection)
        if line is None:
            self._numbered += 1
            line = self._open[connection] = _Line(connection.node_id, self._numbered)
        return line

    def _make_room(self) -> None:
        coarse_min = max(COARSE_LENGTH_MIN, COARSE_RATIO_MIN * self._samples_max)
        while self._held > self._samples_max:
            lines = [line for line in (*self._open.values(), *self._closed) if len(line.kept)]
            longest = max(lines, key=lambda line: len(line.kept))
            if len(longest.kept) >= coarse_min:
                self._held -= longest.thin()
            else:
                self._forget(min(lines, key=lambda line: line.kept_until))

    def _forget(self, line: _Line) -> None:
        """Forget what is kept of a connection; an open one keeps its own ring."""
        if line in self._closed:
            self._forgotten_until = max(self._forgotten_until, line.kept_until)
            self._closed.remove(line)
        self._held -= line.forget()


def _is_in(peer: NodeId, wanted: Container[NodeId] | None) -> bool:
    return wanted is None or peer in wanted


class _Line:
    """What is kept of one connection.

    Attributes:
        peer: The other side.
        number: Tells it from others with the same peer.
        kept: Samples, oldest first.
    """

    __slots__ = ("_coarse_until", "_lost", "kept", "number", "peer")

    def __init__(self, peer: NodeId, number: int) -> None:
        self.peer = peer
        self.number = number
        self.kept = NO_SAMPLES
        self._lost = (math.inf, -math.inf)
        self._coarse_until = -math.inf

    @property
    def kept_until(self) -> float:
        """When the latest sample that is kept was taken."""
        return float(self.kept["at"][-1]) if len(self.kept) else -math.inf

    def take(self, ring: Samples) -> int:
        """Take over what a ring holds of later samples; returns how many more are kept than before."""
        held = len(self.kept)
        self.kept, self._lost = self._with(ring), self._lost_with(ring)
        return len(self.kept) - held

    def thin(self) -> int:
        """Leave out at least a quarter, the more of a time the longer it is ago; returns how many.

        Bytes and losses are counted from the beginning, so that what is left tells of all that went.
        """
        instants: list[float] = self.kept["at"].tolist()
        ratio, coarse_until = SPACING_RATIO_MIN, -math.inf
        left = list(range(len(instants)))
        while len(left) > THINNED_RATIO_MAX * len(instants):
            left = [0]
            for number, at in enumerate(instants[1:], 1):
                if at - instants[left[-1]] >= ratio * (instants[-1] - at):
                    left.append(number)
                else:
                    coarse_until = at
            ratio *= 2
        self._coarse_until = max(self._coarse_until, coarse_until)
        self.kept = self.kept[left]
        return len(instants) - len(left)

    def forget(self) -> int:
        """Make room; returns of how many."""
        held = len(self.kept)
        self._lost = (-math.inf, max(self._lost[1], self.kept_until))
        self.kept = NO_SAMPLES
        return held

    def trace(self, ring: Samples) -> ConnectionTrace:
        """Describe what is kept together with what is still in the ring."""
        return ConnectionTrace(
            peer=self.peer,
            connection=self.number,
            samples=self._with(ring),
            lost=self._lost_with(ring),
            coarse_until=self._coarse_until,
        )

    def _with(self, ring: Samples) -> Samples:
        return joined(self.kept, ring[np.searchsorted(ring["at"], self.kept_until, side="right") :])

    def _lost_with(self, ring: Samples) -> tuple[float, float]:
        """Between which instants samples may be missing, given that a full ring has dropped those before its first."""
        if len(ring) < TRACE_LENGTH_MAX or ring["at"][0] <= self.kept_until:
            return self._lost
        return min(self._lost[0], self.kept_until), max(self._lost[1], float(ring["at"][0]))
