"""What other people's TCP does, as a congestion control for tests: CUBIC, which fills queues and halves at loss.

Source: RFC 9438 (CUBIC), with its Reno-friendly region; RFC 9406 is left out: the start ends at the first loss.
"""

from __future__ import annotations

from dfs_sdk.transport.congestion import INITIAL_WINDOW_PACKETS, MINIMUM_WINDOW_PACKETS, Delivery

SCALE = 0.4
BACKOFF = 0.7
RENO_STEP = 3 * (1 - BACKOFF) / (1 + BACKOFF)
BURST_RATE = 1e9


class Cubic:
    """A window that grows with the cube of the time since the last loss."""

    def __init__(self, packet_bytes: int) -> None:
        self._packet_bytes = packet_bytes
        self._window = float(INITIAL_WINDOW_PACKETS)
        self._maximum = 0.0
        self._reno = 0.0
        self._lost_at: float | None = None
        self._recovered_bytes = 0

    @property
    def window_bytes(self) -> int:
        return int(self._window * self._packet_bytes)

    @property
    def pacing_rate(self) -> float:
        return BURST_RATE

    @property
    def state(self) -> str:
        return "start" if self._lost_at is None else "cubic"

    def set_packet_bytes(self, packet_bytes: int) -> None:
        self._packet_bytes = packet_bytes

    def on_first_rtt(self, rtt: float) -> None:
        pass

    def on_delivery(self, delivery: Delivery) -> None:
        # One reaction for each window: losses of packets that left before the last one are the same event.
        if delivery.lost_bytes and delivery.delivered_bytes >= self._recovered_bytes:
            self._recovered_bytes = delivery.delivered_bytes + delivery.in_flight_bytes
            self._maximum, self._lost_at = self._window, delivery.now
            self._window = self._reno = max(BACKOFF * self._window, MINIMUM_WINDOW_PACKETS)
        elif self._lost_at is None:
            self._window += delivery.acked_bytes / self._packet_bytes
        else:
            zero = (self._maximum * (1 - BACKOFF) / SCALE) ** (1 / 3)
            target = SCALE * (delivery.now - self._lost_at - zero) ** 3 + self._maximum
            acked = delivery.acked_bytes / self._packet_bytes
            self._reno += RENO_STEP * acked / self._window
            self._window += min(max(target - self._window, 0.01) / self._window, 0.5) * acked
            self._window = max(self._window, self._reno)
