"""Giving a file to one peer, and taking what others give."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from dfs_sdk.crypto.identity import Identity, PublicIdentity
from dfs_sdk.errors import LinkError, PeerUnreachableError, ProtocolError, QuotaExceededError
from dfs_sdk.events import EventBus
from dfs_sdk.files.catalog import Catalog, Record
from dfs_sdk.files.config import FilesConfig
from dfs_sdk.files.finder import Finder
from dfs_sdk.files.link import Link
from dfs_sdk.files.messages import Share, Shared, ShareNote, make_share, read_share
from dfs_sdk.files.names import display_name
from dfs_sdk.files.news import FileGiven, FileShared
from dfs_sdk.files.ports import Membership
from dfs_sdk.ids import NodeId
from dfs_sdk.rpc.base import Caller, Refusal, RefusalCode, RpcService
from dfs_sdk.runtime.ports import Clock

# Of the catalog, what shares may fill: many senders together leave the rest to what our user puts and gets.
SHARED_DIVISOR = 2
# Each may ask hundreds of nodes, for a link that somebody made up; the others wait.
LOOK_UPS_MAX = 8


class Shares:
    """Sends and receives shares.

    Args:
        rpc: Calls.
        identity: Our keys.
        peers: Names and keys of others.
        catalog: Where received shares go.
        finder: Knows which links belong here.
        events: Where shares are announced.
        clock: When they were made.
        config: Bounds.
        on_received: Started in the background for each share taken, to look the file up.
    """

    def __init__(
        self,
        *,
        rpc: RpcService,
        identity: Identity,
        peers: Membership,
        catalog: Catalog,
        finder: Finder,
        events: EventBus,
        clock: Clock,
        config: FilesConfig,
        on_received: Callable[[Link], Coroutine[Any, Any, None]],
        spawn: Callable[[str, Coroutine[Any, Any, None]], object],
    ) -> None:
        self._rpc = rpc
        self._identity = identity
        self._peers = peers
        self._catalog = catalog
        self._finder = finder
        self._events = events
        self._clock = clock
        self._config = config
        self._on_received = on_received
        self._spawn = spawn
        self._looking_up = asyncio.Semaphore(LOOK_UPS_MAX)

    def serve(self) -> None:
        """Begin to take shares."""
        self._rpc.serve(Share, self._on_share)

    async def send(self, note: ShareNote, peer: NodeId) -> None:
        """Give a file to a peer; returns when the peer has written it down.

        Raises:
            PeerUnreachableError: The peer is unknown or does not answer.
            DeadlineError: No answer in time.
            RemoteError: It refused.
        """
        now_wall = self._clock.wall()
        share = make_share(note, sender=self._identity, recipient=self._keys_of(peer), now_wall=now_wall)
        await self._rpc.call(peer, share, timeout=self._config.call_timeout)
        self._events.publish(
            FileGiven(
                at_wall=now_wall,
                manifest_id=Link.parse(note.link).manifest_id,
                name=display_name(note.name),
                recipient=peer,
                recipient_name=self._peers.view.name(peer),
            )
        )

    def _keys_of(self, peer: NodeId) -> PublicIdentity:
        member = self._peers.view.get(peer)
        if member is not None:
            return member.desc.contact.identity
        contact = self._rpc.book.contact(peer)
        if contact is None:
            raise PeerUnreachableError(f"peer {peer.short} is not known in this network")
        return contact.identity

    async def _on_share(self, caller: Caller, request: Share, _body: memoryview) -> Shared:
        try:
            note = read_share(
                request,
                sender=caller.contact.identity,
                recipient=self._rpc.node_id,
                key=self._identity.agreement,
            )
            link = Link.parse(note.link)
            self._finder.check_network(link)
            _ = link.read_key
        except (ProtocolError, LinkError):
            raise Refusal(RefusalCode.DENIED, "this share is not for this node") from None
        if link.manifest_id not in self._catalog:
            await self._take(note, link, caller.node_id)
        return Shared()

    async def _take(self, note: ShareNote, link: Link, sender: NodeId) -> None:
        senders = [entry.record.sender for entry in self._catalog if entry.record.sender is not None]
        if senders.count(sender) >= self._config.shares_per_sender_max:
            raise Refusal(RefusalCode.BUSY, "too many files of yours wait here")
        if len(senders) >= self._config.catalog_files_max // SHARED_DIVISOR:
            raise Refusal(RefusalCode.STORE_FULL, "no room for another share")
        sender_name = self._peers.view.name(sender)
        now_wall = self._clock.wall()
        record = Record(
            name=note.name,
            link=str(link),
            size=note.size,
            chunk_bytes=0,
            chunk_count=0,
            replicas=0,
            pinned=False,
            origin=f"shared by {sender_name}",
            created_at_wall=now_wall,
            sender=sender,
        )
        try:
            file = await self._catalog.add(record, None, None)
        except QuotaExceededError:
            raise Refusal(RefusalCode.STORE_FULL, "no room for another file") from None
        self._events.publish(
            FileShared(
                at_wall=now_wall,
                manifest_id=link.manifest_id,
                name=file.name,
                sender=sender,
                sender_name=sender_name,
            )
        )
        self._spawn(f"look up {link.manifest_id.short}", self._look_up(link))

    async def _look_up(self, link: Link) -> None:
        async with self._looking_up:
            await self._on_received(link)
