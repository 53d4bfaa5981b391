"""Chat with everybody, or with one member. Texts are only ever text; links are masked, and fetched on request.

Conversations go by the id of the other side. The newest messages of each are in a trait; earlier ones come in messages,
a page at a time. What a view sends carries a reference of its own: sent again because no answer came, it is not said
twice.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from contextlib import suppress
from typing import Any, ClassVar

import traitlets

from dfs_sdk.errors import ContentNotFoundError, LinkError
from dfs_sdk.files.link import Link
from dfs_sdk.ids import NodeId
from dfs_sdk.node.snapshot import MessageRow, NodeSnapshot
from dfs_sdk.ui.assets import script, style
from dfs_sdk.ui.base import Action
from dfs_sdk.ui.conversations import Reading, newest, page, rooms, shown
from dfs_sdk.ui.face import NodeFace
from dfs_sdk.ui.message import Message
from dfs_sdk.ui.moving import MovingPanel
from dfs_sdk.ui.pump import Pump
from dfs_sdk.ui.transfer import fetched
from dfs_sdk.views import words

PAGE_LENGTH = 50
TEXT_SENT_MAX = 16_000
ID_LENGTH_MAX = 64
SENT_REMEMBERED_MAX = 256
ATTACHABLE_MAX = 500
_LINK = re.compile(r"\bdfs:[A-Za-z0-9_\-+/=%.~]{8,}")


class ChatPanel(MovingPanel):
    """The log of each conversation, who is here, and a field in which Enter sends."""

    title: ClassVar[str] = "Chat"
    unfold: ClassVar[str] = "messages"
    _esm = traitlets.Unicode(script(*MovingPanel.scripts, "outbox.js", "chatlog.js", "chat.js")).tag(sync=True)
    _css = traitlets.Unicode(style("chat.css")).tag(sync=True)
    rooms: traitlets.List[Any] = traitlets.List().tag(sync=True)
    messages: traitlets.List[Any] = traitlets.List().tag(sync=True)

    def __init__(self, node: NodeFace, *, pump: Pump | None = None) -> None:
        self._reading = Reading(node.snapshot().messages)
        self._sent: OrderedDict[str, str] = OrderedDict()
        self._shown: tuple[tuple[MessageRow, ...] | None, list[dict[str, Any]]] = (None, [])
        super().__init__(node, pump=pump)

    @property
    def unread(self) -> int:
        """How many messages of others nobody has looked at."""
        return sum(self._reading.unread().values())

    def render(self, snapshot: NodeSnapshot) -> dict[str, Any]:
        """Show the conversations, that of everybody first, and the newest messages of each."""
        self._reading.follow(snapshot.messages)
        if self._shown[0] is not snapshot.messages:
            references = {message: reference for reference, message in self._sent.items()}
            rows = [{**shown(row), "ref": references.get(row.message_id, "")} for row in newest(snapshot.messages)]
            self._shown = (snapshot.messages, rows)
        return {"rooms": rooms(snapshot, self._reading.unread()), "messages": self._shown[1]}

    def actions(self) -> dict[str, tuple[str, Action]]:
        """Send, look, page back, fetch a file that came with a message, list what can be sent along."""
        return {
            **super().actions(),
            "send": ("send the message", self._send_message),
            "read": ("note what was read", self._read),
            "older": ("show earlier messages", self._older),
            "fetch": ("get the file", self._fetch),
            "files": ("list the files", self._files),
        }

    async def _send_message(self, message: Message) -> None:
        content = message.text("text", length_max=TEXT_SENT_MAX).strip()
        to = message.text("to", length_max=ID_LENGTH_MAX, default="")
        file = message.text("file", length_max=ID_LENGTH_MAX, default="")
        if not content and not file:
            return
        if message.reference and message.reference in self._sent:
            return
        self._remember(message.reference)
        try:
            content, link = await self._with_link(content, file)
            said = await self._node.chat.send(content, to=NodeId.from_hex(to) if to else None, link=link)
        except BaseException:
            self._sent.pop(message.reference, None)
            raise
        self._remember(message.reference, said.message_id)
        self._shown = (None, [])  # what waits in the browser under this reference is among the messages from now on

    def _remember(self, reference: str, message_id: str = "") -> None:
        if reference:
            self._sent[reference] = message_id
        while len(self._sent) > SENT_REMEMBERED_MAX:
            self._sent.popitem(last=False)

    async def _with_link(self, content: str, file: str) -> tuple[str, str | None]:
        """Take the link out of what was typed, or that of the file that was chosen, so that it travels as one."""
        if file:
            for each in await self._node.ls():
                if str(each.link.manifest_id).startswith(file):
                    return content or each.name, str(each.link)
            raise ContentNotFoundError("that file is no longer in the catalog")
        found = _LINK.search(content)
        if found is None:
            return content, None
        try:
            link = str(Link.parse(found.group()))
        except LinkError:
            return content, None
        rest = f"{content[: found.start()].rstrip()} {content[found.end() :].lstrip()}".strip()
        return rest or "a file", link

    async def _read(self, message: Message) -> None:
        self._reading.read(message.text("room", length_max=ID_LENGTH_MAX, default=""))

    async def _older(self, message: Message) -> None:
        room = message.text("room", length_max=ID_LENGTH_MAX, default="")
        before = message.text("before", length_max=ID_LENGTH_MAX)
        conversation = NodeId.from_hex(room) if room else None
        found = self._node.chat.history(conversation, limit=PAGE_LENGTH, before=before)
        more = len(found) == PAGE_LENGTH
        self.tell({"kind": "older", "room": room, "before": before, "messages": page(found), "more": more})

    async def _fetch(self, message: Message) -> None:
        wanted = message.text("message", length_max=ID_LENGTH_MAX)
        room = message.text("room", length_max=ID_LENGTH_MAX, default="")
        link = next((row.link for row in self._snapshot.messages if row.message_id == wanted and row.link), "")
        link = link or self._link_of(room, wanted)
        path = await fetched(self._node, link)
        said = f"Saved to {words.visible(str(path))} on the kernel's disk"
        self.tell({"kind": "saved", "message": wanted, "text": said, "file": self._catalog_file(link)})

    def _catalog_file(self, link: str) -> dict[str, Any] | None:
        """The file of a link as the browser needs it for a download of its own; None if it is not in the catalog."""
        with suppress(LinkError):
            manifest = str(Link.parse(link).manifest_id)
            for row in self._node.snapshot().files:
                if manifest.startswith(row.file_id):
                    return {"id": row.file_id, "name": words.visible(row.name, length_max=200), "bytes": row.size}
        return None

    def _link_of(self, room: str, wanted: str) -> str:
        """Find the link of a message that is too old for the snapshot."""
        found = self._node.chat.history(NodeId.from_hex(room) if room else None, limit=ATTACHABLE_MAX)
        for each in found:
            if each.message_id == wanted and each.link:
                return str(each.link)
        raise ContentNotFoundError("that message is no longer remembered: ask its sender for the link")

    async def _files(self, message: Message) -> None:
        rows = sorted(self._snapshot.files, key=lambda row: -row.created_at_wall)[:ATTACHABLE_MAX]
        listed = [
            {
                "id": words.visible(row.file_id),
                "label": f"{words.visible(row.name, length_max=60)}, {words.size(row.size)}",
            }
            for row in rows
        ]
        self.tell({"kind": "files", "ref": message.reference, "files": listed})
