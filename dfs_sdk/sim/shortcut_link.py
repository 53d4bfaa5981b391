"""One connection of the shortcut transport: numbering, acknowledgement, sending again, falling silent."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dfs_sdk.crypto.identity import PublicIdentity
from dfs_sdk.errors import ConfigError, MessageTooLargeError, PeerUnreachableError
from dfs_sdk.ids import Address, NodeId
from dfs_sdk.runtime.ports import Buffer, Clock
from dfs_sdk.transport.config import MESSAGE_BYTES_MAX
from dfs_sdk.transport.priority import Priority
from dfs_sdk.transport.trace import Samples, in_rows

if TYPE_CHECKING:
    from dfs_sdk.sim.shortcut import ShortcutTransport

RTT_FIRST = 0.1
RESEND_MIN = 0.2
RESEND_MESSAGES_MAX = 16
MUTE_AFTER = 3
"""Fruitless rounds of sending again after which the peer counts as mute."""
NUMBERS_KEPT = 4_096


class ShortcutSent:
    """A message handed to a connection."""

    __slots__ = ("_acked", "_connection", "done", "number", "payload", "sent_at")

    def __init__(self, connection: ShortcutConnection, number: int, payload: bytes, sent_at: float) -> None:
        self.number = number
        self.payload = payload
        self.sent_at = sent_at
        self.done: str | None = None
        self._connection = connection
        self._acked: asyncio.Future[None] | None = None

    @property
    def acked(self) -> asyncio.Future[None]:
        """See `SentPort`."""
        if self._acked is None:
            self._acked = asyncio.get_running_loop().create_future()
            self._resolve()
        return self._acked

    def cancel(self) -> None:
        """See `SentPort`."""
        if self.done is None:
            self._connection.drop(self.number)
            self.finish("cancelled")

    def finish(self, how: str) -> None:
        """End as `acked`, `cancelled` or `failed`."""
        if self.done is None:
            self.done = how
            self._resolve()

    def _resolve(self) -> None:
        future = self._acked
        if future is None or future.done() or self.done is None:
            return
        if self.done == "acked":
            future.set_result(None)
        elif self.done == "cancelled":
            future.cancel()
        else:
            future.set_exception(PeerUnreachableError("the connection ended before the message had arrived"))
            future.exception()  # seen: not everybody who asked for the future still looks at it


class ShortcutConnection:
    """A `ConnectionPort`.

    Args:
        transport: Whose it is.
        number: By which the peer names this session.
        remote_number: By which we name the peer's.
        peer: Its keys, by its own word.
        address: Where it is.
        clock: Tells the time.

    Attributes:
        number: As given.
        remote_number: As given.
        address: Where the peer was heard last.
        moved: Whether it was heard somewhere else before.
        observed_address: How it sees us.
        arrived_bytes: See `ConnectionPort`; grows by whole messages, since that is how they travel here.
        received_bytes: See `ConnectionPort`.
        heard_at: When it was heard last.
        opened_at: When it began.
    """

    __slots__ = (
        "_clock",
        "_floor",
        "_loop",
        "_open",
        "_peer",
        "_queued_bytes",
        "_received",
        "_round",
        "_rtt",
        "_sent",
        "_timer",
        "_transport",
        "_waiting",
        "address",
        "arrived_bytes",
        "heard_at",
        "moved",
        "next_number",
        "number",
        "observed_address",
        "opened_at",
        "received_bytes",
        "remote_number",
    )

    def __init__(
        self,
        transport: ShortcutTransport,
        number: int,
        remote_number: int,
        *,
        peer: PublicIdentity,
        address: Address,
        clock: Clock,
    ) -> None:
        self.number = number
        self.remote_number = remote_number
        self.address = address
        self.moved = False
        self.observed_address: Address | None = None
        self.heard_at = self.opened_at = clock.monotonic()
        self.next_number = 1
        self.arrived_bytes = self.received_bytes = 0
        self._transport = transport
        self._peer = peer
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._open = True
        self._rtt = RTT_FIRST
        self._sent: dict[int, ShortcutSent] = {}
        self._queued_bytes = 0
        self._received: set[int] = set()
        self._floor = 0
        self._round = 0
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()

    def __repr__(self) -> str:
        return f"<ShortcutConnection with {self.node_id.short} at {self.address}, {'open' if self._open else 'closed'}>"

    @property
    def peer(self) -> PublicIdentity:
        """See `ConnectionPort`."""
        return self._peer

    @property
    def node_id(self) -> NodeId:
        """See `ConnectionPort`."""
        return self._peer.node_id

    @property
    def rtt(self) -> float:
        """See `ConnectionPort`."""
        return self._rtt

    @property
    def is_open(self) -> bool:
        """See `ConnectionPort`."""
        return self._open

    @property
    def trace(self) -> Samples:
        """Nothing: messages that travel whole know neither windows nor lost packets."""
        return in_rows()

    async def send(self, parts: Sequence[Buffer], *, priority: Priority) -> ShortcutSent:
        """See `ConnectionPort`.

        Raises:
            MessageTooLargeError: It is longer than a message may be.
            ConfigError: It is empty.
            PeerUnreachableError: The connection is closed.
        """
        while (sent := self.send_now(parts, priority=priority)) is None:
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._waiting.append(waiter)
            await waiter
        return sent

    def send_now(self, parts: Sequence[Buffer], *, priority: Priority) -> ShortcutSent | None:
        """See `ConnectionPort`.

        Raises:
            MessageTooLargeError: It is longer than a message may be.
            ConfigError: It is empty.
            PeerUnreachableError: The connection is closed.
        """
        payload = b"".join(parts)
        if not payload:
            raise ConfigError("a message has at least 1 byte")
        if len(payload) > MESSAGE_BYTES_MAX:
            raise MessageTooLargeError(f"a message has at most {MESSAGE_BYTES_MAX} bytes, not {len(payload)}")
        limit = self._transport.config.send_queue_bytes_max * (1 if priority >= Priority.TRANSFER else 2)
        if not self._open:
            raise PeerUnreachableError(f"the connection with peer {self.node_id.short} is closed")
        if self._queued_bytes >= limit:
            return None
        sent = ShortcutSent(self, self.next_number, payload, self._clock.monotonic())
        self.next_number += 1
        self._sent[sent.number] = sent
        self._queued_bytes += len(payload)
        self._transport.transmit_data(self, sent.number, payload)
        if self._timer is None:
            self._arm()
        return sent

    def close(self, reason: str) -> None:
        """See `ConnectionPort`."""
        self.end(reason, tell=True)

    def end(self, reason: str, *, tell: bool = False) -> None:
        """Be closed; what was not acknowledged fails."""
        if not self._open:
            return
        self._open = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        sent, self._sent, self._queued_bytes = self._sent, {}, 0
        self._transport.forget(self, reason, tell=tell)
        for message in sent.values():
            message.finish("failed")
        self._wake()

    def heard(self, source: Address) -> None:
        """Note that the peer spoke, and from where."""
        self.heard_at = self._clock.monotonic()
        self.moved |= source != self.address
        self.address = source

    def is_first(self, number: int) -> bool:
        """Say whether a message comes for the first time."""
        if number <= self._floor or number in self._received:
            return False
        self._received.add(number)
        while self._floor + 1 in self._received:
            self._floor += 1
            self._received.discard(self._floor)
        if len(self._received) > NUMBERS_KEPT:
            # The gaps are messages that their sender gave up.
            self._floor = min(self._received) - 1
        return True

    def on_ack(self, number: int) -> None:
        """Take a message off the list."""
        sent = self._sent.get(number)
        if sent is None:
            return
        self.arrived_bytes += len(sent.payload)
        if self._round == 0:
            self._rtt += (self._clock.monotonic() - sent.sent_at - self._rtt) / 8
        self._round = 0
        self.drop(number)
        sent.finish("acked")

    def drop(self, number: int) -> None:
        """Send a message no more."""
        sent = self._sent.pop(number, None)
        if sent is not None:
            self._queued_bytes -= len(sent.payload)
            self._wake()

    def _wake(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                if self._open:
                    break

    def _arm(self) -> None:
        wait = min(max(RESEND_MIN, 3 * self._rtt) * 2**self._round, self._transport.config.pto_max)
        self._timer = self._loop.call_later(wait, self._resend, self.next_number)

    def _resend(self, before: int) -> None:
        """Send again what was under way when the timer was set and is not acknowledged."""
        self._timer = None
        if not self._sent:
            return
        late = [sent for sent in self._sent.values() if sent.number < before]
        if late:
            if self._clock.monotonic() - self.heard_at >= self._transport.config.idle_timeout:
                self.end("the peer fell silent")
                return
            self._round = min(self._round + 1, 16)
            for sent in late[:RESEND_MESSAGES_MAX]:
                self._transport.transmit_data(self, sent.number, sent.payload)
            if self._round >= MUTE_AFTER:
                self._transport.on_mute(self)
        if self._open:
            self._arm()
