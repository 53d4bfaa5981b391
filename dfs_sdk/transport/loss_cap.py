"""A cap on the window where loss comes with a queue: whoever overflows a queue gives way as much as TCP does there.

Each overflow lowers the cap to a ratio of what was under way; it then grows as CUBIC's window does, at least as fast as
Reno's. That flows lose ratios and gain packets makes those of ours meet; that it takes the same time as theirs leaves
TCP its part. Flows that overflow the queue together keep their ratio, and each would come back to where it had been: so
whoever had less under way than at the overflow before takes it that others came, and comes back to less. Loss so heavy
that it is a policer or a hole in the path, with no queue that others share, lowers the cap as well, and is forgotten
within some ten rounds. Pure: instants and rounds are arguments.

Source: RFC 9438 sections 4.2 and 4.3 for the growth, 4.7 for the room that is left to others, with RFC 8312 section
4.1 for the time until then, which is longer; RFC 9002 section 7.3.2: one reaction for each round trip, since what is
lost in the next one left before the cap was lowered.
"""

from __future__ import annotations

BACKOFF = 0.7
ROOM_RATIO = (1 + BACKOFF) / 2  # of what was under way: where a flow comes back to that leaves others room
CUBIC_SCALE = 0.4  # packets per second cubed
# Packets a round that make a flow with our back-off as fast as Reno's, which halves and gains one.
RENO_STEP = 3 * (1 - BACKOFF) / (1 + BACKOFF)
QUICK_GROWTH = 1.25  # of what a round adds, from a packet on, after loss without a queue


class LossCap:
    """The most that may be under way, as far as overflows tell.

    Attributes:
        window_bytes: The cap.
    """

    __slots__ = ("_bytes_max", "_lowered_at", "_lowered_round", "_peak", "_quick_step", "_reno", "window_bytes")

    def __init__(self, bytes_max: float) -> None:
        """Start at `bytes_max`, which is never exceeded."""
        self.window_bytes = self._bytes_max = bytes_max
        self._peak = self._reno = 0.0
        self._lowered_at = 0.0
        self._quick_step = 0.0
        self._lowered_round: int | None = None

    def lower(
        self,
        in_use_bytes: float,
        *,
        packet_bytes: int,
        shared: bool,
        ordered: bool,
        floor_bytes: float,
        round_number: int,
        now: float,
    ) -> None:
        """Lower the cap; a second time in two rounds changes nothing.

        Args:
            in_use_bytes: What was under way when so much was lost, at most.
            packet_bytes: The size of full packets.
            shared: It was a queue that overflowed, and others may be in it.
            ordered: The path keeps packets in order; where it does not, jitter may have looked like a queue.
            floor_bytes: The cap does not go below.
            round_number: Counts round trips.
            now: The instant.
        """
        if self._lowered_round is not None and round_number <= self._lowered_round + 1:
            return
        in_use_bytes = min(in_use_bytes, self.window_bytes)
        self.window_bytes = self._reno = max(BACKOFF * in_use_bytes, floor_bytes)
        self._peak = in_use_bytes * (ROOM_RATIO if ordered and in_use_bytes < self._peak else 1)
        self._lowered_at, self._lowered_round = now, round_number
        self._quick_step = 0.0 if shared else packet_bytes

    def on_round(self, packet_bytes: int, now: float) -> None:
        """Let a round trip without such loss raise the cap."""
        if self.window_bytes >= self._bytes_max:
            return
        if self._quick_step:
            self.window_bytes = min(self.window_bytes + self._quick_step, self._bytes_max)
            self._quick_step *= QUICK_GROWTH
            return
        self._reno += RENO_STEP * packet_bytes
        packets = self._peak / packet_bytes
        back_after = (packets * (1 - BACKOFF) / CUBIC_SCALE) ** (1 / 3)
        cubic = (CUBIC_SCALE * (now - self._lowered_at - back_after) ** 3 + packets) * packet_bytes
        self.window_bytes = min(max(self.window_bytes, self._reno, cubic), self._bytes_max)
