"""The fixed layouts: round trip, golden bytes, and only one error whatever the bytes."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.errors import CorruptContentError, StoreError
from dfs_sdk.ids import ChunkId
from dfs_sdk.store.base import CELL_MAX, CHUNK_BYTES_MAX, REPLICAS_MAX, ChunkInfo, Role
from dfs_sdk.store.header import (
    HEADER_BYTES,
    STORE_FILE_BYTES,
    decode_header,
    decode_store_name,
    encode_header,
    encode_store_name,
)

INFO = ChunkInfo(
    chunk_id=ChunkId(bytes(range(32))),
    size=1_048_592,
    cell=4095,
    role=Role.PRIMARY,
    removal_hash=bytes(range(32, 64)),
    replicas=5,
    stored_at_wall=1_700_000_000.5,
    last_read_at_wall=1_700_000_000.5,
)
GOLDEN = " ".join(  # magic, version, role, flags, cell, size, time; id; removal hash; replicas, zeros
    [
        "4446534348554e4b 0001 03 01 00000fff 0000000000100010 41d954fc40200000",
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f",
        "05 000000000000000000000000000000",
    ]
)
infos = st.builds(
    lambda **fields: ChunkInfo(last_read_at_wall=fields["stored_at_wall"], **fields),
    chunk_id=st.binary(min_size=32, max_size=32).map(ChunkId),
    size=st.integers(0, CHUNK_BYTES_MAX),
    cell=st.integers(0, CELL_MAX),
    role=st.sampled_from(Role),
    removal_hash=st.one_of(st.just(b""), st.binary(min_size=32, max_size=32)),
    replicas=st.integers(1, REPLICAS_MAX),
    stored_at_wall=st.floats(allow_nan=False, allow_infinity=False),
)


@given(infos)
def test_header_round_trip(info: ChunkInfo):
    encoded = encode_header(info)
    assert len(encoded) == HEADER_BYTES
    assert decode_header(encoded + b"data") == info


def test_header_golden_bytes():
    encoded = encode_header(INFO)
    assert encoded[:112] == bytes.fromhex(GOLDEN)
    assert encoded[112:].hex() == "987ab8d0dfa279f3f664f33f8006cca4"


@given(st.binary(max_size=300))
def test_any_bytes_are_a_header_or_corrupt(data: bytes):
    with pytest.raises(CorruptContentError):
        decode_header(data)


@given(infos, st.integers(0, HEADER_BYTES * 8 - 1))
def test_every_flipped_bit_of_a_header_is_found(info: ChunkInfo, bit: int):
    encoded = bytearray(encode_header(info))
    encoded[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises(CorruptContentError):
        decode_header(bytes(encoded))


@pytest.mark.parametrize("length", [0, 1, 111, 112, 127])
def test_header_cut_short_is_corrupt(length: int):
    with pytest.raises(CorruptContentError):
        decode_header(encode_header(INFO)[:length])


def test_sound_header_out_of_range_is_corrupt():
    with pytest.raises(CorruptContentError):
        decode_header(encode_header(dataclasses.replace(INFO, size=CHUNK_BYTES_MAX + 1)))
    with pytest.raises(CorruptContentError):
        decode_header(encode_header(dataclasses.replace(INFO, replicas=0)))
    with pytest.raises(CorruptContentError):
        decode_header(encode_header(dataclasses.replace(INFO, stored_at_wall=float("nan"))))


@given(st.binary(min_size=16, max_size=16))
def test_store_name_round_trip(uuid: bytes):
    assert len(encode_store_name(uuid)) == STORE_FILE_BYTES
    assert decode_store_name(encode_store_name(uuid)) == uuid


def test_store_name_golden_bytes():
    golden = [
        "44465353544f52450001000000000000",
        "000102030405060708090a0b0c0d0e0f",
        "3fa5e3f83fb4e39fa7c2f602d4017870",
        "f02be93f517a6360ca0847d0e41eda2e",
    ]
    assert encode_store_name(bytes(range(16))) == bytes.fromhex("".join(golden))


@given(st.binary(max_size=100))
def test_any_bytes_are_a_store_name_or_damaged(data: bytes):
    assert decode_store_name(data) is None


def test_store_of_another_version_is_refused_in_words(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("dfs_sdk.store.header.STORE_VERSION", 2)
    newer = encode_store_name(bytes(16))
    monkeypatch.undo()
    with pytest.raises(StoreError, match="format 2"):
        decode_store_name(newer)
