"""What the chat panel shows: conversations, the newest messages of each, and how many were not read. Pure."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dfs_sdk.chat.news import ChatMessage
from dfs_sdk.node.snapshot import MessageRow, NodeSnapshot, PeerRow
from dfs_sdk.views import words

EVERYBODY = ""
MESSAGES_PER_ROOM_MAX = 50
MESSAGES_SHOWN_MAX = 300
ROOMS_SHOWN_MAX = 200
TEXT_SHOWN_MAX = 4_096
NAME_LENGTH_MAX = 40


class Reading:
    """Which messages somebody has looked at, by conversation.

    Args:
        rows: Messages of before: they count as read.
    """

    def __init__(self, rows: tuple[MessageRow, ...]) -> None:
        self._rows = rows
        self._last = {row.room_id: row.message_id for row in rows}
        self._counts: Counter[str] = Counter()

    def follow(self, rows: tuple[MessageRow, ...]) -> None:
        """Go on to the messages of a later snapshot."""
        if rows is not self._rows:
            self._rows = rows
            self._count()

    def read(self, room: str) -> None:
        """Note that somebody looked at a conversation."""
        last = next((row.message_id for row in reversed(self._rows) if row.room_id == room), None)
        if last is not None:
            self._last[room] = last
            self._count()

    def unread(self) -> Mapping[str, int]:
        """How many messages of others came since, by conversation."""
        return self._counts

    def _count(self) -> None:
        counts: Counter[str] = Counter()
        known: set[str] = set()
        for row in reversed(self._rows):
            if row.message_id == self._last.get(row.room_id):
                known.add(row.room_id)
            elif row.room_id not in known and not row.mine:
                counts[row.room_id] += 1
        self._counts = counts


def rooms(snapshot: NodeSnapshot, unread: Mapping[str, int]) -> list[dict[str, Any]]:
    """List the conversations: everybody, then one with each member by name, then those with members that are gone."""
    members = [row for row in snapshot.peers if row.state != "self"]
    found = [_everybody(members, unread.get(EVERYBODY, 0))]
    names = Counter(row.name for row in members)
    for row in sorted(members, key=lambda each: (each.name.casefold(), each.node_id))[:ROOMS_SHOWN_MAX]:
        label = words.visible(row.name, length_max=NAME_LENGTH_MAX)
        if names[row.name] > 1:
            label = f"{label} ({words.short_id(row.node_id)})"
        found.append(_room(row.node_id, label, row.state, words.state_meaning(row.state), unread))
    known = {each["id"] for each in found}
    for message in snapshot.messages:
        if message.room_id not in known and len(found) < 2 * ROOMS_SHOWN_MAX:
            known.add(message.room_id)
            label = words.visible(message.room, length_max=NAME_LENGTH_MAX)
            about = "no member any more: what was said can be read"
            found.append(_room(message.room_id, label, "gone", about, unread, writable=False))
    return found


def _everybody(members: Sequence[PeerRow], unread: int) -> dict[str, Any]:
    return {
        "id": EVERYBODY,
        "label": "Everybody",
        "state": "room",
        "about": words.presence(members),
        "unread": unread,
        "writable": True,
    }


def _room(
    room_id: str, label: str, state: str, about: str, unread: Mapping[str, int], *, writable: bool = True
) -> dict[str, Any]:
    return {
        "id": room_id,
        "label": label,
        "state": words.visible(state),
        "about": f"{words.visible(state)}: {about}" if about else words.visible(state),
        "unread": unread.get(room_id, 0),
        "writable": writable,
    }


def newest(rows: Sequence[MessageRow]) -> list[MessageRow]:
    """The newest messages of each conversation, so that a loud one does not wash a quiet one away."""
    kept: deque[MessageRow] = deque()
    seen: Counter[str] = Counter()
    for row in reversed(rows):
        seen[row.room_id] += 1
        if seen[row.room_id] <= MESSAGES_PER_ROOM_MAX:
            kept.appendleft(row)
        if len(kept) == MESSAGES_SHOWN_MAX:
            break
    return list(kept)


def shown(row: MessageRow) -> dict[str, Any]:
    """Make a message what the browser shows; its link stays here."""
    return {
        "key": row.message_id,
        "room": row.room_id,
        "sender": words.visible(row.sender, length_max=60),
        "sender_id": row.sender_id,
        "text": words.masked(row.text, lines=True, length_max=TEXT_SHOWN_MAX),
        "at": row.sent_at_wall if math.isfinite(row.sent_at_wall) else 0.0,
        "delivered": min(row.delivered, 2**31),
        "mine": row.mine,
        "file": bool(row.link),
    }


def page(messages: Iterable[ChatMessage]) -> list[dict[str, Any]]:
    """Make messages of the history what the browser shows."""
    return [
        shown(
            MessageRow(
                room="",
                room_id="" if each.conversation is None else each.conversation.hex(),
                message_id=each.message_id,
                sender=each.sender_name,
                sender_id=each.sender.hex(),
                text=each.text,
                sent_at_wall=each.sent_at_wall,
                delivered=each.delivered,
                mine=each.mine,
                link=each.link,
            )
        )
        for each in messages
    ]
