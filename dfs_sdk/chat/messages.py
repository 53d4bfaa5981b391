"""Chat on the wire: the signed post, its delivery, and the comparison of two histories.

Rules P-CHAT-1 to P-CHAT-9 of docs/protocol/chat.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
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
# A message takes 64 KiB: heads of at most 16 KiB and posts of at most 40 KiB fit in together.
POSTS_MAX = 64
POSTS_BYTES_MAX = 40 * 1024
HEADS_MAX = 128
HOLES_MAX = 8
STREAM_KEY_BYTES = 40
_POST_OVERHEAD_BYTES = 256
_SIGNED_AS = b"dfs/chat/1"

Sequence = Annotated[int, Range(1, 2**48)]
Stamp = Annotated[int, Range(0, STAMP_MAX)]
# A place between streams: sender and stream number, big-endian; empty for the very start or the very end.
Border = Annotated[bytes, Size(0, STREAM_KEY_BYTES)]


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

    @property
    def size_bytes(self) -> int:
        """An upper bound of what the post takes in a message."""
        texts = (self.text, self.link, self.sender_name)
        return _POST_OVERHEAD_BYTES + sum(len(text.encode()) for text in texts)

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
    """How far one side has the stream of one sender.

    Attributes:
        sender: Whose.
        stream: Which of the sender's.
        sequence: It has every post up to and including this one, or has given up on it …
        holes: … but for these, which it still wants; the newest of them.
    """

    sender: NodeId
    stream: U64
    sequence: Annotated[int, Range(0, 2**48)]
    holes: Annotated[tuple[Sequence, ...], Size(0, HOLES_MAX)] = ()

    @property
    def key(self) -> bytes:
        """Where the stream stands among all streams of a conversation."""
        return stream_key(self.sender, self.stream)

    def has(self, sequence: int) -> bool:
        """Whether that side has a post, as far as it says."""
        return sequence <= self.sequence and sequence not in self.holes


def check_order(heads: Iterable[Head]) -> None:
    """Return only if each stream is named once, in the order of the keys: looking into one costs more than naming it.

    Raises:
        ProtocolError: They are in another order, or some stream is named twice.
    """
    if any(head.key <= before.key for before, head in pairwise(heads)):
        raise ProtocolError("the heads of a comparison are not in strict order of their streams")


def stream_key(sender: NodeId, stream: int) -> bytes:
    """The place of a stream among all streams of a conversation."""
    return sender + stream.to_bytes(8, "big")


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
    """Posts of the room that the asker lacks, each stream oldest first, and how far the answerer has each stream.

    Attributes:
        posts: At most `POSTS_BYTES_MAX` of them.
        heads: Streams of the stretch that was asked about, in the order of their keys.
        until: The last stream that `heads` covers; empty where it covers all that was asked.
    """

    posts: Annotated[tuple[Post, ...], Size(0, POSTS_MAX)]
    heads: Annotated[tuple[Head, ...], Size(0, HEADS_MAX)]
    until: Border = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compare(Request[Missing]):
    """Tells how far the asker has a stretch of the room's streams, and asks for what it lacks there.

    Attributes:
        heads: All streams of the asker in the stretch; one that is not named is not known to it.
        after: The stretch begins after this stream; empty for the first.
        until: The stretch ends with this stream; empty for the last.
    """

    tag: ClassVar[int] = 0x0602
    reply: ClassVar[type] = Missing

    heads: Annotated[tuple[Head, ...], Size(0, HEADS_MAX)]
    after: Border = b""
    until: Border = b""
