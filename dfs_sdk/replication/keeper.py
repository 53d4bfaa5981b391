"""Words between holders: who repairs, and what may be relied on while a surplus copy is dropped.

A trim asks the chosen holders to promise that they keep theirs for a while; a holder that is itself about to drop the
chunk does not promise, and one that promised does not drop. So no two trims rely on each other, whatever their views.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

from dfs_sdk.ids import ChunkId, NodeId
from dfs_sdk.replication.config import ReplicationConfig
from dfs_sdk.replication.messages import CLAIM_CHUNKS_MAX, Noted, Promise, Promised, RepairClaim
from dfs_sdk.rpc.base import CALL_ERRORS, Caller, RpcService
from dfs_sdk.runtime.ports import Clock
from dfs_sdk.runtime.tasks import run_all
from dfs_sdk.store.base import ChunkStore, Role

# Claims for one chunk that are believed in a row: a peer cannot keep others from repairing for ever.
CLAIMS_BELIEVED_MAX = 3
CALLS_PARALLEL = 16


class Keeper:
    """Gives and asks for promises, makes and notes repair claims.

    Args:
        rpc: Calls.
        store: What we hold.
        clock: The node's clocks.
        config: Bounds.
    """

    def __init__(self, *, rpc: RpcService, store: ChunkStore, clock: Clock, config: ReplicationConfig) -> None:
        self._rpc = rpc
        self._store = store
        self._clock = clock
        self._config = config
        self._claimed: OrderedDict[ChunkId, tuple[float, int]] = OrderedDict()
        self._promised: OrderedDict[ChunkId, float] = OrderedDict()
        self._dropping: set[ChunkId] = set()

    def serve(self) -> None:
        """Register the handlers."""
        self._rpc.serve(RepairClaim, self._on_claim)
        self._rpc.serve(Promise, self._on_promise)

    def claimed_until(self, chunk_id: ChunkId) -> float:
        """Until when another holder's word that it repairs a chunk holds; minus infinity without one."""
        claim = self._claimed.get(chunk_id)
        return float("-inf") if claim is None else claim[0]

    def settle(self, chunk_id: ChunkId) -> None:
        """Forget the claims for a chunk that lacks no copy: those for its next repair are believed again."""
        self._claimed.pop(chunk_id, None)

    async def claim(self, repairs: Mapping[NodeId, Sequence[ChunkId]]) -> None:
        """Tell co-holders which of their chunks we repair; one that does not answer repairs in vain at worst."""
        calls = [
            self._tell(peer, tuple(chunk_ids[at : at + CLAIM_CHUNKS_MAX]))
            for peer, chunk_ids in repairs.items()
            for at in range(0, len(chunk_ids), CLAIM_CHUNKS_MAX)
        ]
        await run_all(*calls, limit=CALLS_PARALLEL)

    async def drop(self, chunk_ids: Sequence[ChunkId], relying_on: Iterable[NodeId]) -> list[ChunkId]:
        """Delete our copies of those chunks that all of `relying_on` promise to keep.

        Args:
            chunk_ids: The chunks; of more than `CLAIM_CHUNKS_MAX` the others are left alone.
            relying_on: Who has to promise.

        Returns:
            What was deleted.
        """
        now = self._clock.monotonic()
        doomed = [i for i in chunk_ids[:CLAIM_CHUNKS_MAX] if self._promised.get(i, now) <= now]
        doomed = [i for i in doomed if i not in self._dropping]
        self._dropping.update(doomed)
        try:
            answers = await run_all(*(self._ask(peer, doomed) for peer in relying_on))
            safe = [i for i in doomed if answers and all(i in kept for kept in answers)]
            # The user may have pinned one while we asked.
            safe = [i for i in safe if (info := self._store.info(i)) is not None and not info.pinned]
            await self._store.delete(safe)
            return safe
        finally:
            self._dropping.difference_update(doomed)

    async def _ask(self, peer: NodeId, chunk_ids: Sequence[ChunkId]) -> frozenset[ChunkId]:
        try:
            answer = await self._rpc.call(peer, Promise(chunk_ids=tuple(chunk_ids)), timeout=self._config.ask_timeout)
        except CALL_ERRORS:
            return frozenset()
        return frozenset(answer.reply.kept)

    async def _tell(self, peer: NodeId, chunk_ids: tuple[ChunkId, ...]) -> None:
        try:
            await self._rpc.call(peer, RepairClaim(chunk_ids=chunk_ids), timeout=self._config.ask_timeout)
        except CALL_ERRORS:
            return

    async def _on_claim(self, _caller: Caller, request: RepairClaim, _body: memoryview) -> Noted:
        until = self._clock.monotonic() + self._config.claim_ttl
        for chunk_id in request.chunk_ids:
            count = self._claimed.get(chunk_id, (0.0, 0))[1] + 1
            if chunk_id in self._store and count <= CLAIMS_BELIEVED_MAX:
                self._claimed[chunk_id] = (until, count)
        while len(self._claimed) > self._config.promises_max:
            self._claimed.popitem(last=False)
        return Noted()

    async def _on_promise(self, _caller: Caller, request: Promise, _body: memoryview) -> Promised:
        now = self._clock.monotonic()
        while self._promised and next(iter(self._promised.values())) <= now:
            self._promised.popitem(last=False)
        kept: list[ChunkId] = []
        for chunk_id in request.chunk_ids:
            info = self._store.info(chunk_id)
            sound = info is not None and info.role is not Role.CACHE and chunk_id not in self._dropping
            if sound and len(self._promised) < self._config.promises_max:
                self._promised.pop(chunk_id, None)  # to the end: the oldest promise stays in front
                self._promised[chunk_id] = now + self._config.promise_time
                kept.append(chunk_id)
        return Promised(kept=tuple(kept))
