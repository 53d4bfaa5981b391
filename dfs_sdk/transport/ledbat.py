"""Congestion control for what may wait: it takes what others leave and gives way when they come.

It watches how long packets stand in queues and keeps that below a target, so any flow that fills the queue, as TCP
does, pushes it aside. Our own flows (`bbr`) keep at most one round trip of queue, hence the target is at most half
the base round trip: they push it aside as well. Every now and then it pauses, which shows the base anew.

Source: RFC 6817 (LEDBAT) for the target, the base history and the reaction to loss; draft-irtf-iccrg-ledbat-plus-plus
for round-trip instead of one-way times, the decrease by ratio and the pauses.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from math import inf

from dfs_sdk.transport.congestion import Delivery
from dfs_sdk.transport.rtt import INITIAL_RTT

TARGET_MAX = 0.06  # seconds of queue
TARGET_MIN = 0.005  # below this a busy event loop looks like a queue
TARGET_RATIO = 0.5
CURRENT_SAMPLES = 4  # RFC 6817 section 2.4.2, CURRENT_FILTER
BASE_HISTORY = 10
BASE_INTERVAL = 60.0
INITIAL_WINDOW_PACKETS = 10
MINIMUM_WINDOW_PACKETS = 2
WINDOW_BYTES_MAX = 32 * 1024 * 1024
# A quarter more each round trip until a queue shows; after a pause twice as much, to half of what was right before.
START_GAIN = 0.25
RESUME_GAIN = 1.0
RESUME_RATIO = 0.5
START_EXIT_RATIO = 0.5
LOSS_BACKOFF = 0.5
PAUSE_ROUNDS = 2.0
# A pause and the climb after it take one part in this many of the time.
PAUSE_SHARE = 10
PACING_GAIN = 1.25
# The window grows only while at least this part of it is in use.
USED_RATIO = 0.5


class Stage(Enum):
    """What it is busy with."""

    START = "start"
    STEADY = "steady"
    PAUSE = "pause"


class QueueDelay:
    """How long packets stand in queues: the shortest of the latest round trips above the shortest of ten minutes."""

    __slots__ = ("_bases", "_interval_at", "_latest")

    def __init__(self) -> None:
        self._bases: deque[float] = deque(maxlen=BASE_HISTORY)
        self._interval_at = -inf
        self._latest: deque[float] = deque(maxlen=CURRENT_SAMPLES)

    @property
    def base(self) -> float:
        """Seconds a round trip takes without queues."""
        return min(self._bases, default=INITIAL_RTT)

    @property
    def value(self) -> float:
        """Seconds in queues at present."""
        return max(min(self._latest) - self.base, 0.0) if self._latest else 0.0

    def forget_latest(self) -> None:
        """Let samples from here on say what the queue is."""
        self._latest.clear()

    def update(self, rtt: float, now: float) -> None:
        """Take a round-trip sample in seconds."""
        self._latest.append(rtt)
        if now >= self._interval_at + BASE_INTERVAL:
            self._interval_at = now
            self._bases.append(rtt)
        else:
            self._bases[-1] = min(self._bases[-1], rtt)


class Ledbat:
    """The background's share of one path."""

    def __init__(self, packet_bytes: int) -> None:
        self._packet_bytes = packet_bytes
        self._delay = QueueDelay()
        self._stage = Stage.START
        self._window = float(INITIAL_WINDOW_PACKETS * packet_bytes)
        self._threshold = inf
        self._rtt = INITIAL_RTT
        self._shrunk_at = 0.0
        self._pause_at = inf
        self._pause_began_at = 0.0

    @property
    def window_bytes(self) -> int:
        """How many bytes of background traffic may be under way."""
        floor = MINIMUM_WINDOW_PACKETS * self._packet_bytes
        return floor if self._stage is Stage.PAUSE else int(max(self._window, floor))

    @property
    def pacing_rate(self) -> float:
        """Bytes a second at which bursts leave."""
        return PACING_GAIN * self.window_bytes / max(self._rtt, 0.001)

    @property
    def state(self) -> str:
        """The stage in words."""
        return self._stage.value

    @property
    def target(self) -> float:
        """Seconds of queue it allows itself."""
        return min(max(TARGET_RATIO * self._delay.base, TARGET_MIN), TARGET_MAX)

    def set_packet_bytes(self, packet_bytes: int) -> None:
        """Learn the size of full packets."""
        self._packet_bytes = packet_bytes

    def on_first_rtt(self, rtt: float) -> None:
        """Pace over the handshake's round trip."""
        self._rtt = rtt

    def on_delivery(self, delivery: Delivery) -> None:
        """Learn from what happened to background packets."""
        now = delivery.now
        if delivery.rtt is not None:
            self._rtt = delivery.rtt
            self._delay.update(delivery.rtt, now)
        if self._stage is Stage.PAUSE:
            self._maybe_resume(now)
            return
        # Only what left after the last step down can tell whether it was enough.
        if now - self._rtt >= self._shrunk_at and (delivery.lost_bytes or self._delay.value > self.target):
            self._shrink(now, lost=delivery.lost_bytes > 0)
        elif delivery.acked_bytes and self._is_used(delivery):
            self._grow(delivery.acked_bytes, now)
        if now >= self._pause_at:
            self._pause(now)

    def _is_used(self, delivery: Delivery) -> bool:
        return delivery.in_flight_bytes + delivery.acked_bytes >= USED_RATIO * self._window

    def _grow(self, acked_bytes: int, now: float) -> None:
        if self._stage is Stage.START:
            known = self._window < RESUME_RATIO * self._threshold < inf
            self._window += (RESUME_GAIN if known else START_GAIN) * acked_bytes
            if self._delay.value > START_EXIT_RATIO * self.target or self._window >= self._threshold:
                self._settle(now)
        else:
            room = max(1 - self._delay.value / self.target, 0.0)
            self._window += room * acked_bytes * self._packet_bytes / self._window
        self._window = min(self._window, WINDOW_BYTES_MAX)

    def _shrink(self, now: float, *, lost: bool) -> None:
        """Give way, at most by half a round trip's worth, once a round trip."""
        excess = self._delay.value / self.target - 1
        ratio = LOSS_BACKOFF if lost else 1 - min(excess, 1 - LOSS_BACKOFF)
        self._window = max(self._window * ratio, MINIMUM_WINDOW_PACKETS * self._packet_bytes)
        self._shrunk_at = now
        if self._stage is Stage.START:
            self._settle(now)

    def _settle(self, now: float) -> None:
        """End the start, and plan the next pause: the first soon, others at a tenth of the time."""
        self._stage = Stage.STEADY
        first = self._threshold == inf
        self._pause_at = now + (PAUSE_ROUNDS * self._rtt if first else (PAUSE_SHARE - 1) * (now - self._pause_began_at))

    def _pause(self, now: float) -> None:
        self._stage = Stage.PAUSE
        self._threshold = self._window
        self._pause_began_at, self._pause_at = now, inf

    def _maybe_resume(self, now: float) -> None:
        if now >= self._pause_began_at + PAUSE_ROUNDS * self._rtt:
            self._stage = Stage.START
            self._window = float(MINIMUM_WINDOW_PACKETS * self._packet_bytes)
            self._delay.forget_latest()
            self._shrunk_at = now
