"""What a swarm itself tells, beside its nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dfs_sdk.events import Event
from dfs_sdk.sim.scenario import Shape, Strike

HOSTS_NAMED_MAX = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Struck(Event):
    """Something was done to hosts by a scenario or by hand.

    Attributes:
        strike: What.
    """

    topic: ClassVar[str] = "node"
    strike: Strike

    @property
    def text(self) -> str:
        """Say it in a sentence."""
        names = self.strike.hosts
        more = f" and {len(names) - HOSTS_NAMED_MAX} more" if len(names) > HOSTS_NAMED_MAX else ""
        whom = f" {', '.join(names[:HOSTS_NAMED_MAX])}{more}" if names else ""
        span = f" for {self.strike.seconds:.0f} s" if self.strike.seconds is not None else ""
        shape = f", {self.strike.shape.value}" if self.strike.shape is not Shape.GROUPS else ""
        return f"{self.strike.kind.value}{whom}{span}{shape}"
