"""The exchange on the wire: the table of docs/protocol/exchange.md."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.errors import ProtocolError
from dfs_sdk.exchange import messages
from dfs_sdk.exchange.messages import Fetch, Fetched, Have, HaveStates, HolderLoad, Push, Pushed, Remove, Removed
from dfs_sdk.exchange.service import read_states
from dfs_sdk.ids import ChunkId, NodeId
from dfs_sdk.store import Role
from dfs_sdk.wire.codec import decode, encode

CHUNK = ChunkId(bytes(range(32)))
LOAD = HolderLoad(queue=3, service_time=0.25)
SAMPLES = {
    Push(chunk_id=CHUNK, cell=7, role=Role.PRIMARY, removal_hash=b"h" * 32, replicas=3): "95c420"
    + bytes(range(32)).hex()
    + "0703c420"
    + "68" * 32
    + "03",
    Pushed(role=Role.SURPLUS, already=True, load=LOAD): "9302c39203cb3fd0000000000000",
    Fetch(chunk_id=CHUNK, check=True, keeps=True): "94c420" + bytes(range(32)).hex() + "c3c2c3",
    Fetched(cell=300, removal_hash=b"", load=LOAD, keep=True, put_off=0.25, others=(NodeId(b"n" * 32),)): (
        "98cd012cc4009203cb3fd000000000000003c3c2cb3fd0000000000000c420" + "6e" * 32
    ),
    Have(chunk_ids=(CHUNK, CHUNK)): "91c440" + bytes(range(32)).hex() * 2,
    HaveStates(states=b"\x00\x03\x10", removal_keys=(b"k" * 32,), load=LOAD): "93c40300031091c420"
    + "6b" * 32
    + "9203cb3fd0000000000000",
    Remove(removal_key=b"k" * 32, chunk_ids=(CHUNK,)): "92c420" + "6b" * 32 + "c420" + bytes(range(32)).hex(),
    Removed(count=2): "9102",
}


@pytest.mark.parametrize("message", SAMPLES, ids=lambda message: type(message).__name__)
def test_golden_bytes_and_round_trip(message: object):
    assert encode(message).hex() == SAMPLES[message]
    assert decode(type(message), encode(message)) == message


def test_fetches_of_older_nodes_are_understood():
    older = "92c420" + bytes(range(32)).hex() + "c3"
    assert decode(Fetch, bytes.fromhex(older)) == Fetch(chunk_id=CHUNK, check=True, patient=False, keeps=False)
    older = "94cd012cc4009203cb3fd000000000000003"
    assert decode(Fetched, bytes.fromhex(older)) == Fetched(cell=300, removal_hash=b"", load=LOAD)


def test_tags_are_in_the_slice_and_unique():
    tags = [kind.tag for kind in (Push, Fetch, Have, Remove)]
    assert tags == [0x0301, 0x0302, 0x0303, 0x0304]


@given(st.sampled_from(list(SAMPLES)), st.data())
def test_mutated_bytes_parse_or_raise_protocol_error(message: object, data: st.DataObject):
    body = bytearray(encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ProtocolError):
        decode(type(message), bytes(body))


@given(st.sampled_from([Push, Pushed, Fetch, Fetched, Have, HaveStates, Remove, Removed]), st.binary(max_size=200))
def test_any_bytes_parse_or_raise_protocol_error(kind: type, body: bytes):
    with contextlib.suppress(ProtocolError):
        decode(kind, body)


def test_a_full_question_fits_a_body():
    ids = tuple(ChunkId(number.to_bytes(32, "big")) for number in range(messages.ASK_CHUNKS_MAX))
    assert decode(Have, encode(Have(chunk_ids=ids))).chunk_ids == ids


@pytest.mark.parametrize("states", [b"", b"\x01\x01", b"\x04", b"\x0f", b"\x11", b"\xff"])
def test_states_that_do_not_fit_the_question_are_refused(states: bytes):
    reply = HaveStates(states=states, removal_keys=(b"k" * 32,), load=LOAD)
    with pytest.raises(ProtocolError):
        read_states([CHUNK], reply)


def test_states_are_read():
    ids = [ChunkId(bytes([number]) * 32) for number in range(5)]
    reply = HaveStates(states=b"\x00\x01\x02\x03\x10", removal_keys=(b"k" * 32,), load=LOAD)
    report = read_states(ids, reply)
    assert report.roles == {ids[1]: Role.CACHE, ids[2]: Role.SURPLUS, ids[3]: Role.PRIMARY}
    assert report.held == {ids[1], ids[2], ids[3]}
    assert report.tombstones == {ids[4]: b"k" * 32}
