"""Loss recovery of one connection: what an acknowledgement proves, what must be sent again, and when to ask.

Packets count as lost when three later ones arrived, or when 9/8 of a round trip passed since and a later one
arrived. Where packets that counted as lost arrive after all, the path reorders: only time counts then, and more of
it, until they stop doing so. Silence is answered with probes at doubling intervals, capped so that a peer whose
kernel was blocked is served soon after it wakes. A number that was skipped on purpose proves a peer that
acknowledges it a liar.

Source: RFC 9002, whose names and values are used; RFC 8985 section 6.2 (RACK) for reordering; the capped back-off is
ours.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field

from dfs_sdk.errors import ProtocolError
from dfs_sdk.transport.config import TransportConfig
from dfs_sdk.transport.congestion import CongestionControl, Delivery, DeliveryMeter
from dfs_sdk.transport.frames import Ack, Ping
from dfs_sdk.transport.rtt import RttEstimator
from dfs_sdk.transport.sent import Cargo, SentLog, SentRun

PACKET_THRESHOLD = 3
PROBES_PER_TIMEOUT = 2
SKIPPED_MAX = 16
# Reordering, in fractions of a round trip: what each round with late packets adds, and how many without forgive one.
REORDERING_STEP = 0.25
REORDERING_MAX = 1.0
REORDERING_MEMORY_ROUNDS = 16
# What counted as lost is remembered this long, and this many runs of it, to see whether it was only late.
LOST_KEPT_MAX = 256
LOST_KEPT_ROUNDS = 8
BACKOFF_EXPONENT_MAX = 16
# Until the peer was heard, it may still wait for the packet that confirms the handshake, and not for long.
UNCONFIRMED_PTO_MAX = 1.0


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What an acknowledgement or the loss timer settled.

    Attributes:
        acked: Cargo that arrived.
        lost: Cargo that has to be sent again.
        acked_bytes: Bytes of datagrams that arrived.
        background_lost_bytes: Bytes of background traffic that was lost.
        acked_size_max: The largest datagram that arrived, for path MTU discovery.
        lost_size_max: The largest that was lost.
        probe_acked: A path MTU probe arrived; its size.
        probe_lost: A path MTU probe was lost; its size.
    """

    acked: list[Cargo] = field(default_factory=list)
    lost: list[Cargo] = field(default_factory=list)
    acked_bytes: int = 0
    background_lost_bytes: int = 0
    acked_size_max: int = 0
    lost_size_max: int = 0
    probe_acked: int | None = None
    probe_lost: int | None = None


