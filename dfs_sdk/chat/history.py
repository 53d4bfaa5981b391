"""All conversations of a node, in memory and in the store: the one writer of both.

An entry is shown, counted as held and confirmed only after the store has it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

from dfs_sdk.chat.clock import HybridClock
from dfs_sdk.chat.config import ChatConfig
from dfs_sdk.chat.messages import LINK_BYTES_MAX, TEXT_BYTES_MAX, Post, PostId
from dfs_sdk.chat.news import ChatDelivered, ChatMessage, ChatReceived
from dfs_sdk.chat.records import (
    DELIVERED_MAX,
    POSTS_KIND,
    STATE_KIND,
    STREAM_KEY,
    document_key,
    document_value,
    read_document,
)
from dfs_sdk.chat.room import Conversation, Entry
from dfs_sdk.crypto.identity import Identity
from dfs_sdk.errors import DfsError, StoreError
from dfs_sdk.events import EventBus
from dfs_sdk.ids import NetworkId, NodeId
from dfs_sdk.runtime.ports import Clock
from dfs_sdk.store.base import DocumentStore
from dfs_sdk.wire.text import safe_text

logger = logging.getLogger(__name__)

# In characters; four bytes each at most, so that every name fits into the 255 bytes of a post.
NAME_LENGTH_MAX = 60
RESTORE_PAGE_LENGTH = 128


class History:
    """What was said, everywhere.

    Args:
        identity: Signs what this node says.
        name: The name this node goes by.
        network_id: Posts are signed for this network only, and kept apart from those of others.
        store: Where posts are kept.
        events: Where `ChatReceived` and `ChatDelivered` are published.
        clock: Stamps.
        config: Bounds.
    """

    def __init__(
        self,
        *,
        identity: Identity,
        name: str,
        network_id: NetworkId,
        store: DocumentStore,
        events: EventBus,
        clock: Clock,
        config: ChatConfig,
    ) -> None:
        self._identity = identity
        self._me = identity.node_id
        self._name = safe_text(name, length_max=NAME_LENGTH_MAX) if name else ""
        self._network_id = network_id
        self._store = store
        self._events = events
        self._clock = clock
        self._config = config
        self._stamps = HybridClock()
        self._stream = 0
        self._conversations: dict[NodeId | None, Conversation] = {None: self._new_conversation()}
        # One writer at a time: a second copy must not be confirmed while the first is still on its way to the disk.
        self._writing = asyncio.Lock()

    @property
    def room(self) -> Conversation:
        """The conversation of the whole network."""
        return self._conversations[None]

    def conversations(self) -> list[NodeId | None]:
        """The room of the network (None) and the other sides of all direct conversations."""
        return list(self._conversations)

    def messages(self, conversation: NodeId | None, *, limit: int, before: PostId | None) -> list[ChatMessage]:
        """The newest messages of a conversation, oldest of them first."""
        known = self._conversations.get(conversation)
        return [self.show(entry) for entry in known.entries(limit=limit, before=before)] if known else []

    def has(self, conversation: NodeId | None, post: Post) -> bool:
        """Whether a post is in the store, or its time is over for good."""
        known = self._conversations.get(conversation)
        return known is not None and known.has(post)

    async def restore(self) -> list[Post]:
        """Read what the store has; returns the direct posts of ours that nobody confirmed yet."""
        waiting: list[Post] = []
        whole, after = True, None
        while page := await self._store.list_documents(
            POSTS_KIND, prefix=bytes(self._network_id), after=after, limit=RESTORE_PAGE_LENGTH
        ):
            after = page[-1][0]
            for key, value in page:
                restored = read_document(key, value)
                if restored is None:
                    await self._store.delete_document(POSTS_KIND, key)
                    whole = False
                elif self._put_back(*restored):
                    waiting.append(restored[1].post)
        await self._choose_stream(whole=whole)
        return waiting

    async def write(self, text: str, *, to: NodeId | None, link: str) -> Entry:
        """Sign a post of ours and keep it.

        Raises:
            DfsError: There are too many direct conversations, or the store cannot keep it.
        """
        async with self._writing:
            conversation = self._conversation(to)
            if conversation is None:
                raise DfsError(f"there are {self._config.conversations_max} direct conversations already: use the room")
            wall = self._clock.wall()
            post = Post(
                ed=self._identity.public.ed,
                x=self._identity.public.x,
                sender_name=self._name,
                recipient=to,
                stream=self._stream,
                sequence=conversation.next_sequence(self._me, self._stream),
                stamp=self._stamps.next(wall),
                sent_at_wall=wall,
                text=text,
                link=link,
            ).signed(self._identity, self._network_id)
            entry = Entry(post=post, received_at_wall=wall)
            await self._keep(conversation, [entry])
            return entry

    async def take(self, to: NodeId | None, posts: Sequence[Post], *, patient: bool = True) -> list[Entry] | None:
        """Place verified posts of peers; returns the entries that became visible, None if there is no room for them.

        Raises:
            StoreError: The store cannot keep them; nothing became visible.
        """
        async with self._writing:
            conversation = self._conversation(to)
            if conversation is None:
                return None
            now, wall = self._clock.monotonic(), self._clock.wall()
            entries = conversation.offer(posts, now=now, now_wall=wall, patient=patient)
            await self._keep(conversation, entries)
            return entries

    async def end_waits(self) -> None:
        """Show what has waited for missing posts long enough."""
        async with self._writing:
            for conversation in tuple(self._conversations.values()):
                entries = conversation.overdue(
                    now=self._clock.monotonic(), now_wall=self._clock.wall(), gap_timeout=self._config.gap_timeout
                )
                await self._keep(conversation, entries)

    async def mark_delivered(self, peer: NodeId, posts: Sequence[Post]) -> None:
        """Note that a peer confirmed posts of ours; those of others are passed over."""
        async with self._writing:
            marked = []
            for post in posts:
                known = self._conversations.get(post.recipient)
                entry = known.find(post) if known is not None and post.sender == self._me else None
                if entry is not None and peer not in entry.delivered_to and len(entry.delivered_to) < DELIVERED_MAX:
                    entry.delivered_to.add(peer)
                    marked.append(entry)
            now = self._clock.wall()
            for entry in marked:
                # Told before it is kept: it is true whatever our disk does, and asked again if we forget it.
                self._events.publish(ChatDelivered(at_wall=now, message=self.show(entry)))
            try:
                if marked:
                    await self._store.put_documents(POSTS_KIND, [self._document(entry) for entry in marked])
            except StoreError as error:
                logger.warning("cannot keep who confirmed a chat message: %s", error)

    def show(self, entry: Entry) -> ChatMessage:
        """Make an entry what faces show: every text in it is safe as text."""
        if entry.shown is not None:
            if entry.shown.delivered != len(entry.delivered_to):
                entry.shown = replace(entry.shown, delivered=len(entry.delivered_to))
            return entry.shown
        post = entry.post
        entry.shown = ChatMessage(
            message_id=entry.post_id.hex(),
            conversation=self._side(post),
            sender=post.sender,
            sender_name=safe_text(post.sender_name, length_max=NAME_LENGTH_MAX) or post.sender.short,
            text=safe_text(post.text, length_max=TEXT_BYTES_MAX, keep_newlines=True),
            link=safe_text(post.link, length_max=LINK_BYTES_MAX),
            sent_at_wall=post.sent_at_wall,
            received_at_wall=entry.received_at_wall,
            mine=post.sender == self._me,
            delivered=len(entry.delivered_to),
        )
        return entry.shown

    def _side(self, post: Post) -> NodeId | None:
        """Which conversation a post belongs to: named by its other side, None for the room."""
        if post.recipient is None:
            return None
        return post.recipient if post.sender == self._me else post.sender

    def _document(self, entry: Entry) -> tuple[bytes, bytes]:
        return document_key(self._network_id, self._side(entry.post), entry.post), document_value(entry)

    async def _keep(self, conversation: Conversation, entries: Sequence[Entry]) -> None:
        """Write entries, then show them: if the write fails or is cancelled, nothing happened."""
        if not entries:
            return
        documents: list[tuple[bytes, bytes]] = []
        for entry in entries:
            if documents:
                await asyncio.sleep(0)  # long texts take milliseconds, and there are many
            documents.append(self._document(entry))
            self.show(entry)  # while waiting is harmless
        await self._store.put_documents(POSTS_KIND, documents)
        now, wall = self._clock.monotonic(), self._clock.wall()
        conversation.commit(entries, now=now)
        for entry in entries:
            self._stamps.seen(entry.post.stamp, wall)
            self._events.publish(ChatReceived(at_wall=wall, message=self.show(entry)))
        await self._trim(conversation)

    async def _trim(self, conversation: Conversation) -> None:
        dropped = conversation.trim()
        excess = sum(each.size_bytes for each in self._conversations.values()) - self._config.history_bytes_max
        if excess > 0:
            longest = max(self._conversations.values(), key=lambda each: each.size_bytes)
            dropped += longest.trim(size_bytes_max=longest.size_bytes - excess)
        for entry in dropped:
            await self._store.delete_document(POSTS_KIND, self._document(entry)[0])

    def _new_conversation(self) -> Conversation:
        config = self._config
        return Conversation(
            me=self._me,
            history_length_max=config.history_length_max,
            streams_max=config.streams_max,
            pending_length_max=config.pending_length_max,
        )

    def _conversation(self, to: NodeId | None) -> Conversation | None:
        if to not in self._conversations:
            if len(self._conversations) > self._config.conversations_max:
                return None
            self._conversations[to] = self._new_conversation()
        return self._conversations[to]

    def _put_back(self, to: NodeId | None, entry: Entry) -> bool:
        """Take an entry from the store; says whether it is a direct post of ours that nobody confirmed yet."""
        conversation = self._conversation(to)
        if conversation is None:
            return False
        conversation.restore(entry)
        self._stamps.seen(entry.post.stamp, self._clock.wall())
        return to is not None and entry.post.sender == self._me and not entry.delivered_to

    async def _choose_stream(self, *, whole: bool) -> None:
        """Go on with the stream of last time, unless posts of it may be lost: a sequence is never used twice."""
        fresh = max(0, int(self._clock.wall() * 1000))
        known = await self._store.get_document(STATE_KIND, STREAM_KEY)
        if known is not None and whole:
            self._stream = int.from_bytes(known[:8], "big")
            return
        self._stream = fresh if known is None else max(fresh, int.from_bytes(known[:8], "big") + 1)
        await self._store.put_document(STATE_KIND, STREAM_KEY, self._stream.to_bytes(8, "big"))
