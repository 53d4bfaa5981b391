"""Identities, their certificates, and the file that keeps them."""

from __future__ import annotations

import copy
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.crypto import identity as identity_module
from dfs_sdk.crypto.hashing import blake3_256
from dfs_sdk.crypto.identity import (
    PLAIN_LINE,
    SALT_BYTES,
    SEALED_LINE,
    Identity,
    PublicIdentity,
    is_sealed,
    open_identity,
    seal_identity,
    verify_certificate,
)
from dfs_sdk.crypto.passphrase import stretch
from dfs_sdk.errors import ConfigError, IdentityError, ProtocolError
from dfs_sdk.ids import NodeId
from tests.fakes.entropy import SeededEntropy

SECRET = bytes(range(64))


@pytest.fixture
def cheap_argon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seals with the least cost there is, which the file says, so that opening follows."""
    monkeypatch.setattr(identity_module, "MEMORY_KIB", 8)
    monkeypatch.setattr(identity_module, "PASSES", 1)
    monkeypatch.setattr(identity_module, "LANES", 1)

    def cheap(passphrase: str, *, salt: bytes, memory_kib: int = 8, passes: int = 1, lanes: int = 1) -> bytes:
        return stretch(passphrase, salt=salt, memory_kib=memory_kib, passes=passes, lanes=lanes)

    monkeypatch.setattr(identity_module, "stretch", cheap)


def test_node_id_is_the_hash_over_both_keys() -> None:
    identity = Identity.from_bytes(SECRET)
    public = identity.public
    assert isinstance(identity.node_id, NodeId)
    assert identity.node_id == blake3_256(b"dfs/node/1" + public.ed + public.x)
    assert str(identity.node_id) == "231acbf8d401368453414b33e98066a4e0cc445da8d7ee8978c75e1e6c5cc811"
    assert public.node_id is public.node_id


def test_swapping_either_key_changes_the_id() -> None:
    one, other = (Identity.generate(SeededEntropy(seed)).public for seed in (1, 2))
    ids = {PublicIdentity(ed, x).node_id for ed in (one.ed, other.ed) for x in (one.x, other.x)}
    assert len(ids) == 4


def test_public_identity_is_a_frozen_value_of_two_fields() -> None:
    public = Identity.from_bytes(SECRET).public
    same = PublicIdentity(ed=public.ed, x=public.x)
    assert same.node_id == public.node_id
    assert same == public
    assert hash(same) == hash(public)
    assert [field.name for field in dataclasses.fields(public)] == ["ed", "x"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        public.ed = bytes(32)  # type: ignore[misc]


@pytest.mark.parametrize("bad", [b"", bytes(32), b"\x01" + bytes(31), b"\xff" * 32, b"\x09" * 33], ids=bytes.hex)
def test_public_identity_refuses_keys_nobody_has(bad: bytes) -> None:
    public = Identity.from_bytes(SECRET).public
    with pytest.raises(ProtocolError):
        PublicIdentity(bad, public.x)
    with pytest.raises(ProtocolError):
        PublicIdentity(public.ed, bad)


def test_certificate_binds_both_keys() -> None:
    one, other = (Identity.generate(SeededEntropy(seed)) for seed in (1, 2))
    verify_certificate(one.public, one.certificate)
    for public, certificate in (
        (one.public, other.certificate),
        (PublicIdentity(one.public.ed, other.public.x), one.certificate),
        (PublicIdentity(other.public.ed, one.public.x), one.certificate),
        (one.public, one.signing.sign(one.public.x)),
        (one.public, b""),
    ):
        with pytest.raises(ProtocolError):
            verify_certificate(public, certificate)


@given(st.binary(min_size=64, max_size=64))
def test_secret_bytes_round_trip(secret: bytes) -> None:
    identity = Identity.from_bytes(secret)
    assert identity.to_bytes() == secret
    assert Identity.from_bytes(identity.to_bytes()).public == identity.public


@pytest.mark.parametrize("size", [0, 32, 63, 65])
def test_secret_of_wrong_length_is_refused(size: int) -> None:
    with pytest.raises(IdentityError, match="64"):
        Identity.from_bytes(bytes(size))


def test_identity_neither_prints_nor_copies_its_secrets() -> None:
    identity = Identity.from_bytes(SECRET)
    assert SECRET[:4].hex() not in repr(identity)
    assert SECRET[32:36].hex() not in repr(identity)
    with pytest.raises(TypeError, match="secret"):
        copy.copy(identity)


def test_unprotected_file_round_trips_and_says_that_it_is_unprotected() -> None:
    identity = Identity.from_bytes(SECRET)
    data = seal_identity(identity, None, SeededEntropy())
    assert data == PLAIN_LINE + SECRET + blake3_256(PLAIN_LINE + SECRET)
    assert b"NOT protected" in data.splitlines()[0]
    assert not is_sealed(data)
    assert open_identity(data, None).to_bytes() == SECRET


def test_sealed_file_is_the_golden_one_and_round_trips() -> None:
    """The only test that pays the full cost of Argon2id."""
    data = seal_identity(Identity.from_bytes(SECRET), "correct horse", SeededEntropy(5))
    assert blake3_256(data).hex() == "59159dc41ba0553a28f5e37a3f5439bda9730c0114759f47e00a46190b7534df"
    assert is_sealed(data)
    assert SECRET[:8] not in data
    assert open_identity(data, "correct horse").to_bytes() == SECRET


def test_file_states_its_costs() -> None:
    data = seal_identity(Identity.from_bytes(SECRET), "p", SeededEntropy(5))
    costs = data[len(SEALED_LINE) + SALT_BYTES :][:8]
    assert costs == (65_536).to_bytes(4, "big") + (3).to_bytes(2, "big") + (4).to_bytes(2, "big")


def test_two_seals_of_one_identity_share_no_salt(cheap_argon: None) -> None:
    entropy, identity = SeededEntropy(), Identity.from_bytes(SECRET)
    one, other = (seal_identity(identity, "p", entropy) for _ in range(2))
    assert one[len(SEALED_LINE) :][:SALT_BYTES] != other[len(SEALED_LINE) :][:SALT_BYTES]
    assert open_identity(one, "p").to_bytes() == open_identity(other, "p").to_bytes() == SECRET


def test_wrong_missing_and_superfluous_passphrases_are_told_apart(cheap_argon: None) -> None:
    identity = Identity.from_bytes(SECRET)
    sealed = seal_identity(identity, "right", SeededEntropy())
    with pytest.raises(IdentityError, match="wrong passphrase"):
        open_identity(sealed, "wrong")
    with pytest.raises(IdentityError, match="give the passphrase"):
        open_identity(sealed, None)
    with pytest.raises(IdentityError, match="without one"):
        open_identity(seal_identity(identity, None, SeededEntropy()), "right")
    with pytest.raises(ConfigError, match="empty"):
        seal_identity(identity, "", SeededEntropy())


@pytest.mark.parametrize("passphrase", [None, "p"])
def test_every_flipped_bit_and_every_cut_is_noticed(cheap_argon: None, passphrase: str | None) -> None:
    data = seal_identity(Identity.from_bytes(SECRET), passphrase, SeededEntropy())
    costs = range(len(SEALED_LINE) + SALT_BYTES, len(SEALED_LINE) + SALT_BYTES + 8) if passphrase else range(0)
    for position in range(len(data)):
        if position in costs:
            continue  # most altered costs are dear to try; the next two tests hold them
        altered = bytearray(data)
        altered[position] ^= 1 << position % 8
        with pytest.raises(IdentityError):
            open_identity(bytes(altered), passphrase)
    for size in range(len(data)):
        with pytest.raises(IdentityError):
            open_identity(data[:size], passphrase)
    with pytest.raises(IdentityError):
        open_identity(data + b"\0", passphrase)


@pytest.mark.parametrize("costs", [(9, 1, 1), (16, 1, 1), (8, 2, 1), (16, 1, 2)])
def test_altered_costs_do_not_open(cheap_argon: None, costs: tuple[int, int, int]) -> None:
    data = seal_identity(Identity.from_bytes(SECRET), "p", SeededEntropy())
    start = len(SEALED_LINE) + SALT_BYTES
    packed = b"".join(value.to_bytes(size, "big") for value, size in zip(costs, (4, 2, 2), strict=True))
    with pytest.raises(IdentityError, match="wrong passphrase"):
        open_identity(data[:start] + packed + data[start + 8 :], "p")


@pytest.mark.parametrize(
    ("memory_kib", "passes", "lanes"),
    [(1024 * 1024 + 1, 1, 1), (2**32 - 1, 1, 1), (8, 65, 1), (8, 0, 1), (8, 1, 0), (8, 1, 2), (1024, 1, 65)],
)
def test_greedy_costs_are_refused_before_they_are_paid(
    monkeypatch: pytest.MonkeyPatch, memory_kib: int, passes: int, lanes: int
) -> None:
    data = seal_identity(Identity.from_bytes(SECRET), "p", SeededEntropy())
    start = len(SEALED_LINE) + SALT_BYTES
    costs = memory_kib.to_bytes(4, "big") + passes.to_bytes(2, "big") + lanes.to_bytes(2, "big")

    def refuse(*_: object, **__: object) -> bytes:
        raise AssertionError("stretched before the costs were checked")

    monkeypatch.setattr(identity_module, "stretch", refuse)
    with pytest.raises(IdentityError, match="damaged"):
        open_identity(data[:start] + costs + data[start + 8 :], "p")


@given(st.binary(max_size=300), st.sampled_from([None, "p"]), st.sampled_from([b"", PLAIN_LINE, SEALED_LINE]))
def test_any_file_opens_or_raises_identity_error(tail: bytes, passphrase: str | None, line: bytes) -> None:
    with pytest.raises(IdentityError):
        open_identity(line + tail, passphrase)
