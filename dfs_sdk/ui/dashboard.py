"""All panels of one node under one header, in tabs, with one pump."""

from __future__ import annotations

from typing import Any

import ipywidgets

from dfs_sdk.ui.base import Panel, close_tree
from dfs_sdk.ui.chat import ChatPanel
from dfs_sdk.ui.face import NodeFace
from dfs_sdk.ui.files import FilesPanel
from dfs_sdk.ui.header import HeaderPanel
from dfs_sdk.ui.join import JoinPanel
from dfs_sdk.ui.overview import OverviewPanel
from dfs_sdk.ui.placement import PlacementPanel
from dfs_sdk.ui.pump import Pump

CLASS_NAME = "dfs-dashboard"


class Dashboard(ipywidgets.VBox):  # type: ignore[misc]  # ipywidgets ships no types
    """The header, and tabs: network, files, chunks, chat. `close` closes all of it."""

    def __init__(self, node: NodeFace) -> None:
        self._pump = Pump(node)
        self.header = HeaderPanel(node, pump=self._pump)
        self.join = JoinPanel(node, pump=self._pump)
        self.overview = OverviewPanel(node, pump=self._pump)
        self.files = FilesPanel(node, pump=self._pump)
        self.placement = PlacementPanel(node, pump=self._pump)
        self.chat = ChatPanel(node, pump=self._pump)
        network = ipywidgets.VBox([self.join, self.overview])
        pages = [("Network", network), ("Files", self.files), ("Chunks", self.placement), ("Chat", self.chat)]
        tabs = ipywidgets.Tab([page for _, page in pages], titles=[title for title, _ in pages])
        super().__init__([self.header, tabs])
        self.add_class(CLASS_NAME)

    @property
    def panels(self) -> tuple[Panel, ...]:
        """Every panel in it."""
        return (self.header, self.join, self.overview, self.files, self.placement, self.chat)

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self.header.closed

    def close(self) -> None:
        """Close every panel and take all models out of the widget registry."""
        if self.comm is None:
            return
        children, layout = self.children, self.layout
        super().close()
        for each in (*children, layout):
            close_tree(each)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        data = super()._repr_mimebundle_(**kwargs)
        static = self.header._repr_mimebundle_(**kwargs)
        cards = static[0] if isinstance(static, tuple) else static
        return {**data, "text/html": cards["text/html"], "text/plain": cards["text/plain"]}

    def __repr__(self) -> str:
        return f"<Dashboard: {self.header!r}>"
