"""Samples of connections as the transport takes them, and connections that hold some."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dfs_sdk.ids import NodeId
from dfs_sdk.node.snapshot import TransferRow
from dfs_sdk.node.traces import Traces
from dfs_sdk.node.tracing import Gap, Traced, TracedConnection
from dfs_sdk.transport.trace import SAMPLE, Samples, TraceSample, in_rows

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


def samples(begin: float, end: float, *, step: float = 1.0) -> Samples:
    """One at each step from `begin` to `end`, both included."""
    return in_rows(*(sample(begin + step * number) for number in range(round((end - begin) / step) + 1)))


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a `Traced` tells of one connection at one instant."""

    peer: str
    peer_id: str
    connection: int
    at_wall: float
    seconds: float
    sent_rate: float
    received_rate: float
    sample: TraceSample


def rows_of(traced: Traced) -> list[Row]:
    """Take columns apart."""
    rows = []
    for at in range(len(traced)):
        connection = traced.connections[traced.which[at]]
        figures = {name: column[at].item() for name, column in traced.figures.items()}
        rows.append(
            Row(
                peer=connection.peer,
                peer_id=connection.peer_id,
                connection=connection.connection,
                at_wall=traced.at_wall[at].item(),
                seconds=traced.seconds[at].item(),
                sent_rate=traced.sent_rate[at].item(),
                received_rate=traced.received_rate[at].item(),
                sample=TraceSample(**figures | {"state": traced.states[figures["state"]]}),
            )
        )
    return rows


def traced_of(*rows: Row, transfer: TransferRow | None, gap: Gap) -> Traced:
    """Put rows under each other."""
    lines = {
        row.connection: TracedConnection(peer=row.peer, peer_id=row.peer_id, connection=row.connection) for row in rows
    }
    samples = in_rows(*(row.sample for row in rows))
    return Traced(
        connections=tuple(lines.values()),
        which=np.array([list(lines).index(row.connection) for row in rows], dtype="int64"),
        at_wall=np.array([row.at_wall for row in rows], dtype="float64"),
        seconds=np.array([row.seconds for row in rows], dtype="float64"),
        sent_rate=np.array([row.sent_rate for row in rows], dtype="float64"),
        received_rate=np.array([row.received_rate for row in rows], dtype="float64"),
        figures={name: samples[name] for name in SAMPLE.names or ()} | {"state": np.zeros(len(rows), dtype="int64")},
        states=("startup",),
        transfer=transfer,
        gap=gap,
    )


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
        self.trace: Samples = in_rows()


def instants(traces: Traces, *numbers: int) -> list[list[float]]:
    """When the samples of each connection were taken."""
    wanted = {peer(number) for number in numbers} or None
    return [trace.samples["at"].tolist() for trace in traces.of(wanted)]
