"""BLAKE3, keyed BLAKE3 and HKDF."""

from __future__ import annotations

import hmac
from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.crypto.hashing import HKDF_SIZE_MAX, Blake3, blake3_256, hkdf_sha256, keyed_hash

KEY = bytes(range(32))


def test_hash_of_nothing_is_the_published_one() -> None:
    expected = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    assert blake3_256().hex() == expected
    assert blake3_256(b"").hex() == expected
    assert Blake3().digest().hex() == expected


@given(st.lists(st.binary(max_size=300), max_size=6))
def test_parts_hash_as_their_concatenation(parts: list[bytes]) -> None:
    whole = b"".join(parts)
    state, keyed_state = Blake3(), Blake3(key=KEY)
    for part in parts:
        state.update(part)
        keyed_state.update(part)
    assert blake3_256(*parts) == blake3_256(whole) == state.digest()
    assert keyed_hash(KEY, *parts) == keyed_hash(KEY, whole) == keyed_state.digest()


def test_threads_and_buffer_types_change_nothing() -> None:
    data = bytes(range(256)) * 2048
    expected = blake3_256(data)
    assert blake3_256(data, max_threads=2) == expected
    assert blake3_256(memoryview(data)) == blake3_256(bytearray(data)) == expected
    threaded = Blake3(max_threads=2)
    threaded.update(data)
    assert threaded.digest() == expected


def test_digest_may_be_read_on_the_way() -> None:
    state = Blake3()
    state.update(b"ab")
    assert state.digest() == blake3_256(b"ab")
    state.update(b"c")
    assert state.digest() == blake3_256(b"abc")


def test_key_separates_the_keyed_hash() -> None:
    assert keyed_hash(KEY, b"x") != keyed_hash(bytes(32), b"x") != blake3_256(b"x")


@pytest.mark.parametrize("size", [0, 31, 33])
def test_keyed_hash_takes_only_32_byte_keys(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        keyed_hash(bytes(size), b"x")
    with pytest.raises(ValueError, match="32 bytes"):
        Blake3(key=bytes(size))


@pytest.mark.parametrize("size", [0, -1, HKDF_SIZE_MAX + 1])
def test_hkdf_refuses_sizes_out_of_range(size: int) -> None:
    with pytest.raises(ValueError, match="HKDF"):
        hkdf_sha256(KEY, info=b"", size=size)


def test_hkdf_agrees_with_rfc_5869_case_1() -> None:
    derived = hkdf_sha256(b"\x0b" * 22, info=bytes(range(0xF0, 0xFA)), salt=bytes(range(13)), size=42)
    assert derived.hex() == ("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865")


@given(st.binary(min_size=1, max_size=80), st.binary(max_size=80), st.binary(max_size=80), st.integers(1, 200))
def test_hkdf_agrees_with_a_second_implementation(key: bytes, info: bytes, salt: bytes, size: int) -> None:
    other = HKDF(algorithm=SHA256(), length=size, salt=salt or None, info=info).derive(key)
    assert hmac.compare_digest(hkdf_sha256(key, info=info, salt=salt, size=size), other)


def test_blake3_official_vectors(read_vectors: Any) -> None:
    vectors = read_vectors("blake3.json")
    key = vectors["key"].encode()
    cases = vectors["cases"]
    assert len(cases) == 35
    for case in cases:
        data = bytes(i % 251 for i in range(case["input_len"]))
        assert blake3_256(data).hex() == case["hash"][:64]
        assert keyed_hash(key, data).hex() == case["keyed_hash"][:64]


def test_hkdf_wycheproof_vectors(read_vectors: Any) -> None:
    seen = 0
    for group in read_vectors("wycheproof-hkdf_sha256_test.json")["testGroups"]:
        for test in group["tests"]:
            key, salt, info = (bytes.fromhex(test[name]) for name in ("ikm", "salt", "info"))
            seen += 1
            if test["result"] == "valid":
                assert hkdf_sha256(key, info=info, salt=salt, size=test["size"]).hex() == test["okm"]
            else:
                with pytest.raises(ValueError, match="HKDF"):
                    hkdf_sha256(key, info=info, salt=salt, size=test["size"])
    assert seen == 86
