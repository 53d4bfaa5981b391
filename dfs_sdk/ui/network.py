"""The network as this node sees it: a picture, what it found out about it in words, and what happens."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Final

import traitlets

from dfs_sdk.node.snapshot import EventRow, NodeSnapshot, PeerRow
from dfs_sdk.ui.assets import script, style
from dfs_sdk.ui.base import Panel
from dfs_sdk.ui.face import NodeFace
from dfs_sdk.ui.pump import Pump
from dfs_sdk.ui.rtt import RttSteps
from dfs_sdk.views import words
from dfs_sdk.views.findings import findings

PEERS_DRAWN_MAX = 60
NEWS_SHOWN_MAX = 100
_STATE_ORDER: Final = ("alive", "lagging", "busy", "suspect", "away", "gone", "left")


class NetworkPanel(Panel):
    """The topology, the findings, and the events as they happen."""

    title: ClassVar[str] = "Network"
    unfold: ClassVar[str] = "news"
    _esm = traitlets.Unicode(script("network.js")).tag(sync=True)
    _css = traitlets.Unicode(style("network.css")).tag(sync=True)
    peers: traitlets.List[Any] = traitlets.List().tag(sync=True)
    peers_total = traitlets.Int().tag(sync=True)
    name = traitlets.Unicode().tag(sync=True)
    findings: traitlets.List[Any] = traitlets.List().tag(sync=True)
    news: traitlets.List[Any] = traitlets.List().tag(sync=True)

    def __init__(self, node: NodeFace, *, pump: Pump | None = None) -> None:
        self._rtt = RttSteps()
        super().__init__(node, pump=pump)

    def render(self, snapshot: NodeSnapshot) -> dict[str, Any]:
        """Show the peers by machine, what was found, and the news, newest first."""
        others = [row for row in snapshot.peers if row.state != "self"]
        drawn = sorted(others, key=_weight)[:PEERS_DRAWN_MAX]
        self._rtt.follow(drawn)
        return {
            "name": words.visible(snapshot.name, length_max=40),
            "peers": [self._peer(row) for row in sorted(drawn, key=lambda row: (row.host, row.name, row.node_id))],
            "peers_total": len(others),
            "findings": [{"level": each.level, "text": each.text} for each in findings(snapshot)],
            "news": [_news(row) for row in snapshot.events[-NEWS_SHOWN_MAX:][::-1]],
        }

    def _peer(self, row: PeerRow) -> dict[str, Any]:
        rtt = self._rtt.seconds(row.node_id)
        return {
            "id": row.node_id,
            "name": words.visible(row.name, length_max=40),
            "state": words.visible(row.state),
            "host": words.visible(row.host),
            "rtt": rtt if math.isfinite(rtt) else 0.0,
            "about": _about(row, self._rtt.words(row.node_id)),
        }


def _weight(row: PeerRow) -> tuple[int, str, str]:
    """Which peers are drawn when there are too many: those that are up first."""
    place = _STATE_ORDER.index(row.state) if row.state in _STATE_ORDER else len(_STATE_ORDER)
    return place, row.name, row.node_id


def _about(row: PeerRow, rtt: str) -> str:
    parts = [
        f"{words.visible(row.name, length_max=60)} ({words.short_id(row.node_id)})",
        words.visible(row.state),
        f"answers in {rtt}" if rtt else "",
        f"at {words.visible(row.address)}" if row.address else "",
        f"machine {words.visible(row.host)}" if row.host else "",
    ]
    return ", ".join(part for part in parts if part)


def _news(row: EventRow) -> dict[str, Any]:
    at = row.at_wall if math.isfinite(row.at_wall) else 0.0
    return {"at": at, "topic": words.visible(row.topic), "text": words.masked(row.text, length_max=500)}
