"""Signed records: how one is made, when one counts, and which ones a node holds for others; pure.

A record counts when its owner signed it for this network, its key fits its kind, and it has not expired and will
within 48 h. Of an owner's records under one key the highest sequence counts; another record with the same sequence is
refused, so that an owner cannot tell two stories.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TypeVar

from dfs_sdk.crypto.identity import Identity, PublicIdentity
from dfs_sdk.crypto.keys import verify_signature
from dfs_sdk.dht.config import LIFETIME_MAX, RECORDS_MAX, DhtConfig
from dfs_sdk.dht.messages import Record, RecordBody, RecordKind, StoreResult
from dfs_sdk.errors import ProtocolError
from dfs_sdk.ids import NetworkId, NodeId
from dfs_sdk.rpc.base import Refusal, RefusalCode
from dfs_sdk.runtime.ports import Rng
from dfs_sdk.wire.codec import encode

KeyT = TypeVar("KeyT", bound=bytes)

RECORD_DOMAIN = b"dfs/record/1"
# How far the clocks of two nodes may differ before one refuses the other's fresh records.
CLOCK_SKEW_MAX = 600.0


def sign_record(identity: Identity, network_id: NetworkId, body: RecordBody) -> Record:
    """Sign a record as its owner.

    Raises:
        ValueError: The owner is somebody else, or a field is out of bounds.
    """
    public = identity.public
    if (body.owner_ed, body.owner_x) != (public.ed, public.x):
        raise ValueError("only its owner signs a record")
    return Record(body=body, signature=identity.signing.sign(_signed_bytes(network_id, body)))


def verify_record(record: Record, network_id: NetworkId, *, now_wall: float) -> NodeId:
    """Return the owner of a record that counts.

    Raises:
        ProtocolError: It is forged, of another network, expired, valid for too long, or under a foreign key.
    """
    body = record.body
    check_lifetime(body, now_wall=now_wall)
    owner = PublicIdentity(ed=body.owner_ed, x=body.owner_x).node_id
    if body.kind is RecordKind.CONTACT and body.key != owner:
        raise ProtocolError("a contact record is stored under its owner's id only")
    verify_signature(body.owner_ed, record.signature, _signed_bytes(network_id, body))
    return owner


def check_lifetime(body: RecordBody, *, now_wall: float) -> None:
    """Return only if a record has not expired and does not claim to live too long.

    Raises:
        ProtocolError: It does.
    """
    if body.expires <= now_wall:
        raise ProtocolError("the record has expired")
    if body.expires > now_wall + LIFETIME_MAX + CLOCK_SKEW_MAX:
        raise ProtocolError("the record claims to live for more than 48 h")


def _signed_bytes(network_id: NetworkId, body: RecordBody) -> bytes:
    return RECORD_DOMAIN + network_id + encode(body)


@dataclass(frozen=True, slots=True)
class _Held:
    """A record held for others.

    Attributes:
        record: The record, verified.
        owner: Its owner.
        prefix: The network it was written from, if that counts.
    """

    record: Record
    owner: NodeId
    prefix: bytes | None


_Slot = tuple[RecordKind, bytes, NodeId]


class Shelf:
    """The records a node holds for others, within quotas; when full, the ones furthest from the node go first.

    Args:
        node_id: This node: where in the id space it stands.
        config: The quotas.
    """

    def __init__(self, node_id: NodeId, config: DhtConfig) -> None:
        self._node = int.from_bytes(node_id, "big")
        self._config = config
        self._held: dict[_Slot, _Held] = {}
        self._by_key: dict[tuple[RecordKind, bytes], dict[NodeId, _Held]] = {}
        self._owners: Counter[NodeId] = Counter()
        self._prefixes: Counter[bytes] = Counter()

    def __len__(self) -> int:
        return len(self._held)

    def put(self, record: Record, *, owner: NodeId, prefix: bytes | None, now_wall: float) -> tuple[StoreResult, int]:
        """Hold a verified record.

        Args:
            record: The record; `verify_record` named `owner` for it.
            owner: Its owner.
            prefix: The network it was written from, None where that does not count.
            now_wall: Seconds since the epoch.

        Returns:
            Whether it is held, and the sequence that is.

        Raises:
            Refusal: No room for this owner, this network or at all.
        """
        slot = (record.body.kind, record.body.key, owner)
        held = self._held.get(slot)
        if held is not None and held.record.body.expires > now_wall:
            known = held.record
            if record == known:
                return StoreResult.STORED, known.body.sequence
            if record.body.sequence <= known.body.sequence:
                return StoreResult.STALE, known.body.sequence
        self.expire(now_wall=now_wall)
        if slot not in self._held:
            self._make_room(slot, prefix)
        self._drop(slot)
        self._add(slot, _Held(record, owner, prefix))
        return StoreResult.STORED, record.body.sequence

    def get(self, kind: RecordKind, key: bytes, *, now_wall: float, rng: Rng) -> list[Record]:
        """Return what is held under a key, at most as many as one answer carries; withdrawn ones, too."""
        held = self._by_key.get((kind, key), {})
        fresh = [item.record for item in held.values() if item.record.body.expires > now_wall]
        # A random choice, so that no owner can crowd the others out of every answer.
        return fresh if len(fresh) <= RECORDS_MAX else rng.sample(fresh, RECORDS_MAX)

    def expire(self, *, now_wall: float) -> int:
        """Drop what has expired and return how many that were."""
        gone = [slot for slot, held in self._held.items() if held.record.body.expires <= now_wall]
        for slot in gone:
            self._drop(slot)
        return len(gone)

    def _make_room(self, slot: _Slot, prefix: bytes | None) -> None:
        config = self._config
        if self._owners[slot[2]] >= config.owner_records_max:
            raise Refusal(RefusalCode.STORE_FULL, f"an owner may have {config.owner_records_max} records here")
        if prefix is not None and self._prefixes[prefix] >= config.prefix_records_max:
            raise Refusal(RefusalCode.STORE_FULL, f"a network may write {config.prefix_records_max} records here")
        if len(self._held) < config.records_max:
            return
        furthest = max(self._held, key=lambda other: (self._distance(other), other[0].value, other[2]))
        if self._distance(slot) >= self._distance(furthest):
            raise Refusal(RefusalCode.STORE_FULL, "closer records fill this node")
        self._drop(furthest)

    def _distance(self, slot: _Slot) -> int:
        return self._node ^ int.from_bytes(slot[1], "big")

    def _add(self, slot: _Slot, held: _Held) -> None:
        kind, key, owner = slot
        self._held[slot] = held
        self._by_key.setdefault((kind, key), {})[owner] = held
        self._owners[owner] += 1
        if held.prefix is not None:
            self._prefixes[held.prefix] += 1

    def _drop(self, slot: _Slot) -> None:
        held = self._held.pop(slot, None)
        if held is None:
            return
        kind, key, owner = slot
        others = self._by_key[(kind, key)]
        del others[owner]
        if not others:
            del self._by_key[(kind, key)]
        _decrease(self._owners, owner)
        if held.prefix is not None:
            _decrease(self._prefixes, held.prefix)


def _decrease(counter: Counter[KeyT], key: KeyT) -> None:
    """Count one down and keep no zeros: the counter stays as small as what it counts."""
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
