"""Chat at work: sends, receives, passes on, compares and keeps.

A room message goes to everybody directly in a network of up to `fanout` peers, and by forwarding beyond; what got lost
comes by the periodic comparison. A direct message goes to its recipient alone and is tried again until it confirms.
A node confirms a post after the store has it. Rules P-CHAT-1 to P-CHAT-8 of docs/protocol/chat.md.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from dfs_sdk.chat.clock import HybridClock
from dfs_sdk.chat.config import ChatConfig
from dfs_sdk.chat.messages import (
    HEADS_MAX,
    LINK_BYTES_MAX,
    POSTS_MAX,
    TEXT_BYTES_MAX,
    Compare,
    Deliver,
    Delivered,
    Missing,
    Post,
    PostId,
)
from dfs_sdk.chat.news import ChatDelivered, ChatMessage, ChatReceived
from dfs_sdk.chat.records import POSTS_KIND, STATE_KIND, STREAM_KEY, document_key, document_value, read_document
from dfs_sdk.chat.room import Conversation, Entry
from dfs_sdk.errors import ConfigError, DfsError, MessageTooLargeError, ProtocolError
from dfs_sdk.events import EventBus
from dfs_sdk.ids import NetworkId, NodeId
from dfs_sdk.peers.service import Peers
from dfs_sdk.rpc.base import Caller, Refusal, RefusalCode, RpcService
from dfs_sdk.runtime.ports import Runtime
from dfs_sdk.runtime.tasks import TaskScope, run_all
from dfs_sdk.store.base import DocumentStore
from dfs_sdk.transport.priority import Priority
from dfs_sdk.wire.text import safe_text

logger = logging.getLogger(__name__)

DIRECT_CONVERSATIONS_MAX = 1_024
COMPARE_ROUNDS_MAX = 64
NAME_LENGTH_MAX = 64


@dataclass(slots=True)
class _Allowance:
    """Token bucket of one peer."""

    tokens: float
    at: float


class Chat:
    """The chat of one node in one network.

    Args:
        rpc: Calls to and from peers.
        peers: Who is reachable.
        store: Where history is kept.
        events: Where `ChatReceived` and `ChatDelivered` are published.
        scope: Parent of background tasks.
        runtime: Clock and rng.
        network_id: Posts are signed for this network only.
        name: The name to go by.
        config: Bounds and rhythms.
    """

    def __init__(
        self,
        *,
        rpc: RpcService,
        peers: Peers,
        store: DocumentStore,
        events: EventBus,
        scope: TaskScope,
        runtime: Runtime,
        network_id: NetworkId,
        name: str,
        config: ChatConfig,
    ) -> None:
        self._rpc = rpc
        self._peers = peers
        self._store = store
        self._events = events
        self._scope = scope
        self._runtime = runtime
        self._network_id = network_id
        self._name = name
        self._config = config
        self._clock = HybridClock()
        self._stream = 0
        self._conversations: dict[NodeId | None, Conversation] = {None: self._new_conversation()}
        self._outbox: dict[PostId, tuple[NodeId, Post]] = {}
        self._allowances: dict[NodeId, _Allowance] = {}
        self._placing = asyncio.Lock()

    async def start(self) -> None:
        """Read the history, serve peers, begin comparing."""
        await self._restore()
        self._rpc.serve(Deliver, self._on_deliver)
        self._rpc.serve(Compare, self._on_compare)
        rng = self._runtime.rng.child("chat")
        self._rng = rng
        self._scope.every("chat-compare", self._config.sync_interval, self._compare_with_somebody, rng=rng)
        self._scope.every("chat-upkeep", 1.0, self._upkeep, rng=rng)

    async def catch_up(self) -> None:
        """Compare the room with one peer at once: a newcomer sees the history without waiting a round."""
        await self._compare_with_somebody()

    async def send(self, text: str, *, to: NodeId | None = None, link: str = "") -> ChatMessage:
        """Say something to everybody, or to one node.

        The message is in this node's history when this returns; delivery goes on in the background and is reported by
        `ChatDelivered` and in `delivered` of the history.

        Raises:
            ConfigError: There is nothing to send, or it is addressed to this node.
            MessageTooLargeError: The text is over 4,096 bytes: send it as a file.
            DfsError: Too many direct messages wait for peers that are away.
        """
        self._check(text, to, link)
        conversation = self._conversation(to)
        if conversation is None or (to and len(self._outbox) >= self._config.outbox_length_max):
            raise DfsError("too many direct messages wait for peers that are away: wait until some are back")
        wall = self._runtime.clock.wall()
        post = Post(
            ed=self._rpc.identity.public.ed,
            x=self._rpc.identity.public.x,
            sender_name=self._name,
            recipient=to,
            stream=self._stream,
            sequence=conversation.next_sequence(self._rpc.node_id, self._stream),
            stamp=self._clock.next(wall),
            sent_at_wall=wall,
            text=text,
            link=link,
        ).signed(self._rpc.identity, self._network_id)
        visible = await self._place(to, conversation, post)
        if to is not None:
            self._outbox[post.post_id] = (to, post)
        self._scope.spawn("chat-send", self._deliver_new(post))
        return self._show(to, visible[0])

    def history(
        self, conversation: NodeId | None = None, *, limit: int = 100, before: str | None = None
    ) -> list[ChatMessage]:
        """The newest messages of a conversation, oldest of them first.

        Args:
            conversation: The other side; None for the room of the network.
            limit: At most so many.
            before: Only those shown before the message with this id: how to page back.
        """
        known = self._conversations.get(conversation)
        if known is None:
            return []
        entries = list(known)
        if before is not None:
            places = [at for at, entry in enumerate(entries) if entry.post.post_id.hex() == before]
            entries = entries[: places[0]] if places else []
        return [self._show(conversation, entry) for entry in (entries[-limit:] if limit > 0 else [])]

    def conversations(self) -> list[NodeId | None]:
        """The room of the network (None) and everybody with whom there is a direct conversation."""
        return list(self._conversations)

    def _check(self, text: str, to: NodeId | None, link: str) -> None:
        if not text and not link:
            raise ConfigError("there is nothing to send: give a text or a link")
        if to == self._rpc.node_id:
            raise ConfigError("a direct message goes to another node, not to this one")
        try:
            size = len(text.encode())
        except UnicodeEncodeError as error:
            raise ConfigError("the text holds half of a surrogate pair: it is not valid text") from error
        if size > TEXT_BYTES_MAX or len(link.encode()) > LINK_BYTES_MAX:
            raise MessageTooLargeError(
                f"a chat message holds at most {TEXT_BYTES_MAX:,} bytes, this one has {size:,}: "
                "put it as a file and send its link"
            )

    def _new_conversation(self) -> Conversation:
        config = self._config
        return Conversation(
            history_length_max=config.history_length_max,
            streams_max=config.streams_max,
            pending_length_max=config.pending_length_max,
        )

    def _conversation(self, key: NodeId | None) -> Conversation | None:
        if key not in self._conversations:
            if len(self._conversations) > DIRECT_CONVERSATIONS_MAX:
                return None
            self._conversations[key] = self._new_conversation()
        return self._conversations[key]

    # Keeping

    async def _restore(self) -> None:
        known = await self._store.get_document(STATE_KIND, STREAM_KEY)
        if known is None:
            known = int(self._runtime.clock.wall() * 1000).to_bytes(8, "big")
            await self._store.put_document(STATE_KIND, STREAM_KEY, known)
        self._stream = int.from_bytes(known, "big")
        for key, value in await self._store.list_documents(POSTS_KIND):
            restored = read_document(key, value)
            if restored is None:
                await self._store.delete_document(POSTS_KIND, key)
                continue
            to, entry = restored
            conversation = self._conversation(to)
            if conversation is not None:
                conversation.restore(entry)
                self._clock.seen(entry.post.stamp, self._runtime.clock.wall())
            if to is not None and entry.post.sender == self._rpc.node_id and not entry.delivered_to:
                self._outbox[entry.post.post_id] = (to, entry.post)

    async def _keep(self, key: NodeId | None, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        await self._store.put_documents(
            POSTS_KIND, [(document_key(key, entry.post), document_value(entry)) for entry in entries]
        )
        for entry in self._conversations[key].trim():
            await self._store.delete_document(POSTS_KIND, document_key(key, entry.post))
        now = self._runtime.clock.wall()
        for entry in entries:
            self._clock.seen(entry.post.stamp, now)
            self._events.publish(ChatReceived(at_wall=now, message=self._show(key, entry)))

    def _show(self, key: NodeId | None, entry: Entry) -> ChatMessage:
        post = entry.post
        return ChatMessage(
            message_id=post.post_id.hex(),
            conversation=key,
            sender=post.sender,
            sender_name=safe_text(post.sender_name, length_max=NAME_LENGTH_MAX) or post.sender.short,
            text=safe_text(post.text, length_max=TEXT_BYTES_MAX, keep_newlines=True),
            link=safe_text(post.link, length_max=LINK_BYTES_MAX),
            sent_at_wall=post.sent_at_wall,
            received_at_wall=entry.received_at_wall,
            mine=post.sender == self._rpc.node_id,
            delivered=len(entry.delivered_to),
        )

    # Sending

    async def _deliver_new(self, post: Post) -> None:
        targets = [post.recipient] if post.recipient is not None else self._audience(self._config.fanout)
        await run_all(*(self._deliver_to(peer, [post]) for peer in targets), limit=self._config.fanout)

    def _audience(self, limit: int, *, but: Sequence[NodeId] = ()) -> list[NodeId]:
        others = [peer for peer in self._peers.view.reachable() if peer != self._rpc.node_id and peer not in but]
        return others if len(others) <= limit else self._rng.sample(others, limit)

    async def _deliver_to(self, peer: NodeId, posts: Sequence[Post]) -> None:
        try:
            answer = await self._rpc.call(
                peer, Deliver(posts=tuple(posts)), timeout=self._config.call_timeout, priority=Priority.INTERACTIVE
            )
        except DfsError as error:
            logger.debug("no delivery to %s: %s", peer.short, error)
            return
        for post in posts:
            if post.sender == self._rpc.node_id and post.post_id in answer.reply.posts:
                await self._mark_delivered(peer, post)

    async def _mark_delivered(self, peer: NodeId, post: Post) -> None:
        key = post.recipient
        self._outbox.pop(post.post_id, None)
        entry = self._conversations[key].find(post.sender, post.stream, post.sequence)
        if entry is None or peer in entry.delivered_to:
            return
        entry.delivered_to.add(peer)
        await self._store.put_document(POSTS_KIND, document_key(key, post), document_value(entry))
        now = self._runtime.clock.wall()
        self._events.publish(ChatDelivered(at_wall=now, message=self._show(key, entry)))

    async def _upkeep(self) -> None:
        now, wall = self._runtime.clock.monotonic(), self._runtime.clock.wall()
        for key, conversation in tuple(self._conversations.items()):
            late = conversation.skip_gaps(now=now, now_wall=wall, gap_timeout=self._config.gap_timeout)
            await self._keep(key, late)
        await self._flush_outbox()

    async def _flush_outbox(self) -> None:
        reachable = set(self._peers.view.reachable())
        waiting: dict[NodeId, list[Post]] = {}
        for recipient, post in self._outbox.values():
            if recipient in reachable:
                waiting.setdefault(recipient, []).append(post)
        for recipient, posts in waiting.items():
            posts.sort(key=lambda post: post.sequence)
            await self._deliver_to(recipient, posts[:POSTS_MAX])

    # Receiving

    async def _on_deliver(self, caller: Caller, request: Deliver, _body: memoryview) -> Delivered:
        self._charge(caller.node_id, len(request.posts))
        taken = []
        for post in request.posts:
            if await self._take(post, caller.node_id):
                taken.append(post.post_id)
        return Delivered(posts=tuple(taken))

    async def _take(self, post: Post, source: NodeId) -> bool:
        """Verify and place one post; says whether this node has it now (or waits for an earlier one of its stream)."""
        sender = post.sender
        if post.recipient is None:
            key = None
        elif post.recipient == self._rpc.node_id and sender == source:
            key = sender
        else:
            raise ProtocolError("a direct message was given to somebody else than its recipient, or by another sender")
        post.verify(self._network_id)
        conversation = self._conversation(key)
        if conversation is None:
            raise Refusal(RefusalCode.BUSY, "too many conversations")
        visible = await self._place(key, conversation, post)
        has_it = conversation.next_sequence(sender, post.stream) > post.sequence
        if key is None and visible:
            self._forward([entry.post for entry in visible], but=(source, sender))
        elif key is None and not has_it:
            self._scope.spawn("chat-fill", self._compare_with(source))
        return has_it

    async def _place(self, key: NodeId | None, conversation: Conversation, post: Post) -> list[Entry]:
        # One at a time: a second copy must not be confirmed while the first is still on its way to the disk.
        async with self._placing:
            clock = self._runtime.clock
            visible = conversation.receive(post, now=clock.monotonic(), now_wall=clock.wall())
            await self._keep(key, visible)
            return visible

    def _forward(self, posts: Sequence[Post], *, but: tuple[NodeId, ...]) -> None:
        if len(self._peers.view.reachable()) <= self._config.fanout:
            return
        for peer in self._audience(self._config.forward_fanout, but=but):
            self._scope.spawn("chat-forward", self._deliver_to(peer, posts[-POSTS_MAX:]))

    def _charge(self, peer: NodeId, count: int) -> None:
        now = self._runtime.clock.monotonic()
        allowance = self._allowances.get(peer)
        if allowance is None:
            if len(self._allowances) >= self._config.streams_max:
                self._allowances.pop(next(iter(self._allowances)))
            allowance = self._allowances[peer] = _Allowance(self._config.posts_burst, now)
        refill = (now - allowance.at) * self._config.posts_per_second
        allowance.tokens, allowance.at = min(self._config.posts_burst, allowance.tokens + refill), now
        if allowance.tokens < count:
            raise Refusal(RefusalCode.BUSY, "too many chat messages in a short time")
        allowance.tokens -= count

    # Comparing

    async def _compare_with_somebody(self) -> None:
        for peer in self._audience(1):
            await self._compare_with(peer)

    async def _compare_with(self, peer: NodeId) -> None:
        room = self._conversations[None]
        for _ in range(COMPARE_ROUNDS_MAX):
            try:
                answer = await self._rpc.call(
                    peer, Compare(heads=room.heads(HEADS_MAX)), timeout=self._config.call_timeout
                )
            except DfsError as error:
                logger.debug("no comparison with %s: %s", peer.short, error)
                return
            before = len(room)
            try:
                for post in answer.reply.posts:
                    await self._take_compared(post)
            except ProtocolError as error:
                logger.warning("%s sent an invalid history: %s", peer.short, error)
                await self._rpc.disconnect(peer)
                return
            lacking = room.missing_from(answer.reply.heads, POSTS_MAX)
            if lacking:
                await self._deliver_to(peer, lacking)
            if len(room) == before and not lacking:
                return

    async def _take_compared(self, post: Post) -> None:
        if post.recipient is not None:
            raise ProtocolError("a comparison of the room brought a direct message")
        post.verify(self._network_id)
        await self._place(None, self._conversations[None], post)

    async def _on_compare(self, _caller: Caller, request: Compare, _body: memoryview) -> Missing:
        room = self._conversations[None]
        return Missing(
            posts=tuple(room.missing_from(request.heads, POSTS_MAX)),
            heads=room.heads(HEADS_MAX),
        )
