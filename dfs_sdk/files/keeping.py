"""Keeping and letting go: pins, removal by the owner, and cleaning up after uploads that were given up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dfs_sdk.errors import QuotaExceededError
from dfs_sdk.exchange.messages import ASK_CHUNKS_MAX
from dfs_sdk.exchange.service import Exchange
from dfs_sdk.files.holders import Holders
from dfs_sdk.files.opened import OpenedFile
from dfs_sdk.files.ports import Replicator
from dfs_sdk.files.supply import Supply
from dfs_sdk.files.transfers import Transfer
from dfs_sdk.ids import ChunkId, NodeId
from dfs_sdk.rpc.base import CALL_ERRORS
from dfs_sdk.runtime.tasks import run_all
from dfs_sdk.store.base import ChunkStore, NewChunk, Role

PIN_PARALLEL = 8
PIN_ATTEMPTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What a removal achieved.

    Attributes:
        copies: Copies that holders deleted.
        silent: Holders that could not be asked.
    """

    copies: int
    silent: tuple[NodeId, ...]


class Keeping:
    """Pins and removes chunks.

    Args:
        me: This node.
        store: The local store.
        exchange: Asks holders to delete.
        replication: Knows the cells.
        supply: Gets chunks, and knows who holds them.
        holders: What is known of copies.
    """

    def __init__(
        self,
        *,
        me: NodeId,
        store: ChunkStore,
        exchange: Exchange,
        replication: Replicator,
        supply: Supply,
        holders: Holders,
    ) -> None:
        self._me = me
        self._store = store
        self._exchange = exchange
        self._replication = replication
        self._supply = supply
        self._holders = holders

    async def pin(self, file: OpenedFile, extra: Sequence[NodeId], transfer: Transfer) -> None:
        """Bring every chunk of a file into the local store and pin it there.

        Raises:
            QuotaExceededError: The store has no room; what was fetched may be evicted again.
            ContentUnavailableError: A chunk has no holder that answers.
        """
        before = {chunk_id for chunk_id in _all_chunks(file) if self._is_pinned(chunk_id)}
        try:
            await self._pin_all(file, extra, transfer)
        except BaseException:
            await self.unpin([chunk_id for chunk_id in _all_chunks(file) if chunk_id not in before])
            raise

    async def _pin_all(self, file: OpenedFile, extra: Sequence[NodeId], transfer: Transfer) -> None:
        await self._keep(file, file.link.manifest_id, self._manifest_cell(file), extra, sealed=file.sealed)
        for start in range(0, file.chunk_count, PIN_PARALLEL):
            indices = range(start, min(start + PIN_PARALLEL, file.chunk_count))
            await run_all(*(self._pin_chunk(file, index, extra, transfer) for index in indices))
        if file.chunk_count == 0:
            transfer.advance(file.size)

    def _is_pinned(self, chunk_id: ChunkId) -> bool:
        info = self._store.info(chunk_id)
        return info is not None and info.pinned

    async def unpin(self, chunk_ids: Sequence[ChunkId]) -> None:
        """Let the store decide about these chunks again."""
        await self._store.set_pinned(chunk_ids, False)

    async def remove(self, chunk_ids: Sequence[ChunkId], removal_key: bytes) -> Removal:
        """Have every holder delete some chunks, this node last: it remembers the removal for those that are away."""
        # Those who were known before count, too: a holder that is silent now has copies all the same.
        known = {holder for chunk_id in chunk_ids for holder in self._holders.holders(chunk_id)}
        located = await self._supply.locate(chunk_ids, {})
        known.update(copy.holder for copies in located.values() for copy in copies)
        known.discard(self._me)
        results = await run_all(
            *(self._remove_at(holder, chunk_ids, removal_key) for holder in sorted(known)), limit=PIN_PARALLEL
        )
        await self.unpin(chunk_ids)
        copies = await self._remove_here(chunk_ids, removal_key)
        self._holders.forget(chunk_ids)
        return Removal(
            copies=copies + sum(count for _holder, count in results if count is not None),
            silent=tuple(holder for holder, count in results if count is None),
        )

    async def _pin_chunk(self, file: OpenedFile, index: int, extra: Sequence[NodeId], transfer: Transfer) -> None:
        await self._keep(file, file.manifest.chunk_ids[index], file.cells[index], extra)
        transfer.advance(file.span(index)[1])

    async def _keep(
        self, file: OpenedFile, chunk_id: ChunkId, cell: int, extra: Sequence[NodeId], *, sealed: bytes | None = None
    ) -> None:
        for _ in range(PIN_ATTEMPTS):
            if chunk_id not in self._store:
                data = sealed if sealed is not None else await self._supply.fetch(chunk_id, cell, extra=extra)
                chunk = NewChunk(
                    chunk_id=chunk_id,
                    data=data,
                    cell=cell,
                    role=Role.CACHE,
                    removal_hash=file.manifest.removal_hash,
                    replicas=file.manifest.replicas,
                )
                await self._store.put([chunk])
            await self._store.set_pinned([chunk_id], True)
            # Until then it could make way for others' chunks.
            if self._is_pinned(chunk_id):
                return
        raise QuotaExceededError("the store has no room to pin this: chunks of it had to make way again and again")

    def _manifest_cell(self, file: OpenedFile) -> int:
        info = self._store.info(file.link.manifest_id)
        return self._replication.cells_of(file.link.manifest_id)[0] if info is None else info.cell

    async def _remove_at(
        self, holder: NodeId, chunk_ids: Sequence[ChunkId], removal_key: bytes
    ) -> tuple[NodeId, int | None]:
        count = 0
        try:
            for page in _pages(chunk_ids):
                count += await self._exchange.remove(holder, page, removal_key)
        except CALL_ERRORS:
            return holder, None
        return holder, count

    async def _remove_here(self, chunk_ids: Sequence[ChunkId], removal_key: bytes) -> int:
        return sum([await self._exchange.remove(self._me, page, removal_key) for page in _pages(chunk_ids)])


def _all_chunks(file: OpenedFile) -> tuple[ChunkId, ...]:
    return (file.link.manifest_id, *file.manifest.chunk_ids)


def _pages(chunk_ids: Sequence[ChunkId]) -> Iterable[Sequence[ChunkId]]:
    return (chunk_ids[start : start + ASK_CHUNKS_MAX] for start in range(0, len(chunk_ids), ASK_CHUNKS_MAX))
