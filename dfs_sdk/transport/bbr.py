"""Model-based congestion control: send at the measured bottleneck rate, keep about two round trips under way.

Random loss does not slow it down, which is why it is the default: on a wireless or long path with 1 % loss a
loss-based window collapses. Loss above `LOSS_RATIO_MAX` over a few rounds, the sign of a policer, or loss beside a
standing queue caps the window (`loss_cap`). Three quanta are added to the window, because bursts of up to 64 packets
arrive and are acknowledged together.

Source: Cardwell et al., "BBR: Congestion-Based Congestion Control" (2016); draft-ietf-ccwg-bbr for gains, filters and
the compensation of aggregated acknowledgements. The evidence that ends the start after two rounds without growth
instead of three, the cap, and the margin within which a round trip confirms the shortest one, are ours.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

from dfs_sdk.runtime.ports import Rng
from dfs_sdk.transport.congestion import INITIAL_WINDOW_PACKETS, MINIMUM_WINDOW_PACKETS, Delivery
from dfs_sdk.transport.loss_cap import LossCap
from dfs_sdk.transport.pacing import BURST_INTERVAL, BURST_PACKETS_MAX, BURST_PACKETS_MIN
from dfs_sdk.transport.queue_signs import QueueSigns
from dfs_sdk.transport.rtt import INITIAL_RTT

STARTUP_GAIN = 2.885  # 2 / ln 2: the lowest that doubles the rate each round
STARTUP_WINDOW_GAIN = 2.0
CYCLE_GAINS = (1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
CYCLE_WINDOW_GAIN = 2.0
BANDWIDTH_ROUNDS = 10
FULL_PIPE_GROWTH = 1.25
FULL_PIPE_ROUNDS = 3
DRAIN_ROUNDS = 2.0  # the longest that the draining step of the cycle takes
DRAIN_RTT_MIN = 0.005  # seconds; on shorter paths more than the product waits for processors rather than in a queue
RTT_MINIMUM_AGE = 10.0
# A round trip this close to the shortest one, in ratio, met no queue: it says again what the shortest one said. Exactly
# as short it hardly ever is, if only since packets became longer after the first ones.
RTT_MINIMUM_MARGIN = 1 / 32
PROBE_RTT_DURATION = 0.2
PROBE_RTT_WINDOW_RATIO = 0.5
LOSS_RATIO_MAX = 0.3
LOSS_MEMORY_ROUNDS = 8
PROBE_GROWTH = 1.1
BURST_BYTES_MAX = 65_000
WINDOW_BYTES_MAX = 32 * 1024 * 1024


class Phase(Enum):
    """What the model is busy with."""

    STARTUP = "startup"
    DRAIN = "drain"
    PROBE_BANDWIDTH = "probe bandwidth"
    PROBE_RTT = "probe rtt"


class WindowedMaximum:
    """The largest of the samples of the last `rounds` rounds."""

    __slots__ = ("_rounds", "_samples")

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds
        self._samples: deque[tuple[int, float]] = deque()

    @property
    def value(self) -> float:
        """The maximum, 0 without samples."""
        return self._samples[0][1] if self._samples else 0.0

    def update(self, round_number: int, sample: float) -> None:
        """Take a sample of round `round_number`, which never decreases."""
        samples = self._samples
        while samples and samples[-1][1] <= sample:
            samples.pop()
        samples.append((round_number, sample))
        while samples[0][0] <= round_number - self._rounds:
            samples.popleft()


class Bbr:
    """The model of one path."""

    def __init__(self, packet_bytes: int, rng: Rng) -> None:
        self._packet_bytes = packet_bytes
        self._rng = rng
        self._phase = Phase.STARTUP
        self._window = float(INITIAL_WINDOW_PACKETS * packet_bytes)
        self._bandwidth = WindowedMaximum(BANDWIDTH_ROUNDS)
        self._extra_acked = WindowedMaximum(BANDWIDTH_ROUNDS)
        self._rtt_minimum = INITIAL_RTT
        self._rtt_minimum_at: float | None = None
        self._rtt_probe_until = 0.0
        self._round = 0
        self._round_end_delivered = 0
        self._round_acked = 0
        self._round_lost = 0
        self._queue = QueueSigns()
        self._round_in_flight = 0
        self._round_is_congested = False
        self._loss_ratio = 0.0
        self._loss_cap = LossCap(WINDOW_BYTES_MAX)
        self._full_bandwidth = 0.0
        self._full_rounds = 0
        self._full = False
        self._cycle_index = 0
        self._cycle_started_at = 0.0
        self._probed_bandwidth = 0.0
        self._epoch_at: float | None = None
        self._epoch_acked = 0

    @property
    def window_bytes(self) -> int:
        """How many bytes may be under way."""
        window = min(self._window, self._loss_cap.window_bytes)
        if self._phase is Phase.PROBE_RTT:
            window = min(window, PROBE_RTT_WINDOW_RATIO * self._product() + self._quantum())
        return int(max(window, MINIMUM_WINDOW_PACKETS * self._packet_bytes))

    @property
    def pacing_rate(self) -> float:
        """Bytes a second at which bursts leave."""
        rate = self._pacing_gain() * self._bandwidth.value
        if self._full:
            return rate
        # The first samples are of a few small packets: they must not hold back the first window.
        initial = INITIAL_WINDOW_PACKETS * self._packet_bytes
        return max(rate, STARTUP_GAIN * initial / max(self._rtt_minimum, 0.001))

    @property
    def state(self) -> str:
        """The phase in words."""
        return self._phase.value

    def set_packet_bytes(self, packet_bytes: int) -> None:
        """Learn the size of full packets."""
        self._packet_bytes = packet_bytes

    def on_first_rtt(self, rtt: float) -> None:
        """Pace the first window over the handshake's round trip; the first sample of data replaces it."""
        self._rtt_minimum = rtt

    def on_delivery(self, delivery: Delivery) -> None:
        """Update the model, then the phase, then the window."""
        self._round_acked += delivery.acked_bytes
        self._round_lost += delivery.lost_bytes - delivery.late_bytes
        self._round_in_flight = max(self._round_in_flight, delivery.in_flight_bytes + delivery.acked_bytes)
        if delivery.rtt is not None:
            self._queue.on_rtt(delivery.rtt)
        if delivery.late_bytes:
            self._queue.on_late()
        if delivery.acked_bytes:
            round_ended = delivery.prior_delivered_bytes >= self._round_end_delivered
            if round_ended:
                self._end_round(delivery)
            self._update_bandwidth(delivery)
            self._update_extra_acked(delivery)
            if round_ended:
                self._check_full_pipe(delivery)
            self._update_rtt(delivery)
            self._update_phase(delivery)
            self._update_window(delivery)

    def _end_round(self, delivery: Delivery) -> None:
        self._round += 1
        self._round_end_delivered = delivery.delivered_bytes
        lost, sent = self._round_lost, self._round_acked + self._round_lost
        ratio = max(lost, 0) / sent if sent > 0 else 0.0
        self._loss_ratio += (ratio - self._loss_ratio) / LOSS_MEMORY_ROUNDS
        overflows = self._queue.end_round(shortest=self._rtt_minimum, lost_bytes=lost, sent_bytes=sent)
        self._round_is_congested = self._queue.is_long or ratio > LOSS_RATIO_MAX
        # A few rounds say more than one, in which few packets make any ratio by chance.
        if overflows or self._loss_ratio > LOSS_RATIO_MAX:
            self._loss_cap.lower(
                min(self._window, self._round_in_flight),
                packet_bytes=self._packet_bytes,
                shared=overflows,
                ordered=self._queue.is_ordered,
                floor_bytes=MINIMUM_WINDOW_PACKETS * self._packet_bytes,
                round_number=self._round,
                now=delivery.now,
            )
        else:
            self._loss_cap.on_round(self._packet_bytes, delivery.now)
        self._round_acked = self._round_lost = self._round_in_flight = 0

    def _update_bandwidth(self, delivery: Delivery) -> None:
        rate = delivery.rate
        if rate is not None and (not delivery.app_limited or rate >= self._bandwidth.value):
            self._bandwidth.update(self._round, rate)

    def _update_extra_acked(self, delivery: Delivery) -> None:
        # How far acknowledgements run ahead of the estimated rate: aggregation, not bandwidth.
        expected = 0.0
        if self._epoch_at is not None:
            expected = self._bandwidth.value * (delivery.now - self._epoch_at)
        if self._epoch_at is None or self._epoch_acked <= expected:
            self._epoch_at, self._epoch_acked, expected = delivery.now, 0, 0.0
        self._epoch_acked += delivery.acked_bytes
        extra = min(self._epoch_acked - expected, self._window)
        self._extra_acked.update(self._round, extra)

    def _check_full_pipe(self, delivery: Delivery) -> None:
        if self._full or delivery.app_limited:
            return
        if self._bandwidth.value >= FULL_PIPE_GROWTH * self._full_bandwidth:
            self._full_bandwidth, self._full_rounds = self._bandwidth.value, 0
            return
        # One such round is not enough: where others fill the path, it would leave a newcomer with too little.
        self._full_rounds += 2 if self._round_is_congested else 1
        self._full = self._full_rounds >= FULL_PIPE_ROUNDS

    def _update_rtt(self, delivery: Delivery) -> None:
        now, rtt = delivery.now, delivery.rtt
        expired = self._rtt_minimum_at is not None and now > self._rtt_minimum_at + RTT_MINIMUM_AGE
        if rtt is not None and (self._rtt_minimum_at is None or rtt <= self._rtt_minimum or expired):
            self._rtt_minimum, self._rtt_minimum_at = rtt, now
        elif rtt is not None and rtt <= (1 + RTT_MINIMUM_MARGIN) * self._rtt_minimum:
            self._rtt_minimum_at = now
        if expired and self._phase is not Phase.PROBE_RTT and not delivery.app_limited:
            self._phase = Phase.PROBE_RTT
            self._rtt_probe_until = now + max(PROBE_RTT_DURATION, self._rtt_minimum)
        elif self._phase is Phase.PROBE_RTT and now >= self._rtt_probe_until:
            self._enter_cycle_or_startup(now)

    def _update_phase(self, delivery: Delivery) -> None:
        if self._phase is Phase.STARTUP and self._full:
            self._phase = Phase.DRAIN
        if self._phase is Phase.DRAIN and delivery.in_flight_bytes <= self._product() + self._quantum():
            self._enter_cycle_or_startup(delivery.now)
        if self._phase is Phase.PROBE_BANDWIDTH:
            self._advance_cycle(delivery)

    def _enter_cycle_or_startup(self, now: float) -> None:
        self._phase = Phase.PROBE_BANDWIDTH if self._full else Phase.STARTUP
        # Anywhere but in the draining step: flows that began together spread out.
        self._cycle_index = self._rng.choice((0, 2, 3, 4, 5, 6, 7))
        self._cycle_started_at = now
        self._probed_bandwidth = self._bandwidth.value

    def _advance_cycle(self, delivery: Delivery) -> None:
        gain = CYCLE_GAINS[self._cycle_index]
        # A round is not enough to drain: the step before takes longer than one. What it left would stand until the path
        # is emptied to measure it, which costs half a round.
        rounds = DRAIN_ROUNDS if gain < 1 and self._rtt_minimum >= DRAIN_RTT_MIN else 1.0
        elapsed = delivery.now - self._cycle_started_at > rounds * max(self._rtt_minimum, 0.001)
        drained = gain < 1 and delivery.in_flight_bytes <= self._product()
        if elapsed or drained:
            self._cycle_index = (self._cycle_index + 1) % len(CYCLE_GAINS)
            found_more = self._bandwidth.value >= PROBE_GROWTH * self._probed_bandwidth
            if gain < 1 and found_more and not self._round_is_congested:
                # Ask again at once, or a start that ended too soon would take many cycles to mend.
                self._cycle_index = 0
            if self._cycle_index == 0:
                self._probed_bandwidth = self._bandwidth.value
            self._cycle_started_at = delivery.now

    def _update_window(self, delivery: Delivery) -> None:
        target = self._window_gain() * self._product() + self._extra_acked.value + 3 * self._quantum()
        if self._full:
            self._window = min(self._window + delivery.acked_bytes, target)
        elif self._window < target or not self._bandwidth.value:
            self._window += delivery.acked_bytes
        self._window = min(max(self._window, MINIMUM_WINDOW_PACKETS * self._packet_bytes), WINDOW_BYTES_MAX)

    def _product(self) -> float:
        return self._bandwidth.value * self._rtt_minimum

    def _quantum(self) -> float:
        # What the pacer lets go at once: on a slow link three bursts of 64 packets would be a queue of their own.
        burst = self._bandwidth.value * BURST_INTERVAL
        packet = self._packet_bytes
        return min(max(burst, BURST_PACKETS_MIN * packet), BURST_PACKETS_MAX * packet, BURST_BYTES_MAX)

    def _pacing_gain(self) -> float:
        match self._phase:
            case Phase.STARTUP:
                return STARTUP_GAIN
            case Phase.DRAIN:
                return 1 / STARTUP_GAIN
            case Phase.PROBE_BANDWIDTH:
                gain = CYCLE_GAINS[self._cycle_index]
                # Where more than a fifth is lost, a quarter more sent would never show as growth.
                return gain / (1 - min(self._loss_ratio, LOSS_RATIO_MAX)) if gain > 1 else gain
            case Phase.PROBE_RTT:
                return 1.0

    def _window_gain(self) -> float:
        return STARTUP_WINDOW_GAIN if self._phase in (Phase.STARTUP, Phase.DRAIN) else CYCLE_WINDOW_GAIN
