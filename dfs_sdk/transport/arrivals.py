"""Which packets arrived: the replay window and, from the same set, the acknowledgements.

Numbers of the last `REPLAY_WINDOW` packets are kept exactly, as ranges; older ones count as seen. After a change of
keys numbers jump by 2³²: the window then reaches back into the old epoch until the new one has filled it, but no
further than that one epoch, whose key is the oldest that still opens packets: however often a peer changes its keys,
what is kept stays bounded.
"""

from __future__ import annotations

from dfs_sdk.transport.frames import ACK_RANGES_MAX, Ack
from dfs_sdk.transport.keys import COUNTER_MASK, EPOCH_SHIFT
from dfs_sdk.transport.ranges import RangeSet

REPLAY_WINDOW = 16_384
PACKETS_BEFORE_ACK = 2  # RFC 9000 section 13.2.2
# Where datagrams come one by one, an acknowledgement for every second one would cost more than opening them does.
PACKETS_BEFORE_ACK_AT_ONCE = 16
ACK_GATHER = 0.001


class Arrivals:
    """Packet numbers that were received and authenticated."""

    __slots__ = ("_eliciting", "_floor", "_highest_at", "_seen", "ack_at", "highest")

    def __init__(self) -> None:
        self._seen = RangeSet()
        self._floor = 0
        self._highest_at = 0.0
        self._eliciting = 0
        self.highest = -1
        self.ack_at: float | None = None

    def is_seen(self, number: int) -> bool:
        """Say whether a packet is a replay, or too old to tell."""
        return number <= self.highest and (number < self._floor or number in self._seen)

    def are_new(self, start: int, stop: int) -> bool:
        """Say whether none of the packets [start, stop) was seen, nor is too old to tell."""
        return start > self.highest or (start >= self._floor and self._seen.missing(start, stop) == [(start, stop)])

    def add(self, start: int, stop: int, *, eliciting: bool, now: float, ack_delay_max: float) -> None:
        """Note a run of authentic packets [start, stop), none of them seen before.

        Args:
            start: First number.
            stop: Number after the last.
            eliciting: Whether they ask for an acknowledgement.
            now: When they arrived.
            ack_delay_max: How long a single packet may wait for its acknowledgement.
        """
        in_order = start == self.highest + 1
        self._seen.add(start, stop)
        if stop > self.highest + 1:
            self.highest, self._highest_at = stop - 1, now
            filled = self.highest & COUNTER_MASK >= REPLAY_WINDOW
            reach = self.highest - REPLAY_WINDOW if filled else (self.highest >> EPOCH_SHIFT) - 1 << EPOCH_SHIFT
            self._floor = max(self._floor, reach)
            self._seen.remove_below(self._floor)
        if eliciting:
            self._eliciting += stop - start
            burst = stop - start >= PACKETS_BEFORE_ACK or self._eliciting >= PACKETS_BEFORE_ACK_AT_ONCE
            if burst or not in_order:
                delay = 0.0
            else:
                delay = ACK_GATHER if self._eliciting >= PACKETS_BEFORE_ACK else ack_delay_max
            self.ack_at = now + delay if self.ack_at is None else min(self.ack_at, now + delay)

    def ack(self, now: float) -> Ack:
        """Build the acknowledgement of what arrived and count it as sent; something must have arrived."""
        self.ack_at = None
        self._eliciting = 0
        return Ack(ranges=tuple(self._seen.newest(ACK_RANGES_MAX)), delay=max(now - self._highest_at, 0.0))
