"""Path MTU discovery: how large a packet may be.

Climbs the rungs one probe at a time; a rung counts when its probe is acknowledged. When only small packets get
through, the path has become a black hole for large ones: start again from the bottom.

Source: RFC 8899, packetization layer path MTU discovery.
"""

from __future__ import annotations

from dfs_sdk.transport.config import MTU_LADDER

PROBES_MAX = 3
RAISE_INTERVAL = 600.0  # RFC 8899 section 5.1.1, PMTU_RAISE_TIMER
BLACK_HOLE_PAUSE = 60.0
BLACK_HOLE_LOSSES = 6
# Connections that only talk a little never probe.
PROBE_AFTER_BYTES = 16 * 1024


class MtuSearch:
    """The search on one path."""

    __slots__ = ("_delivered", "_failures", "_large_losses", "_probing", "_resume_at", "_rungs", "size")

    def __init__(self, size_max: int) -> None:
        self._rungs = sorted({rung for rung in MTU_LADDER if rung < size_max} | {size_max})
        self.size = self._rungs[0]
        self._failures = 0
        self._probing: int | None = None
        self._resume_at = 0.0
        self._large_losses = 0
        self._delivered = 0

    @property
    def base(self) -> int:
        """The size that every path carries."""
        return self._rungs[0]

    def probe_due(self, now: float) -> int | None:
        """Return the size to probe, or None."""
        if self._probing is not None or self._delivered < PROBE_AFTER_BYTES or now < self._resume_at:
            return None
        return next((rung for rung in self._rungs if rung > self.size), None)

    def on_probe_sent(self, size: int) -> None:
        """Note that a probe is under way."""
        self._probing = size

    def on_probe_lost(self, now: float) -> None:
        """Note that a probe did not arrive; the third one ends the search for a while."""
        self._probing = None
        self._failures += 1
        if self._failures >= PROBES_MAX:
            self._failures = 0
            self._resume_at = now + RAISE_INTERVAL

    def on_probe_acked(self, size: int) -> bool:
        """Note that a probe arrived.

        Returns:
            Whether packets may be larger now.
        """
        self._probing = None
        self._failures = 0
        grown = size > self.size
        self.size = max(size, self.size)
        return grown

    def on_settled(self, *, acked_bytes: int, acked_size_max: int, lost_size_max: int, now: float) -> bool:
        """Note what an acknowledgement said about the sizes of ordinary packets.

        Returns:
            Whether large packets vanish and the size fell back to the base.
        """
        self._delivered += acked_bytes
        if acked_size_max > self.base:
            self._large_losses = 0
        elif lost_size_max > self.base:
            self._large_losses += 1
        if self._large_losses < BLACK_HOLE_LOSSES or self.size == self.base:
            return False
        self.reset(now + BLACK_HOLE_PAUSE)
        return True

    def reset(self, resume_at: float) -> None:
        """Start again from the base size, because the path is another one."""
        self.size = self.base
        self._failures = self._large_losses = 0
        self._probing = None
        self._resume_at = resume_at
