"""The line on top of a dashboard: who this node is, how it is, in words."""

from __future__ import annotations

from typing import Any, ClassVar

import traitlets

from dfs_sdk.node.snapshot import NodeSnapshot
from dfs_sdk.ui.assets import script
from dfs_sdk.ui.base import Panel
from dfs_sdk.views import words

LAG_SHOWN_MIN = 0.5


class HeaderPanel(Panel):
    """Name, state, health and storage of a node; a status region that screen readers announce."""

    title: ClassVar[str] = "Node"
    _esm = traitlets.Unicode(script("header.js")).tag(sync=True)
    node = traitlets.Dict().tag(sync=True)

    def render(self, snapshot: NodeSnapshot) -> dict[str, Any]:
        """Show the node itself."""
        return {
            "node": {
                "name": words.visible(snapshot.name, length_max=60),
                "id": words.short_id(snapshot.node_id),
                "state": words.visible(snapshot.state),
                "health": words.visible(snapshot.health, length_max=500),
                "address": words.visible(snapshot.address),
                "private": snapshot.private,
                "stored": words.size(snapshot.used_bytes),
                "offered": words.size(snapshot.capacity_bytes),
                "lag": lag_in_words(snapshot.lag),
            }
        }


def lag_in_words(lag: float) -> str:
    """Say that the loop was held, if it was for long; in whole seconds, so that it does not flicker."""
    if not lag >= LAG_SHOWN_MIN:
        return ""
    return f"the loop was blocked for {words.duration(max(1, round(lag)))}: peers wait while a cell computes"
