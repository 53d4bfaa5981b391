"""Messages on their way in: each lands in one buffer of its declared length, within budgets.

Flow control. The receiver tells a limit; the sum of the charges (length + 256) of all messages the sender ever began
stays at or below it. The limit follows what was consumed: a base allowance, and on top of it what the sender says it
wants (WANTED), up to 16 MiB a peer. Every byte of allowance is reserved from one budget that all peers share, so the
sum of what all of them may have under way is bounded by construction, not by policing.

A peer that is heard from, but does not advance a message it began, is found out by `has_stalled`; one that is silent
altogether (its kernel is blocked) is not.
"""

from __future__ import annotations

from dfs_sdk.errors import NodeClosedError, ProtocolError
from dfs_sdk.runtime.buffers import Buffers
from dfs_sdk.transport.config import KIB, MIB, TransportConfig
from dfs_sdk.transport.frames import check_segment
from dfs_sdk.transport.outbox import OPEN_MESSAGES_MAX, charge
from dfs_sdk.transport.packet import INITIAL_WINDOW_BYTES
from dfs_sdk.transport.ranges import RangeSet

BASE_WINDOW_BYTES_MIN = 128 * KIB
BASE_WINDOW_BYTES_MAX = 2 * MIB
BASE_WINDOW_SHARE = 48  # the base allowance is this fraction of what the shared budget has left beside its reserve
EXTRA_WINDOW_SHARE = 2
SCARCE_SHARE = 8  # memory is scarce when less than this fraction is left beside the reserve
RESERVE_SHARE = 4  # this fraction of the budget is kept for the first allowances of all peers
GRANT_STEP_BYTES = 128 * KIB
# What all half-open handshakes were told together is at most this fraction of the budget, and half of the reserve: the
# other half has room for their first allowances. Once they are sessions it is taken from whatever is free, even the
# reserve, so that nobody who was told is refused because others were faster; where the reserve is nearly used up, peers
# that come meanwhile and were told nothing may still take what is left of it.
PLEDGED_SHARE = 8
# Finished numbers are remembered as ranges; an honest sender leaves a hole only for a message it has open.
FINISHED_RANGES_MAX = 4 * OPEN_MESSAGES_MAX
INCOMPLETE_MAX = 2 * OPEN_MESSAGES_MAX
PROGRESS_BYTES = 16 * KIB
# What landed of a message lies in few runs: an honest sender cuts packets of 1,200 bytes or more, and a gap is what
# such a packet carried. Runs of a byte each would cost more memory than the message, and time that grows as a square.
RUNS_FREE = 16
RUN_BYTES_MIN = 512
WAKE_GRACE = 10.0
WAKE_GAP = 5.0
# While memory is scarce a peer uses this fraction of what it holds beyond the base in this time, or gives way.
HOARD_SECONDS = 15.0
HOARD_SHARE = 64


