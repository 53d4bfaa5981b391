"""Chat on the wire: the signed post, its delivery, and the comparison of two histories.

Rules P-CHAT-1 to P-CHAT-8 of docs/protocol/chat.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from dfs_sdk.chat.clock import STAMP_MAX
from dfs_sdk.crypto.hashing import blake3_256
from dfs_sdk.crypto.identity import Identity, PublicIdentity
from dfs_sdk.crypto.keys import verify_signature
from dfs_sdk.errors import ProtocolError
from dfs_sdk.ids import Id, NetworkId, NodeId
from dfs_sdk.wire import U64, Bytes32, Packed, Range, Request, ShortText, Size, WallTime, encode

TEXT_BYTES_MAX = 4096
LINK_BYTES_MAX = 512
POSTS_MAX = 8
HEADS_MAX = 256
_SIGNED_AS = b"dfs/chat/1"

Sequence = Annotated[int, Range(1, 2**48)]
Stamp = Annotated[int, Range(0, STAMP_MAX)]


class PostId(Id):
    """Names a post: the hash of its signed bytes."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One chat message as its sender signed it.

    Attributes:
        ed: The sender's signing key; with `x` it is what the sender's node id is made of.
        x: The sender's agreement key.
        sender_name: The name the sender goes by, as it came: show it through `safe_text` only.
        recipient: The other side of a direct message; None for the room of the network.
        stream: Tells a sender's lives apart: a wiped store starts a stream of its own.
        sequence: 1, 2, 3 … without gaps within a stream and conversation.
        stamp: Hybrid clock of the sender.
        sent_at_wall: The sender's wall clock.
        text: What was said, as it came: show it as text only.
        link: A file link that came with it, or empty.
        signature: Ed25519 over the domain, the network and all of the above.
    """

    ed: Bytes32
    x: Bytes32
    sender_name: ShortText
    recipient: NodeId | None
    stream: U64
    sequence: Sequence
    stamp: Stamp
    sent_at_wall: WallTime
    text: Annotated[str, Size(0, TEXT_BYTES_MAX)]
    link: Annotated[str, Size(0, LINK_BYTES_MAX)] = ""
    signature: Annotated[bytes, Size(0, 64)] = b""

    @property
    def sender(self) -> NodeId:
        """The node id its two keys make."""
        return PublicIdentity(ed=self.ed, x=self.x).node_id

    @property
    def post_id(self) -> PostId:
        """Hash of the signed post: the same for everybody."""
        return PostId(blake3_256(_SIGNED_AS, encode(self)))

    def signed(self, identity: Identity, network: NetworkId) -> Post:
        """Return this post with the signature of `identity` for one network."""
        return replace(self, signature=identity.signing.sign(self._signed_bytes(network)))

    def verify(self, network: NetworkId) -> None:
        """Check the signature.

        Raises:
            ProtocolError: It is not the sender's, or the post was made for another network.
        """
        if not self.text and not self.link:
            raise ProtocolError("a post says nothing")
        verify_signature(self.ed, self.signature, self._signed_bytes(network))

    def _signed_bytes(self, network: NetworkId) -> bytes:
        return _SIGNED_AS + network + encode(replace(self, signature=b""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """How far one side has the stream of one sender: every sequence up to and including this one."""

    sender: NodeId
    stream: U64
    sequence: Annotated[int, Range(0, 2**48)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """Which of the posts the receiver has on its disk now."""

    posts: Annotated[tuple[PostId, ...], Packed(POSTS_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliver(Request[Delivered]):
    """Hands over posts: new ones from their sender, forwarded ones, or those a comparison found missing."""

    tag: ClassVar[int] = 0x0601
    reply: ClassVar[type] = Delivered

    posts: Annotated[tuple[Post, ...], Size(1, POSTS_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Posts of the room that the asker lacks, oldest first, and how far the answerer has each stream."""

    posts: Annotated[tuple[Post, ...], Size(0, POSTS_MAX)]
    heads: Annotated[tuple[Head, ...], Size(0, HEADS_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compare(Request[Missing]):
    """Tells how far the asker has each stream of the room, and asks for what it lacks."""

    tag: ClassVar[int] = 0x0602
    reply: ClassVar[type] = Missing

    heads: Annotated[tuple[Head, ...], Size(0, HEADS_MAX)]
