"""Carries a plan out: asks before it sends, stays within the rate, tells what it does."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never

from dfs_sdk.errors import ContentNotFoundError, CorruptContentError, DfsError
from dfs_sdk.events import EventBus
from dfs_sdk.exchange.messages import ASK_CHUNKS_MAX
from dfs_sdk.exchange.service import Exchange
from dfs_sdk.ids import ChunkId, NodeId
from dfs_sdk.peers.service import Peers
from dfs_sdk.replication.bucket import TokenBucket
from dfs_sdk.replication.claims import Claims
from dfs_sdk.replication.config import ReplicationConfig
from dfs_sdk.replication.events import CopyFetched, CopyTrimmed, RepairFinished, RepairStarted
from dfs_sdk.replication.keeper import Keeper
from dfs_sdk.replication.messages import CLAIM_CHUNKS_MAX, HeldChunk
from dfs_sdk.replication.planner import Action, Pull, Push, Reclassify, Trim, Wait
from dfs_sdk.rpc.base import CALL_ERRORS
from dfs_sdk.runtime.ports import Buffer, Clock
from dfs_sdk.runtime.tasks import run_all
from dfs_sdk.store.base import ChunkStore, NewChunk, Role
from dfs_sdk.transport.priority import Priority

ASKS_PARALLEL = 8
AVOIDED_MAX = 10_000
# One damaged or removed chunk says little of who offers it: so many more than it gave, and it is avoided.
PULL_MISSES_MAX = 4
URGENT_RATE = 2.0


class Repairer:
    """Applies actions.

    Args:
        exchange: Moves chunks.
        store: What we hold.
        claims: Takes receipts.
        keeper: Promises and claims.
        events: Where news goes.
        peers: Names and states of members.
        clock: The node's clocks.
        config: Rates and bounds.
    """

    def __init__(
        self,
        *,
        exchange: Exchange,
        store: ChunkStore,
        claims: Claims,
        keeper: Keeper,
        events: EventBus,
        peers: Peers,
        clock: Clock,
        config: ReplicationConfig,
    ) -> None:
        self._exchange = exchange
        self._store = store
        self._claims = claims
        self._keeper = keeper
        self._events = events
        self._peers = peers
        self._clock = clock
        self._config = config
        self._bucket = TokenBucket(
            rate=config.repair_bytes_per_second, burst=config.repair_burst_bytes, now=clock.monotonic()
        )
        self._avoid: dict[NodeId, float] = {}
        # How many pulls of a source failed, less those that did not; under our own id those that our store refused.
        self._misses: Counter[NodeId] = Counter()
        self._pull_again_at = float("-inf")

    def avoid(self, node_id: NodeId) -> None:
        """Send nothing to a node for a while: it refused, or did not answer."""
        self._avoid[node_id] = self._clock.monotonic() + self._config.refusal_pause
        while len(self._avoid) > AVOIDED_MAX:
            del self._avoid[next(iter(self._avoid))]

    def avoided(self) -> frozenset[NodeId]:
        """Name the nodes that are sent nothing just now."""
        now = self._clock.monotonic()
        self._avoid = {node_id: until for node_id, until in self._avoid.items() if until > now}
        return frozenset(self._avoid)

    async def apply(self, actions: Sequence[Action], *, at_once: bool = False) -> int:
        """Carry actions out, pushes first.

        Args:
            actions: What to do, the most urgent first.
            at_once: Do not wait for the rate: this node is about to leave.

        Returns:
            How many copies were pushed, fetched or dropped.
        """
        pushes: list[Push] = []
        pulls: list[Pull] = []
        trims: list[Trim] = []
        for action in actions:
            match action:
                case Push():
                    pushes.append(action)
                case Pull():
                    pulls.append(action)
                case Trim():
                    trims.append(action)
                case Reclassify():
                    await self._reclassify(action)
                case Wait():
                    pass
                case _:
                    assert_never(action)
        done = await self._push_all(pushes, at_once=at_once)
        limit = self._config.repair_parallel
        done += sum(await run_all(*(self._pull(pull) for pull in pulls), limit=limit))
        return done + await self._trim_all(trims)

    # Pushes

    async def _push_all(self, pushes: list[Push], *, at_once: bool) -> int:
        needed = await self._without_held(pushes)
        if not needed:
            return 0
        if not at_once:
            await self._claim(needed)
        coroutines = (self._push(push, at_once=at_once) for push in needed)
        return sum(await run_all(*coroutines, limit=self._config.repair_parallel))

    async def _without_held(self, pushes: list[Push]) -> list[Push]:
        """Ask the targets first: a peer that came back with its store gets nothing that it has."""
        by_target: dict[NodeId, list[Push]] = {}
        for push in pushes:
            by_target.setdefault(push.target, []).append(push)
        pages = [
            self._ask(target, wanted[at : at + ASK_CHUNKS_MAX])
            for target, wanted in by_target.items()
            for at in range(0, len(wanted), ASK_CHUNKS_MAX)
        ]
        absent = {id(push) for page in await run_all(*pages, limit=ASKS_PARALLEL) for push in page}
        return [push for push in pushes if id(push) in absent]

    async def _ask(self, target: NodeId, pushes: list[Push]) -> list[Push]:
        try:
            report = await self._exchange.have(
                target, [push.chunk.chunk_id for push in pushes], timeout=self._config.ask_timeout
            )
        except CALL_ERRORS:
            self.avoid(target)
            return []
        absent: list[Push] = []
        for push in pushes:
            role = report.roles.get(push.chunk.chunk_id)
            if role is not None and role is not Role.CACHE:
                self._note(target, push.chunk, role)
            elif push.chunk.chunk_id not in report.tombstones:
                absent.append(push)
        return absent

    async def _claim(self, pushes: list[Push]) -> None:
        repairs: dict[NodeId, dict[ChunkId, None]] = {}
        view = self._peers.view
        for push in pushes:
            for holder in self._claims.holders(push.chunk.cell, push.chunk.chunk_id):
                if view.is_reachable(holder):
                    repairs.setdefault(holder, {})[push.chunk.chunk_id] = None
        await self._keeper.claim({peer: list(chunk_ids) for peer, chunk_ids in repairs.items()})

    def _note(self, peer: NodeId, chunk: HeldChunk, role: Role) -> None:
        member = self._peers.view.get(peer)
        if member is not None:
            self._claims.confirmed(member, replace(chunk, role=role))

    async def _push(self, push: Push, *, at_once: bool) -> int:
        chunk = push.chunk
        await self._wait_for_tokens(chunk.size / (URGENT_RATE if push.urgent else 1.0), at_once=at_once)
        if push.target in self._avoid or chunk.chunk_id not in self._store:
            return 0
        self._tell_started(push)
        try:
            new = _new_chunk(chunk, await self._store.get(chunk.chunk_id), push.role)
            receipt = await self._exchange.push(
                push.target, new, priority=Priority.BACKGROUND, timeout=self._config.push_timeout
            )
        except (ContentNotFoundError, CorruptContentError) as error:
            self._tell_finished(push, error=str(error))  # our own copy is gone: another holder will notice
            return 0
        except (DfsError, OSError) as error:
            self.avoid(push.target)
            self._tell_finished(push, error=str(error))
            return 0
        self._note(push.target, chunk, receipt.role)
        self._tell_finished(push)
        return 1

    # Pulls

    async def _pull(self, pull: Pull) -> int:
        chunk, me = pull.chunk, self._peers.view.me
        # Who often offered what it does not have is asked no more, and its other offers use up no rate.
        sources = [source for source in pull.sources if source not in self._avoid]
        paused = self._clock.monotonic() < self._pull_again_at
        if not sources or paused or self._exchange.removed(chunk.chunk_id):
            return 0
        await self._wait_for_tokens(chunk.size)
        try:
            data = await self._exchange.fetch(
                chunk.chunk_id, sources, priority=Priority.BACKGROUND, on_source=lambda source, _lent: self._hit(source)
            )
        except (DfsError, OSError):
            self._miss(sources)
            return 0
        if self._exchange.removed(chunk.chunk_id):
            return 0
        try:
            await self._store.put([_new_chunk(chunk, data, Role.PRIMARY)])
        except (DfsError, OSError):
            self._miss([me])  # our own disk or quota: no source is to blame
            return 0
        self._hit(me)
        self._events.publish(
            CopyFetched(
                at_wall=self._clock.wall(),
                chunk_id=chunk.chunk_id,
                cell=chunk.cell,
                reason=pull.reason,
                size=len(data),
            )
        )
        return 1

    def _hit(self, node_id: NodeId) -> None:
        if self._misses[node_id] > 1:
            self._misses[node_id] -= 1
        else:
            del self._misses[node_id]

    def _miss(self, node_ids: Sequence[NodeId]) -> None:
        for node_id in node_ids:
            self._misses[node_id] += 1
            if self._misses[node_id] < PULL_MISSES_MAX:
                continue
            del self._misses[node_id]
            if node_id == self._peers.view.me:
                self._pull_again_at = self._clock.monotonic() + self._config.refusal_pause
            else:
                self.avoid(node_id)
        while len(self._misses) > AVOIDED_MAX:
            del self._misses[next(iter(self._misses))]

    # Trims and roles

    async def _trim_all(self, trims: list[Trim]) -> int:
        by_holders: dict[tuple[NodeId, ...], list[Trim]] = {}
        for trim in trims:
            by_holders.setdefault(trim.relying_on, []).append(trim)
        dropped = 0
        for holders, group in by_holders.items():
            for at in range(0, len(group), CLAIM_CHUNKS_MAX):
                page = {trim.chunk.chunk_id: trim for trim in group[at : at + CLAIM_CHUNKS_MAX]}
                for chunk_id in await self._keeper.drop(list(page), holders):
                    self._tell_trimmed(page[chunk_id])
                    dropped += 1
        return dropped

    async def _reclassify(self, action: Reclassify) -> None:
        try:
            await self._store.set_role(action.chunk.chunk_id, action.role)
        except ContentNotFoundError:
            return  # it was removed meanwhile

    # Rate and news

    async def _wait_for_tokens(self, size: float, *, at_once: bool = False) -> None:
        if not at_once:
            await asyncio.sleep(self._bucket.take(size, self._clock.monotonic()))

    def _tell_started(self, push: Push) -> None:
        self._events.publish(
            RepairStarted(
                at_wall=self._clock.wall(),
                chunk_id=push.chunk.chunk_id,
                cell=push.chunk.cell,
                reason=push.reason,
                source=self._peers.view.me,
                target=push.target,
                target_name=self._peers.view.name(push.target),
            )
        )

    def _tell_finished(self, push: Push, *, error: str = "") -> None:
        self._events.publish(
            RepairFinished(
                at_wall=self._clock.wall(),
                chunk_id=push.chunk.chunk_id,
                cell=push.chunk.cell,
                reason=push.reason,
                source=self._peers.view.me,
                target=push.target,
                target_name=self._peers.view.name(push.target),
                size=push.chunk.size,
                error=error,
            )
        )

    def _tell_trimmed(self, trim: Trim) -> None:
        self._events.publish(
            CopyTrimmed(
                at_wall=self._clock.wall(),
                chunk_id=trim.chunk.chunk_id,
                cell=trim.chunk.cell,
                reason=trim.reason,
                size=trim.chunk.size,
            )
        )


def _new_chunk(chunk: HeldChunk, data: Buffer, role: Role) -> NewChunk:
    return NewChunk(
        chunk_id=chunk.chunk_id,
        data=data,
        cell=chunk.cell,
        role=role,
        removal_hash=chunk.removal_hash,
        replicas=chunk.replicas,
    )
