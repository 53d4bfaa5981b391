"""Round-trip times that do not flicker: a panel that followed every change of a smoothed time would never be silent."""

from __future__ import annotations

import math
from collections.abc import Iterable

from dfs_sdk.node.snapshot import PeerRow
from dfs_sdk.views import words

RTT_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
RTT_HYSTERESIS = 1.25


class RttSteps:
    """The steps shown for the members of one panel."""

    def __init__(self) -> None:
        self._shown: dict[str, float] = {}

    def follow(self, rows: Iterable[PeerRow]) -> None:
        """Move on to the times of `rows`; members that are not among them are forgotten."""
        self._shown = {row.node_id: rtt_step(row.rtt, self._shown.get(row.node_id, math.nan)) for row in rows}

    def seconds(self, node_id: str) -> float:
        """The step of a member; NaN while unknown."""
        return self._shown.get(node_id, math.nan)

    def words(self, node_id: str) -> str:
        """The step of a member as people read it; empty while unknown."""
        step = self.seconds(node_id)
        return f"≤ {words.duration(step)}" if math.isfinite(step) else ""


def rtt_step(rtt: float, shown: float) -> float:
    """Round a round-trip time up to a step of 1, 2, 5, and stay on the step shown while it nearly fits.

    Args:
        rtt: Seconds; NaN while unknown.
        shown: The step shown so far; NaN for none.
    """
    if not math.isfinite(rtt):
        return math.nan
    if math.isfinite(shown) and shown / 2.5 / RTT_HYSTERESIS < rtt <= shown * RTT_HYSTERESIS:
        return shown
    return next((step for step in RTT_STEPS if rtt <= step), float(math.ceil(min(rtt, 1e6))))
