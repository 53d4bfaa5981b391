"""What is kept of connections beyond their rings: the traces of closed ones, and the ends of transfers.

A connection keeps its latest samples itself, and they go with it. Here they are taken over when it closes, every half
minute of a transfer over it and when that ends: at that instant it tells of the bytes since its last sample, too, which
later it would mix with those of what follows. All that is kept is bounded: the longest traces become coarser, the more
so the longer ago, and where that does not help the connections that were taken over longest ago are forgotten.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Protocol

from dfs_sdk.ids import NodeId
from dfs_sdk.rpc.ports import ConnectionPort
from dfs_sdk.transport.trace import TRACE_LENGTH_MAX, TraceSample

# Ten full rings, some 2 MB.
SAMPLES_KEPT_MAX = 10 * TRACE_LENGTH_MAX
# Between two samples of a coarse trace, in parts of their age.
SPACING_RATIO_MIN = 0.0005
THINNED_RATIO_MAX = 0.75
# Shorter traces are not made coarser: of all that is kept, and of any.
COARSE_RATIO_MIN, COARSE_LENGTH_MIN = 0.01, 4


@dataclass(frozen=True, slots=True, kw_only=True)
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
    samples: tuple[TraceSample, ...]
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
        self._lines: OrderedDict[ConnectionPort | int, _Line] = OrderedDict()  # an open one by itself, then by number
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
            if connection is not None and connection.trace:
                self._line(connection)
        traces = [
            line.trace(key.trace if not isinstance(key, int) else ())
            for key, line in self._lines.items()
            if peers is None or line.peer in peers
        ]
        return sorted((trace for trace in traces if trace.samples), key=lambda trace: trace.connection)

    def _on_closed(self, connection: ConnectionPort) -> None:
        self._take(connection)
        line = self._lines.pop(connection, None)
        if line is not None and line.kept:
            self._lines[line.number] = line

    def _take(self, connection: ConnectionPort) -> None:
        samples = connection.trace
        if samples:
            self._held += self._line(connection).take(samples)
            self._lines.move_to_end(connection)
            self._make_room()

    def _line(self, connection: ConnectionPort) -> _Line:
        line = self._lines.get(connection)
        if line is None:
            self._numbered += 1
            line = self._lines[connection] = _Line(connection.node_id, self._numbered)
        return line

    def _make_room(self) -> None:
        coarse_min = max(COARSE_LENGTH_MIN, COARSE_RATIO_MIN * self._samples_max)
        while self._held > self._samples_max:
            longest = max(self._lines.values(), key=lambda line: len(line.kept))
            self._held -= longest.thin() if len(longest.kept) >= coarse_min else self._forget_oldest()

    def _forget_oldest(self) -> int:
        """Forget what is kept of the connection taken over longest ago; an open one keeps its own ring."""
        key, line = next((key, line) for key, line in self._lines.items() if line.kept)
        if isinstance(key, int):
            self._forgotten_until = max(self._forgotten_until, line.kept[-1].at)
            del self._lines[key]
        return line.forget()


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
        self.kept: list[TraceSample] = []
        self._lost = (math.inf, -math.inf)
        self._coarse_until = -math.inf

    def take(self, ring: Sequence[TraceSample]) -> int:
        """Take over what a ring holds of later samples; returns how many more are kept than before."""
        newer = self._newer(ring)
        self._lost = self._lost_with(ring)
        self.kept += newer
        return len(newer)

    def thin(self) -> int:
        """Leave out at least a quarter, the more of a time the longer it is ago; returns how many.

        Bytes and losses are counted from the beginning, so that what is left tells of all that went.
        """
        held, newest_at, ratio = len(self.kept), self.kept[-1].at, SPACING_RATIO_MIN
        thinned, coarse_until = self.kept, -math.inf
        while len(thinned) > THINNED_RATIO_MAX * held:
            thinned = self.kept[:1]
            for sample in self.kept[1:]:
                if sample.at - thinned[-1].at >= ratio * (newest_at - sample.at):
                    thinned.append(sample)
                else:
                    coarse_until = sample.at
            ratio *= 2
        self._coarse_until = max(self._coarse_until, coarse_until)
        self.kept = thinned
        return held - len(thinned)

    def forget(self) -> int:
        """Make room; returns of how many."""
        held = len(self.kept)
        self._lost = (-math.inf, max(self._lost[1], self.kept[-1].at))
        self.kept.clear()
        return held

    def trace(self, ring: Sequence[TraceSample]) -> ConnectionTrace:
        """Describe what is kept together with what is still in the ring."""
        samples = (*self.kept, *self._newer(ring))
        return ConnectionTrace(
            peer=self.peer,
            connection=self.number,
            samples=samples,
            lost=self._lost_with(ring),
            coarse_until=self._coarse_until,
        )

    def _newer(self, ring: Sequence[TraceSample]) -> list[TraceSample]:
        last_at = self.kept[-1].at if self.kept else -math.inf
        return [*takewhile(lambda sample: sample.at > last_at, reversed(ring))][::-1]

    def _lost_with(self, ring: Sequence[TraceSample]) -> tuple[float, float]:
        """Between which instants samples may be missing, given that a full ring has dropped those before its first."""
        last_at = self.kept[-1].at if self.kept else -math.inf
        if len(ring) < TRACE_LENGTH_MAX or ring[0].at <= last_at:
            return self._lost
        return min(self._lost[0], last_at), max(self._lost[1], ring[0].at)
