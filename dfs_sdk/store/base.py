"""The interface of a local store and the values that cross it.

A store keeps *chunks* (content-addressed, sealed bytes) and *documents* (small durable records of the upper floors).
What every implementation promises is written down as one conformance suite, tests/unit/store/test_conformance.py.

Invariants: `put` and `put_documents` are all or nothing, and durable when they return; what `get` returns hashes to the
id it was asked for; the charged bytes never exceed the capacity.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from dfs_sdk.errors import ConfigError, NodeClosedError, ProtocolError
from dfs_sdk.ids import ChunkId
from dfs_sdk.runtime.ports import Buffer

CHUNK_BYTES_MAX = 8 * 1024 * 1024
PUT_CHUNKS_MAX = 4096
CELL_MAX = 2**32 - 1
REMOVAL_HASH_BYTES = 32
STORAGE_UUID_BYTES = 16
REPLICAS_DEFAULT = 3
REPLICAS_MAX = 255

DOCUMENT_BYTES_MAX = 8 * 1024 * 1024
DOCUMENT_KEY_BYTES_MAX = 1024
DOCUMENT_KIND_CHARS_MAX = 64
RESERVED_KIND_PREFIX = "store."


class Role(Enum):
    """Why we hold a chunk; a larger value is a stronger duty."""

    CACHE = 1
    SURPLUS = 2
    PRIMARY = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkInfo:
    """What the store knows about a chunk without reading it.

    Attributes:
        chunk_id: The BLAKE3 hash of its bytes.
        size: Length of its bytes.
        cell: The placement cell it belongs to.
        role: Why it is held.
        removal_hash: Hash of the secret that allows its removal: 32 bytes, or none.
        replicas: Copies its owner wants in the network, 1 … 255.
        stored_at_wall: Seconds since the epoch when it first arrived.
        last_read_at_wall: Seconds since the epoch of the latest `get`; its arrival before that.
        pinned: Whether the user wants it kept whatever happens.
    """

    chunk_id: ChunkId
    size: int
    cell: int
    role: Role
    removal_hash: bytes = b""
    stored_at_wall: float
    last_read_at_wall: float
    pinned: bool = False
    replicas: int = REPLICAS_DEFAULT

    @property
    def evictable(self) -> bool:
        """Whether it may be dropped for room: an unpinned cache copy."""
        return self.role is Role.CACHE and not self.pinned


@dataclass(frozen=True, slots=True, kw_only=True)
class NewChunk:
    """A chunk on its way in; the fields mean what they mean in `ChunkInfo`.

    `data` must not change until `put` has returned: it is hashed first and written afterwards.
    """

    chunk_id: ChunkId
    data: Buffer
    cell: int
    role: Role
    removal_hash: bytes = b""
    replicas: int = REPLICAS_DEFAULT

    @property
    def size(self) -> int:
        """Length of its bytes."""
        return len(self.data)

    @classmethod
    def again(cls, info: ChunkInfo, data: Buffer) -> NewChunk:
        """The chunk that `info` describes, of which only the bytes were lost."""
        return cls(
            chunk_id=info.chunk_id,
            data=data,
            cell=info.cell,
            role=info.role,
            removal_hash=info.removal_hash,
            replicas=info.replicas,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreUsage:
    """How full a store is; a chunk is charged `quota.charged_bytes` of its size."""

    used_bytes: int
    capacity_bytes: int
    chunk_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrubReport:
    """What a check found; everything it names has been dealt with already.

    Attributes:
        checked_count: Chunks looked at.
        read_bytes: Bytes of chunk data read and hashed.
        corrupt: Chunks whose file was damaged: quarantined, no longer held.
        missing: Chunks whose file was gone: no longer held.
        unreadable: Chunks the disk failed to read just then: still held, check the disk.
        corrected: Chunks whose index entry disagreed with their file: taken from the file.
    """

    checked_count: int = 0
    read_bytes: int = 0
    corrupt: tuple[ChunkId, ...] = ()
    missing: tuple[ChunkId, ...] = ()
    unreadable: tuple[ChunkId, ...] = ()
    corrected: tuple[ChunkId, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether nothing was wrong."""
        return not (self.corrupt or self.missing or self.unreadable or self.corrected)


class DocumentStore(Protocol):
    """Small durable records, each under a kind and a key; `list_documents` runs in key order."""

    async def put_document(self, kind: str, key: bytes, value: bytes) -> None:
        """Write one document, replacing an older one; durable when it returns.

        Raises:
            ConfigError: Kind, key or value is out of bounds.
            QuotaExceededError: The documents would take more than `documents_bytes_max`.
            StoreReadOnlyError: An earlier write failed.
        """
        ...

    async def put_documents(self, kind: str, items: Sequence[tuple[bytes, bytes]]) -> None:
        """Write several documents of one kind, all or none of them; raises like `put_document`."""
        ...

    async def get_document(self, kind: str, key: bytes) -> bytes | None:
        """Return a document's value, or None."""
        ...

    async def delete_document(self, kind: str, key: bytes) -> None:
        """Forget a document; a missing one is fine."""
        ...

    async def list_documents(
        self, kind: str, *, prefix: bytes = b"", after: bytes | None = None, limit: int | None = None
    ) -> list[tuple[bytes, bytes]]:
        """Return (key, value) pairs of a kind in key order.

        Args:
            kind: The kind to list.
            prefix: Only keys that start with it.
            after: Only keys greater than it.
            limit: At most so many pairs.
        """
        ...


