"""What is under way: runs of consecutive packets, and what each of them carried.

A burst of packets that carry one message's consecutive segments is one `SentRun`; acknowledgements and losses cut
pieces out of it, so that bookkeeping costs a range, not a packet.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from dfs_sdk.transport.frames import Cancel, Observed, Ping, Wanted, Window
from dfs_sdk.transport.outbox import OutgoingMessage

Snapshot = tuple[int, float, float, bool]


@dataclass(slots=True)
class Piece:
    """Bytes [start, stop) of a message."""

    message: OutgoingMessage
    start: int
    stop: int


Cargo = Piece | Ping | Window | Wanted | Cancel | Observed


@dataclass(slots=True, kw_only=True)
class SentRun:
    """Consecutive packets [first, stop) that left at one instant; grows while it is the log's last.

    Attributes:
        first: Number of the first packet.
        stop: Number after the last one.
        packet_bytes: Datagram size of each but the last.
        tail_bytes: Datagram size of the last.
        sent_at: When they left.
        snapshot: The delivery meter's reading at that time.
        cargo: What has to arrive. For more than one packet: exactly one `Piece`, cut at every `step_bytes`.
        step_bytes: Message bytes in each packet but the last.
        is_mtu_probe: Its loss says something about its size, not about congestion.
        is_background: It counts against the background's window, too.
    """

    first: int
    stop: int
    packet_bytes: int
    tail_bytes: int
    sent_at: float
    snapshot: Snapshot
    cargo: tuple[Cargo, ...]
    step_bytes: int = 0
    is_mtu_probe: bool = False
    is_background: bool = False

    @property
    def size_bytes(self) -> int:
        """Bytes of all its datagrams."""
        return (self.stop - self.first - 1) * self.packet_bytes + self.tail_bytes

    def cut(self, start: int, stop: int) -> SentRun:
        """Return the packets [start, stop) of this run, which must lie in it."""
        if start == self.first and stop == self.stop:
            return self
        (piece,) = self.cargo
        if not isinstance(piece, Piece):
            raise TypeError("a run of several packets carries one piece of one message")
        piece_start = piece.start + (start - self.first) * self.step_bytes
        piece_stop = min(piece.start + (stop - self.first) * self.step_bytes, piece.stop)
        # Not `dataclasses.replace`, which takes more than twice as long: every acknowledgement cuts runs.
        return SentRun(
            first=start,
            stop=stop,
            packet_bytes=self.packet_bytes,
            tail_bytes=self.tail_bytes if stop == self.stop else self.packet_bytes,
            sent_at=self.sent_at,
            snapshot=self.snapshot,
            cargo=(Piece(piece.message, piece_start, piece_stop),),
            step_bytes=self.step_bytes,
            is_mtu_probe=self.is_mtu_probe,
            is_background=self.is_background,
        )


class SentLog:
    """All runs under way, in the order of their numbers."""

    __slots__ = ("_firsts", "_runs", "background_bytes", "in_flight_bytes")

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._runs: list[SentRun] = []
        self.in_flight_bytes = self.background_bytes = 0

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[SentRun]:
        return iter(self._runs)

    @property
    def oldest(self) -> SentRun | None:
        """The run with the lowest numbers."""
        return self._runs[0] if self._runs else None

    def append(self, run: SentRun) -> None:
        """Add a run whose numbers are above all others'."""
        self._firsts.append(run.first)
        self._runs.append(run)
        self.in_flight_bytes += run.size_bytes
        if run.is_background:
            self.background_bytes += run.size_bytes

    def grow(self, piece: Piece, first: int, count: int, *, packet_bytes: int, tail_bytes: int, sent_at: float) -> bool:
        """Let the last run go on with packets that left at the same instant and carry what follows in its message.

        Args:
            piece: What the packets carry.
            first: Number of the first packet.
            count: How many there are.
            packet_bytes: Datagram size of each but the last.
            tail_bytes: Datagram size of the last.
            sent_at: When they left.

        Returns:
            Whether it was possible; otherwise nothing was done.
        """
        if not self._runs:
            return False
        run = self._runs[-1]
        last = run.cargo[-1]
        if (
            run.stop != first
            or run.sent_at != sent_at
            or run.tail_bytes != packet_bytes
            or not run.step_bytes
            or not isinstance(last, Piece)
            or last.message is not piece.message
            or last.stop != piece.start
        ):
            return False
        run.stop = first + count
        run.tail_bytes = tail_bytes
        run.cargo = (Piece(piece.message, last.start, piece.stop),)
        self.in_flight_bytes += (count - 1) * packet_bytes + tail_bytes
        if run.is_background:
            self.background_bytes += (count - 1) * packet_bytes + tail_bytes
        return True

    def forget_oldest(self, kept: int) -> None:
        """Drop the runs with the lowest numbers, down to `kept` runs."""
        if len(self._runs) > kept:
            self.take(self._runs[0].first, self._runs[-kept].first)

    def take(self, start: int, stop: int) -> list[SentRun]:
        """Remove all packets with numbers in [start, stop) and return them as runs, lowest first."""
        runs, firsts = self._runs, self._firsts
        low, high = bisect_right(firsts, start), bisect_left(firsts, stop)
        if low and runs[low - 1].stop > start:
            low -= 1
        taken = runs[low:high]
        if not taken:
            return taken
        kept: list[SentRun] = []
        if (head := taken[0]).first < start:
            kept.append(head.cut(head.first, start))
            taken[0] = head.cut(start, head.stop)
        if (tail := taken[-1]).stop > stop:
            kept.append(tail.cut(stop, tail.stop))
            taken[-1] = tail.cut(tail.first, stop)
        runs[low:high] = kept
        firsts[low:high] = [run.first for run in kept]
        for run in taken:
            size = run.size_bytes
            self.in_flight_bytes -= size
            if run.is_background:
                self.background_bytes -= size
        return taken
