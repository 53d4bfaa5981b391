"""The live map of chunks and holders: a row per chunk, a column per holder, a sign per copy.

The picture travels as bytes (`ui.chunkmap`), and only to views that can be seen; the reason for a copy is asked for
when it is looked at. `views.plots.plot_chunks` is the static twin, which a saved notebook keeps.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import traitlets

from dfs_sdk.node.snapshot import ChunkRow, NodeSnapshot
from dfs_sdk.runtime.door import face
from dfs_sdk.ui import chunkmap
from dfs_sdk.ui.assets import script, style
from dfs_sdk.ui.base import Action, Panel
from dfs_sdk.ui.chunkmap import CELLS_SHOWN_MAX, FILES_SHOWN_MAX, HOLDERS_SHOWN_MAX, Picture
from dfs_sdk.ui.face import NodeFace
from dfs_sdk.ui.message import Message
from dfs_sdk.ui.pump import Pump
from dfs_sdk.views import words

VIEWS_MAX = 16
VIEW_LENGTH_MAX = 64
CHANGES_INTERVAL_MIN = 0.5
VERSION_MAX = 2**53


class PlacementPanel(Panel):
    """Which holder has which chunk, in which role, in which state, and why."""

    title: ClassVar[str] = "Chunks"
    _esm = traitlets.Unicode(script("chunkmap.js", "placement.js")).tag(sync=True)
    _css = traitlets.Unicode(style("placement.css")).tag(sync=True)
    summary = traitlets.Unicode().tag(sync=True)
    file = traitlets.Unicode().tag(sync=True)

    def __init__(self, node: NodeFace, *, pump: Pump | None = None) -> None:
        self._file: str | None = None
        self._views: dict[str, None] = {}
        self._version = 0
        self._drawn: Picture | None = None
        self._drawn_of: tuple[object, ...] = ()
        self._told: Picture | None = None
        self._told_at = -CHANGES_INTERVAL_MIN
        self._behind = False
        super().__init__(node, pump=pump)

    @property
    def lively(self) -> bool:
        """A view waits for changes that came soon after others."""
        return self._behind

    def render(self, snapshot: NodeSnapshot) -> dict[str, Any]:
        """Sum the picture up; the picture itself is told to the views."""
        shown = self._picture(snapshot)
        return {"summary": chunkmap.summary(shown), "file": words.visible(self._file or "", length_max=100)}

    def refresh(self, snapshot: NodeSnapshot) -> int:
        """Write the traits that changed, and tell the views what changed of the picture."""
        sent = super().refresh(snapshot)
        if self.closed or not self._views or not self._pump.running:
            return sent
        now = asyncio.get_running_loop().time()
        shown = self._picture(snapshot)
        too_soon = now - self._told_at < CHANGES_INTERVAL_MIN or not self._outlet.room()
        self._behind = shown is not self._told and too_soon
        return sent if self._behind else sent + self._context.run(self._tell_changes, shown, now)

    def actions(self) -> dict[str, tuple[str, Action]]:
        """Look; show one file; say why a copy is where it is."""
        return {
            "look": ("show the map", self._look),
            "unlook": ("forget the view", self._unlook),
            "show": ("show the file", self._show),
            "why": ("explain the copy", self._why),
        }

    async def _look(self, message: Message) -> None:
        view = message.text("view", length_max=VIEW_LENGTH_MAX)
        self._views.pop(view, None)
        while len(self._views) >= VIEWS_MAX:
            del self._views[next(iter(self._views))]
        self._views[view] = None
        if message.number("version", maximum=VERSION_MAX) == self._version and self._told is not None:
            return  # this page has the picture; changes come with the next look at the node
        self._tell_full(self._picture(self._snapshot), asyncio.get_running_loop().time())

    async def _unlook(self, message: Message) -> None:
        self._views.pop(message.text("view", length_max=VIEW_LENGTH_MAX), None)

    async def _show(self, message: Message) -> None:
        names = sorted({row.file for row in self._snapshot.chunks})[:FILES_SHOWN_MAX]
        place = message.number("file", maximum=len(names))
        self._file = names[place - 1] if place else None

    async def _why(self, message: Message) -> None:
        version = message.number("version", maximum=VERSION_MAX)
        row, column = (
            message.number("row", maximum=CELLS_SHOWN_MAX),
            message.number("column", maximum=HOLDERS_SHOWN_MAX),
        )
        shown = self._told
        if shown is None or version != self._version or row >= len(shown.keys) or column >= len(shown.holders):
            return  # the view looks at a picture that is no more; it gets the next one
        file, _, chunk_id = shown.keys[row]
        found = self._copy(file, chunk_id, shown.holders[column].holder_id)
        text = words.masked(found.why, length_max=500) if found else "no copy there"
        self.tell({"kind": "why", "version": version, "row": row, "column": column, "text": text})

    def _copy(self, file: str, chunk_id: str, holder_id: str) -> ChunkRow | None:
        for row in self._snapshot.chunks:
            if row.chunk_id == chunk_id and row.holder_id == holder_id and row.file == file:
                return row
        return None

    def _picture(self, snapshot: NodeSnapshot) -> Picture:
        """The picture of a snapshot; the one drawn before while nothing that it shows has changed."""
        wanted = {row.name: row.copies_wanted for row in snapshot.files}
        source = (snapshot.chunks, wanted, self._file)
        if self._drawn is not None and self._drawn_of[0] is snapshot.chunks and self._drawn_of[1:] == source[1:]:
            return self._drawn
        if self._file is not None and all(row.file != self._file for row in snapshot.chunks):
            self._file = None
        drawn = chunkmap.picture(snapshot.chunks, wanted, self._file)
        if drawn != self._drawn:
            self._drawn = drawn
        self._drawn_of = (snapshot.chunks, wanted, self._file)
        return self._drawn or drawn

    def _tell_changes(self, shown: Picture, now: float) -> int:
        if shown is self._told:
            return 0
        if self._told is None or not shown.same_shape(self._told):
            return self._tell_full(shown, now)
        message = chunkmap.patch(self._told, shown, self._version)
        self._told, self._told_at = shown, now
        return self._publish(*message) if message is not None else 0

    def _tell_full(self, shown: Picture, now: float) -> int:
        self._version += 1
        self._told, self._told_at = shown, now
        return self._publish(*chunkmap.full(shown, self._version))

    def _publish(self, content: dict[str, Any], buffers: list[bytes]) -> int:
        self.tell(content, buffers)
        return sum(map(len, buffers)) + 100 * len(content["holders"]) + 20 * len(content.get("files", ()))

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        if isinstance(data, dict):
            data.update(face("views.figure").chunk_map(self._snapshot))  # pandas and matplotlib take a second to load
        return bundle
