"""What a path through the simulated network does to datagrams: values only, and the arithmetic that draws from them.

Losses are those of Gilbert and Elliott: a path is in a good or a bad state and loses with the ratio of that state.
Delays are a fixed part and a lognormal one, and now and then a spike on top. Draws are made a burst at a time: instead
of a die for each datagram, one draw says how many datagrams pass until the next one is hit.

Source: E. N. Gilbert, "Capacity of a burst-noise channel" (1960); E. O. Elliott, "Estimates of error rates for codes on
burst-noise channels" (1963); L. Devroye, "Non-Uniform Random Variate Generation" (1986), X.2 for geometric skips.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

from dfs_sdk.errors import ConfigError
from dfs_sdk.runtime.ports import Rng

QUANTILES = 1_024
"""Steps of the table that lognormal delays are drawn from; its ends are the 0.05 and 99.95 percentiles."""

DATAGRAM_BYTES_MAX = 1_472
"""The largest datagram on an Ethernet path: 1,500 bytes less the headers of IPv4 and UDP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What a directed path between two hosts is like. Durations in seconds, ratios within [0, 1].

    Attributes:
        delay_min: The fixed part of the delay.
        delay_mean: Mean of the varying part, which is lognormal; 0 for none.
        delay_sigma: Spread of its logarithm: 0.5 is a calm path, 1.5 one with a long tail.
        spike_interval: Mean time between two spikes, exponential; 0 for none.
        spike_length: How long a spike lasts.
        spike_delay: What every datagram waits longer during one.
        loss_ratio: Losses in the good state.
        bad_loss_ratio: Losses in the bad state.
        bad_enter_ratio: How likely the next datagram finds the path gone bad; 0 for a path that is always good.
        bad_leave_ratio: How likely the next datagram finds it good again.
        duplicate_ratio: Datagrams that arrive twice, the second some delay later.
        reorder_ratio: Datagrams that take `reorder_delay` longer and may be overtaken; others never are.
        reorder_delay: How much longer.
        corrupt_ratio: Datagrams of which some bytes are changed.
        rate_bytes: Bytes a second; 0 for no limit.
        queue_bytes: What may wait where the rate is limited; what comes on top is dropped.
        datagram_bytes_max: Larger ones vanish without a word.
    """

    delay_min: float = 0.0005
    delay_mean: float = 0.0
    delay_sigma: float = 0.5
    spike_interval: float = 0.0
    spike_length: float = 0.2
    spike_delay: float = 0.3
    loss_ratio: float = 0.0
    bad_loss_ratio: float = 0.5
    bad_enter_ratio: float = 0.0
    bad_leave_ratio: float = 0.2
    duplicate_ratio: float = 0.0
    reorder_ratio: float = 0.0
    reorder_delay: float = 0.02
    corrupt_ratio: float = 0.0
    rate_bytes: float = 0.0
    queue_bytes: int = 256 * 1024
    datagram_bytes_max: int = DATAGRAM_BYTES_MAX

    def __post_init__(self) -> None:
        for name in (
            "loss_ratio", "bad_loss_ratio", "bad_enter_ratio", "bad_leave_ratio", "duplicate_ratio", "reorder_ratio",
            "corrupt_ratio",
        ):  # fmt: skip
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}: give a ratio between 0 and 1")
        for name in (
            "delay_min", "delay_mean", "delay_sigma", "spike_interval", "spike_length", "spike_delay", "reorder_delay",
            "rate_bytes", "queue_bytes",
        ):  # fmt: skip
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"{name} is {getattr(self, name)}: give 0 or more")
        if not 1 <= self.datagram_bytes_max <= 65_507:
            raise ConfigError(f"datagram_bytes_max is {self.datagram_bytes_max}: give 1 to 65,507")

    @property
    def touches_datagrams(self) -> bool:
        """Whether some datagrams of a burst may fare differently from others."""
        return bool(
            self.loss_ratio or self.bad_enter_ratio or self.duplicate_ratio or self.reorder_ratio or self.corrupt_ratio
        )

    def delays(self) -> tuple[float, ...]:
        """Tabulate the delay's distribution without spikes: equally likely values, 1 or 1,024 of them."""
        return _delays(self.delay_min, self.delay_mean, self.delay_sigma)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What one host's own connection to the network carries, shared by all of its paths.

    Attributes:
        up_bytes: Bytes a second it may send; 0 for no limit.
        down_bytes: Bytes a second it may receive; 0 for no limit.
        queue_bytes: What may wait in each direction; what comes on top is dropped.
    """

    up_bytes: float = 0.0
    down_bytes: float = 0.0
    queue_bytes: int = 256 * 1024

    def __post_init__(self) -> None:
        if min(self.up_bytes, self.down_bytes, self.queue_bytes) < 0:
            raise ConfigError(f"{self} has a negative size: give 0 for no limit")


@lru_cache(maxsize=256)
def _delays(fixed: float, mean: float, sigma: float) -> tuple[float, ...]:
    if mean == 0:
        return (fixed,)
    normal = NormalDist(math.log(mean) - sigma * sigma / 2, sigma or 1e-9)
    return tuple(fixed + math.exp(normal.inv_cdf((step + 0.5) / QUANTILES)) for step in range(QUANTILES))


class Hits:
    """Says which of many datagrams are hit, each with the same ratio, at one draw a hit.

    Args:
        ratio: Within [0, 1].
        rng: Where draws come from.
    """

    __slots__ = ("_left", "_log", "_ratio", "_rng")

    def __init__(self, ratio: float, rng: Rng) -> None:
        self._ratio = ratio
        self._rng = rng
        self._log = math.log1p(-ratio) if 0 < ratio < 1 else 0.0
        self._left = self._gap()

    def among(self, count: int) -> Sequence[int]:
        """Draw the positions that are hit among the next `count`, in order."""
        left = self._left
        if left >= count:  # nearly always: a path is asked for each of its bursts
            self._left = left - count
            return ()
        found = []
        while left < count:
            found.append(int(left))
            left += 1 + self._gap()
        self._left = left - count
        return found

    @property
    def left(self) -> float:
        """How many datagrams pass before the next hit; infinite where none comes."""
        return self._left

    def skip(self, count: int) -> None:
        """Let datagrams pass of which none is hit: at most `left`."""
        self._left -= count

    def _gap(self) -> float:
        if self._ratio <= 0:
            return math.inf
        if self._ratio >= 1:
            return 0
        return math.floor(math.log(1.0 - self._rng.random()) / self._log)


class Losses:
    """Which datagrams a path loses, after Gilbert and Elliott."""

    __slots__ = ("_bad", "_is_bad", "_lost_bad", "_lost_good", "_to_bad", "_to_good")

    def __init__(self, conditions: Conditions, rng: Rng) -> None:
        self._is_bad = False
        self._bad = conditions.bad_enter_ratio > 0
        self._lost_good = Hits(conditions.loss_ratio, rng)
        self._lost_bad = Hits(conditions.bad_loss_ratio if self._bad else 0.0, rng)
        self._to_bad = Hits(conditions.bad_enter_ratio, rng)
        self._to_good = Hits(conditions.bad_leave_ratio if self._bad else 0.0, rng)

    @property
    def left(self) -> float:
        """How many datagrams pass before the next loss; 0 where each has to be asked about."""
        return 0 if self._bad else self._lost_good.left

    def skip(self, count: int) -> None:
        """Let datagrams pass of which none is lost: at most `left`."""
        self._lost_good.skip(count)

    @property
    def is_bad(self) -> bool:
        """Whether the path is in its bad state."""
        return self._is_bad

    def among(self, count: int) -> Sequence[int]:
        """Draw the positions that are lost among the next `count`, in order."""
        if not self._bad:
            return self._lost_good.among(count)
        lost = []
        for position in range(count):
            if (self._to_good if self._is_bad else self._to_bad).among(1):
                self._is_bad = not self._is_bad
            if (self._lost_bad if self._is_bad else self._lost_good).among(1):
                lost.append(position)
        return lost
