"""Comparing whole member lists: on joining, on meeting a stranger, and now and then, to mend what gossip missed.

The asker sends the digest of its list; equal digests end it. Otherwise it sends ids and incarnations, 40 bytes each,
and both sides hand over what is newer: the answerer in its replies, page by page, the asker by `Offer`.
"""

from __future__ import annotations

from dfs_sdk.ids import NodeId
from dfs_sdk.peers.config import PeersConfig
from dfs_sdk.peers.membership import Membership
from dfs_sdk.peers.messages import (
    SYNC_DESCS_MAX,
    SYNC_RUMOURS_MAX,
    SYNC_WANTED_MAX,
    Offer,
    SignedDesc,
    Sync,
    SyncReply,
)
from dfs_sdk.peers.prober import NewsHandler
from dfs_sdk.peers.view import pack_summary, read_summary
from dfs_sdk.rpc.base import CALL_ERRORS, Caller, Refusal, RefusalCode, RpcService
from dfs_sdk.runtime.ports import Clock
from dfs_sdk.runtime.tasks import run_all

# A list of 10,000 members takes 417 pages; an answerer that never ends is left after this many.
PAGES_MAX = 500
OFFERS_PARALLEL = 32


class Syncer:
    """Brings two member lists together.

    Args:
        rpc: Calls peers.
        membership: The list.
        clock: The node's clocks.
        config: Time-outs.
        on_news: Called with the sender and the descriptions and rumours it gave.
    """

    def __init__(
        self, *, rpc: RpcService, membership: Membership, clock: Clock, config: PeersConfig, on_news: NewsHandler
    ) -> None:
        self._rpc = rpc
        self._membership = membership
        self._clock = clock
        self._config = config
        self._on_news = on_news

    async def sync(self, peer: NodeId, *, full: bool = False, timeout: float | None = None) -> None:
        """Compare lists with a peer and exchange what is newer on either side.

        Args:
            peer: The peer.
            full: Send the summary at once instead of trying the digest first.
            timeout: Seconds for each call; the probe's time-out when None.

        Raises:
            PeerUnreachableError, DeadlineError, RemoteError, ProtocolError: The peer did not answer properly.
        """
        seconds = self._config.probe_timeout if timeout is None else timeout
        summary = b"" if not full else self._summary()
        for _ in range(PAGES_MAX):
            digest = self._membership.digest(self._clock.monotonic())
            request = Sync(digest=digest, me=self._membership.signed)
            answer = await self._rpc.call(peer, request, body=summary, timeout=seconds)
            reply = answer.reply
            self._membership.heard(peer, self._clock.monotonic())
            news = self._on_news(peer, reply.descs, reply.rumours)
            if not summary and reply.digest != digest:
                summary = self._summary()
                continue
            await self._offer(peer, reply.wanted, seconds)
            if not reply.more or news == 0:  # an answerer that tells nothing new has told what it has
                return
            summary = self._summary()

    async def tell(self, peers: list[NodeId], descs: tuple[SignedDesc, ...], *, timeout: float) -> int:
        """Hand descriptions to several peers at once, unasked.

        Returns:
            How many confirmed them.
        """
        told = await run_all(*(self._tell(peer, descs, timeout) for peer in peers), limit=OFFERS_PARALLEL)
        return sum(told)

    def answer(self, caller: Caller, request: Sync, body: memoryview) -> SyncReply:
        """Answer a peer that compares lists.

        Raises:
            ProtocolError: Its summary or its description is malformed.
            Refusal: It introduced somebody else as itself.
        """
        self._on_news(caller.node_id, (request.me,), ())
        if caller.node_id not in self._membership:
            raise Refusal(RefusalCode.DENIED, "introduce yourself with your own, newest description")
        now = self._clock.monotonic()
        digest = self._membership.digest(now)
        rumours = self._membership.suspicions(SYNC_RUMOURS_MAX)
        if not body:
            return SyncReply(digest=digest, rumours=rumours)
        theirs = read_summary(body, entries_max=self._config.members_max)
        ours = self._membership.summary(now)
        newer = [i for i, (incarnation, stale) in ours.items() if not stale and _is_newer(incarnation, theirs.get(i))]
        wanted = [i for i, (incarnation, stale) in theirs.items() if not stale and _is_newer(incarnation, ours.get(i))]
        descs = [self._signed(i) for i in newer[:SYNC_DESCS_MAX]]
        return SyncReply(
            digest=digest,
            descs=tuple(signed for signed in descs if signed is not None),
            more=len(newer) > SYNC_DESCS_MAX,
            wanted=tuple(wanted[:SYNC_WANTED_MAX]),
            rumours=rumours,
        )

    def _summary(self) -> bytes:
        return pack_summary(self._membership.summary(self._clock.monotonic()))

    def _signed(self, node_id: NodeId) -> SignedDesc | None:
        own = node_id == self._membership.me
        return self._membership.signed if own else self._membership.signed_desc(node_id)

    async def _offer(self, peer: NodeId, wanted: tuple[NodeId, ...], timeout: float) -> None:
        descs = [signed for signed in (self._signed(node_id) for node_id in wanted) if signed is not None]
        for at in range(0, len(descs), SYNC_DESCS_MAX):
            await self._rpc.call(peer, Offer(descs=tuple(descs[at : at + SYNC_DESCS_MAX])), timeout=timeout)

    async def _tell(self, peer: NodeId, descs: tuple[SignedDesc, ...], timeout: float) -> bool:
        try:
            await self._rpc.call(peer, Offer(descs=descs), timeout=timeout)
        except CALL_ERRORS:
            return False
        return True


def _is_newer(incarnation: int, known: tuple[int, bool] | None) -> bool:
    return known is None or incarnation > known[0]
