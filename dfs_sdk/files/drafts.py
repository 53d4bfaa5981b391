"""Uploads that were interrupted and can go on: their keys and the chunks that are on peers already.

Only what can be recognised without reading it leaves a draft: a path with the same size and time of change. Going on
seals everything again under the same keys, so chunks that did not change have the same ids and need not be sent; if the
content did change, other chunks come out, and nothing mixes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dfs_sdk.crypto.hashing import blake3_256
from dfs_sdk.errors import ProtocolError
from dfs_sdk.ids import ID_BYTES, ChunkId
from dfs_sdk.runtime.ports import Clock, Entropy
from dfs_sdk.store.base import DocumentStore
from dfs_sdk.wire.codec import Bytes32, WallTime, decode, encode

DRAFT_KIND = "files.drafts"
PLACED_KIND = "files.draft_chunks"
KEY_BYTES = 32
_DOMAIN = b"dfs/draft/1"
_PLACED = struct.Struct(f">{ID_BYTES}sI")
_INDEX = struct.Struct(">I")
_CELL_UNKNOWN = 2**32 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """The secrets of a put that has begun.

    Attributes:
        read_key: The file's key.
        removal_key: What removes its chunks.
        created_at_wall: When it began.
    """

    read_key: Bytes32 = field(repr=False)
    removal_key: Bytes32 = field(repr=False)
    created_at_wall: WallTime


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A chunk of a draft that peers hold, or may hold.

    Attributes:
        chunk_id: The chunk.
        cell: Where it reached its quorum; None if it was on its way when the upload stopped.
    """

    chunk_id: ChunkId
    cell: int | None


class Drafts:
    """Keeps drafts as documents, `drafts_max` of them for `draft_seconds`.

    Args:
        store: Where they are kept.
        clock: Says when they are too old.
        entropy: Draws keys.
        drafts_max: How many are kept; the oldest go first.
        draft_seconds: How long.
    """

    def __init__(
        self, store: DocumentStore, clock: Clock, entropy: Entropy, *, drafts_max: int, draft_seconds: float
    ) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._drafts_max = drafts_max
        self._draft_seconds = draft_seconds

    def fresh(self) -> Draft:
        """Draw the keys of a file."""
        return Draft(
            read_key=self._entropy.token(KEY_BYTES),
            removal_key=self._entropy.token(KEY_BYTES),
            created_at_wall=self._clock.wall(),
        )

    async def resume(self, draft_id: bytes) -> tuple[Draft, dict[int, Placed]]:
        """Find a draft and the chunks it has placed, or write down a fresh one."""
        known = _read(await self._store.get_document(DRAFT_KIND, draft_id))
        if known is not None and self._clock.wall() - known.created_at_wall <= self._draft_seconds:
            return known, await self._placed(draft_id)
        await self.discard(draft_id)
        draft = self.fresh()
        await self._make_room()
        await self._store.put_document(DRAFT_KIND, draft_id, encode(draft))
        return draft, {}

    async def note(self, draft_id: bytes, placed: Mapping[int, Placed]) -> None:
        """Write down chunks that reached their quorum, or may be on some peers; a draft that is gone is left alone."""
        if await self._store.get_document(DRAFT_KIND, draft_id) is None:
            return
        items = [
            (
                draft_id + _INDEX.pack(index),
                _PLACED.pack(chunk.chunk_id, _CELL_UNKNOWN if chunk.cell is None else chunk.cell),
            )
            for index, chunk in placed.items()
        ]
        await self._store.put_documents(PLACED_KIND, items)

    async def discard(self, draft_id: bytes) -> None:
        """Forget a draft."""
        await self._store.delete_document(DRAFT_KIND, draft_id)
        for key, _value in await self._store.list_documents(PLACED_KIND, prefix=draft_id):
            await self._store.delete_document(PLACED_KIND, key)

    async def expired(self) -> list[tuple[bytes, Draft, list[ChunkId]]]:
        """List the drafts that are too old, with the chunks they left on peers."""
        old = []
        for draft_id, value in await self._store.list_documents(DRAFT_KIND):
            draft = _read(value)
            if draft is None or self._clock.wall() - draft.created_at_wall > self._draft_seconds:
                placed = await self._placed(draft_id)
                old.append((draft_id, draft or self.fresh(), [chunk.chunk_id for chunk in placed.values()]))
        return old

    async def _placed(self, draft_id: bytes) -> dict[int, Placed]:
        placed: dict[int, Placed] = {}
        for key, value in await self._store.list_documents(PLACED_KIND, prefix=draft_id):
            if len(key) == len(draft_id) + _INDEX.size and len(value) == _PLACED.size:
                chunk_id, cell = _PLACED.unpack(value)
                (index,) = _INDEX.unpack(key[-_INDEX.size :])
                placed[index] = Placed(chunk_id=ChunkId(chunk_id), cell=None if cell == _CELL_UNKNOWN else cell)
        return placed

    async def _make_room(self) -> None:
        drafts = [(key, _read(value)) for key, value in await self._store.list_documents(DRAFT_KIND)]
        drafts.sort(key=lambda item: item[1].created_at_wall if item[1] is not None else 0.0)
        for draft_id, _draft in drafts[: max(len(drafts) - self._drafts_max + 1, 0)]:
            await self.discard(draft_id)


def draft_id_of(fingerprint: bytes, settings: Iterable[int]) -> bytes:
    """Name the draft of one content put in one way, with 32 bytes."""
    numbers = b"".join(number.to_bytes(8, "big") for number in settings)
    return blake3_256(_DOMAIN, len(fingerprint).to_bytes(8, "big"), fingerprint, numbers)


def _read(value: bytes | None) -> Draft | None:
    if value is None:
        return None
    try:
        return decode(Draft, value)
    except ProtocolError:
        return None
