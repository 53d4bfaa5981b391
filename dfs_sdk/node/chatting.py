"""`node.chat`: the chat slice with peers called by name, usable from any loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dfs_sdk.chat.news import ChatMessage
from dfs_sdk.ids import NodeId
from dfs_sdk.node.naming import find_peer
from dfs_sdk.runtime.facade import hops
from dfs_sdk.runtime.home import Home

if TYPE_CHECKING:
    from dfs_sdk.files.link import Link
    from dfs_sdk.node.node import Node


class NodeChat:
    """The room of the network and direct conversations of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node

    @hops
    async def send(self, text: str, *, to: NodeId | str | None = None, link: Link | str | None = None) -> ChatMessage:
        """Say something to everybody, or to one peer.

        Args:
            text: At most 4,096 bytes.
            to: Name or id of a peer; None for the room.
            link: A file link to send along.

        Raises:
            MessageTooLargeError: The text is too long: send it as a file.
            PeerUnreachableError: Nobody is called that.
            ConfigError: There is nothing to send.
        """
        stack = self._node._running  # noqa: SLF001 - a part of the node
        peer = None if to is None else find_peer(to, stack.peers.view)
        return await stack.chat.send(text, to=peer, link="" if link is None else str(link))

    def history(
        self, conversation: NodeId | str | None = None, *, limit: int = 100, before: str | None = None
    ) -> list[ChatMessage]:
        """The newest messages of the room or of a direct conversation, oldest of them first.

        Args:
            conversation: Name or id of the other side; None for the room.
            limit: At most so many.
            before: Only those before the message with this id: how to page back.
        """
        stack = self._node._running  # noqa: SLF001 - a part of the node
        other = None if conversation is None else find_peer(conversation, stack.peers.view)
        return stack.chat.history(other, limit=limit, before=before)

    def conversations(self) -> list[NodeId | None]:
        """The room (None) and the other sides of direct conversations."""
        return self._node._running.chat.conversations()  # noqa: SLF001 - a part of the node

    @property
    def _home(self) -> Home:
        return self._node._home  # noqa: SLF001 - lives where the node lives

    def __repr__(self) -> str:
        return f"<chat of {self._node.name}>"
