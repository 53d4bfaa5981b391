"""Who is in the network: a row for each member, this node first."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import traitlets

from dfs_sdk.node.snapshot import NodeSnapshot, PeerRow
from dfs_sdk.ui.assets import script, style
from dfs_sdk.ui.base import Panel
from dfs_sdk.ui.face import NodeFace
from dfs_sdk.ui.pump import Pump
from dfs_sdk.ui.rtt import RttSteps
from dfs_sdk.views import words

MEMBERS_SHOWN_MAX = 1_000
UP_SINCE_STEP = 10  # seconds: the browser counts on from here


class PeersPanel(Panel):
    """The members of the network as a table: state, round trip, load, uptime, and how full each is."""

    title: ClassVar[str] = "Peers"
    unfold: ClassVar[str] = "members"
    _esm = traitlets.Unicode(script("peers.js")).tag(sync=True)
    _css = traitlets.Unicode(style("peers.css")).tag(sync=True)
    members: traitlets.List[Any] = traitlets.List().tag(sync=True)
    members_total = traitlets.Int().tag(sync=True)
    summary = traitlets.Unicode().tag(sync=True)

    def __init__(self, node: NodeFace, *, pump: Pump | None = None) -> None:
        self._rtt = RttSteps()
        super().__init__(node, pump=pump)

    def render(self, snapshot: NodeSnapshot) -> dict[str, Any]:
        """Show the members, this node first, then by name."""
        rows = sorted(snapshot.peers, key=lambda row: (row.state != "self", row.name, row.node_id))[:MEMBERS_SHOWN_MAX]
        self._rtt.follow(rows)
        return {
            "members": [self._member(row, snapshot.at_wall) for row in rows],
            "members_total": len(snapshot.peers),
            "summary": words.presence(snapshot.peers),
        }

    def _member(self, row: PeerRow, now_wall: float) -> dict[str, Any]:
        return {
            "id": row.node_id,
            "short": words.short_id(row.node_id),
            "name": words.visible(row.name, length_max=60),
            "state": words.state(row.state),
            "about": words.state_meaning(row.state),
            "address": words.visible(row.address),
            "rtt": self._rtt.words(row.node_id),
            "load": words.count(row.load, "request") if row.load else "",
            "up_since": _up_since(row, now_wall),
            "stored": words.size(row.used_bytes),
            "offered": words.size(row.capacity_bytes),
            "fill": round(min(1.0, row.used_bytes / row.capacity_bytes), 2) if row.capacity_bytes > 0 else 0.0,
        }


def _up_since(row: PeerRow, now_wall: float) -> int:
    """When a member came up, in seconds since the epoch and coarse, so that it does not flicker; 0 if it is not up."""
    since = now_wall - row.uptime
    if row.state in ("away", "gone", "left") or not math.isfinite(since):
        return 0
    return max(0, round(since / UP_SINCE_STEP) * UP_SINCE_STEP)
