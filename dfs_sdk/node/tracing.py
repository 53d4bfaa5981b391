"""What the connections of a node went through, as columns for `node.trace()`: of all, of a peer, of a transfer. Pure.

Columns and not rows: those of twenty busy connections have 12,000 entries, and they are made while the loop waits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from dfs_sdk.files.transfers import Transfer
from dfs_sdk.ids import NodeId
from dfs_sdk.node.observing import transfer_row
from dfs_sdk.node.snapshot import TransferRow
from dfs_sdk.node.traces import ConnectionTrace
from dfs_sdk.transport.trace import SAMPLE, Samples, in_rows

Column = npt.NDArray[Any]
COUNTED = ("sent_bytes", "received_bytes", "lost_packets")


class Gap(Enum):
    """What a trace lacks: nothing; everything, since no peer, or not this one, took part, or too little moved; some."""

    NOTHING = "nothing"
    ALONE = "alone"
    ABSENT = "absent"
    LITTLE = "little"
    FORGOTTEN = "forgotten"


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedConnection:
    """A connection of which there are rows.

    Attributes:
        peer: Name of the other side.
        peer_id: Hexadecimal id of the other side.
        connection: Small number that tells apart connections with one peer; it grows with each new one.
    """

    peer: str
    peer_id: str
    connection: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Traced:
    """What was asked for, and how much of it there is: columns with an entry for each row, oldest first.

    Attributes:
        connections: Those that the rows are of.
        which: At which place of `connections` that of the row is.
        at_wall: The instant, in seconds since the epoch.
        seconds: The same since the transfer began, or since the first row.
        sent_rate: Bytes a second sent since the row before of its connection; NaN where that is unknown.
        received_rate: Bytes a second received since then.
        figures: The columns of `TraceSample`, figures of that instant; bytes and packets are counted from the beginning
            of the transfer, or of the connection, and the state is a place in `states`.
        states: In words.
        transfer: The transfer it is of, if of one.
        gap: What is missing of it.
    """

    connections: tuple[TracedConnection, ...]
    which: Column
    at_wall: Column
    seconds: Column
    sent_rate: Column
    received_rate: Column
    figures: Mapping[str, Column]
    states: tuple[str, ...]
    transfer: TransferRow | None
    gap: Gap

    def __len__(self) -> int:
        return len(self.which)


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """What is shown of one connection: at least one sample, and how fast it went until each."""

    trace: ConnectionTrace
    samples: Samples
    sent_rate: Column
    received_rate: Column


def trace_connections(traces: Sequence[ConnectionTrace], *, name: Callable[[NodeId], str], epoch_wall: float) -> Traced:
    """Describe connections from the beginning on.

    Args:
        traces: Of which, in the order of their numbers.
        name: Gives peers their names.
        epoch_wall: The wall clock, in seconds since the epoch, when the monotonic one was 0.
    """
    parts = [_part(trace, trace.samples, trace.samples[:1]) for trace in traces]
    begin = min((float(part.samples["at"][0]) for part in parts), default=0.0)
    if any(trace.lost[0] < trace.lost[1] for trace in traces):
        gap = Gap.FORGOTTEN
    else:
        gap = Gap.NOTHING if parts else Gap.LITTLE
    return _merged(parts, begin, epoch_wall + begin, name, transfer=None, gap=gap)


def trace_transfer(
    transfer: Transfer,
    traces: Sequence[ConnectionTrace],
    *,
    peers: Set[NodeId],
    forgotten_until: float,
    name: Callable[[NodeId], str],
) -> Traced:
    """Describe what a transfer went through: its peers' connections between its begin and its end.

    What else went over these connections meanwhile is in it, too: samples tell connections apart, not transfers.

    Args:
        transfer: Which, running or ended.
        traces: Of the connections with `peers`, in the order of their numbers.
        peers: Which of those that it used.
        forgotten_until: Until this instant there may have been further ones.
        name: Gives peers their names.
    """
    cuts = (_cut(trace, transfer.started_at, transfer.ended_at) for trace in traces)
    parts = [part for part in cuts if part is not None]
    if not peers:
        gap = Gap.ABSENT if transfer.sources else Gap.ALONE
    elif _has_lost(transfer, traces, forgotten_until, silent=peers - {part.trace.peer for part in parts}):
        gap = Gap.FORGOTTEN
    else:
        gap = Gap.NOTHING if parts else Gap.LITTLE
    # By the clock of the transfer: a clock read at another moment would set rows before its begin or after its end.
    begin, begin_wall = transfer.started_at, transfer.started_at_wall
    return _merged(parts, begin, begin_wall, name, transfer=transfer_row(transfer), gap=gap)


def _cut(trace: ConnectionTrace, begin: float, end: float) -> _Part | None:
    """Take the samples between two instants, counted from the first of them; None if there are none."""
    instants = trace.samples["at"]
    first = int(np.searchsorted(instants, begin, side="left"))
    inside = trace.samples[first : np.searchsorted(instants, end, side="right")]
    if not len(inside):
        return None
    before_at = float(instants[first - 1]) if first else begin
    if _is_coarse_at(trace, begin) or _overlaps(trace.lost, before_at, float(inside["at"][0])):
        base = inside[:1].copy()  # what it moved before is not known
    else:
        base = trace.samples[first - 1 : first].copy() if first else np.zeros(1, SAMPLE)
        base["at"] = begin
    counted = inside.copy()
    for name in COUNTED:
        counted[name] -= base[name]
    return replace(_part(trace, inside, base), samples=counted)


def _part(trace: ConnectionTrace, samples: Samples, base: Samples) -> _Part:
    """Find how fast samples went; the first one since `base`, a single one before it or itself."""
    seconds = np.diff(samples["at"], prepend=base["at"])
    seconds[seconds <= 0] = math.nan
    sent, received = (np.diff(samples[name], prepend=base[name]) / seconds for name in ("sent_bytes", "received_bytes"))
    return _Part(trace, samples, sent, received)


def _merged(
    parts: Sequence[_Part],
    begin: float,
    begin_wall: float,
    name: Callable[[NodeId], str],
    *,
    transfer: TransferRow | None,
    gap: Gap,
) -> Traced:
    """Bring the samples of all connections in the order of their instants, those of one instant in that of `parts`."""
    runs = [in_rows(), *(part.samples for part in parts)]
    columns = {each: np.concatenate([samples[each] for samples in runs]) for each in SAMPLE.names or ()}
    states, columns["state"] = _told_apart(columns["state"])
    order = np.argsort(columns["at"], kind="stable")
    figures = {each: column[order] for each, column in columns.items()}
    which = np.repeat(np.arange(len(runs)), [len(samples) for samples in runs]) - 1
    nothing, seconds = np.empty(0), figures["at"] - begin
    return Traced(
        connections=tuple(_connection(part.trace, name) for part in parts),
        which=which[order],
        at_wall=begin_wall + seconds,
        seconds=seconds,
        sent_rate=np.concatenate([nothing, *(part.sent_rate for part in parts)])[order],
        received_rate=np.concatenate([nothing, *(part.received_rate for part in parts)])[order],
        figures=figures,
        states=states,
        transfer=transfer,
        gap=gap,
    )


def _told_apart(words: Column) -> tuple[tuple[str, ...], Column]:
    """List the different ones of words that come in runs, and say which each is; to sort them all takes far longer."""
    begins = np.flatnonzero(np.concatenate((np.ones(min(len(words), 1), bool), words[1:] != words[:-1])))
    different, which = np.unique(words[begins], return_inverse=True)
    return tuple(each.decode() for each in different.tolist()), np.repeat(which, np.diff(begins, append=len(words)))


def _connection(trace: ConnectionTrace, name: Callable[[NodeId], str]) -> TracedConnection:
    return TracedConnection(peer=name(trace.peer), peer_id=trace.peer.hex(), connection=trace.connection)


def _has_lost(
    transfer: Transfer, traces: Sequence[ConnectionTrace], forgotten_until: float, *, silent: Set[NodeId]
) -> bool:
    begin, end = transfer.started_at, transfer.ended_at
    doubtful = any(_overlaps(trace.lost, begin, end) or _is_coarse_at(trace, begin) for trace in traces)
    return doubtful or bool(silent and begin < forgotten_until)


def _is_coarse_at(trace: ConnectionTrace, begin: float) -> bool:
    """Say whether samples near an instant, which is not before all of them, were left out."""
    return bool(len(trace.samples)) and trace.samples["at"][0] < begin < trace.coarse_until


def _overlaps(span: tuple[float, float], begin: float, end: float) -> bool:
    return span[0] < end and begin < span[1]