class Recovery:
    """Sent packets, their acknowledgements, their losses and the timers for both."""

    def __init__(self, config: TransportConfig, congestion: CongestionControl, background: CongestionControl) -> None:
        """Start with nothing under way.

        Args:
            config: Settings.
            congestion: Rules all that is under way.
            background: Rules the part of it that may wait.
        """
        self._config = config
        self.congestion = congestion
        self.background = background
        self.rtt = RttEstimator()
        self.log = SentLog()
        self.meter = DeliveryMeter()
        self.timeouts = 0
        self.probes_due = 0
        self.is_confirmed = False
        self.lost_packets = 0
        self.progress_at: float | None = None
        self._last_sent_at = 0.0
        self._loss_at: float | None = None
        self._largest_acked = -1
        self._skipped: list[int] = []
        self._lost = SentLog()
        self._reordering = 0.0
        self._reordering_at = 0.0

    @property
    def in_flight_bytes(self) -> int:
        """Bytes of packets that are neither acknowledged nor lost."""
        return self.log.in_flight_bytes

    @property
    def background_room(self) -> int:
        """Bytes of background traffic that may leave."""
        return self.background.window_bytes - self.log.background_bytes

    def set_packet_bytes(self, packet_bytes: int) -> None:
        """Learn the size of full packets."""
        self.congestion.set_packet_bytes(packet_bytes)
        self.background.set_packet_bytes(packet_bytes)

    def on_first_rtt(self, rtt: float) -> None:
        """Take the handshake's round-trip time, in seconds."""
        self.rtt.update(rtt, ack_delay=0.0, after_silence=False)
        self.congestion.on_first_rtt(rtt)
        self.background.on_first_rtt(rtt)

    def on_sent(self, run: SentRun) -> None:
        """Note a run that leaves and wants acknowledgement."""
        self.log.append(run)
        self._last_sent_at = run.sent_at
        if self.progress_at is None:
            self.progress_at = run.sent_at
        self.probes_due = max(self.probes_due - (run.stop - run.first), 0)

    def on_skipped(self, number: int) -> None:
        """Note a number that no packet carries."""
        self._skipped.append(number)
        del self._skipped[:-SKIPPED_MAX]

    def on_ack(self, ack: Ack, *, next_number: int, now: float) -> Outcome:
        """Settle what an acknowledgement proves.

        Raises:
            ProtocolError: It names a packet that was never sent.
        """
        largest = ack.ranges[0][1] - 1
        if largest >= next_number:
            raise ProtocolError("the peer acknowledges a packet that was never sent")
        news = self._news(ack.ranges)
        self._check(news)
        background_bytes = self.log.background_bytes
        newest = self.log.take(largest, largest + 1)
        taken = newest[:]
        for start, stop in news:
            taken += self.log.take(start, stop)
        outcome = Outcome()
        late = self._take_late(news, now) if self._reordering or len(self._lost) else []
        if not taken and not late:
            return outcome
        rtt = self._sample_rtt(newest, ack.delay, now)
        self._largest_acked = max(self._largest_acked, largest)
        self.timeouts = self.probes_due = 0
        last = max(taken or late, key=lambda run: run.first)
        acked_bytes = self._count_acked(taken + late, last, outcome, now)
        late_bytes = sum(run.size_bytes for run in late)
        lost_bytes = self._detect_losses(outcome, now)
        self.progress_at = now if self.log.oldest is not None else None
        self._tell_congestion(
            last, acked_bytes=acked_bytes, lost_bytes=lost_bytes, late_bytes=late_bytes, rtt=rtt, now=now
        )
        if background_bytes:
            # What the peer waited before it answered is no queue.
            path_rtt = None if rtt is None else max(rtt - min(ack.delay, self._config.ack_delay_max), 0.0)
            self._tell_background(taken, outcome, rtt=path_rtt, now=now)
        return outcome

    def on_loss_timer(self, now: float) -> Outcome:
        """Declare packets lost whose time is up."""
        outcome = Outcome()
        lost_bytes = self._detect_losses(outcome, now)
        if lost_bytes:
            self._tell_congestion(None, acked_bytes=0, lost_bytes=lost_bytes, rtt=None, now=now)
            if outcome.background_lost_bytes:
                self._tell_background([], outcome, rtt=None, now=now)
        return outcome

    def on_probe_timer(self) -> list[Cargo]:
        """Answer silence: allow two probes.

        Returns:
            Cargo of the oldest packets under way, which is worth sending again though it may not be lost.
        """
        self.timeouts += 1
        self.probes_due = PROBES_PER_TIMEOUT
        cargo: list[Cargo] = []
        packets = 0
        for run in self.log:
            if packets == PROBES_PER_TIMEOUT:
                break
            useful = [item for item in run.cut(run.first, run.first + 1).cargo if not isinstance(item, Ping)]
            cargo += useful
            packets += bool(useful)
        return cargo

    def on_new_path(self, congestion: CongestionControl, background: CongestionControl) -> None:
        """Start measuring anew; what is under way stays under way."""
        self.congestion, self.background = congestion, background
        self.rtt = RttEstimator()
        self.timeouts = 0

    def loss_deadline(self) -> float | None:
        """Return when packets that later ones overtook count as lost."""
        return self._loss_at if self.log.oldest is not None else None

    def probe_deadline(self) -> float | None:
        """Return when silence is answered with probes."""
        if self.log.oldest is None or self._loss_at is not None:
            return None
        timeout = self.rtt.probe_timeout(self._config.ack_delay_max)
        backoff = timeout * float(2 ** min(self.timeouts, BACKOFF_EXPONENT_MAX))
        limit = self._config.pto_max if self.is_confirmed else UNCONFIRMED_PTO_MAX
        return self._last_sent_at + min(backoff, limit)

    def _news(self, ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return the ranges, highest first, that reach anything under way, or counted as lost: all others are old.

        Each number that was skipped leaves a gap in the acknowledgements of thousands of packets.
        """
        oldest = [run.first for run in (self.log.oldest, self._lost.oldest) if run is not None]
        if not oldest:
            return []
        lowest = min(oldest)
        return [one for one in ranges if one[1] > lowest]

    def _check(self, ranges: Iterable[tuple[int, int]]) -> None:
        for start, stop in ranges:
            index = bisect_left(self._skipped, start)
            if index < len(self._skipped) and self._skipped[index] < stop:
                raise ProtocolError("the peer acknowledges a number that was skipped")

    def _sample_rtt(self, newest: list[SentRun], delay: float, now: float) -> float | None:
        if not newest:
            return None
        sample = now - newest[0].sent_at
        delay = min(delay, self._config.ack_delay_max)
        self.rtt.update(sample, ack_delay=delay, after_silence=self.timeouts >= 2)
        return sample

    def _count_acked(self, taken: list[SentRun], last: SentRun, outcome: Outcome, now: float) -> int:
        acked_bytes = 0
        for run in taken:
            acked_bytes += run.size_bytes
            outcome.acked += run.cargo
            outcome.acked_size_max = max(outcome.acked_size_max, run.packet_bytes)
            if run.is_mtu_probe:
                outcome.probe_acked = run.packet_bytes
        outcome.acked_bytes = acked_bytes
        self.meter.on_acked(now=now, size_bytes=acked_bytes, sent_at=last.sent_at)
        return acked_bytes

    def _detect_losses(self, outcome: Outcome, now: float) -> int:
        """Move lost packets from the log to `outcome`, set the loss timer, return lost bytes that mean congestion."""
        self._loss_at = None
        oldest = self.log.oldest
        if oldest is None or self._largest_acked < oldest.first:
            return 0
        lost: list[SentRun] = []
        if not self._reordering:
            lost = self.log.take(oldest.first, self._largest_acked - PACKET_THRESHOLD + 1)
        delay = self.rtt.loss_delay(self._reordering)
        while (run := self.log.oldest) is not None and run.first < self._largest_acked:
            if now < run.sent_at + delay:
                self._loss_at = run.sent_at + delay
                break
            lost += self.log.take(run.first, min(run.stop, self._largest_acked))
        lost_bytes = 0
        for run in lost:
            if run.is_mtu_probe:
                outcome.probe_lost = run.packet_bytes
                continue
            lost_bytes += run.size_bytes
            outcome.background_lost_bytes += run.size_bytes * run.is_background
            self.lost_packets += run.stop - run.first
            outcome.lost += run.cargo
            outcome.lost_size_max = max(outcome.lost_size_max, run.packet_bytes)
            self._lost.append(run)
        self._lost.forget_oldest(LOST_KEPT_MAX)
        return lost_bytes

    def _take_late(self, ranges: Iterable[tuple[int, int]], now: float) -> list[SentRun]:
        """Return the packets that counted as lost and arrived after all, and learn how this path reorders."""
        late: list[SentRun] = []
        horizon = now - LOST_KEPT_ROUNDS * self.rtt.smoothed
        while (oldest := self._lost.oldest) is not None and oldest.sent_at < horizon:
            self._lost.take(oldest.first, oldest.stop)
        for start, stop in ranges:
            if oldest is None or stop <= oldest.first:
                break
            late += self._lost.take(start, stop)
        if late:
            self.lost_packets -= sum(run.stop - run.first for run in late)
            if not self._reordering or now >= self._reordering_at + self.rtt.smoothed:
                self._reordering = min(self._reordering + REORDERING_STEP, REORDERING_MAX)
                self._reordering_at = now
        elif self._reordering and now >= self._reordering_at + REORDERING_MEMORY_ROUNDS * self.rtt.smoothed:
            self._reordering -= REORDERING_STEP
            self._reordering_at = now
        return late

    def _tell_congestion(
        self,
        last: SentRun | None,
        *,
        acked_bytes: int,
        lost_bytes: int,
        rtt: float | None,
        now: float,
        late_bytes: int = 0,
    ) -> None:
        rate, prior, limited = None, 0, False
        if last is not None:
            rate = self.meter.rate(last.snapshot, now=now, sent_at=last.sent_at, rtt_min=self.rtt.minimum)
            prior, limited = last.snapshot[0], last.snapshot[3]
        self.congestion.on_delivery(
            Delivery(
                now=now,
                acked_bytes=acked_bytes,
                lost_bytes=lost_bytes,
                in_flight_bytes=self.log.in_flight_bytes,
                delivered_bytes=self.meter.delivered_bytes,
                prior_delivered_bytes=prior,
                rate=rate,
                app_limited=limited,
                rtt=rtt,
                late_bytes=late_bytes,
            )
        )

    def _tell_background(self, taken: list[SentRun], outcome: Outcome, *, rtt: float | None, now: float) -> None:
        self.background.on_delivery(
            Delivery(
                now=now,
                acked_bytes=sum(run.size_bytes for run in taken if run.is_background),
                lost_bytes=outcome.background_lost_bytes,
                in_flight_bytes=self.log.background_bytes,
                delivered_bytes=self.meter.delivered_bytes,
                prior_delivered_bytes=0,
                rate=None,
                app_limited=False,
                rtt=rtt,
            )
        )
