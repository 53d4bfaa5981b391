"""Who is in the network, and what happened lately."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import traitlets

from dfs_sdk.node.snapshot import EventRow, NodeSnapshot, PeerRow
from dfs_sdk.ui.assets import script
from dfs_sdk.ui.base import Panel
from dfs_sdk.ui.face import NodeFace
from dfs_sdk.ui.pump import Pump
from dfs_sdk.views import words

MEMBERS_SHOWN_MAX = 200
NEWS_SHOWN_MAX = 100
RTT_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
RTT_HYSTERESIS = 1.25


class OverviewPanel(Panel):
    """The members of the network as a table, and the newest events."""

    title: ClassVar[str] = "Network"
    _esm = traitlets.Unicode(script("overview.js")).tag(sync=True)
    members: traitlets.List[Any] = traitlets.List().tag(sync=True)
    members_total = traitlets.Int().tag(sync=True)
    news: traitlets.List[Any] = traitlets.List().tag(sync=True)

    def __init__(self, node: NodeFace, *, pump: Pump | None = None) -> None:
        self._rtt_shown: dict[str, float] = {}
        super().__init__(node, pump=pump)

    def render(self, snapshot: NodeSnapshot) -> dict[str, Any]:
        """Show members, this node first, and news, newest first."""
        rows = sorted(snapshot.peers, key=lambda row: (row.state != "self", row.name, row.node_id))[:MEMBERS_SHOWN_MAX]
        self._rtt_shown = {row.node_id: rtt_step(row.rtt, self._rtt_shown.get(row.node_id, math.nan)) for row in rows}
        return {
            "members": [self._member(row) for row in rows],
            "members_total": len(snapshot.peers),
            "news": [_news(row) for row in snapshot.events[-NEWS_SHOWN_MAX:][::-1]],
        }

    def _member(self, row: PeerRow) -> dict[str, Any]:
        rtt = self._rtt_shown[row.node_id]
        return {
            "id": row.node_id,
            "short": words.short_id(row.node_id),
            "name": words.visible(row.name, length_max=60),
            "state": words.state(row.state),
            "address": words.visible(row.address),
            "rtt": f"≤ {words.duration(rtt)}" if math.isfinite(rtt) else "",
            "stored": words.size(row.used_bytes),
            "offered": words.size(row.capacity_bytes),
            "fill": round(min(1.0, row.used_bytes / row.capacity_bytes), 2) if row.capacity_bytes > 0 else 0.0,
        }


def rtt_step(rtt: float, shown: float) -> float:
    """Round a round-trip time up to a step of 1, 2, 5, and stay on the step shown while it nearly fits.

    A smoothed time wavers all the while; a panel that followed it would never be silent.

    Args:
        rtt: Seconds; NaN while unknown.
        shown: The step shown so far; NaN for none.
    """
    if not math.isfinite(rtt):
        return math.nan
    if math.isfinite(shown) and shown / 2.5 / RTT_HYSTERESIS < rtt <= shown * RTT_HYSTERESIS:
        return shown
    return next((step for step in RTT_STEPS if rtt <= step), float(math.ceil(min(rtt, 1e6))))


def _news(row: EventRow) -> dict[str, Any]:
    at = row.at_wall if math.isfinite(row.at_wall) else 0.0
    return {"at": at, "topic": words.visible(row.topic), "text": words.masked(row.text, length_max=500)}
