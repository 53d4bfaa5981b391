"""Chat with everybody, or with one member. Texts are only ever text; links are masked, and fetched on request."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, deque
from typing import Any, ClassVar

import traitlets

from dfs_sdk.errors import ContentNotFoundError
from dfs_sdk.ids import NodeId
from dfs_sdk.node.snapshot import MessageRow, NodeSnapshot
from dfs_sdk.ui.assets import script
from dfs_sdk.ui.base import Action, Panel
from dfs_sdk.ui.message import Message
from dfs_sdk.ui.transfer import download_folder
from dfs_sdk.views import words

EVERYBODY = "network"
MESSAGES_PER_ROOM_MAX = 100
MESSAGES_SHOWN_MAX = 400
ROOMS_SHOWN_MAX = 100
TEXT_SHOWN_MAX = 2_000
TEXT_SENT_MAX = 16_000


class ChatPanel(Panel):
    """The log of each room, who can be written to, and a field in which Enter sends."""

    title: ClassVar[str] = "Chat"
    _esm = traitlets.Unicode(script("chat.js")).tag(sync=True)
    rooms: traitlets.List[Any] = traitlets.List().tag(sync=True)
    messages: traitlets.List[Any] = traitlets.List().tag(sync=True)

    def render(self, snapshot: NodeSnapshot) -> dict[str, Any]:
        """Show the rooms, the public one first, and the newest messages of each."""
        return {"rooms": _rooms(snapshot), "messages": [_shown(row) for row in _newest(snapshot.messages)]}

    def actions(self) -> dict[str, tuple[str, Action]]:
        """Send a message; fetch a file whose link came with one."""
        return {"send": ("send the message", self._send_message), "fetch": ("get the file", self._fetch)}

    async def _send_message(self, message: Message) -> None:
        content = message.text("text", length_max=TEXT_SENT_MAX).strip()
        to = message.text("to", length_max=64, default="")
        if content:
            await self._node.chat.send(content, to=NodeId.from_hex(to) if to else None)

    async def _fetch(self, message: Message) -> None:
        wanted = message.text("message", length_max=64)
        for row in self._snapshot.messages:
            if row.link and message_key(row) == wanted:
                path = await self._node.get(row.link, download_folder())
                self.tell({"kind": "saved", "message": wanted, "text": f"Saved to {words.visible(str(path))}"})
                return
        raise ContentNotFoundError("that message is no longer remembered: ask its sender for the link")


def message_key(row: MessageRow) -> str:
    """Name a message for the browser, the same way each time."""
    content = "\0".join((row.room, row.sender_id, repr(row.sent_at_wall), row.text))
    return hashlib.blake2b(content.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def _rooms(snapshot: NodeSnapshot) -> list[dict[str, str]]:
    rooms = [{"key": EVERYBODY, "to": "", "label": "Everybody"}]
    members = [row for row in snapshot.peers if row.state != "self"]
    names = Counter(row.name for row in members)
    for row in sorted(members, key=lambda each: (each.name, each.node_id))[:ROOMS_SHOWN_MAX]:
        label = words.visible(row.name, length_max=40)
        if names[row.name] > 1 or row.name == EVERYBODY:
            label = f"{label} ({words.short_id(row.node_id)})"
        state = "" if row.state == "alive" else f", {words.visible(row.state)}"
        rooms.append({"key": words.visible(row.name), "to": row.node_id, "label": label + state})
    known = {room["key"] for room in rooms}
    for message in snapshot.messages:  # conversations with members that are gone can still be read
        key = words.visible(message.room)
        if key not in known and len(rooms) < 2 * ROOMS_SHOWN_MAX:
            known.add(key)
            rooms.append({"key": key, "to": "", "label": f"{words.visible(message.room, length_max=40)}, gone"})
    return rooms


def _newest(rows: tuple[MessageRow, ...]) -> list[MessageRow]:
    kept: deque[MessageRow] = deque()
    seen: Counter[str] = Counter()
    for row in reversed(rows):
        seen[row.room] += 1
        if seen[row.room] <= MESSAGES_PER_ROOM_MAX:
            kept.appendleft(row)
        if len(kept) == MESSAGES_SHOWN_MAX:
            break
    return list(kept)


def _shown(row: MessageRow) -> dict[str, Any]:
    return {
        "key": message_key(row),
        "room": words.visible(row.room),
        "sender": words.visible(row.sender, length_max=60),
        "short": words.short_id(row.sender_id),
        "text": words.masked(row.text, lines=True, length_max=TEXT_SHOWN_MAX),
        "at": row.sent_at_wall if math.isfinite(row.sent_at_wall) else 0.0,
        "delivered": min(row.delivered, 2**31),
        "mine": row.mine,
        "file": bool(row.link),
    }
