"""One panel of a kind per node: asking again gives the open one, so that displaying twice costs nothing twice."""

from __future__ import annotations

from typing import TypeVar
from weakref import WeakKeyDictionary

from dfs_sdk.ui.base import Panel
from dfs_sdk.ui.dashboard import Dashboard
from dfs_sdk.ui.face import NodeFace

PanelT = TypeVar("PanelT", bound=Panel | Dashboard)

_open: WeakKeyDictionary[NodeFace, dict[type[Panel | Dashboard], Panel | Dashboard]] = WeakKeyDictionary()


def panel_of(node: NodeFace, kind: type[PanelT]) -> PanelT:
    """The open panel of a kind for `node`; made on first use and after `close`."""
    panels = _open.setdefault(node, {})
    panel = panels.get(kind)
    if not isinstance(panel, kind) or panel.closed:
        panel = panels[kind] = kind(node)
    return panel


def close_panels(node: NodeFace) -> int:
    """Close all open panels of `node`; returns how many there were."""
    panels = [panel for panel in _open.pop(node, {}).values() if not panel.closed]
    for panel in panels:
        panel.close()
    return len(panels)
