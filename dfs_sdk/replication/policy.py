"""How many copies, and the odds they give. Pure.

The policy is a fixed count; the odds of availability and loss rank what is repaired first.

    avail = 1 - Π(1 - a_i p_i)            somebody who holds it is up
    loss  = Π(1 - p_i e^(-H / L_i))       nobody who holds it is left after the horizon H

with a_i the share of time holder i is up, p_i the probability that it is up or returns, L_i its expected lifetime.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from dfs_sdk.errors import ConfigError
from dfs_sdk.store.base import REPLICAS_DEFAULT

REPLICAS_MAX = 32
QUORUM_DEFAULT = 2
HOUR = 3600.0
# A notebook that was seen once is expected to stay a member for a month.
LIFETIME_DEFAULT = 30 * 24 * HOUR
_TINY = 1e-300


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How many copies of each chunk a file wants.

    Attributes:
        replicas: Copies on different nodes, 1 to 32.
        quorum: Peers other than the writer that must confirm before `put` returns: 0 to `replicas`; 0 keeps it here
            and spreads it as peers join. None means 2, or `replicas` if that is less.
    """

    replicas: int = REPLICAS_DEFAULT
    quorum: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.replicas <= REPLICAS_MAX:
            raise ConfigError(f"replicas is {self.replicas}: give 1 to {REPLICAS_MAX} copies")
        if self.quorum is not None and not 0 <= self.quorum <= self.replicas:
            raise ConfigError(f"quorum is {self.quorum}: give 0 to {self.replicas}, the number of copies")

    @property
    def write_quorum(self) -> int:
        """Peers that must confirm before a put returns."""
        return min(QUORUM_DEFAULT, self.replicas) if self.quorum is None else self.quorum


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderOdds:
    """What the odds of a chunk rest on, for one holder.

    Attributes:
        availability: Share of time it is up.
        p_return: Probability that it is up or comes back.
        lifetime: Seconds it is expected to stay a member.
    """

    availability: float
    p_return: float
    lifetime: float = LIFETIME_DEFAULT


def avail(holders: Iterable[HolderOdds]) -> float:
    """Compute the probability that at least one holder is up; 0 without holders."""
    return 1.0 - math.prod(1.0 - holder.availability * holder.p_return for holder in holders)


def loss(holders: Iterable[HolderOdds], *, horizon: float) -> float:
    """Compute the probability that no copy is left after `horizon` seconds; 1 without holders."""
    return math.prod(1.0 - holder.p_return * math.exp(-horizon / holder.lifetime) for holder in holders)


def endangerment(holders: Iterable[HolderOdds], *, horizon: float) -> float:
    """Rank a chunk for repair: the larger, the more urgent."""
    listed = list(holders)
    return math.log10(max(_TINY, loss(listed, horizon=horizon))) + math.log10(max(_TINY, 1.0 - avail(listed)))
