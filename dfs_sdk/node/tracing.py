"""What the connections of a node went through, as rows for `node.trace()`: of all, of a peer, of a transfer. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from enum import Enum

from dfs_sdk.files.transfers import Transfer
from dfs_sdk.ids import NodeId
from dfs_sdk.node.observing import transfer_row
from dfs_sdk.node.snapshot import TransferRow
from dfs_sdk.node.traces import ConnectionTrace
from dfs_sdk.transport.trace import TraceSample


class Gap(Enum):
    """What a trace lacks: nothing; everything, since no peer, or not this one, took part, or too little moved; some."""

    NOTHING = "nothing"
    ALONE = "alone"
    ABSENT = "absent"
    LITTLE = "little"
    FORGOTTEN = "forgotten"


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRow:
    """A connection at one instant, and how fast it went since the row before of the same connection.

    Attributes:
        peer: Name of the other side.
        peer_id: Hexadecimal id of the other side.
        connection: Small number that tells apart connections with one peer; it grows with each new one.
        at_wall: The instant, in seconds since the epoch.
        seconds: The same since the transfer began, or since the first row.
        sent_rate: Bytes a second sent since the row before; NaN where that is unknown.
        received_rate: Bytes a second received since then.
        sample: The figures of that instant; bytes and packets are counted from the beginning of the transfer, or of the
            connection.
    """

    peer: str
    peer_id: str
    connection: int
    at_wall: float
    seconds: float
    sent_rate: float
    received_rate: float
    sample: TraceSample


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """What was asked for, and how much of it there is.

    Attributes:
        rows: Oldest first.
        transfer: The transfer it is of, if of one.
        gap: What is missing of it.
    """

    rows: tuple[TraceRow, ...]
    transfer: TransferRow | None
    gap: Gap


@dataclass(frozen=True, slots=True)
class _Step:
    """One sample with what came before it: the instant from which on its rates count, and the bytes moved since."""

    trace: ConnectionTrace
    sample: TraceSample
    since: float
    sent_bytes: int
    received_bytes: int


def trace_connections(traces: Sequence[ConnectionTrace], *, name: Callable[[NodeId], str], epoch_wall: float) -> Traced:
    """Describe connections from the beginning on.

    Args:
        traces: Of which.
        name: Gives peers their names.
        epoch_wall: The wall clock, in seconds since the epoch, when the monotonic one was 0.
    """
    steps = [step for trace in traces for step in _steps(trace, trace.samples, None)]
    begin = min((step.sample.at for step in steps), default=0.0)
    if any(trace.lost[0] < trace.lost[1] for trace in traces):
        gap = Gap.FORGOTTEN
    else:
        gap = Gap.NOTHING if steps else Gap.LITTLE
    return Traced(rows=_rows(steps, begin, name, epoch_wall), transfer=None, gap=gap)


def trace_transfer(
    transfer: Transfer,
    traces: Sequence[ConnectionTrace],
    *,
    peers: Set[NodeId],
    forgotten_until: float,
    name: Callable[[NodeId], str],
    epoch_wall: float,
) -> Traced:
    """Describe what a transfer went through: its peers' connections between its begin and its end.

    What else went over these connections meanwhile is in it, too: samples tell connections apart, not transfers.

    Args:
        transfer: Which, running or ended.
        traces: Of the connections with `peers`.
        peers: Which of those that it used.
        forgotten_until: Until this instant there may have been further ones.
        name: Gives peers their names.
        epoch_wall: The wall clock, in seconds since the epoch, when the monotonic one was 0.
    """
    steps = [step for trace in traces for step in _cut(trace, transfer.started_at, transfer.ended_at)]
    if not peers:
        gap = Gap.ABSENT if transfer.sources else Gap.ALONE
    elif _has_lost(transfer, traces, forgotten_until, silent=peers - {step.trace.peer for step in steps}):
        gap = Gap.FORGOTTEN
    else:
        gap = Gap.NOTHING if steps else Gap.LITTLE
    rows = _rows(steps, transfer.started_at, name, epoch_wall)
    return Traced(rows=rows, transfer=transfer_row(transfer), gap=gap)


def _cut(trace: ConnectionTrace, begin: float, end: float) -> Iterator[_Step]:
    """Give the samples between two instants, counted from the first of them."""
    before = [sample for sample in trace.samples if sample.at < begin]
    inside = [sample for sample in trace.samples if begin <= sample.at <= end]
    if not inside:
        return
    if _is_coarse_at(trace, begin) or _overlaps(trace.lost, before[-1].at if before else begin, inside[0].at):
        base = inside[0]  # what it moved before is not known
    elif before:
        base = replace(before[-1], at=begin)
    else:
        base = replace(inside[0], at=begin, sent_bytes=0, received_bytes=0, lost_packets=0)
    for step in _steps(trace, inside, base):
        sample = step.sample
        counted = replace(
            sample,
            sent_bytes=sample.sent_bytes - base.sent_bytes,
            received_bytes=sample.received_bytes - base.received_bytes,
            lost_packets=sample.lost_packets - base.lost_packets,
        )
        yield replace(step, sample=counted)


def _steps(trace: ConnectionTrace, samples: Sequence[TraceSample], before: TraceSample | None) -> Iterator[_Step]:
    for sample in samples:
        last = before or sample
        yield _Step(
            trace=trace,
            sample=sample,
            since=last.at,
            sent_bytes=sample.sent_bytes - last.sent_bytes,
            received_bytes=sample.received_bytes - last.received_bytes,
        )
        before = sample


def _rows(
    steps: Sequence[_Step], begin: float, name: Callable[[NodeId], str], epoch_wall: float
) -> tuple[TraceRow, ...]:
    names = {peer: name(peer) for peer in {step.trace.peer for step in steps}}
    return tuple(
        TraceRow(
            peer=names[step.trace.peer],
            peer_id=step.trace.peer.hex(),
            connection=step.trace.connection,
            at_wall=epoch_wall + step.sample.at,
            seconds=step.sample.at - begin,
            sent_rate=_rate(step.sent_bytes, step.sample.at - step.since),
            received_rate=_rate(step.received_bytes, step.sample.at - step.since),
            sample=step.sample,
        )
        for step in sorted(steps, key=lambda step: (step.sample.at, step.trace.connection))
    )


def _rate(moved_bytes: int, seconds: float) -> float:
    return moved_bytes / seconds if seconds > 0 else math.nan


def _has_lost(
    transfer: Transfer, traces: Sequence[ConnectionTrace], forgotten_until: float, *, silent: Set[NodeId]
) -> bool:
    begin, end = transfer.started_at, transfer.ended_at
    doubtful = any(_overlaps(trace.lost, begin, end) or _is_coarse_at(trace, begin) for trace in traces)
    return doubtful or bool(silent and begin < forgotten_until)


def _is_coarse_at(trace: ConnectionTrace, begin: float) -> bool:
    """Say whether samples near an instant, which is not before all of them, were left out."""
    return bool(trace.samples) and trace.samples[0].at < begin < trace.coarse_until


def _overlaps(span: tuple[float, float], begin: float, end: float) -> bool:
    return span[0] < end and begin < span[1]
