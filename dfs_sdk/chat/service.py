"""Chat at work: sends, receives, passes on and compares.

A room message goes to everybody directly in a network of up to `fanout` peers, and by forwarding beyond; what got lost
comes by the periodic comparison. A direct message goes to its recipient alone and is tried again until it confirms.
A node confirms a post after the store has it. Rules P-CHAT-1 to P-CHAT-9 of docs/protocol/chat.md.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from dfs_sdk.chat.config import ChatConfig
from dfs_sdk.chat.history import History
from dfs_sdk.chat.messages import (
    HEADS_MAX,
    LINK_BYTES_MAX,
    POSTS_BYTES_MAX,
    POSTS_MAX,
    TEXT_BYTES_MAX,
    Compare,
    Deliver,
    Delivered,
    Head,
    Missing,
    Post,
    PostId,
    check_order,
)
from dfs_sdk.chat.news import ChatMessage
from dfs_sdk.errors import ConfigError, DfsError, MessageTooLargeError, ProtocolError, StoreError
from dfs_sdk.events import EventBus
from dfs_sdk.ids import ID_BYTES, NetworkId, NodeId
from dfs_sdk.peers.view import View
from dfs_sdk.rpc.allowance import Allowances
from dfs_sdk.rpc.base import Caller, Refusal, RefusalCode, RpcService
from dfs_sdk.runtime.ports import Runtime
from dfs_sdk.runtime.tasks import TaskScope, run_all
from dfs_sdk.store.base import DocumentStore
from dfs_sdk.transport.priority import Priority

logger = logging.getLogger(__name__)

COMPARE_ROUNDS_MAX = 64
UPKEEP_INTERVAL = 1.0
QUEUE_LENGTH_MAX = 1_000
FLUSHES_MAX = 8
CREDITED_MAX = 64


class Members(Protocol):
    """What chat needs to know of the network's members."""

    @property
    def view(self) -> View:
        """Who belongs to the network and how each one is."""
        ...


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
        peers: Members,
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
        self._scope = scope
        self._clock = runtime.clock
        self._rng = runtime.rng.child("chat")
        self._network_id = network_id
        self._config = config
        self._history = History(
            identity=rpc.identity,
            name=name,
            network_id=network_id,
            store=store,
            events=events,
            clock=runtime.clock,
            config=config,
        )
        self._outbox: dict[PostId, Post] = {}
        self._queues: dict[NodeId, list[Post]] = {}
        self._comparing: dict[NodeId, asyncio.Event] = {}
        rate, peers_max = config.posts_per_second, config.streams_max
        self._allowances = Allowances(rate=rate, burst=config.posts_burst, peers_max=peers_max)
        self._compares = Allowances(rate=rate, burst=config.posts_burst, peers_max=peers_max)
        # A newcomer takes the whole history of one peer at once; nobody gives it anew again and again.
        whole = config.history_length_max + config.streams_max
        self._compared = Allowances(rate=rate, burst=whole, peers_max=peers_max)

    async def start(self) -> None:
        """Read the history, serve peers, begin comparing."""
        self._outbox = {post.post_id: post for post in await self._history.restore()}
        self._rpc.serve(Deliver, self._on_deliver)
        self._rpc.serve(Compare, self._on_compare)
        self._scope.every("chat-compare", self._config.sync_interval, self.catch_up, rng=self._rng)
        self._scope.every("chat-upkeep", UPKEEP_INTERVAL, self._upkeep, rng=self._rng)

    async def catch_up(self) -> None:
        """Compare the room with one peer at once: a newcomer sees the history without waiting a round."""
        for peer in self._audience(1):
            if (running := self._comparing.get(peer)) is not None:
                await running.wait()
            else:
                await self._compare_with(peer)

    async def send(self, text: str, *, to: NodeId | None = None, link: str = "") -> ChatMessage:
        """Say something to everybody, or to one node.

        The message is in this node's history when this returns; delivery goes on in the background and is reported by
        `ChatDelivered` and in `delivered` of the history.

        Raises:
            ConfigError: There is nothing to send, or it is addressed to this node.
            MessageTooLargeError: The text is over 4,096 bytes: send it as a file.
            DfsError: Too many direct messages wait for peers that are away, or there are too many conversations.
        """
        self._check(text, to, link)
        if to is not None and len(self._outbox) >= self._config.outbox_length_max:
            raise DfsError("too many direct messages wait for peers that are away: wait until some are back")
        entry = await self._history.write(text, to=to, link=link)
        if to is not None:
            self._outbox[entry.post_id] = entry.post
        self._hand_out(entry.post)
        return self._history.show(entry)

    def history(
        self, conversation: NodeId | None = None, *, limit: int = 100, before: str | None = None
    ) -> list[ChatMessage]:
        """The newest messages of a conversation, oldest of them first.

        Args:
            conversation: The other side; None for the room of the network.
            limit: At most so many.
            before: Only those shown before the message with this id: how to page back. None are, if it is unknown.

        Raises:
            ConfigError: `before` is no message id.
        """
        try:
            place = None if before is None else PostId.from_hex(before)
        except ValueError as error:
            raise ConfigError(
                f"before={before!r} is no message id: give the `message_id` of a message, {2 * ID_BYTES} digits"
            ) from error
        return self._history.messages(conversation, limit=limit, before=place)

    def conversations(self) -> list[NodeId | None]:
        """The room of the network (None) and everybody with whom there is a direct conversation."""
        return self._history.conversations()

    def _check(self, text: str, to: NodeId | None, link: str) -> None:
        if not text and not link:
            raise ConfigError("there is nothing to send: give a text or a link")
        if to == self._rpc.node_id:
            raise ConfigError("a direct message goes to another node, not to this one")
        try:
            size, link_size = len(text.encode()), len(link.encode())
        except UnicodeEncodeError as error:
            raise ConfigError("the text holds half of a surrogate pair: it is not valid text") from error
        if size > TEXT_BYTES_MAX or link_size > LINK_BYTES_MAX:
            raise MessageTooLargeError(
                f"a chat message holds at most {TEXT_BYTES_MAX:,} bytes and a link of {LINK_BYTES_MAX}, "
                f"this one has {size:,} and {link_size:,}: put it as a file and send its link"
            )

    # Sending

    def _hand_out(self, post: Post) -> None:
        targets = [post.recipient] if post.recipient is not None else self._audience(self._config.fanout)
        for peer in targets:
            self._queue_for(peer, [post])

    def _queue_for(self, peer: NodeId, posts: Sequence[Post]) -> None:
        """Send posts to a peer after those that are on their way to it: in order, and many in one call.

        What does not fit or does not get there comes by the next comparison, or out of the outbox.
        """
        queue = self._queues.get(peer)
        if queue is None:
            self._queues[peer] = list(posts)
            self._scope.spawn("chat-send", self._send_queue(peer))
        elif len(queue) + len(posts) <= QUEUE_LENGTH_MAX:
            queue.extend(posts)

    async def _send_queue(self, peer: NodeId) -> None:
        queue = self._queues[peer]
        try:
            while queue:
                parcel = _parcel(queue)
                del queue[: len(parcel)]
                if await self._deliver_to(peer, parcel) is None:
                    return
        finally:
            del self._queues[peer]

    def _audience(self, limit: int, *, but: Sequence[NodeId] = ()) -> list[NodeId]:
        others = [peer for peer in self._peers.view.reachable() if peer != self._rpc.node_id and peer not in but]
        return others if len(others) <= limit else self._rng.sample(others, limit)

    async def _deliver_to(self, peer: NodeId, posts: Sequence[Post]) -> int | None:
        """Hand posts over; says how many of them the peer confirmed, None if it did not answer."""
        try:
            answer = await self._rpc.call(
                peer, Deliver(posts=tuple(posts)), timeout=self._config.call_timeout, priority=Priority.INTERACTIVE
            )
        except DfsError as error:
            logger.debug("no delivery to %s: %s", peer.short, error)
            return None
        confirmed = [post for post in posts if post.post_id in answer.reply.posts]
        await self._note_delivery(peer, confirmed)
        return len(confirmed)

    async def _note_delivery(self, peer: NodeId, posts: Sequence[Post]) -> None:
        for post in posts:
            if post.recipient == peer:
                self._outbox.pop(post.post_id, None)
        await self._history.mark_delivered(peer, posts)

    async def _upkeep(self) -> None:
        await self._history.end_waits()
        await self._flush_outbox()

    async def _flush_outbox(self) -> None:
        view = self._peers.view
        waiting: dict[NodeId, list[Post]] = {}
        for post in self._outbox.values():
            if post.recipient is not None and view.is_reachable(post.recipient):
                waiting.setdefault(post.recipient, []).append(post)
        await run_all(*(self._flush(peer, posts) for peer, posts in waiting.items()), limit=FLUSHES_MAX)

    async def _flush(self, recipient: NodeId, posts: list[Post]) -> None:
        posts.sort(key=lambda post: (post.stream, post.sequence))
        while posts:
            parcel = _parcel(posts)
            if await self._deliver_to(recipient, parcel) != len(parcel):
                return
            del posts[: len(parcel)]

    # Receiving

    async def _on_deliver(self, caller: Caller, request: Deliver, _body: memoryview) -> Delivered:
        if not self._allowances.take(caller.node_id, len(request.posts), now=self._clock.monotonic()):
            raise Refusal(RefusalCode.BUSY, "too many chat messages in a short time")
        rooms: dict[NodeId | None, list[Post]] = {}
        for number, post in enumerate(request.posts):
            if number:
                await asyncio.sleep(0)  # a signature takes a while, and there may be many
            rooms.setdefault(self._conversation_of(post, caller.node_id), []).append(post)
            post.verify(self._network_id)
        for conversation, posts in rooms.items():
            await self._take(conversation, posts, caller.node_id)
        return Delivered(
            posts=tuple(post.post_id for key, posts in rooms.items() for post in posts if self._history.has(key, post))
        )

    def _conversation_of(self, post: Post, source: NodeId) -> NodeId | None:
        if post.recipient is None:
            return None
        if post.recipient == self._rpc.node_id and post.sender == source:
            return source
        raise ProtocolError("a direct message was given to somebody else than its recipient, or by another sender")

    async def _take(self, conversation: NodeId | None, posts: Sequence[Post], source: NodeId) -> None:
        """Place verified posts; what the store does not have afterwards waits for an earlier one of its stream."""
        try:
            shown = await self._history.take(conversation, posts)
        except StoreError as error:
            raise Refusal(RefusalCode.STORE_FULL, "the chat history cannot be written just now") from error
        if shown is None:
            raise Refusal(RefusalCode.BUSY, "too many conversations")
        if conversation is not None:
            return
        if shown:
            self._forward([entry.post for entry in shown], but=(source, *{post.sender for post in posts}))
        if not all(self._history.has(None, post) for post in posts):
            self._scope.spawn("chat-fill", self._compare_with(source))

    def _forward(self, posts: Sequence[Post], *, but: tuple[NodeId, ...]) -> None:
        if len(self._peers.view.reachable()) <= self._config.fanout:
            return
        for peer in self._audience(self._config.forward_fanout, but=but):
            self._queue_for(peer, posts)

    # Comparing

    async def _compare_with(self, peer: NodeId) -> None:
        if peer in self._comparing:
            return
        done = self._comparing[peer] = asyncio.Event()
        try:
            await self._compare_stretches(peer)
        except ProtocolError as error:
            logger.warning("%s sent an invalid history: %s", peer.short, error)
            await self._rpc.disconnect(peer)
        except DfsError as error:
            logger.debug("no comparison with %s: %s", peer.short, error)
        finally:
            del self._comparing[peer]
            done.set()

    async def _compare_stretches(self, peer: NodeId) -> None:
        """Go through all streams, a stretch a call, staying at one for as long as something new is found in it."""
        room, after = self._history.room, b""
        for _ in range(COMPARE_ROUNDS_MAX):
            heads, until = room.heads(after=after, limit=HEADS_MAX)
            request = Compare(heads=heads, after=after, until=until)
            missing = (await self._rpc.call(peer, request, timeout=self._config.call_timeout)).reply
            check_order(missing.heads)
            if not self._compared.take(peer, len(missing.posts), now=self._clock.monotonic()):
                logger.info("%s gives more of the history than there can be", peer.short)
                return
            gained = await self._take_compared(missing.posts, heads)
            await self._credit(peer, missing.heads)
            covered = min((border for border in (until, missing.until) if border), default=b"")
            lacking = room.missing_from(
                missing.heads, after=after, until=covered, limit=POSTS_MAX, bytes_max=POSTS_BYTES_MAX
            )
            given = await self._deliver_to(peer, lacking) if lacking else 0
            if gained or given:
                continue
            if covered <= after:  # the last stretch, or an answer that would lead back
                return
            after = covered

    async def _take_compared(self, posts: Sequence[Post], heads: Sequence[Head]) -> int:
        """Place what a comparison brought; says how many posts we have by now that our `heads` did not have.

        Counted so, and not by what this call placed: the peer may be handing the same ones over at this moment.
        """
        for post in posts:
            if post.recipient is not None:
                raise ProtocolError("a comparison of the room brought a direct message")
            post.verify(self._network_id)
            await asyncio.sleep(0)
        await self._history.take(None, posts, patient=False)
        known = {(head.sender, head.stream): head for head in heads}
        gained = 0
        for post in posts:
            head = known.get((post.sender, post.stream))
            gained += (head is None or not head.has(post.sequence)) and self._history.has(None, post)
        return gained

    async def _on_compare(self, caller: Caller, request: Compare, _body: memoryview) -> Missing:
        if not self._compares.take(caller.node_id, 1, now=self._clock.monotonic()):
            raise Refusal(RefusalCode.BUSY, "too many comparisons in a short time")
        check_order(request.heads)
        room, after = self._history.room, request.after
        await self._credit(caller.node_id, request.heads)
        heads, until = room.heads(after=after, until=request.until, limit=HEADS_MAX)
        posts = room.missing_from(
            request.heads, after=after, until=request.until, limit=POSTS_MAX, bytes_max=POSTS_BYTES_MAX
        )
        return Missing(posts=tuple(posts), heads=heads, until=until)

    async def _credit(self, peer: NodeId, heads: Sequence[Head]) -> None:
        """Count posts of ours as delivered to a peer that has them by its heads, whoever brought them there."""
        for head in heads:
            if head.sender == self._rpc.node_id:
                entries = self._history.room.confirmed(head, peer, limit=CREDITED_MAX)
                await self._note_delivery(peer, [entry.post for entry in entries])


def _parcel(posts: Sequence[Post]) -> list[Post]:
    """The first posts of a list that fit into one message."""
    parcel: list[Post] = []
    room = POSTS_BYTES_MAX
    for post in posts[:POSTS_MAX]:
        room -= post.size_bytes
        if room < 0:
            break
        parcel.append(post)
    return parcel