class Budget:
    """What all peers together may have under way to us, in bytes.

    Attributes:
        total: All of it.
        releases: How often bytes were given back: those who got less than they wanted need not look before it changes.
    """

    __slots__ = ("_first", "_free", "releases", "total")

    def __init__(self, total: int) -> None:
        self.total = self._free = total
        self._first = 0
        self.releases = 0

    @property
    def reserve_bytes(self) -> int:
        """What is kept for the first allowances of further peers: less, the more peers there are."""
        return max(self.total // RESERVE_SHARE - self._first, 0)

    @property
    def spare_bytes(self) -> int:
        """What is free beside that."""
        return max(self._free - self.reserve_bytes, 0)

    @property
    def free_bytes(self) -> int:
        """Bytes not reserved."""
        return self._free

    @property
    def is_scarce(self) -> bool:
        """Whether beside what is kept for further peers too little is left for one large window."""
        return self.spare_bytes < self.total // SCARCE_SHARE

    def first_window(self, outstanding: int) -> int:
        """Say how much a peer that has proved nothing yet may be told that it may send once it has.

        Nothing is reserved for it: whoever forges handshakes uses up pledges, and no memory of those who are connected.

        Args:
            outstanding: How much more than `INITIAL_WINDOW_BYTES` others of that kind were told, in all.

        Returns:
            Bytes, a multiple of `INITIAL_WINDOW_BYTES` and at least that.
        """
        base = (self.spare_bytes - outstanding) // BASE_WINDOW_SHARE
        most = min(self.total // PLEDGED_SHARE, self.reserve_bytes // 2)
        room = most - outstanding + INITIAL_WINDOW_BYTES
        units = min(base, room, BASE_WINDOW_BYTES_MAX) // INITIAL_WINDOW_BYTES
        return max(units, 1) * INITIAL_WINDOW_BYTES

    def enter(self, first: int, pledged: int) -> bool:
        """Reserve the first allowance of a peer, out of what is kept for that, and what it was told beside it.

        Returns:
            Whether it could; if not, nothing is reserved.
        """
        if self._free < first + pledged:
            return False
        self._free -= first + pledged
        self._first += first
        return True

    def leave(self, first: int, held: int) -> None:
        """Give back what a peer holds that had entered with `first`."""
        self._first -= first
        self.release(held)

    def reserve(self, wanted: int) -> int:
        """Reserve up to `wanted` bytes and return how many."""
        granted = min(wanted, self._free)
        self._free -= granted
        return granted

    def release(self, size: int) -> None:
        """Give bytes back."""
        self._free += size
        self.releases += 1


class IncomingMessage:
    """One message on its way in.

    Attributes:
        message_id: Its number.
        buffer: Where its bytes land; whole and the receiver's own once it is complete.
        received: Byte ranges that landed.
        mark_bytes: `received.total` when progress was last noted.
        mark_audible: The connection's audible time then.
    """

    __slots__ = ("buffer", "mark_audible", "mark_bytes", "message_id", "received", "total")

    def __init__(self, message_id: int, buffer: memoryview, audible: float) -> None:
        self.message_id = message_id
        self.total = len(buffer)
        self.buffer = buffer
        self.received = RangeSet()
        self.mark_bytes = 0
        self.mark_audible = audible

    @property
    def is_complete(self) -> bool:
        """Whether all bytes have landed."""
        return self.received.total == self.total


class Inbox:
    """All messages that come in from one peer."""

    def __init__(
        self, config: TransportConfig, budget: Budget, *, initial: int, pledged: int = 0, buffers: Buffers | None = None
    ) -> None:
        """Start with the allowance both sides know of.

        Args:
            config: Settings.
            budget: Shared with all peers.
            initial: What every peer may send without being told, in bytes.
            pledged: How much more this one was told that it may send.
            buffers: Where messages land, shared with all peers; None for memory of its own.

        Raises:
            NodeClosedError: The shared budget cannot cover even that.
        """
        if not budget.enter(initial, pledged):
            raise NodeClosedError("no memory is left in the budget for incoming messages")
        self._config = config
        self._budget = budget
        self._buffers = buffers or Buffers()
        self._incomplete: dict[int, IncomingMessage] = {}
        self._finished = RangeSet()
        self._first = initial
        self._limit = initial + pledged
        self._begun = 0
        self._consumed = 0
        self._wanted = 0
        # What the limit was last computed for: only what the peer wants, or memory given back, can raise it.
        self._extended_for: tuple[int, int] | None = None
        self._audible = 0.0
        self._heard_at: float | None = None
        self._grace_until = 0.0
        self._landed_bytes = 0
        self._hoard_mark: tuple[float, int] | None = None
        self._closed = False

    @property
    def limit(self) -> int:
        """The limit the peer was told, or is about to be."""
        return self._limit

    @property
    def is_hungry(self) -> bool:
        """Whether the peer wants more than it was granted."""
        return self.lacking_bytes > 0

    @property
    def lacking_bytes(self) -> int:
        """How much more the peer wants than it was granted."""
        return 0 if self._closed else max(self._wanted - self._limit, 0)

    @property
    def incomplete(self) -> int:
        """How many messages have begun and not ended."""
        return len(self._incomplete)

    @property
    def extra_bytes(self) -> int:
        """What the peer holds of the budget beyond any base allowance."""
        return 0 if self._closed else max(self._limit - self._consumed - BASE_WINDOW_BYTES_MAX, 0)

    @property
    def audible(self) -> float:
        """Seconds for which the peer was heard from."""
        return self._audible

    def on_wanted(self, limit: int) -> None:
        """Note what the peer would like to send."""
        self._wanted = max(self._wanted, limit)

    def extend(self) -> bool:
        """Raise the limit as far as it should and the budget allows.

        Returns:
            Whether it rose so far that the peer should be told.
        """
        budget = self._budget
        causes = self._wanted, budget.releases
        if self._closed or causes == self._extended_for:
            return False
        self._extended_for = causes
        # Only who asks gets the least allowance, too: a thousand idle peers must not hold all there is.
        least = BASE_WINDOW_BYTES_MIN if self.is_hungry else 0
        base = min(max(budget.spare_bytes // BASE_WINDOW_SHARE, least), BASE_WINDOW_BYTES_MAX)
        # However often it asks, a peer holds no more than all others could still get: greedy ones cannot take all.
        held = self._limit - self._consumed
        share = (held + budget.spare_bytes) // EXTRA_WINDOW_SHARE
        ceiling = min(share, self._config.window_bytes_max)
        target = self._consumed + max(base, min(self._wanted - self._consumed, ceiling))
        step = target - self._limit
        if step <= 0 or (step < GRANT_STEP_BYTES and not self.is_hungry):
            return False
        gained = budget.reserve(step)
        self._limit += gained
        return gained > 0

    def find(self, message_id: int, total: int) -> IncomingMessage | None:
        """Return where the bytes of a message land, or None when they are not needed any more: it is over, or we are.

        Raises:
            ProtocolError: The length differs from what was said before, or the sender breaks a limit.
        """
        message = self._incomplete.get(message_id)
        if message is not None:
            if message.total != total:
                raise ProtocolError("a message changed its length")
            return message
        if not self._begins(message_id, total):
            return None
        if len(self._incomplete) >= INCOMPLETE_MAX:
            raise ProtocolError(f"more than {INCOMPLETE_MAX} messages under way")
        message = IncomingMessage(message_id, self._buffers.take(total), self._audible)
        self._incomplete[message_id] = message
        return message

    def land(self, message_id: int, total: int, offset: int, data: memoryview) -> IncomingMessage | None:
        """Copy one segment to its place.

        Returns:
            The message if it is complete now; it is already finished here.

        Raises:
            ProtocolError: As `find`, or the segment lies outside the message.
        """
        check_segment(total, offset, len(data))
        message = self.find(message_id, total)
        if message is None:
            return None
        stop = offset + len(data)
        message.buffer[offset:stop] = data
        return message if self.landed(message, offset, stop) else None

    def landed(self, message: IncomingMessage, start: int, stop: int) -> bool:
        """Note that bytes [start, stop) are in the buffer.

        Returns:
            Whether the message became complete; it is then finished.

        Raises:
            ProtocolError: Too many gaps are between what landed of it.
        """
        self._landed_bytes += message.received.add(start, stop)
        if len(message.received) > RUNS_FREE + message.total // RUN_BYTES_MIN:
            raise ProtocolError(f"a message of {message.total} bytes in {len(message.received)} pieces")
        if message.received.total - message.mark_bytes >= PROGRESS_BYTES:
            message.mark_bytes, message.mark_audible = message.received.total, self._audible
        if not message.is_complete or message.message_id not in self._incomplete:
            return False
        self._finish(message.message_id, message.total)
        return True

    def on_cancel(self, message_id: int, total: int) -> None:
        """Forget a message the sender gave up.

        Raises:
            ProtocolError: As `find`.
        """
        # One that was not begun is charged like any other, but needs no memory.
        if message_id not in self._incomplete:
            if self._begins(message_id, total):
                self._finish(message_id, total)
        elif self.find(message_id, total) is not None:
            self._finish(message_id, total)

    def on_heard(self, now: float) -> None:
        """Note that an authentic packet arrived: time since the last one counts as audible."""
        if self._heard_at is not None:
            gap = now - self._heard_at
            self._audible += gap
            if gap > WAKE_GAP:
                self._grace_until = now + WAKE_GRACE
        self._heard_at = now

    def has_stalled(self, now: float) -> bool:
        """Say whether the peer was heard from for long enough without advancing some message."""
        if self.is_woken(now):
            return False
        edge = self._audible - self._config.stall_timeout
        return any(message.mark_audible < edge for message in self._incomplete.values())

    def is_woken(self, now: float) -> bool:
        """Say whether the peer was silent until a moment ago: it may catch up before it is judged."""
        return now < self._grace_until

    def is_hoarding(self, now: float) -> bool:
        """Say whether the peer keeps a large window it hardly uses while there is none left for others.

        Call it now and then; the time it looks back on begins when memory becomes scarce.
        """
        extra = self.extra_bytes
        if not extra or not self._budget.is_scarce or self.is_woken(now):
            self._hoard_mark = None
            return False
        if self._hoard_mark is None or self._landed_bytes - self._hoard_mark[1] >= extra // HOARD_SHARE:
            self._hoard_mark = self._audible, self._landed_bytes
        return self._audible - self._hoard_mark[0] > HOARD_SECONDS

    def close(self) -> None:
        """Give back all that is reserved."""
        if not self._closed:
            self._closed = True
            self._budget.leave(self._first, self._limit - self._consumed)
            self._incomplete.clear()

    def _begins(self, message_id: int, total: int) -> bool:
        """Charge a message that is not under way; says whether it is new, and we are open."""
        # What follows a CLOSE in its burst must not charge a budget that was settled already.
        if message_id in self._finished or self._closed:
            return False
        self._begun += charge(total)
        if self._begun > self._limit:
            raise ProtocolError("the peer sends more than it was granted")
        return True

    def _finish(self, message_id: int, total: int) -> None:
        self._incomplete.pop(message_id, None)
        self._finished.add(message_id, message_id + 1)
        if len(self._finished) > FINISHED_RANGES_MAX:
            raise ProtocolError("too many message numbers were left out")
        self._consumed += charge(total)
        self._budget.release(charge(total))
