"""A hybrid logical clock: orders messages of different senders by cause first, by wall clock second.

Source: S. Kulkarni et al., "Logical Physical Clocks", 2014. A stamp is one integer: milliseconds since the epoch
shifted left by 16 bits, plus a counter. A stamp from a clock far ahead is not followed, or one liar could push
everybody's time to the end of the range.
"""

from __future__ import annotations

COUNTER_BITS = 16
STAMP_MAX = 2**63 - 1
AHEAD_SECONDS_MAX = 60.0


def stamp_at(wall: float) -> int:
    """The first stamp of an instant, in seconds since the epoch."""
    return int(wall * 1000) << COUNTER_BITS


class HybridClock:
    """Gives stamps that grow, and that are later than every stamp seen."""

    def __init__(self, last: int = 0) -> None:
        self._last = last

    def next(self, wall: float) -> int:
        """Stamp a message of ours at `wall` seconds since the epoch."""
        self._last = max(self._last + 1, stamp_at(wall))
        return self._last

    def seen(self, stamp: int, wall: float) -> None:
        """Follow the stamp of a received message, unless it is more than a minute ahead of us."""
        if stamp <= stamp_at(wall + AHEAD_SECONDS_MAX):
            self._last = max(self._last, stamp)
