"""Odds that a silent peer returns, and the share of time a peer is up. Pure.

Notebooks fall silent all day long without being lost: kernels block, laptops sleep. So silence is turned into a
probability instead of a verdict. Of a peer's past silences we keep how many ended; the prior is that nine of ten do.

    p_return(t) = q S(t) / (q S(t) + 1 - q)

with q the share of silences that end and S the survival function of the down-times, exponential with a configured
mean. The longer the silence, the more it looks like one of those that never end.

Source: Bayes' rule over the two kinds of silence; the Beta(9, 1) prior is the design's estimate for notebooks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Self

PRIOR_RETURNS = 9.0
PRIOR_LOSSES = 1.0
PRIOR_AVAILABILITY = 0.9
PRIOR_SECONDS = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DownHistory:
    """What a peer's silences taught us.

    Attributes:
        returns: Silences that ended.
        losses: Silences after which its storage was lost, or its farewell came.
        down_seconds: Sum of the silences that ended.
        known_seconds: For how long we watched it, silences included.
    """

    returns: int = 0
    losses: int = 0
    down_seconds: float = 0.0
    known_seconds: float = 0.0

    def returned(self, silent_seconds: float) -> Self:
        """Add a silence that ended."""
        return replace(self, returns=self.returns + 1, down_seconds=self.down_seconds + max(0.0, silent_seconds))

    def lost(self) -> Self:
        """Add a silence that ended in a loss."""
        return replace(self, losses=self.losses + 1)


NO_HISTORY = DownHistory()


def return_share(history: DownHistory) -> float:
    """Estimate the share of this peer's silences that end, within (0, 1)."""
    returns = PRIOR_RETURNS + history.returns
    return returns / (returns + PRIOR_LOSSES + history.losses)


def p_return(silent_seconds: float, history: DownHistory = NO_HISTORY, *, down_time_mean: float) -> float:
    """Compute the probability that a peer, silent for so long, comes back.

    Args:
        silent_seconds: How long it has been silent; negative counts as 0.
        history: Its past silences.
        down_time_mean: Mean length in seconds of the silences that end, above 0.

    Returns:
        Within [0, 1], falling with the silence; `return_share` at 0.
    """
    share = return_share(history)
    survival = share * math.exp(-max(0.0, silent_seconds) / down_time_mean)
    return survival / (survival + 1 - share)


def availability(history: DownHistory, *, silent_seconds: float = 0.0) -> float:
    """Estimate the share of time a peer is up, pulled towards 0.9 while we know little.

    Args:
        history: What we know, `known_seconds` up to date.
        silent_seconds: The silence under way, if any.
    """
    known = max(history.known_seconds, history.down_seconds + silent_seconds)
    up = known - history.down_seconds - silent_seconds
    return (PRIOR_AVAILABILITY * PRIOR_SECONDS + up) / (PRIOR_SECONDS + known)
