"""The files of this node, and what is on its way: put from the browser or the kernel's disk, get to either, share.

The list is shown through windows (`ui.listing`); files move to and from the browser in pieces (`ui.moves`). A link is a
secret and is in no trait: it comes in a message when the user pastes it and goes in a message when the user asks for
it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, ClassVar

import traitlets

from dfs_sdk.errors import ConfigError, ContentNotFoundError
from dfs_sdk.ids import NodeId
from dfs_sdk.node.snapshot import NodeSnapshot
from dfs_sdk.ui.assets import script, style
from dfs_sdk.ui.base import Action
from dfs_sdk.ui.face import NodeFace
from dfs_sdk.ui.listing import PLACE_MAX, SEARCH_LENGTH_MAX, WINDOW_ROWS_MAX, Listing, Look, Order, Sort, weight
from dfs_sdk.ui.message import Message
from dfs_sdk.ui.moves import NAME_LENGTH_MAX
from dfs_sdk.ui.moving import MovingPanel
from dfs_sdk.ui.pump import Pump
from dfs_sdk.ui.transfer import fetched
from dfs_sdk.ui.transferlist import TransferList
from dfs_sdk.views import words

MEMBERS_SHOWN_MAX = 1_000
PATH_LENGTH_MAX = 4_096
VIEW_LENGTH_MAX = 64


class FilesPanel(MovingPanel):
    """Lists files with their health, and moves them."""

    title: ClassVar[str] = "Files"
    unfold: ClassVar[str] = "files"
    _esm = traitlets.Unicode(script(*MovingPanel.scripts, "filelist.js", "files.js")).tag(sync=True)
    _css = traitlets.Unicode(style("transfers.css", "files.css")).tag(sync=True)
    files_total = traitlets.Int().tag(sync=True)
    notice = traitlets.Unicode().tag(sync=True)
    transfers: traitlets.List[Any] = traitlets.List().tag(sync=True)

    def __init__(self, node: NodeFace, *, pump: Pump | None = None) -> None:
        self._listing = Listing()
        self._transfers = TransferList(node)
        self._notice = ""
        super().__init__(node, pump=pump)

    @property
    def lively(self) -> bool:
        """A transfer moves, or a view waits for changes that came soon after others."""
        return self._listing.behind or self._transfers.lively

    def render(self, snapshot: NodeSnapshot) -> dict[str, Any]:
        """Show the transfers and count the files; the views ask for the rows of files."""
        shown = self._transfers.show(snapshot.transfers, is_held=self._moves.is_beginning)
        return {"files_total": len(snapshot.files), "notice": self._notice, "transfers": shown}

    def refresh(self, snapshot: NodeSnapshot) -> int:
        """Write the traits that changed, and tell each view what changed of the rows it sees."""
        sent = super().refresh(snapshot)
        if self.closed:
            return sent
        self._listing.update(snapshot.files)
        if not self._pump.running:
            return sent
        messages = self._listing.changes(asyncio.get_running_loop().time(), most=self._outlet.room())
        for message in messages:
            self._context.run(self.tell, message)
        return sent + sum(map(weight, messages))

    def actions(self) -> dict[str, tuple[str, Action]]:
        """Everything that can be done with a file and with its way."""
        return {
            **super().actions(),
            **self._transfers.actions(),
            "look": ("show the files", self._look),
            "unlook": ("forget the view", self._unlook),
            "members": ("list the members", self._members),
            "put-path": ("put the file", self._put_path),
            "get-link": ("get the file", self._get_link),
            "save": ("save the file", self._save),
            "link": ("show the link", self._link),
            "share": ("share the file", self._share),
            "pin": ("pin the file", self._pin),
            "unpin": ("unpin the file", self._unpin),
            "remove": ("remove the file", self._remove),
        }

    async def _look(self, message: Message) -> None:
        view = message.text("view", length_max=VIEW_LENGTH_MAX)
        order = Order(
            sort=Sort(message.text("sort", length_max=20, default="name")),
            descending=bool(message.number("descending", maximum=1)),
            search=message.text("search", length_max=SEARCH_LENGTH_MAX, default=""),
        )
        first, count = message.number("first", maximum=PLACE_MAX), message.number("count", maximum=WINDOW_ROWS_MAX)
        self._listing.update(self._snapshot.files)
        now = asyncio.get_running_loop().time()
        self.tell(self._listing.look(view, Look(first=first, count=count, order=order), now))

    async def _unlook(self, message: Message) -> None:
        self._listing.forget(message.text("view", length_max=VIEW_LENGTH_MAX))

    async def _members(self, message: Message) -> None:
        rows = [row for row in self._snapshot.peers if row.state != "self"]
        rows.sort(key=lambda row: (row.state != "alive", row.name.casefold(), row.node_id))
        members = [{"id": row.node_id, "label": _member(row.name, row.node_id, row.state)} for row in rows]
        self.tell({"kind": "members", "ref": message.reference, "members": members[:MEMBERS_SHOWN_MAX]})

    async def _put_path(self, message: Message) -> None:
        path = _path(message.text("path", length_max=PATH_LENGTH_MAX))
        await self._node.put(path)
        self._say(f"Put {words.visible(path.name, length_max=100)} into the network.")

    async def _get_link(self, message: Message) -> None:
        link = message.text("text", length_max=NAME_LENGTH_MAX).strip()
        if not link:
            raise ConfigError("paste the link of a file")
        self._saved(await fetched(self._node, link))

    async def _save(self, message: Message) -> None:
        self._saved(await fetched(self._node, self._file(message).file_id))

    async def _link(self, message: Message) -> None:
        row = self._file(message)
        for file in await self._node.ls():
            if str(file.link.manifest_id).startswith(row.file_id):
                self.tell({"kind": "link", "ref": message.reference, "text": str(file.link)})
                return
        raise ContentNotFoundError("the catalog has no link for that file any more")

    async def _share(self, message: Message) -> None:
        row, peer = self._file(message), NodeId.from_hex(message.text("peer", length_max=64))
        name = next((each.name for each in self._snapshot.peers if each.node_id == peer.hex()), "")
        await self._node.share(row.file_id, peer)
        told = f" with {words.visible(name, length_max=60)}" if name else ""
        self._say(f"Shared {words.visible(row.name, length_max=100)}{told}.")

    async def _pin(self, message: Message) -> None:
        await self._node.pin(self._file(message).file_id)

    async def _unpin(self, message: Message) -> None:
        await self._node.unpin(self._file(message).file_id)

    async def _remove(self, message: Message) -> None:
        row = self._file(message)
        await self._node.remove(row.file_id)
        self._say(f"Removed {words.visible(row.name, length_max=100)}.")

    def _saved(self, path: Path) -> None:
        self._say(f"Saved to {words.visible(str(path))} on the kernel's disk.")

    def _say(self, notice: str) -> None:
        self._notice = notice
        self.wake()


def _path(typed: str) -> Path:
    path = Path(typed.strip()).expanduser()
    if not typed.strip() or not path.is_file():
        raise ConfigError(f"there is no file {words.visible(str(path))} on the kernel's disk")
    return path


def _member(name: str, node_id: str, state: str) -> str:
    away = "" if state == "alive" else f", {words.state(state)}"
    return f"{words.visible(name, length_max=40)} ({words.short_id(node_id)}{away})"
