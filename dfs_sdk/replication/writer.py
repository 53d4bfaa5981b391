"""Writing: plans where a new chunk goes, starts its spread, and keeps count of bytes on their way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from dfs_sdk.exchange.service import Exchange, Receipt
from dfs_sdk.ids import NodeId
from dfs_sdk.replication.claims import Claims
from dfs_sdk.replication.config import ReplicationConfig
from dfs_sdk.replication.messages import HeldChunk
from dfs_sdk.replication.placement import Placement
from dfs_sdk.replication.policy import Policy
from dfs_sdk.replication.repairer import Repairer
from dfs_sdk.replication.spreader import Spread, SpreadJob, choose_targets, too_few
from dfs_sdk.runtime.tasks import TaskScope
from dfs_sdk.store.base import ChunkStore, NewChunk, Role
from dfs_sdk.transport.priority import Priority


class Writer:
    """Spreads new chunks.

    Args:
        exchange: Moves chunks.
        store: What we hold.
        claims: Takes receipts of chunks that we hold, too.
        repairer: Knows who refused lately.
        placement: Gives the ranking of the current view.
        scope: The parent of spreads.
        config: Bounds.
    """

    def __init__(
        self,
        *,
        exchange: Exchange,
        store: ChunkStore,
        claims: Claims,
        repairer: Repairer,
        placement: Callable[[], Placement],
        scope: TaskScope,
        config: ReplicationConfig,
    ) -> None:
        self._exchange = exchange
        self._store = store
        self._claims = claims
        self._repairer = repairer
        self._placement = placement
        self._scope = scope
        self._config = config
        self._pending: Counter[NodeId] = Counter()
        self._pending_used: dict[NodeId, int] = {}

    async def spread(self, chunk: NewChunk, *, policy: Policy) -> Spread:
        """Place the copies of a new chunk; returns at the write quorum, the rest follows in the background.

        Args:
            chunk: Its cell, role and count of copies are decided here, whatever it says.
            policy: How many copies, and how many peers must confirm. With quorum 0 this node keeps a copy itself.

        Raises:
            TooFewReplicasError: Too few peers confirmed; copies that were placed stay until they are removed.
            QuotaExceededError: Quorum 0, and our own store is full.
        """
        placement = self._placement()
        me = placement.view.me
        cell = placement.choose_cell(chunk.chunk_id, policy.replicas, pending=self._pending)
        chunk = replace(chunk, cell=cell, replicas=policy.replicas)
        job = self._new_job(chunk, cell, placement, policy)
        if job.possible() < policy.write_quorum:
            raise too_few(policy, able=job.possible(), confirmed=0, members=len(placement))
        if policy.write_quorum == 0:
            role = job.targets.role(me)
            job.receipts.append(await self._exchange.push(me, replace(chunk, role=role)))
        task = self._scope.spawn(f"spread {chunk.chunk_id.short}", job.run())
        try:
            await job.at_quorum()
        except BaseException:
            task.cancel()
            raise
        return Spread(chunk_id=chunk.chunk_id, cell=cell, holders=job.receipts, wanted=policy.replicas, complete=task)

    def _new_job(self, chunk: NewChunk, cell: int, placement: Placement, policy: Policy) -> SpreadJob:
        targets = choose_targets(
            placement,
            cell,
            replicas=policy.replicas,
            stand_ins_max=self._config.stand_ins_max,
            avoid=sorted(self._repairer.avoided()),
        )

        async def push(peer: NodeId, role: Role) -> Receipt:
            receipt = await self._exchange.push(
                peer, replace(chunk, role=role), priority=Priority.TRANSFER, timeout=self._config.push_timeout
            )
            self._note_receipt(chunk, receipt)
            return receipt

        return SpreadJob(
            me=placement.view.me,
            targets=targets,
            policy=policy,
            placement=placement,
            push=push,
            on_failed=self._repairer.avoid,
            is_reachable=lambda peer: self._placement().view.is_reachable(peer),
        )

    def _note_receipt(self, chunk: NewChunk, receipt: Receipt) -> None:
        self._note_pending(receipt.peer, chunk.size)
        view = self._placement().view
        member = view.get(receipt.peer)
        # Holders keep track of each other; a writer that keeps no copy leaves that to them.
        if receipt.peer == view.me or member is None or chunk.chunk_id not in self._store:
            return
        self._claims.confirmed(member, HeldChunk.of(replace(chunk, role=receipt.role)))

    def _note_pending(self, peer: NodeId, size: int) -> None:
        """Count bytes on their way to a peer until its description shows them."""
        view = self._placement().view
        member = view.get(peer)
        if member is None:
            return
        if self._pending_used.get(peer) != member.desc.used_bytes:
            self._pending_used[peer] = member.desc.used_bytes
            self._pending[peer] = 0
        self._pending[peer] += size
        if len(self._pending) > len(view):
            for stranger in [known for known in self._pending if known not in view]:
                del self._pending[stranger], self._pending_used[stranger]
