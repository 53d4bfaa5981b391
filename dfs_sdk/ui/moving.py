"""A panel whose browser gives files to the node and takes files from it: chat and the list of files."""

from __future__ import annotations

from typing import ClassVar

import traitlets

from dfs_sdk.errors import ContentNotFoundError
from dfs_sdk.node.snapshot import FileRow
from dfs_sdk.ui.base import Action, Panel
from dfs_sdk.ui.face import NodeFace
from dfs_sdk.ui.message import Message
from dfs_sdk.ui.moves import Moves
from dfs_sdk.ui.pump import Pump
from dfs_sdk.views import words

FILE_ID_LENGTH_MAX = 64


class MovingPanel(Panel):
    """Has moves, and a name by which a page that is loaded again finds what it had under way."""

    scripts: ClassVar[tuple[str, ...]] = ("transferlist.js", "keptmoves.js", "moves.js", "moveslist.js")
    """What the browser needs for it, before the panel's own code."""
    panel_id = traitlets.Unicode().tag(sync=True)

    def __init__(self, node: NodeFace, *, pump: Pump | None = None) -> None:
        self._moves = Moves(node, tell=self.tell, give=self.give, find=self._file)
        super().__init__(node, pump=pump)
        self.panel_id = str(self.model_id)

    def actions(self) -> dict[str, tuple[str, Action]]:
        """Everything that moves a file."""
        return self._moves.actions()

    def _file(self, message: Message) -> FileRow:
        """Find the file that a message names."""
        wanted = message.text("file", length_max=FILE_ID_LENGTH_MAX)
        for row in self._snapshot.files:
            if words.visible(row.file_id, length_max=FILE_ID_LENGTH_MAX) == wanted:
                return row
        raise ContentNotFoundError("that file is no longer in the catalog")
