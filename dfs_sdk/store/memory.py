"""A store in memory: for nodes that keep nothing, for tests and for swarms.

It promises what a disk store promises, for as long as the object lives: it may be closed and opened again.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from dataclasses import replace

from dfs_sdk.errors import CorruptContentError, QuotaExceededError
from dfs_sdk.ids import ChunkId
from dfs_sdk.runtime.ports import Runtime
from dfs_sdk.store.base import (
    STORAGE_UUID_BYTES,
    NewChunk,
    Role,
    ScrubReport,
    closed_error,
    validate_batch,
    validate_document,
)
from dfs_sdk.store.config import StoreConfig
from dfs_sdk.store.holdings import HeldChunks, Holdings, described, revised
from dfs_sdk.store.quota import charged_bytes, plan_eviction
from dfs_sdk.store.scrub import in_subset, validate_subset
from dfs_sdk.store.verify import INLINE_HASH_BYTES_MAX, matches, verify_ids


class MemoryDocuments:
    """Documents in memory, kept in key order."""

    def __init__(self, config: StoreConfig) -> None:
        self._bytes_max = config.documents_bytes_max
        self._values: dict[str, dict[bytes, bytes]] = {}
        self._keys: dict[str, list[bytes]] = {}
        self._used_bytes = 0
        self._opened = False

    async def put_document(self, kind: str, key: bytes, value: bytes) -> None:
        """See `DocumentStore.put_document`."""
        await self.put_documents(kind, [(key, value)])

    async def put_documents(self, kind: str, items: Sequence[tuple[bytes, bytes]]) -> None:
        """See `DocumentStore.put_documents`."""
        self._require_open()
        for key, value in items:
            validate_document(kind, key, value)
        values = self._values.get(kind, {})
        latest = {bytes(key): bytes(value) for key, value in items}
        growth = sum(len(value) - len(values.get(key, b"")) for key, value in latest.items())
        if growth > 0 and self._used_bytes + growth > self._bytes_max:
            raise QuotaExceededError(f"documents would take more than documents_bytes_max = {self._bytes_max}")
        values = self._values.setdefault(kind, {})
        keys = self._keys.setdefault(kind, [])
        for key, value in latest.items():
            if key not in values:
                insort(keys, key)
            values[key] = value
        self._used_bytes += growth

    async def get_document(self, kind: str, key: bytes) -> bytes | None:
        """See `DocumentStore.get_document`."""
        self._require_open()
        return self._values.get(kind, {}).get(key)

    async def delete_document(self, kind: str, key: bytes) -> None:
        """See `DocumentStore.delete_document`."""
        self._require_open()
        validate_document(kind, key, b"")
        value = self._values.get(kind, {}).pop(key, None)
        if value is not None:
            keys = self._keys[kind]
            del keys[bisect_left(keys, key)]
            self._used_bytes -= len(value)

    async def list_documents(
        self, kind: str, *, prefix: bytes = b"", after: bytes | None = None, limit: int | None = None
    ) -> list[tuple[bytes, bytes]]:
        """See `DocumentStore.list_documents`."""
        self._require_open()
        keys = self._keys.get(kind, [])
        start = bisect_left(keys, prefix)
        if after is not None:
            start = max(start, bisect_right(keys, after))
        found: list[tuple[bytes, bytes]] = []
        for key in keys[start:]:
            if not key.startswith(prefix) or (limit is not None and len(found) >= limit):
                break
            found.append((key, self._values[kind][key]))
        return found

    def _require_open(self) -> None:
        if not self._opened:
            raise closed_error()


class MemoryStore(HeldChunks, MemoryDocuments):
    """A `ChunkStore` in memory."""

    def __init__(self, runtime: Runtime, config: StoreConfig | None = None) -> None:
        self._config = config or StoreConfig()
        super().__init__(self._config)
        self._clock = runtime.clock
        self._offload = runtime.offload
        self._storage_uuid = runtime.entropy.token(STORAGE_UUID_BYTES)
        self._holdings = Holdings()
        self._data: dict[ChunkId, bytes] = {}

    @property
    def storage_uuid(self) -> bytes:
        """See `ChunkStore.storage_uuid`."""
        return self._storage_uuid

    @property
    def read_only(self) -> str | None:
        """Memory never turns read-only."""
        return None

    async def open(self) -> None:
        """See `ChunkStore.open`."""
        self._opened = True

    async def close(self) -> None:
        """See `ChunkStore.close`."""
        self._opened = False

    async def put(self, chunks: Sequence[NewChunk]) -> None:
        """See `ChunkStore.put`."""
        self._require_open()
        batch = validate_batch(chunks)
        contents = [(chunk_id, chunk.data) for chunk_id, chunk in batch.items()]
        if sum(len(data) for _, data in contents) > INLINE_HASH_BYTES_MAX:
            await self._offload.run(verify_ids, contents)
        else:
            verify_ids(contents)
        self._make_room(batch)
        now_wall = self._clock.wall()
        for chunk_id, chunk in batch.items():
            known = self._holdings.get(chunk_id)
            if known is None:
                self._data[chunk_id] = bytes(chunk.data)
                self._holdings.add(described(chunk, now_wall=now_wall))
            elif (info := revised(known, chunk)) is not known:
                self._holdings.add(info)

    async def get(self, chunk_id: ChunkId, *, verify: bool = True) -> bytes:
        """See `ChunkStore.get`."""
        self._require_open()
        self._holdings.require(chunk_id)
        data = self._data[chunk_id]
        if verify and not matches(chunk_id, data):
            self._drop([chunk_id])
            raise CorruptContentError(f"chunk {chunk_id.short} was damaged in memory; it is no longer held")
        self._holdings.touch(chunk_id, self._clock.wall())
        return data

    async def delete(self, chunk_ids: Sequence[ChunkId]) -> None:
        """See `ChunkStore.delete`."""
        self._require_open()
        self._drop(chunk_ids)

    async def set_role(self, chunk_id: ChunkId, role: Role) -> None:
        """See `ChunkStore.set_role`."""
        self._require_open()
        self._holdings.add(replace(self._holdings.require(chunk_id), role=role))

    async def set_pinned(self, chunk_ids: Sequence[ChunkId], pinned: bool) -> None:  # noqa: FBT001 - reads well
        """See `ChunkStore.set_pinned`."""
        self._require_open()
        for chunk_id in chunk_ids:
            info = self._holdings.get(chunk_id)
            if info is not None:
                self._holdings.add(replace(info, pinned=pinned))

    async def check(self, *, read_data: bool, subset: tuple[int, int] | None = None) -> ScrubReport:
        """See `ChunkStore.check`."""
        self._require_open()
        validate_subset(subset)
        checked = sorted(info.chunk_id for info in self._holdings if in_subset(info.chunk_id, subset))
        corrupt: list[ChunkId] = []
        read_bytes = 0
        for chunk_id in checked if read_data else ():
            data = self._data.get(chunk_id)  # it may go while an earlier one is hashed
            if data is not None:
                read_bytes += len(data)
                if not await self._offload.run(matches, chunk_id, data):
                    corrupt.append(chunk_id)
        self._drop(corrupt)
        return ScrubReport(checked_count=len(checked), read_bytes=read_bytes, corrupt=tuple(corrupt))

    def _make_room(self, batch: dict[ChunkId, NewChunk]) -> None:
        needed = sum(charged_bytes(chunk.size) for chunk_id, chunk in batch.items() if chunk_id not in self._holdings)
        victims = plan_eviction(
            needed,
            used_bytes=self._holdings.used_bytes,
            capacity_bytes=self._config.capacity_bytes,
            evictable_bytes=self._holdings.evictable_bytes,
            candidates=self._holdings.candidates(busy=batch),
        )
        self._drop(victims)

    def _drop(self, chunk_ids: Sequence[ChunkId]) -> None:
        for chunk_id in chunk_ids:
            self._holdings.discard(chunk_id)
            self._data.pop(chunk_id, None)
