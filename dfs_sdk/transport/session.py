"""A session: everything about one peer between the handshake and the end, without I/O.

It joins the sending half, the receiving half and the path, applies frames, and keeps the timers that belong to the
whole: keep-alive, idleness, stalls. The endpoint drives it; errors of the peer end it and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, assert_never

from dfs_sdk.crypto.identity import PublicIdentity
from dfs_sdk.errors import PeerUnreachableError
from dfs_sdk.ids import Address, NodeId
from dfs_sdk.runtime.buffers import Buffers
from dfs_sdk.runtime.ports import Entropy, Rng
from dfs_sdk.transport.asides import Asides
from dfs_sdk.transport.bbr import Bbr
from dfs_sdk.transport.config import TransportConfig
from dfs_sdk.transport.congestion import CongestionFactory
from dfs_sdk.transport.frames import (
    Ack,
    Cancel,
    Close,
    CloseCode,
    Frame,
    Observed,
    PathChallenge,
    PathResponse,
    Ping,
    Segment,
    Wanted,
    Window,
)
from dfs_sdk.transport.handshake import Agreement
from dfs_sdk.transport.inbox import Budget, Inbox
from dfs_sdk.transport.keys import ReceiveKeys, SendKeys
from dfs_sdk.transport.mtu import MtuSearch
from dfs_sdk.transport.outbox import OutgoingMessage
from dfs_sdk.transport.packet import DATA_OVERHEAD, INITIAL_WINDOW_BYTES
from dfs_sdk.transport.path import PathKeeper
from dfs_sdk.transport.receiving import Receiver
from dfs_sdk.transport.refusal import RefusalWatch
from dfs_sdk.transport.rtt import INITIAL_RTT
from dfs_sdk.transport.sending import Sender
from dfs_sdk.transport.slots import Slots
from dfs_sdk.transport.trace import Samples, Trace, TraceSample, in_rows, joined

IDLE_GRACE = 10.0
# A responder that seems not to have taken a session up is asked once more: its answer may lie in the socket of a
# process that slept.
CONFIRM_GRACE = 2.0
STALL_CHECK_INTERVAL = 5.0
KEEP_ALIVE_GRACE = 2.0
# Silence, with something under way, after which a peer may have been restarted; and pauses before it is said again.
MUTE_SECONDS = 2.0
MUTE_TIMEOUTS = 2
MUTE_PAUSE = 5.0
MUTE_PAUSE_MAX = 30.0
CHALLENGE_BYTES = DATA_OVERHEAD + len(PathChallenge(token=bytes(8)).encode())


class Burst(NamedTuple):
    """Datagrams to send: end to end in a lent buffer, each `segment_bytes` long but the last."""

    buffer: memoryview
    segment_bytes: int
    destination: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionStatistics:
    """A connection in figures: bytes are those of datagrams (`repeated_bytes`: of messages), times are seconds."""

    sent_bytes: int
    sent_packets: int
    received_bytes: int
    received_packets: int
    lost_packets: int
    repeated_bytes: int
    forged_packets: int
    replayed_packets: int
    in_flight_bytes: int
    queued_bytes: int
    window_bytes: int
    pacing_rate: float
    congestion_state: str
    rtt: float
    rtt_min: float
    mtu_bytes: int
    timeouts: int


class Session:
    """One established session."""

    def __init__(
        self,
        *,
        agreement: Agreement,
        address: Address,
        config: TransportConfig,
        budget: Budget,
        rng: Rng,
        entropy: Entropy,
        scratch: Slots,
        arrived: Slots,
        buffers: Buffers,
        now: float,
        congestion: CongestionFactory | None = None,
    ) -> None:
        self.peer: PublicIdentity = agreement.peer
        self.instance = agreement.instance
        self.initiated = agreement.initiated
        self.local_index = agreement.local_index
        self.observed_address = agreement.observed
        self.established_at = now
        self.close_reason: str | None = None
        self._config = config
        self._path = PathKeeper(address, entropy)
        mtu = MtuSearch(config.datagram_bytes_max)
        self.sender = Sender(
            config=config,
            keys=SendKeys(agreement.send_secret, remote_index=agreement.remote_index, now=now),
            congestion=congestion or (lambda packet_bytes: Bbr(packet_bytes, rng)),
            mtu=mtu,
            rng=rng,
            scratch=scratch,
        )
        if agreement.rtt is not None and agreement.rtt < INITIAL_RTT:
            # A slower answer may mean a busy peer: the usual first guess is kept then.
            self.sender.recovery.on_first_rtt(agreement.rtt)
        beyond = agreement.window_bytes - INITIAL_WINDOW_BYTES
        granted, pledged = (beyond, 0) if self.initiated else (0, beyond)
        self._inbox = Inbox(config, budget, initial=INITIAL_WINDOW_BYTES, pledged=pledged, buffers=buffers)
        self.sender.outbox.grant(INITIAL_WINDOW_BYTES + granted)
        self.receiver = Receiver(
            config=config,
            keys=ReceiveKeys(agreement.receive_secret, local_index=agreement.local_index),
            inbox=self._inbox,
            scratch=scratch,
            arrived=arrived,
        )
        self.heard_at = self._sent_at = now
        self._now = now
        self._source = address
        self._completed: list[OutgoingMessage] = []
        self._response: tuple[Address, PathResponse] | None = None
        self._idle_asked_at: float | None = None
        self._stall_check_at: float | None = None
        self._refusals = RefusalWatch()
        self._closing: Close | None = None
        self.is_farewell_due = False
        self._mute_pause = MUTE_PAUSE
        self._mute_after = now
        self.is_doubted = False
        self._trace = Trace()
        self.asides = Asides(
            send_secret=agreement.send_secret,
            receive_secret=agreement.receive_secret,
            remote_index=agreement.remote_index,
            now=now,
        )

    def __repr__(self) -> str:
        return f"Session({self.node_id.short}… at {self.address}, {self.close_reason or 'open'})"

    @property
    def node_id(self) -> NodeId:
        """The peer's name."""
        return self.peer.node_id

    @property
    def address(self) -> Address:
        """Where the peer is."""
        return self._path.address

    @property
    def rtt(self) -> float:
        """Smoothed round-trip time in seconds."""
        return self.sender.recovery.rtt.smoothed

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self.close_reason is None

    @property
    def is_hungry(self) -> bool:
        """Whether the peer waits for a larger window."""
        return self._inbox.is_hungry

    @property
    def lacking_bytes(self) -> int:
        """How much larger a window the peer waits for, in bytes."""
        return self._inbox.lacking_bytes

    @property
    def statistics(self) -> ConnectionStatistics:
        """Figures of this moment."""
        sender, receiver, recovery = self.sender, self.receiver, self.sender.recovery
        return ConnectionStatistics(
            sent_bytes=sender.sent_bytes,
            sent_packets=sender.sent_packets,
            received_bytes=receiver.received_bytes,
            received_packets=receiver.received_packets,
            lost_packets=recovery.lost_packets,
            repeated_bytes=sender.outbox.repeated_bytes,
            forged_packets=receiver.forged_packets,
            replayed_packets=receiver.replayed_packets,
            in_flight_bytes=recovery.in_flight_bytes,
            queued_bytes=sender.outbox.unsent_bytes,
            window_bytes=recovery.congestion.window_bytes,
            pacing_rate=recovery.congestion.pacing_rate,
            congestion_state=recovery.congestion.state,
            rtt=recovery.rtt.smoothed,
            rtt_min=recovery.rtt.minimum,
            mtu_bytes=sender.mtu.size,
            timeouts=recovery.timeouts,
        )

    @property
    def trace(self) -> Samples:
        """What it went through while data moved, oldest first; the last one is of now, if data moved since."""
        samples = self._trace.samples
        return joined(samples, in_rows(self._sample())) if self._trace.is_worth(self._moved_bytes) else samples

    def begin(self) -> None:
        """Send the first packet: it confirms the handshake to the responder and tells the peer its window."""
        self._inbox.extend()
        if self._inbox.limit > INITIAL_WINDOW_BYTES:
            # What WELCOME told as well: an initiator of an older version did not read it there.
            self.sender.controls.window = self._inbox.limit
        self.sender.controls.ping = True
        self.sender.tell_address(self.address)

    def receive(
        self, burst: memoryview, position: int, segment_bytes: int, source: Address, now: float
    ) -> tuple[int, list[memoryview]]:
        """Take datagrams of this session from a burst.

        Returns:
            Where the first datagram of somebody else begins, and the messages that are whole now.

        Raises:
            ProtocolError: The peer broke the protocol: close the session.
        """
        self._now, self._source = now, source
        opened = self.receiver.open_burst(burst, position, segment_bytes, now, self._on_frame)
        if opened.authentic_bytes:
            self.heard_at, self._idle_asked_at = now, None
            self._mute_pause, self._mute_after, self.is_doubted = MUTE_PAUSE, now, False
            self.sender.recovery.is_confirmed = True
            self._inbox.on_heard(now)
            self._path.on_packets(
                source, size_bytes=opened.authentic_bytes, newest=opened.newest, now=now, rtt=self.rtt
            )
            self._extend_window()
            if self._stall_check_at is None and self._may_stall:
                self._stall_check_at = now + STALL_CHECK_INTERVAL
            if now >= self._trace.next_at and self._trace.is_worth(self._moved_bytes):
                self._trace.add(self._sample())
        return opened.position, opened.completed

    def receive_aside(self, datagram: memoryview, now: float) -> bytes | None:
        """Open what the peer says aside; it lives, though what it began to send may stand still."""
        content = self.asides.open(datagram, now)
        if content is not None:
            self.heard_at, self._idle_asked_at = now, None
        return content

    def send(self, message: OutgoingMessage) -> None:
        """Queue a message.

        Raises:
            PeerUnreachableError: The session is closed.
            ConfigError: The message is empty.
            MessageTooLargeError: It is too long.
        """
        if self.close_reason is not None:
            raise PeerUnreachableError(f"the connection is closed: {self.close_reason}")
        self.sender.outbox.push(message)

    def cancel(self, message: OutgoingMessage) -> None:
        """Give a message up; harmless when it is over."""
        if self.sender.outbox.cancel(message) and message.message_id is not None:
            self.sender.controls.cancels.append(Cancel(message_id=message.message_id, total_bytes=message.total))

    def settled(self) -> list[OutgoingMessage]:
        """Return the messages that the peer acknowledged in full since the last call."""
        done, self._completed = self._completed, []
        return done

    def close(self, code: CloseCode, reason: str) -> None:
        """End the session; one CLOSE packet still leaves."""
        if self.close_reason is None:
            self.close_reason, self.is_farewell_due = reason, True
            self._closing = Close(code=code, reason=reason)
            self._inbox.close()

    def drop(self, reason: str) -> None:
        """End the session without a word."""
        if self.close_reason is None:
            self.close_reason = reason
            self._inbox.close()

    def wipe(self) -> None:
        """Forget the keys, because this is a forked child process."""
        self.sender.keys.wipe()
        self.receiver.keys.wipe()
        self.asides.wipe()

    def extend_window(self) -> bool:
        """Try again to give the peer the window it wants; says whether there is something to tell it."""
        return self._extend_window()

    def next_burst(self, now: float, out: Slots) -> Burst | None:
        """Seal what leaves next into `out`, None when nothing may leave now."""
        burst = self._close_burst(out.view) if self.close_reason is not None else self._open_burst(now, out)
        if burst is not None:
            self._sent_at = now
        return burst

    def _open_burst(self, now: float, out: Slots) -> Burst | None:
        lone = self._path_burst(now, out.view)
        if lone is not None:
            return lone
        filled = self.sender.next_burst(now, out, self.receiver.arrivals)
        if filled is None:
            return None
        size, segment_bytes = filled
        return Burst(out.view[:size], segment_bytes, self._path.address)

    def next_deadline(self) -> float:
        """Return when `handle_timer` wants to be called."""
        silence_until, grace = self._patience()
        deadline = silence_until if self._idle_asked_at is None else self._idle_asked_at + grace
        deadline = min(deadline, self._keep_alive_at())
        for at in (self.sender.next_deadline(), self.receiver.arrivals.ack_at, self._stall_check_at, self._mute_at()):
            if at is not None and at < deadline:
                deadline = at
        return deadline

    def handle_timer(self, now: float) -> None:
        """Do what is due: losses, probes, keep-alive, stalls, the end after too long a silence."""
        self._now = now
        self.sender.on_timer(now)
        if now >= self._keep_alive_at():
            self.sender.controls.ping = True
        if self._stall_check_at is not None and now >= self._stall_check_at:
            self._check_stall(now)
        silence_until, grace = self._patience()
        if self._idle_asked_at is None and now >= silence_until:
            # Asked once more before it is given up: perhaps it was this process that slept.
            self._idle_asked_at = now
            self.sender.controls.ping = True
        elif self._idle_asked_at is not None and now >= self._idle_asked_at + grace:
            confirmed = self.sender.recovery.is_confirmed
            silence = f"nothing was heard from the peer for {now - self.heard_at:.0f} s"
            self.drop(silence if confirmed else "the peer did not take up the connection")

    def falls_mute(self, now: float) -> bool:
        """Say whether it is time to ask whether the peer still knows this session; true once in growing pauses."""
        at = self._mute_at()
        if at is None or now < at:
            return False
        self._mute_after = now + self._mute_pause
        self._mute_pause = min(2 * self._mute_pause, MUTE_PAUSE_MAX)
        return True

    def doubt(self) -> None:
        """Ask the peer at once: the same process answered a new handshake, so it is awake and will answer this, too.

        Anything heard in this session clears the doubt.
        """
        self.is_doubted = True
        self.sender.controls.ping = True
        self.sender.recovery.probes_due = max(self.sender.recovery.probes_due, 1)

    @property
    def _moved_bytes(self) -> int:
        return self.sender.sent_bytes + self.receiver.received_bytes

    def _sample(self) -> TraceSample:
        recovery = self.sender.recovery
        return TraceSample(
            at=self._now,
            rtt=recovery.rtt.smoothed,
            rtt_min=recovery.rtt.minimum,
            window_bytes=recovery.congestion.window_bytes,
            background_window_bytes=recovery.background.window_bytes,
            in_flight_bytes=recovery.in_flight_bytes,
            pacing_rate=recovery.congestion.pacing_rate,
            sent_bytes=self.sender.sent_bytes,
            received_bytes=self.receiver.received_bytes,
            lost_packets=recovery.lost_packets,
            state=recovery.congestion.state,
        )

    def _mute_at(self) -> float | None:
        recovery = self.sender.recovery
        # One time-out proves little: it may have been this process that slept.
        if recovery.progress_at is None or not recovery.is_confirmed or recovery.timeouts < MUTE_TIMEOUTS:
            return None
        patience = max(MUTE_SECONDS, 3 * recovery.rtt.probe_timeout(self._config.ack_delay_max))
        return max(recovery.progress_at + patience, self._mute_after)

    def _patience(self) -> tuple[float, float]:
        """Until when silence is normal, and how many seconds an answer may take once it was asked for."""
        if self.sender.recovery.is_confirmed:
            return self.heard_at + self._config.idle_timeout, IDLE_GRACE
        return self.established_at + self._config.handshake_timeout, CONFIRM_GRACE

    def _keep_alive_at(self) -> float:
        # One PING keeps both directions alive: the other side acknowledges it before its own is due.
        grace = 0.0 if self.initiated else KEEP_ALIVE_GRACE
        return self._sent_at + self._config.keep_alive_interval + grace

    @property
    def _may_stall(self) -> bool:
        inbox = self._inbox
        return bool(inbox.incomplete or inbox.extra_bytes or not self.sender.outbox.is_empty)

    def _check_stall(self, now: float) -> None:
        inbox, outbox = self._inbox, self.sender.outbox
        self._stall_check_at = now + STALL_CHECK_INTERVAL if self._may_stall else None
        refused = self._refusals.seconds(outbox, inbox.audible)
        if inbox.has_stalled(now):
            self.close(CloseCode.STALLED, "a message was begun and not advanced")
        elif refused > self._config.stall_timeout and not inbox.is_woken(now):
            self.close(CloseCode.STALLED, f"the peer took nothing for {refused:.0f} s")
        elif inbox.is_hoarding(now):
            self.close(CloseCode.OVERLOADED, "a large window was granted and not used")
        elif outbox.is_spent and not outbox.under_way:
            self.close(CloseCode.DONE, "the numbers of messages are used up")

    def _on_frame(self, frame: Frame) -> None:
        sender = self.sender
        match frame:
            case Ack():
                self._completed += sender.on_ack(frame, self._now)
            case Window(limit=limit):
                sender.outbox.grant(limit)
            case Wanted(limit=limit):
                self._inbox.on_wanted(limit)
            case Cancel(message_id=message_id, total_bytes=total):
                self._inbox.on_cancel(message_id, total)
            case PathChallenge(token=token):
                self._response = (self._source, PathResponse(token=token))
            case PathResponse(token=token):
                self._on_response(token)
            case Observed(address=address):
                self.observed_address = address
            case Close(reason=reason):
                self._on_close(reason)
            case Ping() | Segment():
                pass
            case _:
                assert_never(frame)

    def _on_close(self, reason: str) -> None:
        if self.close_reason is None:
            self.drop(f"the peer closed the connection: {reason or 'no reason given'}")
            # The answer tells the peer that it may go: over a bad path it would not know whether it was heard.
            self._closing, self.is_farewell_due = Close(code=CloseCode.DONE, reason=""), False

    def _on_response(self, token: bytes) -> None:
        previous = self.address
        if self._path.on_response(token, self._source, self._now):
            self.sender.tell_address(self.address)
            if previous.host != self.address.host:
                self.sender.on_new_path(self._now)

    def _extend_window(self) -> bool:
        if self._inbox.extend():
            self.sender.controls.window = self._inbox.limit
            return True
        return False

    def _path_burst(self, now: float, out: memoryview) -> Burst | None:
        if self._response is not None:
            (destination, response), self._response = self._response, None
            frame = response.encode()
        else:
            challenge = self._path.challenge(packet_bytes=CHALLENGE_BYTES, now=now, rtt=self.rtt)
            if challenge is None:
                return None
            destination, frame = challenge[0], challenge[1].encode()
        size = self.sender.seal_lone(frame, out)
        return Burst(buffer=out[:size], segment_bytes=size, destination=destination)

    def _close_burst(self, out: memoryview) -> Burst | None:
        if self._closing is None:
            return None
        frame, self._closing = self._closing.encode(), None
        size = self.sender.seal_lone(frame, out)
        return Burst(buffer=out[:size], segment_bytes=size, destination=self.address)
