"""Giving chunks to those who ask: out of the store, or out of what is kept for others.

Rules P-EXC-4, P-EXC-5 and P-EXC-13 to P-EXC-15.
"""

from __future__ import annotations

from dataclasses import replace

from dfs_sdk.crypto.hashing import blake3_256
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
        reply, size, lent = self._found(request)
        if size < SHARED_BYTES_MIN:
            return reply, await self._read(request) if lent is None else lent
        chunk_id, reader = request.chunk_id, caller.node_id
        put_off = self._demand.put_off(chunk_id, reader) if request.patient else None
        if put_off is not None:
            return replace(reply, put_off=put_off.seconds, others=put_off.others)
        gift = self._demand.give(chunk_id, reader, keeps=request.keeps)
        try:
            data = await self._read(request) if lent is None else lent
        except BaseException:
            gift.end(taken=False)
            raise
        self._workload.send()

        def on_settled(taken: bool) -> None:  # noqa: FBT001 - a plain callback
            self._workload.sent()
            gift.end(taken=taken)

        return replace(reply, keep=gift.keep), data, on_settled

    def _found(self, request: Fetch) -> tuple[Fetched, int, Buffer | None]:
        """Return what to say of a chunk, its length, and its bytes where they are in memory.

        Raises:
            Refusal: It is not here.
        """
        chunk_id, load = request.chunk_id, self._workload.load
        info = self._store.info(chunk_id)
        if info is not None:
            reply = Fetched(cell=info.cell, removal_hash=info.removal_hash, load=load, replicas=info.replicas)
            return reply, info.size, None
        lent = self._lending.get(chunk_id)
        if lent is None:
            raise Refusal(RefusalCode.NOT_FOUND, "not here")
        is_removed = self._tombstones.forbids(chunk_id, lent.removal_hash)
        if is_removed or (request.check and blake3_256(lent.data) != chunk_id):
            self._lending.drop(chunk_id)
            raise Refusal(RefusalCode.NOT_FOUND, "not here")
        reply = Fetched(cell=lent.cell, removal_hash=lent.removal_hash, load=load, replicas=lent.replicas, lent=True)
        return reply, len(lent.data), lent.data

    async def _read(self, request: Fetch) -> Buffer:
        with self._workload.working():
            try:
                return await self._store.get(request.chunk_id, verify=request.check)
            except (ContentNotFoundError, CorruptContentError):
                raise Refusal(RefusalCode.NOT_FOUND, "not here") from None
            except StoreError:
                raise Refusal(RefusalCode.FAILED, "the disk refused") from None
