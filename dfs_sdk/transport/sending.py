"""The sending half of a session: what leaves next, sealed burst by burst.

A burst is either one packet of small things (acknowledgement, control frames, small messages), or some batches of
equal packets that carry consecutive segments of one message. Small things go first, so a call never waits behind more
than the burst being sealed. Frames that repeat state (window, wanted, observed address) are sent again from the state
as it is, never from a queue.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import assert_never

from dfs_sdk.ids import Address
from dfs_sdk.runtime.ports import Buffer, Rng
from dfs_sdk.transport.arrivals import Arrivals
from dfs_sdk.transport.config import TransportConfig
from dfs_sdk.transport.congestion import CongestionFactory
from dfs_sdk.transport.frames import (
    MESSAGE_OVERHEAD,
    PADDING,
    PING,
    Ack,
    Cancel,
    Observed,
    Ping,
    Wanted,
    Window,
)
from dfs_sdk.transport.keys import SendKeys
from dfs_sdk.transport.ledbat import Ledbat
from dfs_sdk.transport.mtu import MtuSearch
from dfs_sdk.transport.outbox import Outbox, OutgoingMessage
from dfs_sdk.transport.pacing import Pacer
from dfs_sdk.transport.packet import DATA_OVERHEAD
from dfs_sdk.transport.priority import Priority
from dfs_sdk.transport.recovery import Outcome, Recovery
from dfs_sdk.transport.segments import lay_segments, segment, segments
from dfs_sdk.transport.sent import Cargo, Piece, SentRun
from dfs_sdk.transport.slots import TABLE_ROWS_MIN, Slots

# What one system call moves: the kernel cuts at most one datagram of 65,535 bytes with headers into a batch.
BATCH_PACKETS_MAX = 64
BATCH_BYTES_MAX = 65_000
# Bookkeeping costs a burst about what sealing costs eight small packets.
BURST_BATCHES_MAX = 8
BURST_BYTES_MAX = BURST_BATCHES_MAX * (BATCH_BYTES_MAX + 507)
SKIP_EVERY_MIN = 256
SKIP_EVERY_MAX = 2048
ACK_BYTES_MAX = 18 + 8 * 64
# What shares a packet with a small message: an acknowledgement, where no control frame is due.
SMALL_OVERHEAD_MAX = DATA_OVERHEAD + ACK_BYTES_MAX + MESSAGE_OVERHEAD
BLIND_TIMEOUTS = 2
CANCELS_PER_PACKET = 32


@dataclass(slots=True)
class Controls:
    """Control frames that are due: state, not a queue, so that a peer cannot make it grow.

    Cancellations are bounded by the number of messages that may be open.
    """

    ping: bool = False
    window: int | None = None
    wanted: int | None = None
    observed: Address | None = None
    cancels: deque[Cancel] = field(default_factory=deque)

    @property
    def are_due(self) -> bool:
        """Whether there is something to send."""
        return bool(
            self.ping or self.cancels or self.window is not None or self.wanted is not None or self.observed is not None
        )

    def take(self) -> list[Cargo]:
        """Return what is due as frames and clear it."""
        due: list[Cargo] = []
        if self.window is not None:
            due.append(Window(limit=self.window))
        if self.wanted is not None:
            due.append(Wanted(limit=self.wanted))
        if self.observed is not None:
            due.append(Observed(address=self.observed))
        due.extend(self.cancels.popleft() for _ in range(min(len(self.cancels), CANCELS_PER_PACKET)))
        if self.ping:
            due.append(Ping())
        self.ping, self.window, self.wanted, self.observed = False, None, None, None
        return due


class Sender:
    """Decides what leaves, seals it and recovers what is lost."""

    def __init__(
        self,
        *,
        config: TransportConfig,
        keys: SendKeys,
        congestion: CongestionFactory,
        mtu: MtuSearch,
        rng: Rng,
        scratch: Slots,
    ) -> None:
        """Take the parts.

        Args:
            config: Settings.
            keys: Seals packets.
            congestion: Makes the congestion control of a path.
            mtu: Finds the size of packets.
            rng: For skipped numbers.
            scratch: At least `BURST_BYTES_MAX` to lay plaintexts out in; may be shared, nothing stays in it.
        """
        self._config = config
        self.keys = keys
        self.outbox = Outbox()
        self.recovery = Recovery(config, congestion(mtu.size), Ledbat(mtu.size))
        self.mtu = mtu
        self._new_congestion = congestion
        self.controls = Controls()
        self.sent_bytes = self.sent_packets = 0
        self.observed: Address | None = None
        self._pacer = Pacer()
        self._paced_until: float | None = None
        self._rng = rng
        self._scratch = scratch
        self._until_skip = rng.randrange(SKIP_EVERY_MIN, SKIP_EVERY_MAX)

    def next_burst(self, now: float, out: Slots, arrivals: Arrivals) -> tuple[int, int] | None:
        """Seal what leaves next into `out`.

        Returns:
            (bytes filled, bytes of each datagram but the last), or None when nothing may leave now.
        """
        config = self._config
        self.ask_window()
        self.keys.change_if_due(now, interval=config.rekey_interval, packets=config.rekey_packets)
        message = self._next_message(now)
        ack_due = arrivals.ack_at is not None and arrivals.ack_at <= now
        if ack_due or self.controls.are_due or (message is not None and self._is_small(message)):
            size = self._small(now, out.view, arrivals, ack_due=ack_due)
            if size:
                return size, size
            message = self._next_message(now)
        return self._mtu_probe(now, out.view) or self._bulk(message, now, out)

    def seal_lone(self, plaintext: bytes, out: memoryview) -> int:
        """Seal a packet that is neither acknowledged nor repeated; returns its size."""
        size = self.keys.seal(plaintext, out)
        self._count(1, size)
        return size

    def on_ack(self, ack: Ack, now: float) -> list[OutgoingMessage]:
        """Settle an acknowledgement and return the messages it completes.

        Raises:
            ProtocolError: It names packets that were never sent.
        """
        outcome = self.recovery.on_ack(ack, next_number=self.keys.next_number, now=now)
        self.keys.on_acked(ack.ranges[0][1] - 1)
        done = [
            piece.message
            for piece in outcome.acked
            if isinstance(piece, Piece) and self.outbox.on_acked(piece.message, piece.start, piece.stop)
        ]
        self._settle(outcome, now)
        return done

    def on_timer(self, now: float) -> None:
        """Declare losses, or probe after silence."""
        loss_at, probe_at = self.recovery.loss_deadline(), self.recovery.probe_deadline()
        if loss_at is not None and now >= loss_at:
            self._settle(self.recovery.on_loss_timer(now), now)
        elif probe_at is not None and now >= probe_at:
            self._requeue(self.recovery.on_probe_timer())
            if self.outbox.next_message(now) is None:
                self.controls.ping = True

    def ask_window(self) -> None:
        """Tell the peer what is queued, if that is news to it."""
        wanted = self.outbox.ask()
        if wanted is not None:
            self.controls.wanted = wanted

    def tell_address(self, address: Address) -> None:
        """Tell the peer from which address its packets come."""
        self.observed = self.controls.observed = address

    def on_new_path(self, now: float) -> None:
        """Forget what was learned about a path that is not used any more."""
        self.mtu.reset(now)
        self.recovery.on_new_path(self._new_congestion(self.mtu.size), Ledbat(self.mtu.size))
        self._pacer = Pacer()

    def next_deadline(self) -> float | None:
        """Return when `on_timer` or `next_burst` has something to do."""
        deadlines = (self.recovery.loss_deadline(), self.recovery.probe_deadline(), self._paced_until)
        return min((at for at in deadlines if at is not None), default=None)

    def _is_small(self, message: OutgoingMessage) -> bool:
        """Say whether what leaves next of a message fits a packet beside everything else that may be due."""
        start, stop = message.to_send.first
        return stop - start <= self._packet_bytes() - SMALL_OVERHEAD_MAX

    def _small(self, now: float, out: memoryview, arrivals: Arrivals, *, ack_due: bool) -> int:
        """Seal one packet of small things; returns its size, 0 when there are none after all."""
        frames, cargo = self._collect_small(now)
        if ack_due or (frames and arrivals.ack_at is not None):
            frames.insert(0, arrivals.ack(now).encode())
        return self._seal_one(b"".join(frames), cargo, now, out) if frames else 0

    def _collect_small(self, now: float) -> tuple[list[Buffer], list[Cargo]]:
        cargo = self.controls.take()
        frames: list[Buffer] = [
            PING if isinstance(item, Ping) else item.encode() for item in cargo if not isinstance(item, Piece)
        ]
        room = self._packet_bytes() - DATA_OVERHEAD - ACK_BYTES_MAX - sum(map(len, frames))
        recovery = self.recovery
        if recovery.in_flight_bytes >= recovery.congestion.window_bytes and not recovery.probes_due:
            return frames, cargo
        while (message := self._next_message(now)) is not None:
            start, stop = message.to_send.first
            room -= stop - start + MESSAGE_OVERHEAD
            if room < 0:
                break
            frames += segment(message, start, stop)
            cargo.append(Piece(message, start, stop))
            self.outbox.took(message, start, stop, now)
        return frames, cargo

    def _mtu_probe(self, now: float, out: memoryview) -> tuple[int, int] | None:
        size = self.mtu.probe_due(now)
        if size is None or self.recovery.timeouts:
            return None
        plaintext = PING + PADDING * (size - DATA_OVERHEAD - 1)
        self._seal_one(plaintext, [Ping()], now, out, is_mtu_probe=True)
        self.mtu.on_probe_sent(size)
        return size, size

    def _bulk(self, message: OutgoingMessage | None, now: float, out: Slots) -> tuple[int, int] | None:
        self._paced_until = None
        if message is None:
            if self.recovery.in_flight_bytes < self.recovery.congestion.window_bytes:
                self.recovery.meter.mark_app_limited(self.recovery.in_flight_bytes)
            return None
        packet_bytes = self._packet_bytes()
        background = message.priority is Priority.BACKGROUND
        allowed = self._allowed_packets(now, packet_bytes, background=background)
        if allowed <= 0:
            return None
        self._skip_sometimes(allowed)
        step = packet_bytes - DATA_OVERHEAD - MESSAGE_OVERHEAD
        start, stop = message.to_send.first
        stop = min(stop, start + allowed * step)
        count, first = -(-(stop - start) // step), self.keys.next_number
        size = self._seal_segments(message, start, stop, step, out)
        self.outbox.took(message, start, stop, now)
        self._pacer.consume(size)
        self._count(count, size)
        tail_bytes = size - (count - 1) * packet_bytes
        piece = Piece(message, start, stop)
        if self.recovery.log.grow(piece, first, count, packet_bytes=packet_bytes, tail_bytes=tail_bytes, sent_at=now):
            return size, packet_bytes
        self.recovery.on_sent(
            SentRun(
                first=first,
                stop=first + count,
                packet_bytes=packet_bytes if count > 1 else tail_bytes,
                tail_bytes=tail_bytes,
                sent_at=now,
                snapshot=self._snapshot(now),
                cargo=(piece,),
                step_bytes=step,
                is_background=background,
            )
        )
        return size, packet_bytes

    def _seal_segments(self, message: OutgoingMessage, start: int, stop: int, step: int, out: Slots) -> int:
        """Seal bytes [start, stop) of a message as packets of `step` bytes each but the last; returns their size."""
        if stop - start >= TABLE_ROWS_MIN * step:
            total = lay_segments(message, start, stop, step, self._scratch)
            return self.keys.seal_burst(self._scratch, total, step + MESSAGE_OVERHEAD, out)
        return self.keys.seal_each(segments(message, start, stop, step), out.view)

    def _seal_one(
        self, plaintext: bytes, cargo: list[Cargo], now: float, out: memoryview, *, is_mtu_probe: bool = False
    ) -> int:
        first = self.keys.next_number
        size = self.keys.seal(plaintext, out)
        if not cargo:
            self._count(1, size)
            return size
        self._on_sent(
            SentRun(
                first=first,
                stop=first + 1,
                packet_bytes=size,
                tail_bytes=size,
                sent_at=now,
                snapshot=self._snapshot(now),
                cargo=tuple(cargo),
                is_mtu_probe=is_mtu_probe,
                is_background=all(isinstance(it, Piece) and it.message.priority is Priority.BACKGROUND for it in cargo),
            )
        )
        return size

    def _on_sent(self, run: SentRun) -> None:
        self.recovery.on_sent(run)
        size = run.size_bytes
        self._pacer.consume(size)
        self._count(run.stop - run.first, size)

    def _count(self, packets: int, size: int) -> None:
        self.sent_packets += packets
        self.sent_bytes += size

    def _snapshot(self, now: float) -> tuple[int, float, float, bool]:
        return self.recovery.meter.snapshot(now=now, in_flight_bytes=self.recovery.in_flight_bytes)

    def _packet_bytes(self) -> int:
        # After silence small packets tell a black hole for large ones from a peer that does not answer.
        return self.mtu.base if self.recovery.timeouts >= BLIND_TIMEOUTS else self.mtu.size

    def _next_message(self, now: float) -> OutgoingMessage | None:
        return self.outbox.next_message(now, self._may_send_background)

    def _may_send_background(self) -> bool:
        """Say whether the window of what may wait has room."""
        return self.recovery.probes_due > 0 or self.recovery.background_room > 0

    def _allowed_packets(self, now: float, packet_bytes: int, *, background: bool) -> int:
        limit = BURST_BATCHES_MAX * max(min(BATCH_PACKETS_MAX, BATCH_BYTES_MAX // packet_bytes), 1)
        recovery = self.recovery
        if recovery.probes_due:
            return min(recovery.probes_due, limit)
        room = recovery.congestion.window_bytes - recovery.in_flight_bytes
        if room <= 0:
            return 0
        rate = recovery.congestion.pacing_rate
        if background:
            room, rate = min(room, recovery.background_room), min(rate, recovery.background.pacing_rate)
        allowance = self._pacer.allowance(now=now, rate=rate, packet_bytes=packet_bytes)
        if allowance <= 0:
            self._paced_until = self._pacer.ready_at(rate=rate, packet_bytes=packet_bytes)
            return 0
        return min(limit, max(min(room, allowance) // packet_bytes, 1))

    def _skip_sometimes(self, packets: int) -> None:
        self._until_skip -= packets
        if self._until_skip <= 0:
            self.recovery.on_skipped(self.keys.skip())
            self._until_skip = self._rng.randrange(SKIP_EVERY_MIN, SKIP_EVERY_MAX)

    def _settle(self, outcome: Outcome, now: float) -> None:
        self._requeue(outcome.lost)
        mtu, recovery = self.mtu, self.recovery
        if outcome.probe_lost is not None:
            mtu.on_probe_lost(now)
        if outcome.probe_acked is not None and mtu.on_probe_acked(outcome.probe_acked):
            recovery.set_packet_bytes(mtu.size)
        if mtu.on_settled(
            acked_bytes=outcome.acked_bytes,
            acked_size_max=outcome.acked_size_max,
            lost_size_max=outcome.lost_size_max,
            now=now,
        ):
            recovery.set_packet_bytes(mtu.size)

    def _requeue(self, cargo: list[Cargo]) -> None:
        controls = self.controls
        for item in cargo:
            match item:
                case Piece(message, start, stop):
                    self.outbox.on_lost(message, start, stop)
                case Window(limit=limit):
                    controls.window = max(limit, controls.window or 0)
                case Wanted(limit=limit):
                    controls.wanted = max(limit, controls.wanted or 0)
                case Observed():
                    controls.observed = self.observed
                case Cancel():
                    controls.cancels.append(item)
                case Ping():
                    pass
                case _:
                    assert_never(item)
