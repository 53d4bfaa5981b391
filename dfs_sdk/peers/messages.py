"""What members tell each other: signed descriptions of themselves, rumours about the silent, member lists.

A description travels as the exact bytes its owner signed (`SignedDesc`), so that a node of an earlier version passes
on fields it does not know, and the signature always covers one encoding. Of two descriptions of a node the higher
incarnation counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Annotated, ClassVar

from dfs_sdk.crypto.identity import Identity
from dfs_sdk.crypto.keys import verify_signature
from dfs_sdk.ids import NodeId
from dfs_sdk.transport.contact import Contact
from dfs_sdk.wire.codec import U8, U16, U32, U64, Packed, Range, Request, Signature, Size, WallTime, decode, encode

DESC_DOMAIN = b"dfs/peers/desc/1"
DESC_BYTES_MAX = 2048
GOSSIP_ITEMS_MAX = 16
SYNC_DESCS_MAX = 24
SYNC_RUMOURS_MAX = 64
SYNC_WANTED_MAX = 256
# One description reaches all nodes of a process, and each of them again and again: 8 MiB at most.
DESCS_KEPT = 4096
SHED_CELLS_MAX = 64
INCARNATION_MAX = 2**63 - 1
NAME_BYTES_MAX = 128
SITE_BYTES_MAX = 64
VERSION_BYTES_MAX = 32
HOST_BYTES = 16
STORAGE_UUID_BYTES = 16
WEIGHT_STEPS = 8  # a weight is 2^(exponent / 8)
WEIGHT_EXPONENT_MAX = 320  # 2^40 bytes: claiming more than a terabyte attracts no more chunks
WEIGHT_EXPONENT_MIN = 160  # 2^20 bytes

Incarnation = Annotated[int, Range(0, INCARNATION_MAX)]
Digest = Annotated[bytes, Size(16, 16)]


class NodeStatus(Enum):
    """What a node says about itself."""

    ALIVE = 1
    BUSY = 2
    LEFT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDesc:
    """A node in its own words.

    Attributes:
        contact: Its keys and where it may be reached.
        name: What people call it; anything, also hostile text.
        host: A hash of the machine: nodes of one machine share it and count as one failure domain.
        site: A wider domain, such as a room or a data centre; may be empty.
        capacity_bytes: What it offers to the network.
        used_bytes: How much of it is taken.
        weight_exponent: Its share of the cells is proportional to 2^(exponent / 8).
        incarnation: Grows with every description; the highest counts.
        status: Alive, busy for a while, or left for good.
        busy_until_wall: When `status` is BUSY: until when it will not answer.
        up_since_wall: When it started, on its own clock.
        storage_uuid: Names its storage: another one means that its former copies are lost.
        shed: Cells it asks others to pass over.
        version: The version of its program.
    """

    contact: Contact
    name: Annotated[str, Size(0, NAME_BYTES_MAX)]
    host: Annotated[bytes, Size(HOST_BYTES, HOST_BYTES)]
    site: Annotated[str, Size(0, SITE_BYTES_MAX)]
    capacity_bytes: U64
    used_bytes: U64
    weight_exponent: Annotated[int, Range(0, 1023)]
    incarnation: Incarnation
    status: NodeStatus
    busy_until_wall: WallTime
    up_since_wall: WallTime
    storage_uuid: Annotated[bytes, Size(STORAGE_UUID_BYTES, STORAGE_UUID_BYTES)]
    shed: Annotated[tuple[U16, ...], Size(0, SHED_CELLS_MAX)] = ()
    version: Annotated[str, Size(0, VERSION_BYTES_MAX)] = ""

    @property
    def node_id(self) -> NodeId:
        """The name of the node, made from its keys."""
        return self.contact.node_id

    @property
    def weight(self) -> float:
        """Its weight in placement, clamped so that no claim of capacity attracts everything."""
        exponent = min(max(self.weight_exponent, WEIGHT_EXPONENT_MIN), WEIGHT_EXPONENT_MAX)
        return float(2.0 ** (exponent / WEIGHT_STEPS))


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedDesc:
    """A description as its owner signed it: the bytes of a `NodeDesc` and the signature over them."""

    body: Annotated[bytes, Size(1, DESC_BYTES_MAX)]
    signature: Signature


def sign_desc(desc: NodeDesc, identity: Identity) -> SignedDesc:
    """Seal our own description.

    Raises:
        ValueError: A field breaks its bounds, or the description is not ours.
    """
    if desc.node_id != identity.node_id:
        raise ValueError("a node signs only descriptions of itself")
    body = encode(desc)
    return SignedDesc(body=body, signature=identity.signing.sign(DESC_DOMAIN + body))


def read_desc(signed: SignedDesc) -> NodeDesc:
    """Read a description without checking who wrote it: call `verify_desc` before using it.

    Raises:
        ProtocolError: Its bytes are not a description.
    """
    return _read(signed.body)


def verify_desc(signed: SignedDesc, desc: NodeDesc) -> None:
    """Return only if the node that `desc` names signed it.

    Raises:
        ProtocolError: The signature does not match.
    """
    _verify(desc.contact.ed, signed.signature, signed.body)


@lru_cache(maxsize=DESCS_KEPT)
def _read(body: bytes) -> NodeDesc:
    return decode(NodeDesc, body)


@lru_cache(maxsize=DESCS_KEPT)
def _verify(public: bytes, signature: bytes, body: bytes) -> None:
    verify_signature(public, signature, DESC_DOMAIN + body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rumour:
    """The sender itself suspects a member in this incarnation; whoever passes it on speaks for itself, too."""

    node_id: NodeId
    incarnation: Incarnation


Descs = Annotated[tuple[SignedDesc, ...], Size(0, GOSSIP_ITEMS_MAX)]
Rumours = Annotated[tuple[Rumour, ...], Size(0, GOSSIP_ITEMS_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pong:
    """I am here; and some news."""

    descs: Descs = ()
    rumours: Rumours = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping(Request[Pong]):
    """Are you there? And some news."""

    tag: ClassVar[int] = 0x0101
    reply: ClassVar[type] = Pong
    descs: Descs = ()
    rumours: Rumours = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReply:
    """Whether the member answered the one who asked in somebody's stead."""

    answered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeFor(Request[ProbeReply]):
    """Please probe this member for me; only members the receiver knows are probed."""

    tag: ClassVar[int] = 0x0102
    reply: ClassVar[type] = ProbeReply
    node_id: NodeId


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReply:
    """Descriptions the asker lacks, names of those the answerer lacks, rumours.

    Attributes:
        digest: Digest of the answerer's member list.
        descs: Up to 24 descriptions that are newer than in the asker's summary, the answerer's own first.
        more: Whether there are further ones: apply these, then ask again.
        wanted: Members whose description is newer at the asker.
        rumours: Members the answerer suspects.
    """

    digest: Digest
    descs: Annotated[tuple[SignedDesc, ...], Size(0, SYNC_DESCS_MAX)] = ()
    more: bool = False
    wanted: Annotated[tuple[NodeId, ...], Packed(SYNC_WANTED_MAX)] = ()
    rumours: Annotated[tuple[Rumour, ...], Size(0, SYNC_RUMOURS_MAX)] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync(Request[SyncReply]):
    """Compare member lists. The body is the sender's summary (`view.pack_summary`), empty when `digest` may suffice."""

    tag: ClassVar[int] = 0x0103
    reply: ClassVar[type] = SyncReply
    digest: Digest
    me: SignedDesc


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """How many of the offered descriptions were news."""

    count: U8


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer(Request[Taken]):
    """Descriptions the receiver asked for, or must know at once (a farewell)."""

    tag: ClassVar[int] = 0x0104
    reply: ClassVar[type] = Taken
    descs: Annotated[tuple[SignedDesc, ...], Size(1, SYNC_DESCS_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedPeer:
    """A peer as it lies in the store between two lives of this node."""

    signed: SignedDesc
    last_heard_wall: WallTime
    returns: U32 = 0
    losses: U32 = 0
    down_seconds: WallTime = 0.0
    known_seconds: WallTime = 0.0
