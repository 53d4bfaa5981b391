"""What a session went through: round trips, windows and losses over time, for plots.

A ring of samples, at most ten a second and only while data moves, so that a thousand idle sessions keep nothing. They
are rows of plain numbers, not objects: a notebook asks for those of all sessions at once, on the loop.

Source: the recovery metrics of qlog (draft-ietf-quic-qlog-quic-events), as a table.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Final

import numpy as np
import numpy.typing as npt

TRACE_LENGTH_MAX = 600
TRACE_INTERVAL = 0.1
# Less than this since the last sample is talk, not transfer.
TRACE_BYTES_MIN = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSample:
    """A session at one instant; bytes and packets are those since its beginning, times are seconds.

    Attributes:
        at: The instant, on the monotonic clock.
        rtt: Smoothed round-trip time in seconds.
        rtt_min: The shortest one on this path, in seconds.
        window_bytes: Bytes that may be under way.
        background_window_bytes: How much of it may be background traffic, such as repair.
        in_flight_bytes: Bytes that are under way.
        pacing_rate: Bytes a second at which bursts leave.
        sent_bytes: Bytes of datagrams sent.
        received_bytes: Bytes of authentic datagrams received.
        lost_packets: Packets sent that counted as lost.
        state: What congestion control was busy with: `startup`, `drain`, `probe bandwidth`, `probe rtt`.
    """

    at: float
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


_KINDS: Final = {"float": "f8", "int": "i8", "str": "S16"}
SAMPLE: Final = np.dtype([(field.name, _KINDS[str(field.type)]) for field in fields(TraceSample)])
"""A sample as one row."""

Samples = npt.NDArray[np.void]
"""Rows of `SAMPLE`, oldest first."""

_figures = attrgetter(*(field.name for field in fields(TraceSample)))


def in_rows(*samples: TraceSample) -> Samples:
    """Put samples under each other."""
    return np.array([_figures(sample) for sample in samples], dtype=SAMPLE)


def joined(*parts: Samples) -> Samples:
    """Put rows under rows: as `numpy.concatenate`, which copies them field by field and takes many times as long."""
    return np.frombuffer(b"".join(part.tobytes() for part in parts), dtype=SAMPLE)


class Trace:
    """The samples of one session, the oldest of which make room.

    Attributes:
        next_at: No sample is taken before this instant.
    """

    __slots__ = ("_moved_bytes", "_rows", "next_at")

    def __init__(self) -> None:
        self._rows = bytearray()
        self._moved_bytes = 0
        self.next_at = 0.0

    @property
    def samples(self) -> Samples:
        """All of them, oldest first: a copy."""
        return np.frombuffer(bytes(self._rows), dtype=SAMPLE)

    def is_worth(self, moved_bytes: int) -> bool:
        """Say whether enough moved since the last sample.

        Args:
            moved_bytes: Bytes sent and received since the session's beginning.
        """
        return moved_bytes - self._moved_bytes >= TRACE_BYTES_MIN

    def add(self, sample: TraceSample) -> None:
        """Take a sample."""
        self._rows += in_rows(sample).tobytes()
        del self._rows[: -TRACE_LENGTH_MAX * SAMPLE.itemsize]
        self._moved_bytes = sample.sent_bytes + sample.received_bytes
        self.next_at = sample.at + TRACE_INTERVAL
