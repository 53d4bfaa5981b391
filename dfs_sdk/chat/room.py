"""One conversation: who said what, each sender in order, each post once. Pure.

A stream is one sender's posts in one conversation. Posts of a stream are shown in their order; one that comes early
waits for those before it, for a bounded time and in a bounded number. Between streams the hybrid clock orders.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass, field

from dfs_sdk.chat.clock import AHEAD_SECONDS_MAX, stamp_at
from dfs_sdk.chat.messages import Head, Post
from dfs_sdk.ids import NodeId

StreamKey = tuple[NodeId, int]


@dataclass(slots=True, kw_only=True)
class Entry:
    """A post in its place.

    Attributes:
        received_at_wall: When this node got it.
        delivered_to: Nodes that confirmed it; only kept for posts of this node.
    """

    post: Post
    received_at_wall: float
    delivered_to: set[NodeId] = field(default_factory=set)

    @property
    def order(self) -> tuple[int, NodeId, int, int]:
        """Sorts entries of a conversation; a stamp from the future counts as one minute ahead of its receipt."""
        stamp = min(self.post.stamp, stamp_at(self.received_at_wall + AHEAD_SECONDS_MAX))
        return (stamp, self.post.sender, self.post.stream, self.post.sequence)


@dataclass(slots=True)
class _Stream:
    head: int
    posts: dict[int, Entry] = field(default_factory=dict)
    pending: dict[int, Post] = field(default_factory=dict)
    waiting_since: float | None = None


class Conversation:
    """The streams of one room, or of the direct posts between two nodes."""

    def __init__(self, *, history_length_max: int, streams_max: int, pending_length_max: int) -> None:
        self._history_length_max = history_length_max
        self._streams_max = streams_max
        self._pending_length_max = pending_length_max
        self._streams: dict[StreamKey, _Stream] = {}
        self._entries: list[Entry] = []

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        """Iterate in the order of showing, oldest first."""
        return iter(tuple(self._entries))

    def entries(self, *, limit: int) -> list[Entry]:
        """The newest `limit` entries, oldest of them first."""
        return self._entries[-limit:] if limit > 0 else []

    def next_sequence(self, sender: NodeId, stream: int) -> int:
        """The sequence that the sender's next post in this conversation takes."""
        known = self._streams.get((sender, stream))
        return known.head + 1 if known else 1

    def receive(self, post: Post, *, now: float, now_wall: float) -> list[Entry]:
        """Take a verified post.

        Args:
            post: The post; a second copy changes nothing.
            now: Monotonic seconds, for the wait on missing posts.
            now_wall: Seconds since the epoch, for the record.

        Returns:
            The entries that became visible, in order: none while an earlier post of the stream is missing.
        """
        stream = self._stream(post)
        if stream is None or post.sequence <= stream.head:
            return []
        if len(stream.pending) < self._pending_length_max or post.sequence in stream.pending:
            stream.pending[post.sequence] = post
        visible = self._advance(stream, now_wall)
        if not stream.pending:
            stream.waiting_since = None
        elif stream.waiting_since is None or visible:
            stream.waiting_since = now
        return visible

    def skip_gaps(self, *, now: float, now_wall: float, gap_timeout: float) -> list[Entry]:
        """Give up on posts that have been missing for `gap_timeout` seconds; show what waited behind them."""
        visible: list[Entry] = []
        for stream in self._streams.values():
            if stream.waiting_since is not None and now - stream.waiting_since >= gap_timeout and stream.pending:
                stream.head = min(stream.pending) - 1
                visible += self._advance(stream, now_wall)
                stream.waiting_since = now if stream.pending else None
        return visible

    def has_gaps(self) -> bool:
        """Whether some post waits for an earlier one."""
        return any(stream.pending for stream in self._streams.values())

    def restore(self, entry: Entry) -> None:
        """Put back an entry that was read from the store."""
        stream = self._stream(entry.post)
        if stream is not None and entry.post.sequence not in stream.posts:
            stream.head = max(stream.head, entry.post.sequence)
            self._insert(stream, entry)

    def heads(self, limit: int) -> tuple[Head, ...]:
        """How far this side has each stream, most recently heard last streams preferred, at most `limit`."""
        newest = list(self._streams.items())[-limit:]
        return tuple(Head(sender=sender, stream=stream, sequence=held.head) for (sender, stream), held in newest)

    def missing_from(self, heads: tuple[Head, ...], limit: int) -> list[Post]:
        """Posts that the owner of `heads` lacks and this side has, each stream oldest first, at most `limit`."""
        known = {(head.sender, head.stream): head.sequence for head in heads}
        found: list[Post] = []
        for key, stream in self._streams.items():
            after = known.get(key, 0)
            if stream.head > after:
                wanted = sorted(sequence for sequence in stream.posts if sequence > after)
                found += [stream.posts[sequence].post for sequence in wanted[: limit - len(found)]]
            if len(found) >= limit:
                break
        return found

    def find(self, sender: NodeId, stream: int, sequence: int) -> Entry | None:
        """The entry at one place of one stream."""
        known = self._streams.get((sender, stream))
        return known.posts.get(sequence) if known else None

    def trim(self) -> list[Entry]:
        """Drop the oldest entries above the bound; returns them so that the store can forget them too."""
        excess = len(self._entries) - self._history_length_max
        if excess <= 0:
            return []
        dropped, self._entries = self._entries[:excess], self._entries[excess:]
        for entry in dropped:
            self._streams[(entry.post.sender, entry.post.stream)].posts.pop(entry.post.sequence, None)
        return dropped

    def _stream(self, post: Post) -> _Stream | None:
        key = (post.sender, post.stream)
        stream = self._streams.get(key)
        if stream is None:
            if len(self._streams) >= self._streams_max:
                return None
            stream = self._streams[key] = _Stream(head=0)
        return stream

    def _advance(self, stream: _Stream, now_wall: float) -> list[Entry]:
        visible = []
        while (post := stream.pending.pop(stream.head + 1, None)) is not None:
            stream.head += 1
            entry = Entry(post=post, received_at_wall=now_wall)
            self._insert(stream, entry)
            visible.append(entry)
        return visible

    def _insert(self, stream: _Stream, entry: Entry) -> None:
        stream.posts[entry.post.sequence] = entry
        insort(self._entries, entry, key=lambda item: item.order)
