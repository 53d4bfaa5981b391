"""A peer that is heard from and takes nothing: it grants no window, or acknowledges nothing of what it was sent.

The counterpart of `Inbox.has_stalled`: what waits for such a peer would wait, and keep its memory, for ever. A peer
that is not heard from at all is another matter: its kernel is blocked, or it is gone.
"""

from __future__ import annotations

from dfs_sdk.transport.inbox import PROGRESS_BYTES
from dfs_sdk.transport.outbox import Outbox, OutgoingMessage


class RefusalWatch:
    """Notes how far the peer has taken what is sent to it, on the clock of the time in which it is heard."""

    __slots__ = ("_arrived_bytes", "_mark", "_oldest")

    def __init__(self) -> None:
        self._oldest: OutgoingMessage | None = None
        self._arrived_bytes = 0
        self._mark = 0.0

    def seconds(self, outbox: Outbox, audible: float) -> float:
        """Say for how long the peer has taken less than 16 KiB, and not ended the oldest message; call it now and then.

        Args:
            outbox: What waits and is under way.
            audible: Seconds for which the peer was heard from.
        """
        oldest = outbox.oldest
        if oldest is None or oldest is not self._oldest or outbox.arrived_bytes - self._arrived_bytes >= PROGRESS_BYTES:
            self._oldest, self._arrived_bytes, self._mark = oldest, outbox.arrived_bytes, audible
        return audible - self._mark
