"""Chunks on the wire: hand one over, ask for one, ask who has which, take some back.

Bulk bytes travel beside these messages, never inside. Rules P-EXC-1 to P-EXC-15 of docs/protocol/exchange.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from dfs_sdk.ids import ChunkId, NodeId
from dfs_sdk.store.base import CELL_MAX, REMOVAL_HASH_BYTES, Role
from dfs_sdk.wire.codec import U8, U16, Bytes32, Packed, Range, Request, Size

ASK_CHUNKS_MAX = 1000
REMOVAL_KEYS_MAX = 200
OTHERS_MAX = 8
PUT_OFF_TOLD_MAX = 60.0

# One byte for each chunk asked about: absent, a role, or removed under the removal key of that position.
STATE_ABSENT = 0
STATE_REMOVED = 16

Cell = Annotated[int, Range(0, CELL_MAX)]
RemovalHash = Annotated[bytes, Size(0, REMOVAL_HASH_BYTES)]


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderLoad:
    """How busy a holder is, told with each answer.

    Attributes:
        queue: Calls for chunks it is working on, and large answers on their way.
        service_time: Seconds one of them takes it, smoothed.
    """

    queue: U16
    service_time: Annotated[float, Range(0, 3600)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """The chunk is on the holder's disk: written, fsynced and held against its id.

    Attributes:
        role: Why the holder keeps it.
        already: Whether it had it before.
        load: How busy it is.
    """

    role: Role
    already: bool
    load: HolderLoad


@dataclass(frozen=True, slots=True, kw_only=True)
class Push(Request[Pushed]):
    """Hands over a chunk; its sealed bytes are the call's body.

    Attributes:
        chunk_id: BLAKE3 of the body.
        cell: Placement cell.
        role: Why the receiver is asked to keep it.
        removal_hash: Hash of the key that allows its removal: 32 bytes, or none.
        replicas: Copies its owner wants.
    """

    tag: ClassVar[int] = 0x0301
    reply: ClassVar[type] = Pushed

    chunk_id: ChunkId
    cell: Cell
    role: Role
    removal_hash: RemovalHash = b""
    replicas: U8 = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """The chunk asked for is the body of the answer; its first fields are those of `Push`.

    Attributes:
        cell: Placement cell.
        removal_hash: Hash of the key that allows its removal: 32 bytes, or none.
        load: How busy the holder is.
        replicas: Copies its owner wants.
        keep: Whether the reader is asked to keep it for others that want it just now.
        lent: Whether it comes from somebody who was asked to, and holds it for a while only.
        put_off: Above 0 there is no body: the seconds after which to ask again.
        others: Who may give it meanwhile.
    """

    cell: Cell
    removal_hash: RemovalHash
    load: HolderLoad
    replicas: U8 = 3
    keep: bool = False
    lent: bool = False
    put_off: Annotated[float, Range(0, PUT_OFF_TOLD_MAX)] = 0.0
    others: Annotated[tuple[NodeId, ...], Packed(OTHERS_MAX)] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch(Request[Fetched]):
    """Asks for a chunk; refused as NOT_FOUND by who has it not.

    Attributes:
        chunk_id: BLAKE3 of the body of the answer.
        check: Whether the holder is to hold its bytes against the id: those it sent a moment ago were others.
        patient: Whether the reader may be put off.
        keeps: Whether it may be asked to keep the chunk for others, and be named to them.
    """

    tag: ClassVar[int] = 0x0302
    reply: ClassVar[type] = Fetched

    chunk_id: ChunkId
    check: bool = False
    patient: bool = False
    keeps: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HaveStates:
    """One state byte for each chunk asked about, in the order of the question.

    Attributes:
        states: 0 absent; 1, 2, 3 held as cache, surplus, primary; 16 + i removed under `removal_keys[i]`.
        removal_keys: Keys that prove the removals: their hash is the chunk's removal hash.
        load: How busy the holder is.
    """

    states: Annotated[bytes, Size(0, ASK_CHUNKS_MAX)]
    removal_keys: Annotated[tuple[Bytes32, ...], Size(0, REMOVAL_KEYS_MAX)]
    load: HolderLoad


@dataclass(frozen=True, slots=True, kw_only=True)
class Have(Request[HaveStates]):
    """Asks which of some chunks the receiver holds."""

    tag: ClassVar[int] = 0x0303
    reply: ClassVar[type] = HaveStates

    chunk_ids: Annotated[tuple[ChunkId, ...], Packed(ASK_CHUNKS_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """How many of the chunks the holder let go of."""

    count: U16


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove(Request[Removed]):
    """Takes chunks back with the key whose hash came with them."""

    tag: ClassVar[int] = 0x0304
    reply: ClassVar[type] = Removed

    removal_key: Bytes32 = field(repr=False)
    chunk_ids: Annotated[tuple[ChunkId, ...], Packed(ASK_CHUNKS_MAX)]
