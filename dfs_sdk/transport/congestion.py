"""Congestion control as a strategy: how much may be under way, and how fast it leaves.

A strategy sees one `Delivery` for each acknowledgement and answers with two numbers. `bbr` is the
one that connections use (docs/decisions/0008).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

# RFC 9002 section 7.2 says 10; paced over the handshake's round trip, three times as many are no burst, and a chunk
# of 64 KiB arrives a round trip sooner. Large sites have served their pages so for years.
INITIAL_WINDOW_PACKETS = 32
MINIMUM_WINDOW_PACKETS = 4
RATE_INTERVAL_MIN = 1e-5  # seconds; what is delivered in less was counted, not carried


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What one acknowledgement, or the loss timer, told.

    Attributes:
        now: Instant of its arrival.
        acked_bytes: Bytes of packets that are known to have arrived.
        lost_bytes: Bytes of packets declared lost at the same time.
        late_bytes: Those of `acked_bytes` that had been declared lost before: they were only late.
        in_flight_bytes: Bytes still under way after both.
        delivered_bytes: Bytes delivered since the beginning.
        prior_delivered_bytes: The same figure when the newest of the acked packets was sent; a round trip has passed
            when it reaches what `delivered_bytes` was at the round's beginning.
        rate: Delivery rate in bytes a second, or None where the sample says nothing.
        app_limited: The sender had nothing more to send, so that `rate` is a lower bound.
        rtt: Round-trip sample in seconds, or None.
    """

    now: float
    acked_bytes: int
    lost_bytes: int
    in_flight_bytes: int
    delivered_bytes: int
    prior_delivered_bytes: int
    rate: float | None
    app_limited: bool
    rtt: float | None
    late_bytes: int = 0


class CongestionControl(Protocol):
    """One strategy at work on one path."""

    @property
    def window_bytes(self) -> int:
        """How many bytes may be under way."""
        ...

    @property
    def pacing_rate(self) -> float:
        """Bytes a second at which bursts leave."""
        ...

    @property
    def state(self) -> str:
        """The strategy's phase, for statistics."""
        ...

    def on_first_rtt(self, rtt: float) -> None:
        """Learn the round-trip time of the handshake, before anything was delivered."""
        ...

    def on_delivery(self, delivery: Delivery) -> None:
        """Learn from an acknowledgement or a loss."""
        ...

    def set_packet_bytes(self, packet_bytes: int) -> None:
        """Learn the size of full packets, when path MTU discovery changed it."""
        ...


CongestionFactory = Callable[[int], CongestionControl]


class DeliveryMeter:
    """Counts delivered bytes and computes the delivery rate between two points of the sender's history.

    The rate is taken over the longer of the sending and the acknowledging interval, so that neither compressed nor
    split acknowledgements can show more than was sent.

    Source: draft-cheng-iccrg-delivery-rate-estimation-02.
    """

    __slots__ = ("_app_limited_until", "delivered_at", "delivered_bytes", "first_sent_at")

    def __init__(self) -> None:
        self.delivered_bytes = 0
        self.delivered_at = 0.0
        self.first_sent_at = 0.0
        self._app_limited_until = 0

    def snapshot(self, *, now: float, in_flight_bytes: int) -> tuple[int, float, float, bool]:
        """Return (delivered bytes, when, first sending time, app limited) to keep with a run that leaves."""
        if in_flight_bytes == 0:
            self.first_sent_at = self.delivered_at = now
        # Also where nothing else has arrived since: what leaves after a pause was not held up by the path.
        limited = self._app_limited_until > 0 and self.delivered_bytes <= self._app_limited_until
        return self.delivered_bytes, self.delivered_at, self.first_sent_at, limited

    def mark_app_limited(self, in_flight_bytes: int) -> None:
        """Note that there is nothing to send: samples are lower bounds until what is under way has arrived."""
        self._app_limited_until = max(self.delivered_bytes + in_flight_bytes, 1)

    def on_acked(self, *, now: float, size_bytes: int, sent_at: float) -> None:
        """Count packets that arrived, the last of them sent at `sent_at`."""
        self.delivered_bytes += size_bytes
        self.delivered_at = now
        self.first_sent_at = max(self.first_sent_at, sent_at)

    def rate(
        self, snapshot: tuple[int, float, float, bool], *, now: float, sent_at: float, rtt_min: float
    ) -> float | None:
        """Compute bytes a second since `snapshot` was taken, None when the interval is too short to say."""
        delivered, delivered_at, first_sent_at, _ = snapshot
        interval = max(sent_at - first_sent_at, now - delivered_at)
        if interval < max(RATE_INTERVAL_MIN, 0.5 * rtt_min):
            return None
        return (self.delivered_bytes - delivered) / interval
