"""What the connections of a node went through, as rows for `node.trace()`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dfs_sdk.ids import NodeId
from dfs_sdk.node.stack import Stack
from dfs_sdk.runtime.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRow:
    """A connection at one instant; see `transport.trace.TraceSample` for what each figure says.

    Attributes:
        peer: Name of the other side.
        at_wall: The instant, in seconds since the epoch.
        rtt: Smoothed round-trip time in seconds.
        rtt_min: The shortest one in seconds.
        window_bytes: How much may be under way.
        background_window_bytes: How much of it may be background traffic.
        in_flight_bytes: How much is.
        pacing_rate: Bytes a second at which bursts leave.
        sent_bytes: Bytes sent since the connection's beginning.
        received_bytes: Bytes received since then.
        lost_packets: Packets lost since then.
        state: What congestion control was busy with.
    """

    peer: str
    at_wall: float
    rtt: float
    rtt_min: float
    window_bytes: int
    background_window_bytes: int
    in_flight_bytes: int
    pacing_rate: float
    sent_bytes: int
    received_bytes: int
    lost_packets: int
    state: str


def trace_rows(stack: Stack, clock: Clock, peers: Iterable[NodeId]) -> tuple[TraceRow, ...]:
    """Describe what the open connections with some peers went through, one peer after the other."""
    started_wall = clock.wall() - clock.monotonic()
    rows = []
    for peer in peers:
        connection = stack.rpc.connection(peer)
        name = stack.peers.view.name(peer)
        for sample in connection.trace if connection is not None else ():
            row = TraceRow(
                peer=name,
                at_wall=started_wall + sample.at,
                rtt=sample.rtt,
                rtt_min=sample.rtt_min,
                window_bytes=sample.window_bytes,
                background_window_bytes=sample.background_window_bytes,
                in_flight_bytes=sample.in_flight_bytes,
                pacing_rate=sample.pacing_rate,
                sent_bytes=sample.sent_bytes,
                received_bytes=sample.received_bytes,
                lost_packets=sample.lost_packets,
                state=sample.state,
            )
            rows.append(row)
    return tuple(rows)