class ChunkStore(DocumentStore, Protocol):
    """A local store of chunks and documents, used from one event loop."""

    @property
    def storage_uuid(self) -> bytes:
        """16 random bytes that name this storage: others after it was wiped."""
        ...

    @property
    def read_only(self) -> str | None:
        """Why writes are refused, or None."""
        ...

    async def open(self) -> None:
        """Lock the store and bring it to a sound state.

        Raises:
            StoreLockedError: Another process has it; known within a second.
            StoreError: The folder cannot be used; the message says why.
        """
        ...

    async def close(self) -> None:
        """Finish what is running and let go; calling it again is harmless."""
        ...

    async def put(self, chunks: Sequence[NewChunk]) -> None:
        """Keep `chunks`, all or none of them; durable when it returns.

        A chunk that is present keeps its place; its role only grows (CACHE, SURPLUS, PRIMARY).

        Raises:
            ProtocolError: Some data does not hash to its id, or a field is out of range.
            QuotaExceededError: No room, even without the cache copies; nothing was written.
            StoreReadOnlyError: An earlier write failed.
            StoreError: The disk refused; nothing of the batch is held.
        """
        ...

    async def get(self, chunk_id: ChunkId, *, verify: bool = True) -> Buffer:
        """Return the chunk's bytes or a read-only view of them.

        Args:
            chunk_id: The chunk.
            verify: Whether to hold them against the id; without, the store may leave that to whoever uses them.

        Raises:
            ContentNotFoundError: It is not held.
            CorruptContentError: Its bytes are damaged; it was quarantined and is no longer held.
            StoreError: The disk cannot be read.
        """
        ...

    async def delete(self, chunk_ids: Sequence[ChunkId]) -> None:
        """Let go of chunks, pinned or not, for good; missing ones are fine."""
        ...

    def info(self, chunk_id: ChunkId) -> ChunkInfo | None:
        """Describe a chunk that is held."""
        ...

    def __contains__(self, chunk_id: object) -> bool: ...

    def __len__(self) -> int: ...

    def chunks(self) -> Iterator[ChunkInfo]:
        """Iterate over everything held at this moment, in no promised order."""
        ...

    def chunks_in_cell(self, cell: int) -> list[ChunkInfo]:
        """List what is held of one cell, ordered by id."""
        ...

    def cells(self) -> list[int]:
        """List the cells of which anything is held, ascending."""
        ...

    async def set_role(self, chunk_id: ChunkId, role: Role) -> None:
        """Change why a chunk is held, up or down, durably.

        Raises:
            ContentNotFoundError: It is not held.
        """
        ...

    async def set_pinned(self, chunk_ids: Sequence[ChunkId], pinned: bool) -> None:  # noqa: FBT001 - reads well
        """Pin or unpin the chunks that are held, durably; others are passed over."""
        ...

    def usage(self) -> StoreUsage:
        """Say how full the store is."""
        ...

    async def check(self, *, read_data: bool, subset: tuple[int, int] | None = None) -> ScrubReport:
        """Compare what is held with the index and quarantine what is damaged.

        Args:
            read_data: Hash every byte, instead of only looking at headers and sizes.
            subset: (part, parts) with 1 ≤ part ≤ parts: only this share of the chunks, always the same ones.

        Raises:
            ConfigError: `subset` is out of range.
        """
        ...


def closed_error() -> NodeClosedError:
    """Say that a store is not open, and how it is opened."""
    return NodeClosedError("the store is closed: open it with `await store.open()`")


def validate_new_chunk(chunk: NewChunk) -> None:
    """Check the fields of a chunk that may come from a peer; its hash is checked where it is cheap.

    Raises:
        ProtocolError: A field is out of range.
    """
    if len(chunk.data) > CHUNK_BYTES_MAX:
        raise ProtocolError(f"chunk of {len(chunk.data)} bytes: a store takes at most {CHUNK_BYTES_MAX}")
    if not 0 <= chunk.cell <= CELL_MAX:
        raise ProtocolError(f"cell {chunk.cell} is out of range")
    if len(chunk.removal_hash) not in (0, REMOVAL_HASH_BYTES):
        raise ProtocolError(f"a removal hash has {REMOVAL_HASH_BYTES} bytes, not {len(chunk.removal_hash)}")
    if not 1 <= chunk.replicas <= REPLICAS_MAX:
        raise ProtocolError(f"{chunk.replicas} replicas are out of range")


def validate_batch(chunks: Sequence[NewChunk]) -> dict[ChunkId, NewChunk]:
    """Check a batch and return it by id; of a repeated id the strongest role counts.

    Raises:
        ProtocolError: A field is out of range.
        ConfigError: The batch is longer than `PUT_CHUNKS_MAX`.
    """
    if len(chunks) > PUT_CHUNKS_MAX:
        raise ConfigError(f"{len(chunks)} chunks in one put: give at most {PUT_CHUNKS_MAX}")
    batch: dict[ChunkId, NewChunk] = {}
    for chunk in chunks:
        validate_new_chunk(chunk)
        known = batch.get(chunk.chunk_id)
        if known is None or chunk.role.value > known.role.value:
            batch[chunk.chunk_id] = chunk
    return batch


def validate_document(kind: str, key: bytes, value: bytes) -> None:
    """Check the bounds of a document.

    Raises:
        ConfigError: Kind, key or value is out of bounds.
    """
    if not 0 < len(kind) <= DOCUMENT_KIND_CHARS_MAX or kind.startswith(RESERVED_KIND_PREFIX):
        raise ConfigError(f"document kind {kind!r}: give 1 to {DOCUMENT_KIND_CHARS_MAX} characters, not 'store.…'")
    if len(key) > DOCUMENT_KEY_BYTES_MAX:
        raise ConfigError(f"document key of {len(key)} bytes: give at most {DOCUMENT_KEY_BYTES_MAX}")
    if len(value) > DOCUMENT_BYTES_MAX:
        raise ConfigError(f"document of {len(value)} bytes: give at most {DOCUMENT_BYTES_MAX}")
