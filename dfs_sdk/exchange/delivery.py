"""Whether a source that was asked still delivers. Pure.

If it does, it is slow and not gone: asking another one as well would only make both lines fuller.
"""

from __future__ import annotations

# What came beside the chunks it owed, and what came twice.
OWED_FACTOR = 2


class Delivery:
    """What came from one source since it was asked for a chunk; time and bytes are arguments.

    Args:
        now: When it was asked, in seconds.
        received_bytes: What had come over its connection by then.
        owed_bytes: All that it was asked for and had not given, this chunk included. A source gives in turn, so
            whoever sent more than that has passed this chunk over.
        pace: Bytes a second at which the chunk would come in time.
    """

    __slots__ = ("_limit", "_looked_at", "_pace", "_seen_bytes")

    def __init__(self, *, now: float, received_bytes: int, owed_bytes: int, pace: float) -> None:
        self._limit = received_bytes + OWED_FACTOR * owed_bytes
        self._pace = pace
        self._looked_at = now
        self._seen_bytes = received_bytes

    def advances(self, *, now: float, received_bytes: int) -> bool:
        """Say whether enough came since the last look, of what the source owed."""
        came, elapsed = received_bytes - self._seen_bytes, now - self._looked_at
        self._looked_at, self._seen_bytes = now, received_bytes
        return came > self._pace * elapsed and received_bytes <= self._limit
