"""Signed records, quotas and write tokens: P-DHT-1 to P-DHT-9."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.crypto.hashing import blake3_256
from dfs_sdk.crypto.identity import Identity
from dfs_sdk.dht.config import LIFETIME_MAX, RECORDS_MAX, VALUE_BYTES_MAX, DhtConfig
from dfs_sdk.dht.messages import (
    FindNode,
    FindRecord,
    Found,
    KnownPeers,
    Record,
    RecordBody,
    RecordKind,
    StoreRecord,
    StoreReply,
    StoreResult,
)
from dfs_sdk.dht.records import CLOCK_SKEW_MAX, Shelf, sign_record, verify_record
from dfs_sdk.dht.seeker import keep_newest
from dfs_sdk.dht.tokens import TokenMint
from dfs_sdk.errors import ProtocolError
from dfs_sdk.ids import Address, NetworkId, NodeId
from dfs_sdk.rpc import Refusal, RefusalCode
from dfs_sdk.rpc.envelope import HEADER_BYTES_MAX
from dfs_sdk.runtime.system import SeededRng
from dfs_sdk.transport.contact import Contact
from dfs_sdk.wire import decode, encode
from tests.fakes.runtime import FakeEntropy

NETWORK = NetworkId(b"n" * 32)
NOW = 1_700_000_000.0
KEY = b"k" * 32
entropy = FakeEntropy(3)
OWNER = Identity.generate(entropy)
OTHER = Identity.generate(entropy)
FIXED = Identity.from_bytes(bytes(range(64)))


def body(identity: Identity = OWNER, **changes: object) -> RecordBody:
    fields: dict[str, object] = {
        "kind": RecordKind.PROVIDER,
        "key": KEY,
        "owner_ed": identity.public.ed,
        "owner_x": identity.public.x,
        "sequence": 5,
        "expires": int(NOW) + 1800,
        "value": b"value",
    }
    return RecordBody(**(fields | changes))  # type: ignore[arg-type]


def signed(identity: Identity = OWNER, **changes: object) -> Record:
    return sign_record(identity, NETWORK, body(identity, **changes))


def test_a_record_of_its_owner_counts() -> None:
    record = signed()
    assert verify_record(record, NETWORK, now_wall=NOW) == OWNER.node_id
    assert decode(Record, encode(record)) == record
    assert (record.kind, record.key, record.value) == (RecordKind.PROVIDER, KEY, b"value")
    assert record.owner == OWNER.public


@pytest.mark.parametrize("sequences", [(5, 6, 4), (6, 5, 4), (4, 5, 6)])
def test_of_the_answers_of_several_holders_the_newest_record_counts(sequences: tuple[int, ...]) -> None:
    records: dict[NodeId, Record] = {}
    for sequence in sequences:
        keep_newest(records, OWNER.node_id, signed(sequence=sequence))
    keep_newest(records, OTHER.node_id, signed(OTHER, sequence=1))
    assert {owner: record.body.sequence for owner, record in records.items()} == {OWNER.node_id: 6, OTHER.node_id: 1}


def test_what_is_signed_has_these_bytes() -> None:
    """P-DHT-1"""
    record = sign_record(FIXED, NETWORK, body(FIXED))
    assert encode(record.body).hex() == (
        "9701c420" + "6b" * 32 + "c420" + FIXED.public.ed.hex() + "c420" + FIXED.public.x.hex() + "05"
        "ce6553f808" + "c40576616c7565"
    )
    assert record.signature == FIXED.signing.sign(b"dfs/record/1" + NETWORK + encode(record.body))


@pytest.mark.parametrize(
    "change",
    [
        {"kind": RecordKind.NAME},
        {"key": b"x" * 32},
        {"sequence": 6},
        {"expires": int(NOW) + 1801},
        {"value": b"other"},
        {"owner_x": OTHER.public.x},
        {"owner_ed": OTHER.public.ed},
    ],
)
def test_a_record_with_any_field_changed_is_forged(change: dict[str, object]) -> None:
    """P-DHT-1, P-DHT-6"""
    record = signed()
    forged = Record(body=replace(record.body, **change), signature=record.signature)  # type: ignore[arg-type]
    with pytest.raises(ProtocolError):
        verify_record(forged, NETWORK, now_wall=NOW)


def test_a_record_with_a_changed_signature_is_forged() -> None:
    record = signed()
    for at in range(0, 64, 7):
        signature = bytearray(record.signature)
        signature[at] ^= 1
        with pytest.raises(ProtocolError):
            verify_record(replace(record, signature=bytes(signature)), NETWORK, now_wall=NOW)


def test_a_record_of_another_network_does_not_count() -> None:
    """P-DHT-3"""
    with pytest.raises(ProtocolError):
        verify_record(signed(), NetworkId(b"m" * 32), now_wall=NOW)


@pytest.mark.parametrize(
    "expires", [0, int(NOW) - 1, int(NOW), int(NOW + LIFETIME_MAX + CLOCK_SKEW_MAX) + 1, 2**64 - 1]
)
def test_a_record_that_has_expired_or_lives_too_long_does_not_count(expires: int) -> None:
    """P-DHT-2"""
    with pytest.raises(ProtocolError):
        verify_record(signed(expires=expires), NETWORK, now_wall=NOW)


def test_a_contact_record_counts_under_its_owners_id_only() -> None:
    """P-DHT-3"""
    assert (
        verify_record(signed(kind=RecordKind.CONTACT, key=bytes(OWNER.node_id)), NETWORK, now_wall=NOW) == OWNER.node_id
    )
    with pytest.raises(ProtocolError):
        verify_record(signed(kind=RecordKind.CONTACT, key=bytes(OTHER.node_id)), NETWORK, now_wall=NOW)


def test_nobody_signs_for_somebody_else_and_nothing_over_the_limit() -> None:
    with pytest.raises(ValueError, match="owner"):
        sign_record(OTHER, NETWORK, body(OWNER))
    with pytest.raises(ValueError, match="1001"):
        signed(value=bytes(VALUE_BYTES_MAX + 1))
    assert verify_record(signed(value=bytes(VALUE_BYTES_MAX)), NETWORK, now_wall=NOW)


def test_an_oversized_record_does_not_decode() -> None:
    good = encode(signed(value=bytes(VALUE_BYTES_MAX)))
    longer = good.replace(b"\xc5\x03\xe8", b"\xc5\x03\xe9" + b"\x00")
    with pytest.raises(ProtocolError):
        decode(Record, longer)


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_raise_protocol_error(data: bytes) -> None:
    for kind in (Record, Found, FindNode, FindRecord, StoreRecord, StoreReply, KnownPeers):
        with suppress(ProtocolError):
            decode(kind, data)


@given(st.data())
def test_a_mutated_record_never_counts_and_raises_nothing_but_protocol_error(data: st.DataObject) -> None:
    record = encode(signed())
    at = data.draw(st.integers(0, len(record) - 1))
    mutated = record[:at] + bytes([record[at] ^ data.draw(st.integers(1, 255))]) + record[at + 1 :]
    with suppress(ProtocolError):
        decoded = decode(Record, mutated)
        verify_record(decoded, NETWORK, now_wall=NOW)
        # Only another spelling of the very same record passes.
        assert decoded == decode(Record, record)


def test_the_largest_answer_fits_into_a_call() -> None:
    address = Address("2001:db8:1111:2222:3333:4444:5555:6666", 65535)
    contacts = tuple(Contact(ed=OWNER.public.ed, x=OWNER.public.x, addresses=(address,) * 8) for _ in range(20))
    records = tuple(signed(value=bytes(VALUE_BYTES_MAX), sequence=2**64 - 1) for _ in range(RECORDS_MAX))
    answer = Found(contacts=contacts, token=bytes(16), serves=True, records=records)
    assert len(encode(answer)) <= HEADER_BYTES_MAX
    assert decode(Found, encode(answer)) == answer


def put(shelf: Shelf, record: Record, *, prefix: bytes | None = None, now: float = NOW) -> StoreResult:
    owner = verify_record(record, NETWORK, now_wall=now)
    return shelf.put(record, owner=owner, prefix=prefix, now_wall=now)[0]


def held(shelf: Shelf, key: bytes = KEY, now: float = NOW) -> list[Record]:
    return shelf.get(RecordKind.PROVIDER, key, now_wall=now, rng=SeededRng(1))


def make_shelf(**limits: int) -> Shelf:
    return Shelf(OWNER.node_id, DhtConfig(**limits))  # type: ignore[arg-type]


def test_a_higher_sequence_replaces_and_a_lower_or_reused_one_is_stale() -> None:
    """P-DHT-4"""
    shelf = make_shelf()
    assert put(shelf, signed(sequence=5)) is StoreResult.STORED
    assert put(shelf, signed(sequence=5)) is StoreResult.STORED
    assert put(shelf, signed(sequence=5, value=b"another story")) is StoreResult.STALE
    assert put(shelf, signed(sequence=4)) is StoreResult.STALE
    assert put(shelf, signed(sequence=6, value=b"newer")) is StoreResult.STORED
    assert [record.value for record in held(shelf)] == [b"newer"]
    assert len(shelf) == 1


def test_owners_kinds_and_keys_do_not_mix() -> None:
    shelf = make_shelf()
    put(shelf, signed())
    put(shelf, signed(OTHER))
    put(shelf, signed(kind=RecordKind.NAME))
    put(shelf, signed(key=b"x" * 32))
    assert len(shelf) == 4
    assert {record.owner.node_id for record in held(shelf)} == {OWNER.node_id, OTHER.node_id}


def test_expired_records_are_gone_and_leave_their_place() -> None:
    """P-DHT-2"""
    shelf = make_shelf(owner_records_max=1)
    put(shelf, signed(expires=int(NOW) + 10))
    assert held(shelf, now=NOW + 9) != []
    assert held(shelf, now=NOW + 11) == []
    # A lower sequence is fine again: nobody remembers more than the record itself.
    assert put(shelf, signed(sequence=1, key=b"y" * 32, expires=int(NOW) + 100), now=NOW + 11) is StoreResult.STORED
    assert len(shelf) == 1
    assert shelf.expire(now_wall=NOW + 200) == 1
    assert (len(shelf), dict(shelf._owners), shelf._by_key) == (0, {}, {})


def test_quotas_are_exact() -> None:
    """P-DHT-8"""
    shelf = make_shelf(owner_records_max=3, prefix_records_max=2)
    for number in range(3):
        put(shelf, signed(key=bytes([number]) * 32))
    with pytest.raises(Refusal) as caught:
        put(shelf, signed(key=b"z" * 32))
    assert caught.value.code is RefusalCode.STORE_FULL
    assert put(shelf, signed(key=bytes(32), sequence=9)) is StoreResult.STORED  # an update needs no room
    near = b"\x01\x02\x03"
    for number in range(2):
        put(shelf, signed(Identity.generate(entropy), key=bytes([number]) * 32), prefix=near)
    with pytest.raises(Refusal):
        put(shelf, signed(Identity.generate(entropy)), prefix=near)
    put(shelf, signed(Identity.generate(entropy)), prefix=b"\x01\x02\x04")
    put(shelf, signed(Identity.generate(entropy)))


def test_a_full_node_drops_its_furthest_record_for_a_closer_one_only() -> None:
    """P-DHT-8"""
    shelf = make_shelf(records_max=4, owner_records_max=100)
    place = int.from_bytes(OWNER.node_id, "big")

    def at(distance: int) -> bytes:
        return (place ^ distance).to_bytes(32, "big")

    for distance in (10, 20, 30, 40):
        put(shelf, signed(key=at(distance)))
    with pytest.raises(Refusal):
        put(shelf, signed(key=at(41)))
    put(shelf, signed(key=at(5)))
    assert held(shelf, at(40)) == []
    assert [len(held(shelf, at(distance))) for distance in (5, 10, 20, 30)] == [1, 1, 1, 1]


def test_no_owner_crowds_the_others_out_of_every_answer() -> None:
    """P-DHT-9"""
    shelf = make_shelf()
    for _ in range(RECORDS_MAX + 20):
        put(shelf, signed(Identity.generate(entropy)))
    seen: set[bytes] = set()
    for seed in range(40):
        answer = shelf.get(RecordKind.PROVIDER, KEY, now_wall=NOW, rng=SeededRng(seed))
        assert len(answer) == RECORDS_MAX
        seen |= {record.body.owner_ed for record in answer}
    assert len(seen) == RECORDS_MAX + 20


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 4), st.integers(1, 60)), max_size=60))
def test_the_counts_always_match_what_is_held(steps: list[tuple[int, int, int, int]]) -> None:
    shelf = make_shelf(records_max=6, owner_records_max=3, prefix_records_max=4)
    owners = [Identity.from_bytes(bytes([number + 1]) * 64) for number in range(4)]
    for step, (who, key, sequence, lifetime) in enumerate(steps):
        identity = owners[who]
        record = Record(
            body=body(identity, key=bytes([key]) * 32, sequence=sequence, expires=int(NOW) + step + lifetime),
            signature=bytes(64),
        )
        prefix = bytes([who % 2]) if who else None
        with suppress(Refusal):
            shelf.put(record, owner=identity.node_id, prefix=prefix, now_wall=NOW + step)
        assert len(shelf) <= 6
        assert sum(shelf._owners.values()) == len(shelf) == sum(map(len, shelf._by_key.values()))
        assert max(shelf._owners.values(), default=0) <= 3
        assert max(shelf._prefixes.values(), default=0) <= 4
        assert sum(shelf._prefixes.values()) == sum(item.prefix is not None for item in shelf._held.values())
    shelf.expire(now_wall=NOW + 10_000)
    assert not (shelf._owners or shelf._prefixes or shelf._by_key)


HERE = Address("192.0.2.7", 4001)


def test_a_token_is_good_for_its_node_and_address_and_some_minutes() -> None:
    """P-DHT-7"""
    mint = TokenMint(entropy=FakeEntropy(1), lifetime=300.0, now=0.0)
    token = mint.make(OWNER.node_id, HERE, 10.0)
    assert len(token) == 16
    assert mint.check(token, OWNER.node_id, HERE, 10.0)
    assert mint.check(token, OWNER.node_id, Address(HERE.host, 9), 10.0)  # a NAT may change the port
    assert not mint.check(token, OTHER.node_id, HERE, 10.0)
    assert not mint.check(token, OWNER.node_id, Address("192.0.2.8", 4001), 10.0)
    assert not mint.check(bytes(16), OWNER.node_id, HERE, 10.0)
    assert mint.check(token, OWNER.node_id, HERE, 310.0)
    assert not mint.check(token, OWNER.node_id, HERE, 620.0)


def test_a_token_from_before_a_long_pause_is_void() -> None:
    mint = TokenMint(entropy=FakeEntropy(1), lifetime=300.0, now=0.0)
    token = mint.make(OWNER.node_id, HERE, 10.0)
    assert not mint.check(token, OWNER.node_id, HERE, 100_000.0)


def test_a_token_has_these_bytes() -> None:
    """P-DHT-7"""
    secret = FakeEntropy(1).token(32)
    mint = TokenMint(entropy=FakeEntropy(1), lifetime=300.0, now=0.0)
    assert mint.make(OWNER.node_id, HERE, 0.0) != blake3_256(secret)[:16]
    from dfs_sdk.crypto.hashing import keyed_hash

    expected = keyed_hash(secret, b"dfs/dht-token/1" + OWNER.node_id + b"192.0.2.7")[:16]
    assert mint.make(OWNER.node_id, HERE, 0.0) == expected
