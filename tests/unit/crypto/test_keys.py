"""Ed25519 and X25519 keys: what they do, and what of a peer's they refuse."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.crypto import keys
from dfs_sdk.crypto.keys import (
    FIELD_PRIME,
    GROUP_ORDER,
    SMALL_ORDER_U,
    SMALL_ORDER_Y,
    AgreementKey,
    SigningKey,
    check_agreement_public,
    check_signing_public,
    verify_signature,
)
from dfs_sdk.errors import ProtocolError
from tests.fakes.entropy import SeededEntropy

P = FIELD_PRIME
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int]


def add(a: Point, b: Point) -> Point:
    """Adds two points of edwards25519 (RFC 8032 section 5.1, affine)."""
    (x1, y1), (x2, y2) = a, b
    cross = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + cross, -1, P) % P
    y = (y1 * y2 + x1 * x2) * pow(1 - cross, -1, P) % P
    return x, y


def points_with_y(y: int) -> list[Point]:
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    root = pow(square, (P + 3) // 8, P)
    if root * root % P != square:
        root = root * pow(2, (P - 1) // 4, P) % P
    if root * root % P != square:
        return []
    return sorted({(root, y), (-root % P, y)})


def test_small_order_y_are_exactly_the_eight_points_of_torsion() -> None:
    points = {point for y in SMALL_ORDER_Y for point in points_with_y(y)}
    assert len(points) == 8
    for point in points:
        doubled = add(point, point)
        quadrupled = add(doubled, doubled)
        assert add(quadrupled, quadrupled) == (0, 1)


def test_small_order_u_give_zero_and_are_the_images_of_torsion() -> None:
    key = AgreementKey.from_bytes(bytes(range(32)))
    for u in SMALL_ORDER_U:
        with pytest.raises(ProtocolError, match="small order"):
            key.agree(u.to_bytes(32, "little"))
    images = {(1 + y) * pow(1 - y, -1, P) % P for y in SMALL_ORDER_Y if y != 1}
    assert images <= SMALL_ORDER_U


def small_order_keys() -> list[bytes]:
    encodings = []
    for y in SMALL_ORDER_Y:
        for spelling in {y, y + P}:
            if spelling < 2**255:
                encodings += [spelling, spelling | 1 << 255]
    return [value.to_bytes(32, "little") for value in encodings]


@pytest.mark.parametrize("public", small_order_keys(), ids=bytes.hex)
def test_small_order_signing_key_is_refused_in_every_spelling(public: bytes) -> None:
    with pytest.raises(ProtocolError):
        check_signing_public(public)
    # R = identity, S = 0: the signature that such keys accept for any message.
    with pytest.raises(ProtocolError, match="key"):
        verify_signature(public, b"\x01" + bytes(63), b"anything")


def test_the_library_alone_would_accept_a_small_order_key() -> None:
    public = keys.Ed25519PublicKey.from_public_bytes(b"\x01" + bytes(31))
    public.verify(b"\x01" + bytes(63), b"anything")


@pytest.mark.parametrize("extra", range(19))
def test_non_canonical_keys_are_refused(extra: int) -> None:
    for value in (P + extra, P + extra | 1 << 255):
        with pytest.raises(ProtocolError):
            check_signing_public(value.to_bytes(32, "little"))
        with pytest.raises(ProtocolError):
            check_agreement_public(value.to_bytes(32, "little"))


@pytest.mark.parametrize("u", sorted(SMALL_ORDER_U))
def test_a_small_order_agreement_key_names_nobody(u: int) -> None:
    with pytest.raises(ProtocolError, match="small order"):
        check_agreement_public(u.to_bytes(32, "little"))


def test_agreement_key_with_the_top_bit_set_is_refused() -> None:
    public = AgreementKey.from_bytes(bytes(range(32))).public
    check_agreement_public(public)
    with pytest.raises(ProtocolError, match="canonical"):
        check_agreement_public(public[:31] + bytes((public[31] | 0x80,)))


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_keys_of_wrong_length_are_refused(size: int) -> None:
    key = AgreementKey.from_bytes(bytes(32))
    for check in (check_signing_public, check_agreement_public, key.agree):
        with pytest.raises(ProtocolError, match="32 bytes"):
            check(b"\x09" * size)
    for make in (SigningKey.from_seed, AgreementKey.from_bytes):
        with pytest.raises(ValueError, match="32 bytes"):
            make(bytes(size))


def test_signature_of_rfc_8032_test_2() -> None:
    key = SigningKey.from_seed(bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"))
    assert key.public.hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    signature = key.sign(b"\x72")
    assert signature.hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    verify_signature(key.public, signature, b"\x72")


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=100), st.integers(0, 64 * 8 - 1))
def test_no_flipped_bit_of_a_signature_verifies(seed: bytes, message: bytes, bit: int) -> None:
    key = SigningKey.from_seed(seed)
    signature = key.sign(message)
    verify_signature(key.public, signature, message)
    altered = bytearray(signature)
    altered[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ProtocolError):
        verify_signature(key.public, bytes(altered), message)
    with pytest.raises(ProtocolError):
        verify_signature(key.public, signature, message + b"\0")


def test_a_second_spelling_of_s_is_refused() -> None:
    key = SigningKey.from_seed(bytes(32))
    signature = key.sign(b"m")
    s = int.from_bytes(signature[32:], "little") + GROUP_ORDER
    with pytest.raises(ProtocolError, match="canonical"):
        verify_signature(key.public, signature[:32] + s.to_bytes(32, "little"), b"m")


@given(st.binary(max_size=70), st.binary(max_size=70), st.binary(max_size=70))
def test_any_bytes_verify_or_raise_protocol_error(public: bytes, signature: bytes, message: bytes) -> None:
    with pytest.raises(ProtocolError):
        verify_signature(public, signature, message)


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_both_sides_agree_on_one_secret(one: bytes, other: bytes) -> None:
    a, b = AgreementKey.from_bytes(one), AgreementKey.from_bytes(other)
    assert a.agree(b.public) == b.agree(a.public)


def test_generated_keys_come_from_the_entropy_port() -> None:
    for kind in (SigningKey, AgreementKey):
        assert kind.generate(SeededEntropy(7)).public == kind.generate(SeededEntropy(7)).public
        assert kind.generate(SeededEntropy(7)).public != kind.generate(SeededEntropy(8)).public


def test_private_halves_read_back() -> None:
    seed = bytes(range(32))
    assert SigningKey.from_seed(seed).seed == seed
    assert AgreementKey.from_bytes(seed).private == seed


@pytest.mark.parametrize("key", [SigningKey.from_seed(b"s" * 32), AgreementKey.from_bytes(b"s" * 32)])
def test_private_keys_neither_print_nor_copy_nor_pickle(key: SigningKey | AgreementKey) -> None:
    for text in (repr(key), str(key), f"{key}"):
        assert (b"s" * 4).hex() not in text
        assert "ssss" not in text
    for leak in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="secret"):
            leak(key)


def test_ed25519_wycheproof_vectors(read_vectors: Any) -> None:
    seen = 0
    for group in read_vectors("wycheproof-ed25519_test.json")["testGroups"]:
        public = bytes.fromhex(group["publicKey"]["pk"])
        for test in group["tests"]:
            signature, message = bytes.fromhex(test["sig"]), bytes.fromhex(test["msg"])
            seen += 1
            if test["result"] == "valid":
                verify_signature(public, signature, message)
            else:
                with pytest.raises(ProtocolError):
                    verify_signature(public, signature, message)
    assert seen == 151


def test_x25519_wycheproof_vectors(read_vectors: Any) -> None:
    seen = zero = 0
    for group in read_vectors("wycheproof-x25519_test.json")["testGroups"]:
        for test in group["tests"]:
            key = AgreementKey.from_bytes(bytes.fromhex(test["private"]))
            public = bytes.fromhex(test["public"])
            seen += 1
            if "ZeroSharedSecret" in test["flags"]:
                zero += 1
                with pytest.raises(ProtocolError):
                    key.agree(public)
                with pytest.raises(ProtocolError):
                    check_agreement_public(public)
            else:
                assert key.agree(public).hex() == test["shared"]
    assert seen == 518
    assert zero > 0
