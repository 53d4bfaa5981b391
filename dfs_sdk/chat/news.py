"""What chat tells the faces: messages and their delivery."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from dfs_sdk.events import Event
from dfs_sdk.ids import NodeId
from dfs_sdk.runtime.door import Shown


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatMessage(Shown):
    """One message as a face shows it; every text in it is safe to show as text, never as HTML.

    Attributes:
        message_id: Hexadecimal hash of the signed post.
        conversation: The other side of a direct conversation; None for the room of the network.
        sender: Who signed it.
        sender_name: The name it came with.
        text: What was said.
        link: A file link that came with it, or empty.
        sent_at_wall: Seconds since the epoch on the sender's clock.
        received_at_wall: Seconds since the epoch on this node's clock.
        mine: Whether this node sent it.
        delivered: Nodes that confirmed it; 0 for messages of others.
    """

    message_id: str
    conversation: NodeId | None
    sender: NodeId
    sender_name: str
    text: str
    link: str = field(repr=False)
    sent_at_wall: float
    received_at_wall: float
    mine: bool
    delivered: int

    def __str__(self) -> str:
        return f"{self.sender_name}: {self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatReceived(Event):
    """A message became visible: one of ours or of a peer."""

    topic: ClassVar[str] = "chat"
    message: ChatMessage

    @property
    def text(self) -> str:
        """Who wrote where; the words themselves stay in the chat."""
        where = "the room" if self.message.conversation is None else "a direct message"
        return f"{self.message.sender_name} wrote in {where}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatDelivered(Event):
    """A node confirmed that it keeps a message of ours."""

    topic: ClassVar[str] = "chat"
    message: ChatMessage

    @property
    def text(self) -> str:
        """How many nodes confirmed it so far."""
        count = self.message.delivered
        return f"a message of ours reached {count} {'node' if count == 1 else 'nodes'}"

    @property
    def subject(self) -> str:
        """The message: each confirmation says the count anew."""
        return self.message.message_id
