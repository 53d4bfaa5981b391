"""The live map of chunks and holders: a row per chunk, a column per holder, a sign per copy.

Rows travel as one short string each, a character a holder; the reason for a copy is asked for when it is looked at.
`views.plots.plot_chunks` is the static twin.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import traitlets

from dfs_sdk.node.snapshot import ChunkRow, NodeSnapshot
from dfs_sdk.ui.assets import script
from dfs_sdk.ui.base import Action, Panel
from dfs_sdk.ui.face import NodeFace
from dfs_sdk.ui.message import Message
from dfs_sdk.ui.pump import Pump
from dfs_sdk.views import words

CHUNKS_SHOWN_MAX = 500
HOLDERS_SHOWN_MAX = 100
FILES_SHOWN_MAX = 500
ROLE_SIGNS: Final = {"primary": "p", "surplus": "s", "cache": "c"}
NO_COPY: Final = "."


class PlacementPanel(Panel):
    """Which holder has which chunk, in which role, in which state, and why."""

    title: ClassVar[str] = "Chunks"
    _esm = traitlets.Unicode(script("placement.js")).tag(sync=True)
    files: traitlets.List[Any] = traitlets.List().tag(sync=True)
    holders: traitlets.List[Any] = traitlets.List().tag(sync=True)
    chunks: traitlets.List[Any] = traitlets.List().tag(sync=True)
    chunks_total = traitlets.Int().tag(sync=True)
    file = traitlets.Unicode().tag(sync=True)

    def __init__(self, node: NodeFace, *, pump: Pump | None = None) -> None:
        self._file = ""
        super().__init__(node, pump=pump)

    def render(self, snapshot: NodeSnapshot) -> dict[str, Any]:
        """Show the copies of all files, or of the chosen one."""
        names = sorted({row.file for row in snapshot.chunks})[:FILES_SHOWN_MAX]
        if self._file and self._file not in names:
            self._file = ""
        rows = [row for row in snapshot.chunks if not self._file or row.file == self._file]
        holders = sorted({(row.holder, row.holder_id, row.state) for row in rows})[:HOLDERS_SHOWN_MAX]
        keys = sorted({(row.file, row.chunk, row.chunk_id, row.size) for row in rows})
        return {
            "files": [words.visible(name, length_max=100) for name in names],
            "file": words.visible(self._file, length_max=100),
            "holders": [_holder(*holder) for holder in holders],
            "chunks": _grid(rows, keys[:CHUNKS_SHOWN_MAX], [holder_id for _, holder_id, _ in holders]),
            "chunks_total": len(keys),
        }

    def actions(self) -> dict[str, tuple[str, Action]]:
        """Show one file; say why a copy is where it is."""
        return {"show": ("show the file", self._show), "why": ("explain the copy", self._why)}

    async def _show(self, message: Message) -> None:
        names = sorted({row.file for row in self._snapshot.chunks})[:FILES_SHOWN_MAX]
        place = message.number("file", maximum=len(names))
        self._file = names[place - 1] if place else ""

    async def _why(self, message: Message) -> None:
        chunk, holder = message.text("chunk", length_max=64), message.text("holder", length_max=64)
        found = [row for row in self._snapshot.chunks if row.chunk_id == chunk and row.holder_id == holder]
        text = words.masked(found[0].why, length_max=500) if found else "no copy there"
        self.tell({"kind": "why", "chunk": chunk, "holder": holder, "text": text})


def _holder(name: str, holder_id: str, state: str) -> dict[str, str]:
    return {
        "id": holder_id,
        "short": words.short_id(holder_id),
        "name": words.visible(name, length_max=40),
        "state": words.state(state),
    }


def _grid(rows: list[ChunkRow], keys: list[tuple[str, int, str, int]], holder_ids: list[str]) -> list[dict[str, Any]]:
    places = {holder_id: place for place, holder_id in enumerate(holder_ids)}
    signs = {(file, chunk_id): [NO_COPY] * len(holder_ids) for file, _, chunk_id, _ in keys}
    for row in rows:
        line = signs.get((row.file, row.chunk_id))
        if line is not None and row.holder_id in places:
            line[places[row.holder_id]] = ROLE_SIGNS.get(row.role, "p")
    return [
        {
            "id": chunk_id,
            "file": words.visible(file, length_max=60),
            "label": "manifest" if index < 0 else str(index),
            "size": words.size(size),
            "copies": "".join(signs[file, chunk_id]),
        }
        for file, index, chunk_id, size in keys
    ]
