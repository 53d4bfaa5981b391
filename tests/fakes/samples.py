"""Samples of connections as the transport takes them, and connections that hold some."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dfs_sdk.ids import NodeId
from dfs_sdk.node.traces import Traces
from dfs_sdk.transport.trace import TraceSample

KIB = 1024


def peer(number: int) -> NodeId:
    return NodeId(bytes([number]) * 32)


def sample(at: float, **figures: Any) -> TraceSample:
    """A sample of a connection over which 1,000 bytes a second are sent from the instant 0 on."""
    usual = TraceSample(
        at=at,
        rtt=0.06,
        rtt_min=0.05,
        window_bytes=200 * KIB,
        background_window_bytes=3 * KIB,
        in_flight_bytes=100 * KIB,
        pacing_rate=2e6,
        sent_bytes=round(1000 * at),
        received_bytes=0,
        lost_packets=int(at),
        state="startup",
    )
    return replace(usual, **figures)


def samples(begin: float, end: float, *, step: float = 1.0) -> tuple[TraceSample, ...]:
    """One at each step from `begin` to `end`, both included."""
    return tuple(sample(begin + step * number) for number in range(round((end - begin) / step) + 1))


class FakeConnections:
    """Connections with peers, as `rpc.service.Rpc` knows them."""

    def __init__(self) -> None:
        self.open: dict[NodeId, Any] = {}
        self.close_handlers: list[Callable[[Any], None]] = []

    def connect(self, number: int) -> FakeTraced:
        connection = self.open[peer(number)] = FakeTraced(peer(number))
        return connection

    def close(self, connection: Any) -> None:
        if self.open.get(connection.node_id) is connection:
            del self.open[connection.node_id]
        for handler in self.close_handlers:
            handler(connection)

    def connected(self) -> list[NodeId]:
        return list(self.open)

    def connection(self, node_id: NodeId) -> Any:
        return self.open.get(node_id)

    def on_closed(self, handler: Callable[[Any], None]) -> None:
        self.close_handlers.append(handler)


class FakeTraced:
    """A connection of which only peer and trace matter."""

    def __init__(self, node_id: NodeId) -> None:
        self.node_id = node_id
        self.trace: tuple[TraceSample, ...] = ()


def instants(traces: Traces, *numbers: int) -> list[list[float]]:
    """When the samples of each connection were taken."""
    wanted = {peer(number) for number in numbers} or None
    return [[each.at for each in trace.samples] for trace in traces.of(wanted)]
