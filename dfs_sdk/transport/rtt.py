"""Round-trip time: one estimator a path.

Source: RFC 9002 sections 5 and 6.2.1, names and values as there.
"""

from __future__ import annotations

INITIAL_RTT = 0.333
GRANULARITY = 0.001
PEER_SLEPT_FACTOR = 8.0


class RttEstimator:
    """Smoothed round-trip time, its variation and minimum, in seconds."""

    __slots__ = ("_slept", "has_sample", "latest", "minimum", "smoothed", "variation")

    def __init__(self) -> None:
        self.latest = 0.0
        self.minimum = INITIAL_RTT
        self.smoothed = INITIAL_RTT
        self.variation = INITIAL_RTT / 2
        self.has_sample = False
        self._slept = False

    def update(self, sample: float, *, ack_delay: float, after_silence: bool) -> None:
        """Take the time between sending a packet and learning that it arrived.

        Args:
            sample: Seconds, at least 0.
            ack_delay: Seconds the peer says it waited, already bounded by what we allow.
            after_silence: Whether probes went unanswered before. One sample far off is then ignored: a peer whose
                kernel was blocked says nothing about the path; a second one in a row is believed.
        """
        if after_silence and self.has_sample and sample > PEER_SLEPT_FACTOR * self.smoothed and not self._slept:
            self._slept = True
            return
        self._slept = False
        self.latest = sample
        if not self.has_sample:
            self.has_sample = True
            self.minimum = self.smoothed = sample
            self.variation = sample / 2
            return
        self.minimum = min(self.minimum, sample)
        adjusted = sample - ack_delay if sample - ack_delay >= self.minimum else sample
        self.variation = 0.75 * self.variation + 0.25 * abs(self.smoothed - adjusted)
        self.smoothed = 0.875 * self.smoothed + 0.125 * adjusted

    def probe_timeout(self, ack_delay_max: float) -> float:
        """Return how long to wait for an acknowledgement before probing, without back-off."""
        return self.smoothed + max(4 * self.variation, GRANULARITY) + ack_delay_max

    def loss_delay(self, reordering: float = 0.0) -> float:
        """Return how long a packet may stay unacknowledged after a later one was: 9/8 of the round trip.

        Args:
            reordering: Fraction of a round trip by which this path is known to deliver packets late.
        """
        return max((1.125 + reordering) * max(self.smoothed, self.latest), GRANULARITY)
