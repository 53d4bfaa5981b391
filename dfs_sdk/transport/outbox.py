"""Messages on their way out: which bytes of which message leave next.

Strictly by priority, within one priority first come first served, except that a message under way which got no turn
for `STARVATION_INTERVAL` gets one burst ahead of bulk, so that the peer does not take it for stalled. Calls go ahead of
it for `STARVATION_BESIDE_CALLS`: it may have to wait for its pace, and they wait for none. A message gets its number
when its first byte leaves; before that it must fit the window the peer has granted (see `inbox`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum

from dfs_sdk.errors import ConfigError, MessageTooLargeError
from dfs_sdk.runtime.ports import Buffer
from dfs_sdk.transport.config import MESSAGE_BYTES_MAX, MIB
from dfs_sdk.transport.priority import Priority
from dfs_sdk.transport.ranges import RangeSet

# What a message costs beside its bytes: bookkeeping on both sides. Part of the flow-control rule.
MESSAGE_CHARGE = 256
OPEN_MESSAGES_MAX = 512
WANTED_AHEAD_MAX = 16 * MIB
STARVATION_INTERVAL = 5.0
STARVATION_BESIDE_CALLS = 20.0  # well within the `stall_timeout` of any peer's config
MESSAGE_ID_MAX = 2**32 - 1
NO_BODY = memoryview(b"")


def charge(total_bytes: int) -> int:
    """Return what a message of that length takes from the window."""
    return total_bytes + MESSAGE_CHARGE


def patience(ahead: OutgoingMessage) -> float:
    """Return for how many seconds a message under way waits for those of a more urgent one."""
    return STARVATION_INTERVAL if ahead.priority >= Priority.TRANSFER else STARVATION_BESIDE_CALLS


class SendState(Enum):
    """How far a message has come."""

    QUEUED = "queued"
    SENDING = "sending"
    ACKED = "arrived"
    CANCELLED = "cancelled"
    FAILED = "failed"


class OutgoingMessage:
    """One message on its way out.

    Attributes:
        head: Its first bytes.
        body: The bytes that follow, lent by whoever sends it; they never change.
        total: How many bytes it has.
        priority: Its place among others.
        message_id: Its number, once it was begun.
        state: How far it has come.
        to_send: Byte ranges that have to leave, for the first time or again.
        arrived: Byte ranges the peer acknowledged.
        served_at: When bytes of it left last.
    """

    __slots__ = (
        "arrived",
        "body",
        "head",
        "message_id",
        "priority",
        "queued",
        "served_at",
        "state",
        "to_send",
        "total",
    )

    def __init__(self, head: memoryview, priority: Priority, *, body: memoryview = NO_BODY) -> None:
        self.head = head
        self.body = body
        self.total = len(head) + len(body)
        self.priority = priority
        self.message_id: int | None = None
        self.state = SendState.QUEUED
        self.to_send = RangeSet(0, self.total)
        self.arrived = RangeSet()
        self.queued = False
        self.served_at = 0.0

    def __repr__(self) -> str:
        return f"OutgoingMessage({self.total} bytes, {self.priority.name}, {self.state.value})"

    def cut(self, start: int, stop: int) -> Buffer:
        """Return bytes [start, stop), copied only where they lie in both parts."""
        border = len(self.head)
        if stop <= border:
            return self.head[start:stop]
        if start >= border:
            return self.body[start - border : stop - border]
        return b"".join((self.head[start:], self.body[: stop - border]))

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in (SendState.ACKED, SendState.CANCELLED, SendState.FAILED)


class Outbox:
    """All messages that are queued or under way to one peer."""

    def __init__(self) -> None:
        # Indexed by priority: messages not begun, and begun ones with bytes to send.
        self._waiting: list[deque[OutgoingMessage]] = [deque() for _ in Priority]
        self._active: list[deque[OutgoingMessage]] = [deque() for _ in Priority]
        self._open: dict[int, OutgoingMessage] = {}
        self._next_id = 0
        self._limit = 0
        self._used = 0
        self._waiting_charges = 0
        self._asked = 0
        self.unsent_bytes = self.repeated_bytes = self.arrived_bytes = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing is queued or under way."""
        return not self._open and not self._waiting_charges

    @property
    def is_spent(self) -> bool:
        """Whether no number is left for a further message; those under way go on."""
        return self._next_id > MESSAGE_ID_MAX

    @property
    def under_way(self) -> int:
        """How many messages were begun and are not over."""
        return len(self._open)

    @property
    def oldest(self) -> OutgoingMessage | None:
        """The message that was begun first of those under way; if there is none, the one to begin next."""
        if self._open:
            return next(iter(self._open.values()))
        return next((queue[0] for queue in self._waiting if queue), None)

    @property
    def is_blocked(self) -> bool:
        """Whether a message waits for the peer's window."""
        head = next((queue[0] for queue in self._waiting if queue), None)
        return head is not None and self._used + charge(head.total) > self._limit

    def push(self, message: OutgoingMessage) -> None:
        """Queue a message.

        Raises:
            ConfigError: It is empty.
            MessageTooLargeError: It is longer than `MESSAGE_BYTES_MAX`.
        """
        if message.total == 0:
            raise ConfigError("a message has at least one byte")
        if message.total > MESSAGE_BYTES_MAX:
            raise MessageTooLargeError(f"a message has at most {MESSAGE_BYTES_MAX} bytes, not {message.total}")
        self._waiting[message.priority].append(message)
        self._waiting_charges += charge(message.total)
        self.unsent_bytes += message.total

    def grant(self, limit: int) -> None:
        """Take a window limit from the peer; a lower one than before is an old one."""
        self._limit = max(self._limit, limit)

    def ask(self) -> int | None:
        """Return the limit to ask the peer for, or None when asking would tell it nothing.

        It covers what is queued, so that the window is there before it is needed.
        """
        wanted = self._used + min(self._waiting_charges, WANTED_AHEAD_MAX)
        if wanted <= self._limit or wanted <= self._asked:
            return None
        if wanted < self._asked + MIB // 2 and not self.is_blocked:
            return None
        self._asked = wanted
        return wanted

    def next_message(self, now: float, background: Callable[[], bool] = lambda: True) -> OutgoingMessage | None:
        """Return the message whose bytes leave next; it has some in `to_send`.

        Args:
            now: The instant.
            background: Whether messages of the lowest priority may leave; asked only where there are some.
        """
        best: OutgoingMessage | None = None
        may_begin = True
        for active, waiting in zip(self._active, self._waiting, strict=True):
            if not active and (best is not None or not waiting):
                continue
            if active is self._active[-1] and not background():
                break
            if active:
                if best is None:
                    best = active[0]
                elif now - active[0].served_at > patience(best):
                    return active[0]
            elif may_begin:
                may_begin = self._may_begin(waiting[0])
                best = self._begin(waiting.popleft(), now) if may_begin else None
        return best

    def took(self, message: OutgoingMessage, start: int, stop: int, now: float) -> None:
        """Note that bytes [start, stop) of a message leave."""
        self.unsent_bytes -= message.to_send.remove(start, stop)
        message.served_at = now
        if not message.to_send:
            self._deactivate(message)

    def on_acked(self, message: OutgoingMessage, start: int, stop: int) -> bool:
        """Note that bytes arrived.

        Returns:
            Whether the message is complete now.
        """
        if message.is_over:
            return False
        self.arrived_bytes += message.arrived.add(start, stop)
        self.unsent_bytes -= message.to_send.remove(start, stop)
        if message.arrived.total < message.total:
            if not message.to_send:
                self._deactivate(message)
            return False
        self._finish(message, SendState.ACKED)
        return True

    def on_lost(self, message: OutgoingMessage, start: int, stop: int) -> None:
        """Note that bytes have to leave again, as far as no copy of them arrived."""
        if message.is_over:
            return
        for low, high in message.arrived.missing(start, stop):
            again = message.to_send.add(low, high)
            self.unsent_bytes += again
            self.repeated_bytes += again
        if message.to_send and not message.queued:
            message.queued = True
            self._active[message.priority].appendleft(message)

    def cancel(self, message: OutgoingMessage) -> bool:
        """Give a message up.

        Returns:
            Whether the peer has to be told, because bytes of it may have left.
        """
        if message.is_over:
            return False
        begun = message.message_id is not None
        if not begun:
            self._waiting[message.priority].remove(message)
            self._waiting_charges -= charge(message.total)
        self.unsent_bytes -= message.to_send.total
        message.to_send = RangeSet()
        self._finish(message, SendState.CANCELLED)
        return begun

    def fail_all(self) -> list[OutgoingMessage]:
        """End all messages, because the connection ended; returns them in the order in which they were begun."""
        pending = list(self._open.values())
        for queue in self._waiting:
            pending += queue
            queue.clear()
        for message in pending:
            self._finish(message, SendState.FAILED)
        self._waiting_charges = self.unsent_bytes = 0
        return pending

    def _may_begin(self, message: OutgoingMessage) -> bool:
        fits = self._used + charge(message.total) <= self._limit
        return fits and len(self._open) < OPEN_MESSAGES_MAX and not self.is_spent

    def _begin(self, message: OutgoingMessage, now: float) -> OutgoingMessage:
        message.message_id = self._next_id
        message.state = SendState.SENDING
        message.queued = True
        message.served_at = now
        self._next_id += 1
        self._used += charge(message.total)
        self._waiting_charges -= charge(message.total)
        self._open[message.message_id] = message
        self._active[message.priority].append(message)
        return message

    def _deactivate(self, message: OutgoingMessage) -> None:
        if message.queued:
            message.queued = False
            self._active[message.priority].remove(message)

    def _finish(self, message: OutgoingMessage, state: SendState) -> None:
        message.state = state
        self._deactivate(message)
        if message.message_id is not None:
            self._open.pop(message.message_id, None)
