"""One conversation: who said what, each sender in order, each post once. Pure.

A stream is one sender's posts in one conversation. Posts of a stream are shown in their order; one that comes early
waits for those before it, for a bounded time and in a bounded number. What is given up then is remembered as a hole, so
that a straggler still finds its place. Between streams the hybrid clock orders, but never against a stream's own order.

Taking a post has two steps, since the store comes between them: `offer` says which entries can be shown, `commit` makes
them part of the conversation. An offer that is never committed is made again with the next post of its stream.

Invariants: the newest entry of a stream is never trimmed, so a stream's head survives a restart and a sequence number
of this node is never used twice; every table has a bound.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from dfs_sdk.chat.clock import AHEAD_SECONDS_MAX, stamp_at
from dfs_sdk.chat.messages import HOLES_MAX, Head, Post, PostId, stream_key
from dfs_sdk.chat.news import ChatMessage
from dfs_sdk.ids import NodeId

STREAM_HOLES_MAX = 64

StreamKey = tuple[NodeId, int]
StreamPlace = tuple[NodeId, int, int]
Place = tuple[int, NodeId, int, int]


@dataclass(slots=True, kw_only=True)
class Entry:
    """A post in its place.

    Attributes:
        received_at_wall: When this node got it.
        delivered_to: Nodes that confirmed it; only kept for posts of this node.
        post_id: The id of the post, computed once.
        stamp: What it is sorted by: the post's stamp within what its receipt and its stream allow; set by `commit`.
        shown: The entry as faces last saw it, so that looking at a long history again costs nothing.
    """

    post: Post
    received_at_wall: float
    delivered_to: set[NodeId] = field(default_factory=set)
    post_id: PostId = field(init=False)
    stamp: int = field(init=False)
    shown: ChatMessage | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.post_id = self.post.post_id
        self.stamp = min(self.post.stamp, stamp_at(self.received_at_wall + AHEAD_SECONDS_MAX))

    @property
    def place(self) -> Place:
        """Sorts the entries of a conversation."""
        return (self.stamp, self.post.sender, self.post.stream, self.post.sequence)


@dataclass(slots=True)
class _Stream:
    head: int = 0
    posts: dict[int, Entry] = field(default_factory=dict)
    holes: list[int] = field(default_factory=list)
    pending: dict[int, Post] = field(default_factory=dict)
    waiting_since: float | None = None

    def has(self, sequence: int) -> bool:
        return sequence <= self.head and sequence not in self.holes

    def hold(self, post: Post, limit: int) -> None:
        """Keep a post that is ahead of its time; of too many, those closest to their time stay."""
        self.pending[post.sequence] = post
        if len(self.pending) > limit:
            del self.pending[max(self.pending)]

    def ready(self, first: int) -> list[Post]:
        """The unbroken run of waiting posts that begins with `first`."""
        run: list[Post] = []
        while (post := self.pending.get(first + len(run))) is not None:
            run.append(post)
        return run

    def offered(self, now: float, *, patient: bool) -> list[Post]:
        """What can be shown of the waiting posts at second `now`."""
        if self.waiting_since is None:
            self.waiting_since = now
        ready = self.ready(self.head + 1)
        if ready or patient or not self.pending:
            return ready
        # Whoever has the rest would have given it: every run that is there, one after the other.
        return [self.pending[sequence] for sequence in sorted(self.pending)]

    def advance(self, sequence: int) -> None:
        """Note that a post takes its place; what was skipped to get there becomes holes."""
        self.pending.pop(sequence, None)
        if sequence > self.head:
            skipped = range(max(self.head + 1, sequence - STREAM_HOLES_MAX), sequence)
            self.holes = [*self.holes, *skipped][-STREAM_HOLES_MAX:]
            self.head = sequence
        elif sequence in self.holes:
            self.holes.remove(sequence)


class Conversation:
    """The streams of one room, or of the direct posts between two nodes.

    Args:
        me: The node whose conversation this is; its own streams are never dropped.
        history_length_max: Entries kept, beside the newest one of each stream.
        streams_max: Streams followed; of more, the one silent for longest is dropped.
        pending_length_max: Posts of a stream held back while an earlier one is missing.
    """

    def __init__(self, *, me: NodeId, history_length_max: int, streams_max: int, pending_length_max: int) -> None:
        self._me = me
        self._history_length_max = history_length_max
        self._streams_max = streams_max
        self._pending_length_max = pending_length_max
        # The stream heard last comes last.
        self._streams: dict[StreamKey, _Stream] = {}
        self._entries: list[Entry] = []
        self._dropped: list[Entry] = []
        self._size_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        """Iterate in the order of showing, oldest first."""
        return iter(tuple(self._entries))

    @property
    def size_bytes(self) -> int:
        """What the posts of all entries take, roughly."""
        return self._size_bytes

    def entries(self, *, limit: int, before: PostId | None = None) -> list[Entry]:
        """The newest `limit` entries, oldest of them first; those before one entry if it is named and known."""
        end = len(self._entries)
        if before is not None:
            end = next((at for at, entry in enumerate(self._entries) if entry.post_id == before), 0)
        return self._entries[max(0, end - limit) : end] if limit > 0 else []

    def next_sequence(self, sender: NodeId, stream: int) -> int:
        """The sequence that the sender's next post in this conversation takes."""
        known = self._streams.get((sender, stream))
        return known.head + 1 if known else 1

    def has(self, post: Post) -> bool:
        """Whether a post has its place here, or its time is over for good."""
        known = self._streams.get((post.sender, post.stream))
        return known is not None and known.has(post.sequence)

    def offer(self, posts: Sequence[Post], *, now: float, now_wall: float, patient: bool = True) -> list[Entry]:
        """Take verified posts.

        Args:
            posts: The posts; a second copy changes nothing.
            now: Monotonic seconds, for the wait on missing posts.
            now_wall: Seconds since the epoch, for the record.
            patient: Wait for missing posts. False where the source would have given them if it had them.

        Returns:
            The entries to be kept and then committed, each stream in order: none while an earlier post is missing.
        """
        found: dict[StreamPlace, Post] = {}
        touched: dict[StreamKey, _Stream] = {}
        for post in posts:
            key = (post.sender, post.stream)
            stream = self._stream(key)
            if stream is None or stream.has(post.sequence):
                continue
            if post.sequence in stream.holes:
                found[(*key, post.sequence)] = post
                continue
            stream.hold(post, self._pending_length_max)
            touched[key] = stream
        for key, stream in touched.items():
            found |= {(*key, post.sequence): post for post in stream.offered(now, patient=patient)}
        return [Entry(post=post, received_at_wall=now_wall) for post in found.values()]

    def overdue(self, *, now: float, now_wall: float, gap_timeout: float) -> list[Entry]:
        """Entries whose predecessors have been missing for `gap_timeout` seconds, to be kept and committed."""
        found: list[Entry] = []
        for stream in self._streams.values():
            if stream.pending and stream.waiting_since is not None and now - stream.waiting_since >= gap_timeout:
                ready = stream.ready(min(stream.pending))
                found += [Entry(post=post, received_at_wall=now_wall) for post in ready]
        return found

    def commit(self, entries: Sequence[Entry], *, now: float = 0.0) -> None:
        """Make entries part of the conversation, in the order they were offered."""
        for entry in entries:
            key = (entry.post.sender, entry.post.stream)
            stream = self._stream(key)
            if stream is None or entry.post.sequence in stream.posts:
                continue
            self._fit(stream, entry)
            stream.advance(entry.post.sequence)
            stream.waiting_since = now if stream.pending else None
            stream.posts[entry.post.sequence] = entry
            insort(self._entries, entry, key=lambda item: item.place)
            self._size_bytes += entry.post.size_bytes
            self._streams[key] = self._streams.pop(key)

    def restore(self, entry: Entry) -> None:
        """Put back an entry that was read from the store; a stream's entries come in the order of their sequences."""
        stream = self._stream((entry.post.sender, entry.post.stream))
        if stream is not None and not stream.posts:
            stream.head = entry.post.sequence - 1
        self.commit([entry])

    def heads(self, *, after: bytes = b"", until: bytes = b"", limit: int) -> tuple[tuple[Head, ...], bytes]:
        """How far this side has the streams of a stretch.

        Args:
            after: The stretch begins after this stream key.
            until: It ends with this one; empty for the last.
            limit: At most so many heads.

        Returns:
            Heads in the order of their keys, and the last key they cover (empty if that is the last of all).
        """
        keys = self._stretch(after, until)
        heads = tuple(
            Head(sender=key[0], stream=key[1], sequence=held.head, holes=tuple(held.holes[-HOLES_MAX:]))
            for key in keys[:limit]
            for held in (self._streams[key],)
        )
        return heads, heads[-1].key if len(keys) > limit else until

    def missing_from(
        self, heads: Sequence[Head], *, after: bytes = b"", until: bytes = b"", limit: int, bytes_max: int
    ) -> list[Post]:
        """Posts of a stretch that the owner of `heads` lacks and this side has, each stream oldest first."""
        known = {(head.sender, head.stream): head for head in heads}
        found: list[Post] = []
        for key in self._stretch(after, until):
            stream, head = self._streams[key], known.get(key) or Head(sender=key[0], stream=key[1], sequence=0)
            if stream.head <= head.sequence and not head.holes:
                continue
            for sequence in sorted(each for each in stream.posts if not head.has(each)):
                post = stream.posts[sequence].post
                bytes_max -= post.size_bytes
                if len(found) >= limit or bytes_max < 0:
                    return found
                found.append(post)
        return found

    def confirmed(self, head: Head, peer: NodeId, *, limit: int) -> list[Entry]:
        """Of the newest `limit` posts of a stream, those `peer` has by its head and that are not marked so yet."""
        stream = self._streams.get((head.sender, head.stream))
        if stream is None:
            return []
        newest = sorted(stream.posts)[-limit:]
        return [stream.posts[each] for each in newest if head.has(each) and peer not in stream.posts[each].delivered_to]

    def find(self, post: Post) -> Entry | None:
        """The entry of a post."""
        known = self._streams.get((post.sender, post.stream))
        return known.posts.get(post.sequence) if known else None

    def trim(self, *, size_bytes_max: int | None = None) -> list[Entry]:
        """Drop the oldest entries above the bounds; returns all that were dropped, so that the store forgets them too.

        Args:
            size_bytes_max: Drop more until the entries take no more than this.
        """
        limit = self._size_bytes if size_bytes_max is None else size_bytes_max
        if len(self._entries) > self._history_length_max or self._size_bytes > limit:
            kept = []
            excess = len(self._entries) - self._history_length_max
            for entry in self._entries:
                if (excess > 0 or self._size_bytes > limit) and not self._is_newest(entry):
                    self._forget(entry)
                    excess -= 1
                else:
                    kept.append(entry)
            self._entries = kept
        dropped, self._dropped = self._dropped, []
        return dropped

    def _is_newest(self, entry: Entry) -> bool:
        return entry.post.sequence >= self._streams[(entry.post.sender, entry.post.stream)].head

    def _forget(self, entry: Entry) -> None:
        stream = self._streams.get((entry.post.sender, entry.post.stream))
        if stream is not None:
            del stream.posts[entry.post.sequence]
        self._size_bytes -= entry.post.size_bytes
        self._dropped.append(entry)

    def _stream(self, key: StreamKey) -> _Stream | None:
        stream = self._streams.get(key)
        if stream is None:
            if len(self._streams) >= self._streams_max and not self._drop_a_stream():
                return None
            stream = self._streams[key] = _Stream()
        return stream

    def _drop_a_stream(self) -> bool:
        silent = next((key for key in self._streams if key[0] != self._me), None)
        if silent is None:
            return False
        posts = self._streams[silent].posts
        gone = {id(entry) for entry in posts.values()}
        for entry in tuple(posts.values()):
            self._forget(entry)
        del self._streams[silent]
        self._entries = [entry for entry in self._entries if id(entry) not in gone]
        return True

    def _stretch(self, after: bytes, until: bytes) -> list[StreamKey]:
        keys = sorted(self._streams)
        return [key for key in keys if stream_key(*key) > after and (not until or stream_key(*key) <= until)]

    def _fit(self, stream: _Stream, entry: Entry) -> None:
        """Keep an entry's stamp between those of its neighbours in the stream, whatever its sender's clock did."""
        sequence = entry.post.sequence
        before = stream.posts.get(sequence - 1) or stream.posts.get(stream.head)
        if sequence > stream.head:
            if before is not None:
                entry.stamp = max(entry.stamp, before.stamp)
            return
        earlier = [each for each in stream.posts if each < sequence]
        later = [each for each in stream.posts if each > sequence]
        low = stream.posts[max(earlier)].stamp if earlier else 0
        high = stream.posts[min(later)].stamp if later else entry.stamp
        entry.stamp = min(max(entry.stamp, low), high)
