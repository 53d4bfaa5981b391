"""All panels of one node under one header, a page each, with one pump."""

from __future__ import annotations

from typing import Any

import ipywidgets

from dfs_sdk.node.snapshot import NodeSnapshot
from dfs_sdk.ui.base import Panel, close_tree
from dfs_sdk.ui.chat import ChatPanel
from dfs_sdk.ui.face import NodeFace
from dfs_sdk.ui.files import FilesPanel
from dfs_sdk.ui.header import HeaderPanel
from dfs_sdk.ui.join import JoinPanel
from dfs_sdk.ui.nav import Mark, NavPanel
from dfs_sdk.ui.network import NetworkPanel
from dfs_sdk.ui.peers import PeersPanel
from dfs_sdk.ui.placement import PlacementPanel
from dfs_sdk.ui.pump import Pump
from dfs_sdk.views import words

CLASS_NAME = "dfs-dashboard"
PAGES = {"files": "Files", "chunks": "Chunks", "peers": "Peers", "chat": "Chat", "network": "Network"}


class Dashboard(ipywidgets.VBox):  # type: ignore[misc]  # ipywidgets ships no types
    """The header, a list of pages, and the pages: files, chunks, peers, chat, network. `close` closes all of it.

    A node that is alone begins with the network page, where it joins one; any other with its files.

    Args:
        node: The node to show.
    """

    def __init__(self, node: NodeFace) -> None:
        pump = self._pump = Pump(node)
        self.header = HeaderPanel(node, pump=pump)
        self.files = FilesPanel(node, pump=pump)
        self.placement = PlacementPanel(node, pump=pump)
        self.peers = PeersPanel(node, pump=pump)
        self.chat = ChatPanel(node, pump=pump)
        self.join = JoinPanel(node, pump=pump)
        self.network = NetworkPanel(node, pump=pump)
        first = "network" if len(node.snapshot().peers) < 2 else "files"
        marks = {"chat": self._unread, "files": _failed}
        self.nav = NavPanel(node, pages=PAGES, marks=marks, first=first, pump=pump)
        super().__init__([self.header, self._body(first)])
        self.add_class(CLASS_NAME)

    @property
    def panels(self) -> tuple[Panel, ...]:
        """Every panel in it."""
        return (
            self.header,
            self.nav,
            self.files,
            self.placement,
            self.peers,
            self.chat,
            self.join,
            self.network,
        )

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

    def _body(self, first: str) -> ipywidgets.Box:
        content = {
            "files": [self.files],
            "chunks": [self.placement],
            "peers": [self.peers],
            "chat": [self.chat],
            "network": [self.join, self.network],
        }
        pages = []
        for key, panels in content.items():
            page = ipywidgets.VBox(panels)
            for name in ("dfs-page", f"dfs-page-{key}", *(["dfs-page-first"] if key == first else [])):
                page.add_class(name)
            pages.append(page)
        nav, stack = ipywidgets.Box([self.nav]), ipywidgets.VBox(pages)
        body = ipywidgets.Box([nav, stack])
        for box, name in ((nav, "dfs-nav-host"), (stack, "dfs-pages"), (body, "dfs-body")):
            box.add_class(name)
        return body

    def _unread(self, _snapshot: NodeSnapshot) -> Mark | None:
        count = self.chat.unread
        return Mark(count=count, words=words.count(count, "unread message")) if count else None

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        data = super()._repr_mimebundle_(**kwargs)
        static = self.header._repr_mimebundle_(**kwargs)
        cards = static[0] if isinstance(static, tuple) else static
        return {**data, "text/html": cards["text/html"], "text/plain": cards["text/plain"]}

    def __repr__(self) -> str:
        return f"<Dashboard: {self.header!r}>"


def _failed(snapshot: NodeSnapshot) -> Mark | None:
    lost = sum(row.health == "unavailable" for row in snapshot.files)
    return Mark(count=lost, words=f"{words.count(lost, 'file')} cannot be read just now") if lost else None
