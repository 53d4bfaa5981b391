"""What holders tell each other about copies: digests of what they hold, lists, who repairs, what may be relied on.

Lists travel as bulk bytes in fixed layouts, read here with their bounds checked (rules P-REPL-19 to P-REPL-25).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct
from typing import Annotated, ClassVar

from dfs_sdk.errors import ProtocolError
from dfs_sdk.ids import ID_BYTES, ChunkId
from dfs_sdk.replication.config import CELLS_MAX
from dfs_sdk.runtime.ports import Buffer
from dfs_sdk.store.base import CHUNK_BYTES_MAX, REMOVAL_HASH_BYTES, ChunkInfo, NewChunk, Role
from dfs_sdk.wire.codec import U32, Packed, Range, Request, Size

DIGEST_BYTES = 16
ASK_CELLS_MAX = 128
LIST_ENTRIES_MAX = 1000
CLAIM_CHUNKS_MAX = 1000

_CELL = Struct(f">II{DIGEST_BYTES}s")  # cell, chunks, digest
_CHUNK = Struct(f">I{ID_BYTES}sBBIB{REMOVAL_HASH_BYTES}s")  # cell, id, role, replicas, size, has removal hash, it

NO_CHUNK = ChunkId(bytes(ID_BYTES))

Digest = Annotated[bytes, Size(DIGEST_BYTES, DIGEST_BYTES)]
Cell = Annotated[int, Range(0, CELLS_MAX - 1)]
_ROLES = {role.value: role for role in Role}


@dataclass(frozen=True, slots=True, kw_only=True)
class Surveyed:
    """Digest of everything held; the body lists `CellSummary` entries, empty when the asker knows this digest."""

    digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey(Request[Surveyed]):
    """What do you hold? `known` is the digest of your last answer, or zeros."""

    tag: ClassVar[int] = 0x0401
    reply: ClassVar[type] = Surveyed
    known: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Whether there are further entries after those in the body."""

    more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ListCells(Request[Listed]):
    """Which chunks of these cells do you hold? The body of the answer lists `HeldChunk` entries by (cell, id).

    Attributes:
        cells: At most 128 cells, ascending.
        after_cell: Continue after this cell and `after_chunk`.
        after_chunk: The last chunk of the page before.
    """

    tag: ClassVar[int] = 0x0402
    reply: ClassVar[type] = Listed
    cells: Annotated[tuple[Cell, ...], Size(1, ASK_CELLS_MAX)]
    after_cell: U32 = 0
    after_chunk: ChunkId = NO_CHUNK


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """The claim was noted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairClaim(Request[Noted]):
    """I repair these chunks: wait before you do."""

    tag: ClassVar[int] = 0x0403
    reply: ClassVar[type] = Noted
    chunk_ids: Annotated[tuple[ChunkId, ...], Packed(CLAIM_CHUNKS_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Promised:
    """The chunks the answerer holds and will not let go for a while."""

    kept: Annotated[tuple[ChunkId, ...], Packed(CLAIM_CHUNKS_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise(Request[Promised]):
    """I am about to drop my surplus copies of these chunks: will you keep yours?"""

    tag: ClassVar[int] = 0x0404
    reply: ClassVar[type] = Promised
    chunk_ids: Annotated[tuple[ChunkId, ...], Packed(CLAIM_CHUNKS_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellSummary:
    """What a peer holds of one cell, in short."""

    count: int
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldChunk:
    """One chunk a peer holds, with all that a new holder needs to know."""

    chunk_id: ChunkId
    cell: int
    role: Role
    replicas: int
    size: int
    removal_hash: bytes

    @classmethod
    def of(cls, chunk: ChunkInfo | NewChunk) -> HeldChunk:
        """Describe a chunk that lies in a store, or is on its way into one."""
        return cls(
            chunk_id=chunk.chunk_id,
            cell=chunk.cell,
            role=chunk.role,
            replicas=chunk.replicas,
            size=chunk.size,
            removal_hash=chunk.removal_hash,
        )


def pack_cells(cells: Iterable[tuple[int, CellSummary]]) -> bytes:
    """Write cell summaries, 24 bytes each, by ascending cell."""
    return b"".join(_CELL.pack(cell, summary.count, summary.digest) for cell, summary in cells)


def read_cells(body: Buffer, *, cells: int) -> dict[int, CellSummary]:
    """Read cell summaries.

    Raises:
        ProtocolError: Not whole entries, cells not ascending or out of range, or an empty cell.
    """
    if len(body) % _CELL.size or len(body) > cells * _CELL.size:
        raise ProtocolError(f"{len(body)} bytes are no survey of {cells} cells")
    found: dict[int, CellSummary] = {}
    before = -1
    for cell, count, digest in _CELL.iter_unpack(body):
        if not before < cell < cells or count == 0:
            raise ProtocolError("the cells of a survey are out of order or range")
        before = cell
        found[cell] = CellSummary(count=count, digest=digest)
    return found


def pack_chunks(chunks: Iterable[ChunkInfo]) -> bytes:
    """Write chunk entries, 75 bytes each."""
    return b"".join(
        _CHUNK.pack(
            info.cell,
            info.chunk_id,
            info.role.value,
            info.replicas,
            info.size,
            bool(info.removal_hash),
            info.removal_hash or bytes(REMOVAL_HASH_BYTES),
        )
        for info in chunks
    )


def read_chunks(body: Buffer, *, asked: Iterable[int]) -> list[HeldChunk]:
    """Read chunk entries.

    Args:
        body: The bytes.
        asked: The cells that were asked for.

    Raises:
        ProtocolError: Not whole entries, too many, out of order, of another cell, or with a field out of range.
    """
    if len(body) % _CHUNK.size or len(body) > LIST_ENTRIES_MAX * _CHUNK.size:
        raise ProtocolError(f"{len(body)} bytes are no list of chunks")
    cells = frozenset(asked)
    found: list[HeldChunk] = []
    before = (-1, b"")
    for cell, chunk_id, role, replicas, size, has_hash, removal_hash in _CHUNK.iter_unpack(body):
        sound = role in _ROLES and replicas >= 1 and size <= CHUNK_BYTES_MAX and has_hash <= 1
        if cell not in cells or not sound or (cell, chunk_id) <= before:
            raise ProtocolError("a list of chunks is out of order or range")
        before = (cell, chunk_id)
        found.append(
            HeldChunk(
                chunk_id=ChunkId(chunk_id),
                cell=cell,
                role=_ROLES[role],
                replicas=replicas,
                size=size,
                removal_hash=removal_hash if has_hash else b"",
            )
        )
    return found
