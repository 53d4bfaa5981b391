"""Pacing: bursts leave at the rate congestion control names, not as fast as the processor makes them.

A token bucket that releases whole bursts: an event loop wakes about once a millisecond, so a burst holds about that
much time's worth of packets, between 2 and 64 of them.
"""

from __future__ import annotations

BURST_PACKETS_MIN = 2
BURST_PACKETS_MAX = 64
BURST_INTERVAL = 0.001
# Below the resolution of any timer, above the rounding of instants: time always moves on between two tries.
WAIT_MIN = 1e-6
BACKLOG_INTERVAL = 0.004  # what a loop that woke late may send at once


class Pacer:
    """Releases bytes at a rate; starts with a full bucket."""

    __slots__ = ("_tokens", "_updated_at")

    def __init__(self) -> None:
        self._tokens: float | None = None
        self._updated_at = 0.0

    def allowance(self, *, now: float, rate: float, packet_bytes: int) -> int:
        """Return how many bytes may leave now: nothing until a whole burst may."""
        capacity, burst = max(rate * BACKLOG_INTERVAL, 10 * packet_bytes), self._burst(rate, packet_bytes)
        if self._tokens is None:
            self._tokens = capacity
        else:
            # Small things left at their own rate, since before anybody looked: more debt than a burst would be paid
            # off at a rate that has nothing to do with it.
            self._tokens = min(max(self._tokens, -burst) + rate * (now - self._updated_at), capacity)
        self._updated_at = now
        return int(self._tokens) if self._tokens >= burst else 0

    def consume(self, size_bytes: int) -> None:
        """Count bytes that left; those that may not wait (small messages, probes) can overdraw it, by a burst."""
        if self._tokens is not None:
            self._tokens -= size_bytes

    def ready_at(self, *, rate: float, packet_bytes: int) -> float:
        """Return the instant at which the next burst may leave."""
        missing = self._burst(rate, packet_bytes) - (self._tokens or 0.0)
        # One byte more than is missing: rounding must not make a timer that is due before it helps.
        return self._updated_at + max((max(missing, 0.0) + 1.0) / rate, WAIT_MIN)

    @staticmethod
    def _burst(rate: float, packet_bytes: int) -> float:
        packets = rate * BURST_INTERVAL / packet_bytes
        return packet_bytes * min(max(packets, BURST_PACKETS_MIN), BURST_PACKETS_MAX)
