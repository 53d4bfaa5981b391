"""Messages of the DHT: questions for nodes and records, and the signed records themselves."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Annotated, ClassVar

from dfs_sdk.crypto.identity import PublicIdentity
from dfs_sdk.dht.config import CONTACTS_MAX, RECORDS_MAX, VALUE_BYTES_MAX
from dfs_sdk.transport.contact import Contact
from dfs_sdk.wire.codec import U64, Bytes32, Request, Signature, Size

TOKEN_BYTES = 16
GOOD_PEERS_MAX = 64

Token = Annotated[bytes, Size(TOKEN_BYTES, TOKEN_BYTES)]


class RecordKind(Enum):
    """What a record says; a value in use is never given another meaning."""

    PROVIDER = 1
    CONTACT = 2
    NAME = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordBody:
    """The signed part of a record.

    Attributes:
        kind: What it says.
        key: Where it is stored.
        owner_ed: Signing key of its owner.
        owner_x: Session key of its owner; both keys make the owner's node id.
        sequence: Grows with every change; a lower or reused one is refused.
        expires: Seconds since the epoch, whole, so that there is one encoding.
        value: At most 1,000 bytes; empty when the owner takes the record back.
    """

    kind: RecordKind
    key: Bytes32
    owner_ed: Bytes32
    owner_x: Bytes32
    sequence: U64
    expires: U64
    value: Annotated[bytes, Size(0, VALUE_BYTES_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A statement of its owner that expires; check it with `records.verify_record` before use.

    Attributes:
        body: What is signed.
        signature: Ed25519 signature of the owner.
    """

    body: RecordBody
    signature: Signature

    @property
    def kind(self) -> RecordKind:
        """What it says."""
        return self.body.kind

    @property
    def key(self) -> bytes:
        """Where it is stored."""
        return self.body.key

    @property
    def value(self) -> bytes:
        """What its owner says; empty when the owner has taken it back."""
        return self.body.value

    @property
    def owner(self) -> PublicIdentity:
        """Who says so.

        Raises:
            ProtocolError: The keys are unusable; not for a verified record.
        """
        return PublicIdentity(ed=self.body.owner_ed, x=self.body.owner_x)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The answer to both questions.

    Attributes:
        contacts: The closest nodes the answering one knows.
        token: Allows the asking node to store here for some minutes.
        serves: Whether the answering node wants to be entered in tables.
        records: What it holds under the key asked for.
    """

    contacts: Annotated[tuple[Contact, ...], Size(0, CONTACTS_MAX)]
    token: Token
    serves: bool
    records: Annotated[tuple[Record, ...], Size(0, RECORDS_MAX)] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FindNode(Request[Found]):
    """Who is closest to a target?

    Attributes:
        target: A place in the id space.
        serves: Whether the asking node wants to be entered in tables.
    """

    tag: ClassVar[int] = 0x0201
    reply: ClassVar[type] = Found

    target: Bytes32
    serves: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FindRecord(Request[Found]):
    """What is stored under a key, and who is closest to it?

    Attributes:
        kind: Which records.
        key: Where.
        serves: Whether the asking node wants to be entered in tables.
    """

    tag: ClassVar[int] = 0x0202
    reply: ClassVar[type] = Found

    kind: RecordKind
    key: Bytes32
    serves: bool


class StoreResult(Enum):
    """What became of a record; a value in use is never given another meaning."""

    STORED = 1
    STALE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreReply:
    """The answer to a store.

    Attributes:
        result: Whether it is held.
        sequence: The sequence that is held.
    """

    result: StoreResult
    sequence: U64


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreRecord(Request[StoreReply]):
    """Hold a record for others to find.

    Attributes:
        record: What.
        token: From an answer of the same node, not older than some minutes.
    """

    tag: ClassVar[int] = 0x0203
    reply: ClassVar[type] = StoreReply

    record: Record
    token: Token


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownPeers:
    """What is remembered across restarts; a document of the local store, not sent to anybody.

    Attributes:
        contacts: The best first.
    """

    contacts: Annotated[tuple[Contact, ...], Size(0, GOOD_PEERS_MAX)]
