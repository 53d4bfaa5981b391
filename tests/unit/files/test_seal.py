"""Sealing chunks: P-FILE-4."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.crypto.aead import seal_once
from dfs_sdk.crypto.hashing import Blake3, blake3_256, hkdf_sha256, keyed_hash
from dfs_sdk.errors import CorruptContentError, ProtocolError
from dfs_sdk.files.seal import FileKeys, open_chunk, open_salted, seal_chunk, seal_salted
from dfs_sdk.files.upload import seal_group

KEYS = FileKeys(b"r" * 32)


def test_golden_keys():
    assert KEYS.verify_key.hex() == "752902edd37690ee223e88b27395da7a76e26400cb52a029c03da78b386ac258"
    assert KEYS.salt_key.hex() == "d937b41e5fa583d262ae004d2f5a0b2337de9df15810c452ca9219429d592366"
    assert KEYS.commitment.hex() == "3aec8cd96fcbbe49a10c16153a8b1cac39094f042c3ced2f909c72f22ac3133f"


def test_golden_chunk():
    sealed = seal_chunk(KEYS, 3, b"attack at dawn")
    assert sealed.salt.hex() == "c76bcead6fca747a22e412b6f40655e3"
    assert sealed.data.hex() == "011d85ed1aa8df6e9262c4d94989417a12a1357a0f5eea1166e4be7617bb"
    assert sealed.chunk_id.hex() == "a66808e7519d867e046a74f1e104a48c7c621c21a23cc85ebd3dc4a9c71ee790"
    # The same by hand, from the primitives alone.
    salt_key = hkdf_sha256(b"r" * 32, info=b"dfs/salt/1")
    salt = keyed_hash(salt_key, b"\0\0\0\3", b"attack at dawn")[:16]
    key = hkdf_sha256(b"r" * 32, info=b"dfs/chunk/1" + b"\0\0\0\3" + salt)
    data = seal_once(key, b"attack at dawn", b"dfs/chunk/1\0\0\0\3")
    assert (sealed.salt, sealed.data, sealed.chunk_id) == (salt, data, blake3_256(data))


@given(st.binary(max_size=5000), st.integers(0, 2**32 - 1))
def test_round_trip(plaintext: bytes, index: int):
    sealed = seal_chunk(KEYS, index, plaintext)
    assert open_chunk(KEYS, index, sealed.salt, sealed.data) == plaintext
    assert len(sealed.data) == len(plaintext) + 16


def test_sealing_again_gives_the_same_chunk_and_other_bytes_another_key():
    one, again, other = (seal_chunk(KEYS, 0, data) for data in (b"x" * 99, b"x" * 99, b"y" * 99))
    assert one == again
    assert one.salt != other.salt
    assert bytes(a ^ b for a, b in zip(one.data, other.data, strict=True))[:99] != bytes(ord("x") ^ ord("y")) * 99


def test_equal_chunks_at_two_places_look_different():
    assert seal_chunk(KEYS, 0, b"same").data != seal_chunk(KEYS, 1, b"same").data
    assert seal_chunk(FileKeys(b"s" * 32), 0, b"same").data != seal_chunk(KEYS, 0, b"same").data


@pytest.mark.parametrize("index", [1, 2**31])
def test_a_chunk_does_not_open_at_another_place(index: int):
    sealed = seal_chunk(KEYS, 0, b"plain")
    with pytest.raises(CorruptContentError):
        open_chunk(KEYS, index, sealed.salt, sealed.data)


@given(st.data())
def test_every_flipped_bit_is_noticed(data: st.DataObject):
    sealed = seal_chunk(KEYS, 0, b"plain text")
    at = data.draw(st.integers(0, len(sealed.data) * 8 - 1))
    flipped = bytearray(sealed.data)
    flipped[at // 8] ^= 1 << at % 8
    with pytest.raises(CorruptContentError):
        open_chunk(KEYS, 0, sealed.salt, bytes(flipped))


def test_groups_are_the_chunks_one_by_one_and_feed_the_hash():
    data, hasher = bytes(range(256)) * 10, Blake3()
    group = seal_group(KEYS, 5, 1000, data, hasher)
    assert [chunk.index for chunk in group] == [5, 6, 7]
    assert group == [seal_chunk(KEYS, 5 + n, data[n * 1000 : (n + 1) * 1000]) for n in range(3)]
    assert hasher.digest() == blake3_256(data)


@given(st.binary(max_size=500), st.data())
def test_salted_seals_open_only_unharmed(plaintext: bytes, data: st.DataObject):
    sealed = seal_salted(b"k" * 32, b"info", plaintext)
    assert open_salted(b"k" * 32, b"info", sealed) == plaintext
    at = data.draw(st.integers(0, len(sealed) - 1))
    changed = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
    for key, info, wrong in ((b"k" * 32, b"info", changed), (b"j" * 32, b"info", sealed), (b"k" * 32, b"x", sealed)):
        with pytest.raises(ProtocolError):
            open_salted(key, info, wrong)


@pytest.mark.parametrize("size", [0, 15, 16, 31])
def test_seals_cut_short_are_refused(size: int):
    with pytest.raises(ProtocolError):
        open_salted(b"k" * 32, b"info", bytes(size))


def test_a_seal_with_a_foreign_salt_is_refused():
    """A salt that is not the hash of the plaintext would let one text be sealed so that two keys open it."""
    salt = b"s" * 16
    forged = salt + seal_once(hkdf_sha256(b"k" * 32, info=b"info", salt=salt), b"text", b"info")
    with pytest.raises(ProtocolError, match="more than one key"):
        open_salted(b"k" * 32, b"info", forged)


def test_keys_and_data_never_show():
    shown = repr(KEYS) + repr(seal_chunk(KEYS, 0, b"canary"))
    assert "rrrr" not in shown
    assert "canary" not in shown


def test_a_key_of_another_length_is_refused():
    with pytest.raises(ValueError, match="32 bytes"):
        FileKeys(b"short")
