"""Descriptions on the wire: rules P-PEER-1 to P-PEER-5."""

import contextlib
import dataclasses

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.errors import ProtocolError
from dfs_sdk.ids import Address, NodeId
from dfs_sdk.peers import messages
from dfs_sdk.peers.messages import (
    DESC_DOMAIN,
    GOSSIP_ITEMS_MAX,
    SYNC_DESCS_MAX,
    NodeDesc,
    NodeStatus,
    Offer,
    Ping,
    Pong,
    Rumour,
    SavedPeer,
    SignedDesc,
    Sync,
    SyncReply,
    read_desc,
    sign_desc,
    verify_desc,
)
from dfs_sdk.peers.view import pack_summary, read_summary
from dfs_sdk.transport.contact import Contact
from dfs_sdk.wire.codec import BODY_BYTES_MAX, decode, encode
from tests.fakes.descs import desc_of, identity_of


def largest_desc(number: int) -> NodeDesc:
    public = identity_of(number).public
    address = Address("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", 65535)
    return desc_of(
        number,
        contact=Contact(ed=public.ed, x=public.x, addresses=(address,) * 8),
        name="n" * 128,
        site="s" * 64,
        shed=tuple(range(65_535 - 64, 65_535)),
        version="v" * 32,
        incarnation=2**63 - 1,
    )


def test_signed_description_round_trips():
    desc = desc_of(1, name="näme", shed=(1, 2), status=NodeStatus.BUSY, busy_until_wall=5.0)
    signed = decode(SignedDesc, encode(sign_desc(desc, identity_of(1))))
    assert read_desc(signed) == desc
    verify_desc(signed, desc)


def test_description_has_golden_bytes():
    desc = desc_of(1, shed=(7,), version="1")
    public = identity_of(1).public
    expected = (
        bytes.fromhex("9e93c420") + public.ed + bytes.fromhex("c420") + public.x + bytes.fromhex("90")
        + bytes.fromhex("a26e31") + bytes.fromhex("c410") + (1).to_bytes(16, "big") + bytes.fromhex("a0")
        + bytes.fromhex("ce40000000") + bytes.fromhex("00") + bytes.fromhex("ccf0") + bytes.fromhex("01")
        + bytes.fromhex("01") + bytes.fromhex("cb") + bytes(8) + bytes.fromhex("cb") + bytes(8)
        + bytes.fromhex("c410") + (1).to_bytes(16, "little") + bytes.fromhex("9107") + bytes.fromhex("a131")
    )  # fmt: skip
    assert encode(desc) == expected
    assert sign_desc(desc, identity_of(1)).signature == identity_of(1).signing.sign(DESC_DOMAIN + expected)


def test_description_of_a_later_version_keeps_its_signature():
    """P-PEER-2: fields we do not know are covered by the signature and passed on."""
    items = msgpack.unpackb(encode(desc_of(1)))
    body = msgpack.packb([*items, "a later field"], use_bin_type=True)
    signed = SignedDesc(body=body, signature=identity_of(1).signing.sign(DESC_DOMAIN + body))
    desc = read_desc(signed)
    verify_desc(signed, desc)
    assert desc == desc_of(1)


def test_description_signed_by_another_node_is_refused():
    body = encode(desc_of(1))
    forged = SignedDesc(body=body, signature=identity_of(2).signing.sign(DESC_DOMAIN + body))
    with pytest.raises(ProtocolError):
        verify_desc(forged, read_desc(forged))


def test_description_with_swapped_key_is_refused():
    """The id covers both keys, so a foreign x cannot be slipped under a name."""
    desc, other = desc_of(1), desc_of(2)
    swapped = dataclasses.replace(desc, contact=Contact(ed=desc.contact.ed, x=other.contact.x))
    assert swapped.node_id != desc.node_id


def test_node_signs_only_itself():
    with pytest.raises(ValueError, match="itself"):
        sign_desc(desc_of(1), identity_of(2))


def test_claimed_capacity_attracts_no_more_than_a_terabyte():
    assert desc_of(1, weight_exponent=1023).weight == 2.0**40
    assert desc_of(1, weight_exponent=0).weight == 2.0**20


