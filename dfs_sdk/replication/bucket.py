"""A token bucket: how many bytes of repair may go, and when the next ones may. Pure; time is given."""

from __future__ import annotations


class TokenBucket:
    """Lets bytes through at a rate, after a quiet time also a burst at once.

    Args:
        rate: Bytes a second, above 0.
        burst: The most bytes that accumulate, above 0.
        now: Monotonic seconds; the bucket starts full.
    """

    def __init__(self, *, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = now

    def take(self, size: float, now: float) -> float:
        """Take `size` bytes out of the bucket, into debt if need be.

        Returns:
            Seconds to wait before they may be sent.
        """
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._at) * self._rate)
        self._at = max(self._at, now)
        self._tokens -= size
        return max(0.0, -self._tokens / self._rate)
