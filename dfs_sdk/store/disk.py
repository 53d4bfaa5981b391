"""A store on disk: chunk files, their index, and documents, below one folder that one process owns.

Here are its life, its queries and its doors; `changes` decides the order in which a change reaches the disk, `recovery`
what a start makes of the state it finds. Nothing is visible before its commit, and a caller who is cancelled gets that
only when the change is whole. docs/storage-format.md describes what lies on the disk.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from dfs_sdk.errors import (
    CorruptContentError,
    DfsError,
    StoreError,
    StoreLockedError,
)
from dfs_sdk.events import Event, EventBus
from dfs_sdk.ids import ChunkId
from dfs_sdk.runtime.ports import Buffer, DiskLock, Runtime
from dfs_sdk.store.base import (
    STORAGE_UUID_BYTES,
    ChunkInfo,
    NewChunk,
    Role,
    ScrubReport,
    closed_error,
    validate_batch,
)
from dfs_sdk.store.changes import ChunkChanges
from dfs_sdk.store.config import StoreConfig
from dfs_sdk.store.documents import DocumentTable, OpenDocuments, StoredDocuments
from dfs_sdk.store.faults import cause_of
from dfs_sdk.store.files import ROOM_BYTES, ChunkFiles
from dfs_sdk.store.guard import DiskGuard
from dfs_sdk.store.holdings import HeldChunks, Holdings
from dfs_sdk.store.news import ChunkQuarantined, StoreRepaired, StoreTurnedReadOnly
from dfs_sdk.store.operations import Operations
from dfs_sdk.store.read_memory import ReadMemory
from dfs_sdk.store.reads import SHARED_BYTES_MAX, SharedReads
from dfs_sdk.store.recovery import Recovered, recover
from dfs_sdk.store.reserve import Reserve
from dfs_sdk.store.scrub import in_subset, joined, validate_subset

logger = logging.getLogger(__name__)

T = TypeVar("T")

LOCK_FILE = "lock"
LOCK_RETRY_SECONDS = 0.1
CHECK_ROUND_CHUNKS = 16


class _OpenState:
    """What exists only between `open` and `close`."""

    __slots__ = ("changes", "documents", "lock", "operations", "reads")

    def __init__(
        self,
        lock: DiskLock,
        documents: OpenDocuments,
        changes: ChunkChanges,
        *,
        load: Callable[[ChunkId], Buffer],
        guard: DiskGuard,
    ) -> None:
        self.lock = lock
        self.documents = documents
        self.changes = changes
        self.operations = Operations("store")
        self.reads = SharedReads(load, guard, self.operations)


class DiskStore(HeldChunks, StoredDocuments):
    """A `ChunkStore` in a folder.

    Args:
        folder: Its folder, made when missing; one process at a time.
        runtime: The outside world.
        config: Its limits.
        events: Where its news go.
    """

    def __init__(
        self, folder: Path, runtime: Runtime, config: StoreConfig | None = None, *, events: EventBus | None = None
    ) -> None:
        self._folder = folder
        self._runtime = runtime
        self._disk = runtime.disk
        self._config = config or StoreConfig()
        self._events = events
        self._files = ChunkFiles(self._disk, folder, quarantine_files_max=self._config.quarantine_files_max)
        self._reserve = Reserve(self._disk, folder, self._config)
        self._guard = self._new_guard()
        self._holdings = Holdings()
        self._storage_uuid = b""
        self._state: _OpenState | None = None
        self._life = Operations("store life")
        self._read_memory = ReadMemory(runtime.clock)

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self._folder

    @property
    def storage_uuid(self) -> bytes:
        """See `ChunkStore.storage_uuid`; empty before the first `open`."""
        return self._storage_uuid

    @property
    def read_only(self) -> str | None:
        """See `ChunkStore.read_only`."""
        return self._guard.read_only

    async def open(self) -> None:
        """See `ChunkStore.open`."""
        if self._state is not None:
            return
        try:
            await self._life.run("open", self._open())
        except asyncio.CancelledError:
            await self.close()
            raise

    async def close(self) -> None:
        """See `ChunkStore.close`."""
        state, self._state = self._state, None
        if state is not None:
            await self._life.run("close", self._close(state))

    async def put(self, chunks: Sequence[NewChunk]) -> None:
        """See `ChunkStore.put`."""
        batch = validate_batch(chunks)
        state = self._open_state()
        await state.operations.run("put", state.changes.put(batch))

    async def get(self, chunk_id: ChunkId, *, verify: bool = True) -> Buffer:
        """See `ChunkStore.get`."""
        state = self._open_state()
        info = self._holdings.require(chunk_id)
        try:
            data = await self._read(state, info, verify=verify)
        except (FileNotFoundError, CorruptContentError):
            # It may have been replaced or let go under our hands: look again with nobody changing it.
            data = await state.operations.run("reread", state.changes.reread(chunk_id))
        state.changes.note_read(chunk_id)
        return data

    async def _read(self, state: _OpenState, info: ChunkInfo, *, verify: bool) -> Buffer:
        """Read a chunk: a small one here if that takes no wait, else with others, a large one by itself.

        Only of a large one the hash is worth leaving out.
        """
        chunk_id = info.chunk_id
        if info.size > SHARED_BYTES_MAX:
            room = self._read_memory.take(ROOM_BYTES + info.size)
            return await self._guard.read(lambda: self._files.load_into(chunk_id, room, verify=verify))
        data = self._files.load_cached(chunk_id, info.size)
        return data if data is not None else await state.reads.read(chunk_id)

    async def delete(self, chunk_ids: Sequence[ChunkId]) -> None:
        """See `ChunkStore.delete`."""
        state = self._open_state()
        await state.operations.run("delete", state.changes.delete(list(chunk_ids)))

    async def set_role(self, chunk_id: ChunkId, role: Role) -> None:
        """See `ChunkStore.set_role`."""
        state = self._open_state()
        await state.operations.run("set_role", state.changes.set_role(chunk_id, role))

    async def set_pinned(self, chunk_ids: Sequence[ChunkId], pinned: bool) -> None:  # noqa: FBT001 - reads well
        """See `ChunkStore.set_pinned`."""
        state = self._open_state()
        await state.operations.run("set_pinned", state.changes.set_pinned(list(chunk_ids), pinned=pinned))

    async def check(self, *, read_data: bool, subset: tuple[int, int] | None = None) -> ScrubReport:
        """See `ChunkStore.check`; other calls go on meanwhile."""
        validate_subset(subset)
        state = self._open_state()
        ids = sorted(info.chunk_id for info in self._holdings if in_subset(info.chunk_id, subset))
        reports: list[ScrubReport] = []
        for start in range(0, len(ids), CHECK_ROUND_CHUNKS):
            part = ids[start : start + CHECK_ROUND_CHUNKS]
            reports.append(await state.operations.run("check", state.changes.check(part, read_data=read_data)))
        return joined(reports)

    async def _read_documents(self, call: Callable[[DocumentTable], T]) -> T:
        return await self._open_state().documents.read(call)

    async def _write_documents(self, call: Callable[[DocumentTable], None], *, frees: bool = False) -> None:
        # Without a task: one call of a thread is all there is, and each turn of a busy loop keeps a message waiting.
        await self._open_state().documents.write(call, frees=frees)

    async def _open(self) -> None:
        try:
            await self._runtime.offload.run(self._make_folder)
            lock = await self._locked()
        except DfsError:
            raise
        except OSError as error:
            raise StoreError(f"the store {self._folder} cannot be used ({cause_of(error)})") from error
        try:
            self._guard = self._new_guard()
            recovered = await self._runtime.offload.run(self._recover)
        except BaseException as error:
            with suppress(OSError):
                await self._runtime.offload.run(lock.release)
            if isinstance(error, (OSError, sqlite3.Error)) and not isinstance(error, DfsError):
                raise StoreError(f"the store {self._folder} cannot be opened ({cause_of(error)})") from error
            raise
        self._state = self._built(lock, recovered)
        for repair in recovered.repairs:
            logger.warning("%s: %s", self._folder, repair)
            self._publish(StoreRepaired(at_wall=self._runtime.clock.wall(), what=repair))

    def _make_folder(self) -> None:
        """Make the folder, and its name in its parent safe: a power cut must not take the whole store."""
        missing = [folder for folder in reversed(self._folder.parents) if not self._disk.exists(folder)]
        self._disk.make_folders(self._folder)
        for folder in missing:
            self._disk.sync_folder(folder.parent)
        with suppress(PermissionError):  # a parent we may not open is not one we have just made
            self._disk.sync_folder(self._folder.parent)

    async def _locked(self) -> DiskLock:
        """Take the lock, giving a process that is about to end a moment."""
        tries_left = 1 + round(self._config.lock_wait_seconds / LOCK_RETRY_SECONDS)
        while True:
            try:
                return await self._runtime.offload.run(self._disk.lock, self._folder / LOCK_FILE)
            except BlockingIOError as error:
                tries_left -= 1
                if tries_left == 0:
                    raise StoreLockedError(
                        f"the store {self._folder} is in use by {error.strerror}: "
                        "close the node there, or give this one a `store` of its own"
                    ) from error
            await asyncio.sleep(LOCK_RETRY_SECONDS)

    def _recover(self) -> Recovered:
        return recover(
            self._disk,
            self._folder,
            files=self._files,
            reserve=self._reserve,
            documents_bytes_max=self._config.documents_bytes_max,
            draw_uuid=lambda: self._runtime.entropy.token(STORAGE_UUID_BYTES),
        )

    def _built(self, lock: DiskLock, recovered: Recovered) -> _OpenState:
        self._storage_uuid = recovered.storage_uuid
        self._holdings = recovered.holdings
        documents = OpenDocuments(recovered.documents, self._guard, self._reserve)
        changes = ChunkChanges(
            files=self._files,
            index=recovered.index,
            holdings=self._holdings,
            pins=recovered.pins,
            guard=self._guard,
            reserve=self._reserve,
            clock=self._runtime.clock,
            capacity_bytes=self._config.capacity_bytes,
            space=lambda: self._disk.free_bytes(self._folder) - self._config.free_bytes_min,
            write_pins=documents.write_pins,
            on_quarantine=self._on_quarantine,
        )
        return _OpenState(lock, documents, changes, load=self._load, guard=self._guard)

    async def _close(self, state: _OpenState) -> None:
        await state.operations.close()
        self._read_memory.clear()
        try:
            try:
                await state.changes.close()
            finally:
                await state.documents.close()
        finally:
            await self._runtime.offload.run(state.lock.release)

    def _open_state(self) -> _OpenState:
        if self._state is None:
            raise closed_error()
        return self._state

    def _load(self, chunk_id: ChunkId) -> Buffer:
        return self._files.load(chunk_id)[1]

    def _new_guard(self) -> DiskGuard:
        return DiskGuard(self._runtime.offload, self._folder, on_read_only=self._on_read_only)

    def _on_read_only(self, reason: str) -> None:
        logger.error("%s", reason)
        self._publish(StoreTurnedReadOnly(at_wall=self._runtime.clock.wall(), reason=reason))

    def _on_quarantine(self, chunk_id: ChunkId) -> None:
        logger.warning("%s: chunk %s was damaged and put aside", self._folder, chunk_id)
        self._publish(ChunkQuarantined(at_wall=self._runtime.clock.wall(), chunk_id=chunk_id))

    def _publish(self, event: Event) -> None:
        if self._events is not None:
            self._events.publish(event)
