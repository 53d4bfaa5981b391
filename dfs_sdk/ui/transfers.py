"""Uploads and downloads of this node: how far each is, and how to hold, continue, stop and clear them."""

from __future__ import annotations

from typing import Any, ClassVar

import traitlets

from dfs_sdk.node.snapshot import NodeSnapshot
from dfs_sdk.ui.assets import script, style
from dfs_sdk.ui.base import Action, Panel
from dfs_sdk.ui.face import NodeFace
from dfs_sdk.ui.pump import Pump
from dfs_sdk.ui.transferlist import TransferList


class TransfersPanel(Panel):
    """A line for each transfer; one that has ended stays until it is cleared."""

    title: ClassVar[str] = "Transfers"
    unfold: ClassVar[str] = "transfers"
    _esm = traitlets.Unicode(script("transferlist.js", "transfers.js")).tag(sync=True)
    _css = traitlets.Unicode(style("transfers.css")).tag(sync=True)
    transfers: traitlets.List[Any] = traitlets.List().tag(sync=True)

    def __init__(self, node: NodeFace, *, pump: Pump | None = None) -> None:
        self._list = TransferList(node)
        super().__init__(node, pump=pump)

    @property
    def lively(self) -> bool:
        """A transfer moves."""
        return self._list.lively

    def render(self, snapshot: NodeSnapshot) -> dict[str, Any]:
        """Show those under way first, then the newest."""
        return {"transfers": self._list.show(snapshot.transfers)}

    def actions(self) -> dict[str, tuple[str, Action]]:
        """Hold, continue, stop, clear."""
        return self._list.actions()
