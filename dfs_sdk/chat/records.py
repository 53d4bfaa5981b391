"""Chat in the store: one document a post, under a key that sorts by network, conversation and stream.

The network is part of the key, since a node that changes networks keeps its store: what was signed for one network
would be an offence in another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from dfs_sdk.chat.messages import Post, stream_key
from dfs_sdk.chat.room import Entry
from dfs_sdk.errors import ProtocolError
from dfs_sdk.ids import ID_BYTES, NetworkId, NodeId
from dfs_sdk.wire import Packed, WallTime, decode, encode

POSTS_KIND = "chat.posts"
STATE_KIND = "chat.state"
STREAM_KEY = b"stream"
DELIVERED_MAX = 256
ROOM_KEY = bytes(ID_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPost:
    """A post with what this node knows about it."""

    post: Post
    received_at_wall: WallTime
    delivered_to: Annotated[tuple[NodeId, ...], Packed(DELIVERED_MAX)]


def document_key(network: NetworkId, conversation: NodeId | None, post: Post) -> bytes:
    """The key of a post's document: network, conversation, sender, stream, sequence."""
    return (
        network + (conversation or ROOM_KEY) + stream_key(post.sender, post.stream) + post.sequence.to_bytes(8, "big")
    )


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
    other = key[ID_BYTES : 2 * ID_BYTES]
    conversation = None if other == ROOM_KEY else NodeId(other)
    entry = Entry(post=stored.post, received_at_wall=stored.received_at_wall, delivered_to=set(stored.delivered_to))
    return conversation, entry
