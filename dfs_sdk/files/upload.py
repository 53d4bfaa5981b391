"""One upload: read, seal, spread, and the manifest last.

A producer reads and seals a few chunks at a time in worker threads; workers spread them. Two budgets bound the memory:
chunks that wait for their write quorum, and chunks whose last copies follow in the background. The manifest is spread
when every chunk has its quorum: who can find the file can read all of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from dfs_sdk.crypto.hashing import Blake3, blake3_256
from dfs_sdk.errors import ConfigError, DfsError, StoreError
from dfs_sdk.exchange.budget import ByteBudget
from dfs_sdk.exchange.service import Receipt
from dfs_sdk.exchange.tombstones import removal_hash
from dfs_sdk.files.chunker import CHUNK_COUNT_MAX, INLINE_BYTES_MAX, MIB
from dfs_sdk.files.config import FilesConfig
from dfs_sdk.files.drafts import Draft, Placed
from dfs_sdk.files.holders import Copy, Holders
from dfs_sdk.files.manifest import Contents, Manifest, seal_manifest
from dfs_sdk.files.ports import Replicator
from dfs_sdk.files.seal import FileKeys, SealedChunk, seal_chunk
from dfs_sdk.files.source import Source
from dfs_sdk.files.supply import Supply
from dfs_sdk.files.transfers import Transfer
from dfs_sdk.ids import ChunkId, NodeId
from dfs_sdk.replication.policy import Policy
from dfs_sdk.runtime.ports import Buffer, Clock, Offload
from dfs_sdk.runtime.tasks import TaskScope, run_all, settle
from dfs_sdk.store.base import NewChunk, Role

logger = logging.getLogger(__name__)

GROUP_BYTES = 4 * MIB
NOTES_BATCH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadTools:
    """What uploads work with; the same for all of them."""

    me: NodeId
    replication: Replicator
    supply: Supply
    holders: Holders
    scope: TaskScope
    offload: Offload
    clock: Clock
    config: FilesConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadPlan:
    """What one upload is to do.

    Attributes:
        name: The file's name.
        media_type: Such as `text/csv`, or empty.
        chunk_bytes: Plain bytes of each chunk but the last.
        policy: Copies wanted and to wait for.
        draft: Keys of the file.
        placed: Chunks of an earlier attempt that reached their quorum.
        note: Writes down further ones; None if this upload cannot be resumed.
    """

    name: str
    media_type: str
    chunk_bytes: int
    policy: Policy
    draft: Draft
    placed: dict[int, Placed] = field(default_factory=dict)
    note: Callable[[dict[int, Placed]], Awaitable[None]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """A file that is on peers."""

    manifest_id: ChunkId
    manifest_cell: int
    manifest: Manifest
    contents: Contents
    sealed: bytes


class Upload:
    """The state of one upload.

    Args:
        source: What to read; the caller closes it.
        plan: What to do.
        tools: What to do it with.
        transfer: Where progress is told.
    """

    def __init__(self, *, source: Source, plan: UploadPlan, tools: UploadTools, transfer: Transfer) -> None:
        self._source = source
        self._plan = plan
        self._tools = tools
        self._transfer = transfer
        self._keys = FileKeys(plan.draft.read_key)
        self._removal_hash = removal_hash(plan.draft.removal_key)
        self._window = ByteBudget(tools.config.upload_bytes_max)
        self._tail = ByteBudget(tools.config.tail_bytes_max)
        self._queue: asyncio.Queue[SealedChunk | None] = asyncio.Queue()
        self._hasher = Blake3()
        self._size = 0
        self._chunks: list[tuple[ChunkId, bytes]] = []
        self._cells: dict[int, int] = {}
        self._unnoted: dict[int, Placed] = {}
        self._inline = b""
        self._tails: dict[asyncio.Task[None], None] = {}

    @property
    def chunk_ids(self) -> list[ChunkId]:
        """The chunks that peers may hold by now."""
        return [chunk_id for chunk_id, _salt in self._chunks]

    async def run(self) -> Uploaded:
        """Read to the end and return when chunks and manifest have their write quorum.

        Raises:
            TooFewReplicasError: Too few peers confirmed a chunk.
            ConfigError: The source is too long for its chunk size.
        """
        try:
            return await self._run()
        except BaseException:
            await self._stop_tails()
            self._note_unfinished()
            await self._write_notes()
            raise

    async def _run(self) -> Uploaded:
        workers = self._tools.config.upload_concurrency
        await run_all(self._produce(workers), *(self._work() for _ in range(workers)))
        contents = self._contents()
        manifest = self._manifest()
        sealed = await self._tools.offload.run(seal_manifest, self._keys, manifest, contents)
        manifest_id = ChunkId(blake3_256(sealed))
        cell = await self._spread(manifest_id, sealed)
        return Uploaded(
            manifest_id=manifest_id, manifest_cell=cell, manifest=manifest, contents=contents, sealed=sealed
        )

    async def _produce(self, workers: int) -> None:
        group_chunks = max(GROUP_BYTES // self._plan.chunk_bytes, 1)
        group_bytes = group_chunks * self._plan.chunk_bytes
        ended = False
        while not ended:
            await self._transfer.turn()
            await self._window.take(group_bytes)
            data = await self._source.read(group_bytes)
            self._window.give(group_bytes - len(data))
            ended = len(data) < group_bytes
            await self._seal(data)
        self._transfer.bytes_total = self._size
        for _ in range(workers):
            self._queue.put_nowait(None)

    async def _seal(self, data: Buffer) -> None:
        first = len(self._chunks)
        self._size += len(data)
        if first == 0 and len(data) <= INLINE_BYTES_MAX:
            self._inline = bytes(data)
            self._hasher.update(data)
            self._window.give(len(data))
            self._transfer.advance(len(data))
            return
        sealed = await self._tools.offload.run(
            seal_group, self._keys, first, self._plan.chunk_bytes, data, self._hasher
        )
        if first + len(sealed) > CHUNK_COUNT_MAX:
            raise ConfigError(f"this is over {CHUNK_COUNT_MAX} chunks: give a larger chunk size")
        self._chunks += [(chunk.chunk_id, chunk.salt) for chunk in sealed]
        kept = await self._kept(sealed)
        for chunk in sealed:
            if chunk.chunk_id in kept:
                self._settle(chunk, kept[chunk.chunk_id])
            else:
                self._queue.put_nowait(chunk)

    async def _kept(self, sealed: Sequence[SealedChunk]) -> dict[ChunkId, int]:
        """Find the chunks that an earlier attempt placed and that enough peers still hold, with their cells."""
        cells: dict[ChunkId, int] = {}
        for chunk in sealed:
            placed = self._plan.placed.get(chunk.index)
            if placed is not None and placed.chunk_id == chunk.chunk_id and placed.cell is not None:
                cells[chunk.chunk_id] = placed.cell
        if not cells:
            return {}
        found = await self._tools.supply.locate(list(cells), cells)
        return {chunk_id: cell for chunk_id, cell in cells.items() if self._is_enough(found[chunk_id])}

    def _is_enough(self, copies: Sequence[Copy]) -> bool:
        """Only copies of others that will stay count toward a quorum; without one our own copy will do."""
        others = sum(copy.holder != self._tools.me and copy.role is not Role.CACHE for copy in copies)
        return bool(copies) and others >= self._plan.policy.write_quorum

    async def _work(self) -> None:
        while (chunk := await self._queue.get()) is not None:
            cell = await self._spread(chunk.chunk_id, chunk.data, plain_size=chunk.size)
            self._settle(chunk, cell)
            self._unnoted[chunk.index] = Placed(chunk_id=chunk.chunk_id, cell=cell)
            if len(self._unnoted) >= NOTES_BATCH:
                await self._write_notes()

    def _settle(self, chunk: SealedChunk, cell: int) -> None:
        self._cells[chunk.index] = cell
        self._window.give(chunk.size)
        self._transfer.advance(chunk.size)
        total = "" if self._source.size is None else f" of {self._source.size}"
        self._transfer.remains = (
            f"{self._transfer.bytes_done}{total} bytes are on peers; put the same file again to go on from there."
            if self._plan.note is not None
            else "What is on peers already is being removed."
        )

    async def _spread(self, chunk_id: ChunkId, data: bytes, *, plain_size: int = 0) -> int:
        chunk = NewChunk(
            chunk_id=chunk_id,
            data=data,
            cell=0,
            role=Role.PRIMARY,
            removal_hash=self._removal_hash,
            replicas=self._plan.policy.replicas,
        )
        spread = await self._tools.replication.spread(chunk, policy=self._plan.policy)
        self._note_receipts(chunk_id, spread.holders)
        try:
            await self._tail.take(plain_size)
        except asyncio.CancelledError:
            if isinstance(spread.complete, asyncio.Future):
                spread.complete.cancel()
            raise
        tail = self._tools.scope.spawn(f"tail {chunk_id.short}", self._finish(chunk_id, spread.complete, plain_size))
        self._tails[tail] = None
        tail.add_done_callback(self._forget_tail)
        return spread.cell

    async def _finish(self, chunk_id: ChunkId, complete: Awaitable[Sequence[Receipt]], plain_size: int) -> None:
        try:
            self._note_receipts(chunk_id, await complete)
        except DfsError as error:
            logger.info("the last copies of chunk %s are left to repair: %s", chunk_id.short, type(error).__name__)
        finally:
            self._tail.give(plain_size)

    def _forget_tail(self, tail: asyncio.Task[None]) -> None:
        self._tails.pop(tail, None)

    async def _stop_tails(self) -> None:
        """End the copying of an upload that is given up; what has its quorum keeps it."""
        tails = list(self._tails)
        for tail in tails:
            tail.cancel()
        for tail in tails:
            await settle(tail)

    def _note_receipts(self, chunk_id: ChunkId, receipts: Sequence[Receipt]) -> None:
        now_wall = self._tools.clock.wall()
        self._transfer.sources.update(receipt.peer for receipt in receipts if receipt.peer != self._tools.me)
        self._tools.holders.add(
            chunk_id,
            [Copy(holder=receipt.peer, role=receipt.role, confirmed_at_wall=now_wall) for receipt in receipts],
        )

    def _note_unfinished(self) -> None:
        """Remember what was on its way: if nobody goes on with this upload, it is removed with the rest."""
        for index, (chunk_id, _salt) in enumerate(self._chunks):
            if index not in self._cells and index not in self._plan.placed:
                self._unnoted[index] = Placed(chunk_id=chunk_id, cell=None)

    async def _write_notes(self) -> None:
        notes, self._unnoted = self._unnoted, {}
        if notes and self._plan.note is not None:
            try:
                await self._plan.note(notes)
            except StoreError as error:
                logger.warning("this upload will not know what it has sent: %s", type(error).__name__)

    def _contents(self) -> Contents:
        return Contents(
            name=self._plan.name,
            size=self._size,
            content_hash=self._hasher.digest(),
            media_type=self._plan.media_type,
            salts=tuple(salt for _chunk_id, salt in self._chunks),
            inline=self._inline,
        )

    def _manifest(self) -> Manifest:
        ids = tuple(chunk_id for chunk_id, _salt in self._chunks)
        return Manifest(
            size_class=self._size.bit_length(),
            replicas=self._plan.policy.replicas,
            chunk_bytes=self._plan.chunk_bytes,
            chunk_ids=ids,
            second_cells=tuple(
                self._cells[index] != self._tools.replication.cells_of(chunk_id)[0]
                for index, chunk_id in enumerate(ids)
            ),
            removal_hash=self._removal_hash,
            commitment=self._keys.commitment,
        )


def seal_group(keys: FileKeys, first: int, chunk_bytes: int, data: Buffer, hasher: Blake3) -> list[SealedChunk]:
    """Seal a run of chunks and feed the hash of the whole file; in a worker thread.

    Args:
        keys: Of the file.
        first: Index of the first chunk of the run.
        chunk_bytes: Plain bytes of each chunk but the last of the file.
        data: The plain bytes of the run.
        hasher: Takes them in order.
    """
    hasher.update(data)
    view = memoryview(data)
    return [
        seal_chunk(keys, first + number, view[at : at + chunk_bytes])
        for number, at in enumerate(range(0, len(view), chunk_bytes))
    ]
