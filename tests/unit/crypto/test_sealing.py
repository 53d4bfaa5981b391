"""HPKE: sealed to one key, opened by no other."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfs_sdk.crypto.keys import SMALL_ORDER_U, AgreementKey
from dfs_sdk.crypto.sealing import SEALED_OVERHEAD_BYTES, SUITE_X25519, open_sealed, seal_to
from dfs_sdk.errors import ProtocolError

KEY = AgreementKey.from_bytes(bytes(range(32)))
OTHER = AgreementKey.from_bytes(bytes(range(1, 33)))


@settings(deadline=None)
@given(st.binary(max_size=2000), st.binary(max_size=50), st.binary(max_size=50))
def test_only_the_same_key_info_and_associated_data_open(plaintext: bytes, info: bytes, associated: bytes) -> None:
    sealed = seal_to(KEY.public, info, plaintext, associated)
    assert len(sealed) == len(plaintext) + SEALED_OVERHEAD_BYTES
    assert open_sealed(KEY, info, sealed, associated) == plaintext
    for key, other_info, other_associated in (
        (OTHER, info, associated),
        (KEY, info + b"x", associated),
        (KEY, info, associated + b"x"),
    ):
        with pytest.raises(ProtocolError):
            open_sealed(key, other_info, sealed, other_associated)


def test_info_and_associated_data_are_not_confused() -> None:
    sealed = seal_to(KEY.public, b"ab", b"secret", b"c")
    with pytest.raises(ProtocolError):
        open_sealed(KEY, b"a", sealed, b"bc")
    with pytest.raises(ProtocolError):
        open_sealed(KEY, b"abc", sealed)


def test_two_seals_of_one_text_differ() -> None:
    assert seal_to(KEY.public, b"", b"x") != seal_to(KEY.public, b"", b"x")


def test_sealed_bytes_of_an_earlier_version_still_open() -> None:
    assert (
        open_sealed(
            KEY,
            b"golden",
            bytes.fromhex(
                "01aab16bf1b812d3f19e761b2363c2cea2ff1dc3faf92590d5983365d246374a5a47ed96b0b7beaf"
                "11fd2ec94836bfe64d83cbcdf72aa7ac3eb6a538e730"
            ),
            b"bound",
        )
        == b"kept for good"
    )


def test_every_flipped_bit_and_every_cut_is_refused() -> None:
    sealed = seal_to(KEY.public, b"i", b"x")
    assert sealed[0] == SUITE_X25519
    for bit in range(len(sealed) * 8):
        altered = bytearray(sealed)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ProtocolError):
            open_sealed(KEY, b"i", bytes(altered))
    for size in range(len(sealed)):
        with pytest.raises(ProtocolError):
            open_sealed(KEY, b"i", sealed[:size])


@given(st.binary(max_size=120), st.booleans())
def test_any_bytes_raise_protocol_error_only(data: bytes, named: bool) -> None:
    with pytest.raises(ProtocolError):
        open_sealed(KEY, b"", (bytes((SUITE_X25519,)) if named else b"") + data)


@pytest.mark.parametrize("u", sorted(SMALL_ORDER_U))
def test_nothing_is_sealed_to_or_from_small_order_keys(u: int) -> None:
    bad = u.to_bytes(32, "little")
    with pytest.raises(ProtocolError):
        seal_to(bad, b"", b"x")
    with pytest.raises(ProtocolError):
        open_sealed(KEY, b"", bytes((SUITE_X25519,)) + bad + bytes(20))


@pytest.mark.parametrize("size", [0, 31, 33, 1216])
def test_keys_of_other_lengths_are_refused(size: int) -> None:
    with pytest.raises(ProtocolError, match="32 bytes"):
        seal_to(b"\x09" * size, b"", b"x")
