"""Chat in the store: one document a post, under a key that sorts by conversation and stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from dfs_sdk.chat.messages import Post
from dfs_sdk.chat.room import Entry
from dfs_sdk.errors import ProtocolError
from dfs_sdk.ids import NodeId
from dfs_sdk.wire import Packed, WallTime, decode, encode

POSTS_KIND = "chat.posts"
STATE_KIND = "chat.state"
STREAM_KEY = b"stream"
DELIVERED_MAX = 256
ROOM_KEY = bytes(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPost:
    """A post with what this node knows about it."""

    post: Post
    received_at_wall: WallTime
    delivered_to: Annotated[tuple[NodeId, ...], Packed(DELIVERED_MAX)]


def document_key(conversation: NodeId | None, post: Post) -> bytes:
    """The key of a post's document: conversation, sender, stream, sequence."""
    place = post.stream.to_bytes(8, "big") + post.sequence.to_bytes(8, "big")
    return (conversation or ROOM_KEY) + post.sender + place


def document_value(entry: Entry) -> bytes:
    """Encode an entry for the store."""
    delivered = tuple(sorted(entry.delivered_to)[:DELIVERED_MAX])
    return encode(StoredPost(post=entry.post, received_at_wall=entry.received_at_wall, delivered_to=delivered))


def read_document(key: bytes, value: bytes) -> tuple[NodeId | None, Entry] | None:
    """Decode a document; None if it is damaged, so that one bad record does not cost the rest of the history."""
    try:
        stored = decode(StoredPost, value)
    except ProtocolError:
        return None
    conversation = None if key[:32] == ROOM_KEY else NodeId(key[:32])
    entry = Entry(post=stored.post, received_at_wall=stored.received_at_wall, delivered_to=set(stored.delivered_to))
    return conversation, entry