@pytest.mark.parametrize(
    "make",
    [
        lambda descs: Ping(descs=descs[:GOSSIP_ITEMS_MAX], rumours=rumours(GOSSIP_ITEMS_MAX)),
        lambda descs: Pong(descs=descs[:GOSSIP_ITEMS_MAX], rumours=rumours(GOSSIP_ITEMS_MAX)),
        lambda descs: Offer(descs=descs),
        lambda descs: SyncReply(
            digest=bytes(16), descs=descs, more=True, wanted=(NodeId(bytes(32)),) * 256, rumours=rumours(64)
        ),
    ],
    ids=["ping", "pong", "offer", "sync reply"],
)
def test_fullest_message_fits_and_round_trips(make):
    descs = tuple(sign_desc(largest_desc(n), identity_of(n)) for n in range(SYNC_DESCS_MAX))
    message = make(descs)
    body = encode(message)
    assert len(body) < BODY_BYTES_MAX
    assert decode(type(message), body) == message


def rumours(count: int) -> tuple[Rumour, ...]:
    return (Rumour(node_id=NodeId(bytes([255]) * 32), incarnation=2**63 - 1),) * count


MESSAGES = [NodeDesc, SignedDesc, Rumour, Ping, Pong, messages.ProbeFor, messages.ProbeReply, Sync, SyncReply, Offer]
SAMPLE = encode(
    Ping(
        descs=(sign_desc(desc_of(1), identity_of(1)),),
        rumours=(Rumour(node_id=NodeId(bytes(32)), incarnation=1),),
    )
)


@pytest.mark.parametrize("kind", [*MESSAGES, messages.Taken, SavedPeer])
@given(data=st.binary(max_size=300))
def test_any_bytes_parse_or_raise_protocol_error(kind: type, data: bytes):
    with contextlib.suppress(ProtocolError):
        decode(kind, data)


@given(position=st.integers(0, len(SAMPLE) - 1), value=st.integers(0, 255))
def test_mutated_ping_parses_or_raises_protocol_error(position: int, value: int):
    data = SAMPLE[:position] + bytes([value]) + SAMPLE[position + 1 :]
    try:
        for signed in decode(Ping, data).descs:
            verify_desc(signed, read_desc(signed))
    except ProtocolError:
        pass


@given(position=st.integers(0, 2047), bit=st.integers(0, 7))
def test_no_changed_bit_of_a_description_survives(position: int, bit: int):
    signed = sign_desc(desc_of(1), identity_of(1))
    body = bytearray(signed.body)
    body[position % len(body)] ^= 1 << bit
    changed = SignedDesc(body=bytes(body), signature=signed.signature)
    with pytest.raises(ProtocolError):
        verify_desc(changed, read_desc(changed))


ids = st.binary(min_size=32, max_size=32).map(NodeId)
entries = st.dictionaries(ids, st.tuples(st.integers(0, 2**63 - 1), st.booleans()), max_size=20)


@given(entries)
def test_summary_round_trips(known: dict[NodeId, tuple[int, bool]]):
    assert read_summary(pack_summary(known), entries_max=20) == known


def test_summary_has_golden_bytes():
    known = {NodeId(b"\2" * 32): (5, False), NodeId(b"\1" * 32): (1, True)}
    assert pack_summary(known) == b"\1" * 32 + bytes(7) + b"\3" + b"\2" * 32 + bytes(7) + b"\x0a"


@given(st.binary(max_size=400))
def test_any_summary_parses_or_raises_protocol_error(data: bytes):
    with contextlib.suppress(ProtocolError):
        assert len(read_summary(data, entries_max=5)) <= 5


@pytest.mark.parametrize("entries_max", [0, 1])
def test_too_long_or_unordered_summary_is_refused(entries_max: int):
    two = pack_summary({NodeId(b"\1" * 32): (1, False), NodeId(b"\2" * 32): (1, False)})
    with pytest.raises(ProtocolError):
        read_summary(two, entries_max=entries_max)
    with pytest.raises(ProtocolError):
        read_summary(two[40:] + two[:40], entries_max=9)
    with pytest.raises(ProtocolError):
        read_summary(two[:40] * 2, entries_max=9)
