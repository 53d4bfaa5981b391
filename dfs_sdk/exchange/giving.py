"""Giving chunks to those who ask: out of the store, or out of what is kept for others.

Rules P-EXC-4, P-EXC-5 and P-EXC-13 to P-EXC-15.
"""

from __future__ import annotations

from dataclasses import replace

from dfs_sdk.errors import ContentNotFoundError, CorruptContentError, StoreError
from dfs_sdk.exchange.demand import SHARED_BYTES_MIN, Demand
from dfs_sdk.exchange.lending import Lending
from dfs_sdk.exchange.messages import Fetch, Fetched
from dfs_sdk.exchange.tombstones import Tombstones
from dfs_sdk.exchange.workload import Workload
from dfs_sdk.rpc.base import Caller, Refusal, RefusalCode
from dfs_sdk.runtime.ports import Buffer
from dfs_sdk.store.base import ChunkStore


class Giving:
    """Answers `Fetch`.

    Args:
        store: What this node holds.
        lending: What it keeps for others.
        demand: Who wants what at one time.
        tombstones: What was removed.
        workload: Where the work is counted.
    """

    def __init__(
        self, *, store: ChunkStore, lending: Lending, demand: Demand, tombstones: Tombstones, workload: Workload
    ) -> None:
        self._store = store
        self._lending = lending
        self._demand = demand
        self._tombstones = tombstones
        self._workload = workload

    async def on_fetch(self, caller: Caller, request: Fetch, _body: memoryview) -> object:
        """Give a chunk, or say when and whom to ask for it."""
        reply, size = self._found(request)
        shared = size >= SHARED_BYTES_MIN
        if shared and request.willing:
            put_off = self._demand.put_off(request.chunk_id, caller.node_id)
            if put_off is not None:
                return replace(reply, put_off=put_off.seconds, others=put_off.others)
        if not shared:
            return reply, await self._read(request, lent=reply.lent)
        gift = self._demand.give(request.chunk_id, caller.node_id, willing=request.willing)
        try:
            data = await self._read(request, lent=reply.lent)
        except BaseException:
            gift.end()
            raise
        self._workload.send()

        def on_settled() -> None:
            self._workload.sent()
            gift.end(given=True)

        return replace(reply, keep=gift.keep), data, on_settled

    def _found(self, request: Fetch) -> tuple[Fetched, int]:
        """Return what to say of a chunk, and its length.

        Raises:
            Refusal: It is not here.
        """
        load = self._workload.load
        info = self._store.info(request.chunk_id)
        if info is not None:
            reply = Fetched(cell=info.cell, removal_hash=info.removal_hash, load=load, replicas=info.replicas)
            return reply, info.size
        lent = self._lending.get(request.chunk_id)
        if lent is None:
            raise Refusal(RefusalCode.NOT_FOUND, "not here")
        # Nobody makes sure that it is what it was: who doubts it is better served by a holder.
        if request.check or self._tombstones.forbids(request.chunk_id, lent.removal_hash):
            self._lending.drop(request.chunk_id)
            raise Refusal(RefusalCode.NOT_FOUND, "not here")
        reply = Fetched(cell=lent.cell, removal_hash=lent.removal_hash, load=load, replicas=lent.replicas, lent=True)
        return reply, len(lent.data)

    async def _read(self, request: Fetch, *, lent: bool) -> Buffer:
        if lent:
            kept = self._lending.get(request.chunk_id)
            if kept is None:
                raise Refusal(RefusalCode.NOT_FOUND, "not here")
            return kept.data
        with self._workload.working():
            try:
                return await self._store.get(request.chunk_id, verify=request.check)
            except (ContentNotFoundError, CorruptContentError):
                raise Refusal(RefusalCode.NOT_FOUND, "not here") from None
            except StoreError:
                raise Refusal(RefusalCode.FAILED, "the disk refused") from None
