"""Seals bytes to the holder of a key who need not be online: HPKE in its base mode.

Only the owner of the private key opens what was sealed; who sealed it is not proven by it, so senders sign what they
seal. What is sealed starts with one byte that names the suite, which leaves room for others. The hybrid with
ML-KEM-768 has a name in `cryptography` 47, but the wheel of 47.0.0 refuses the key (measured), so it waits for a
higher floor, and for a place in the contact where its public key travels.

The ephemeral key is drawn by the primitives library, not from the Entropy port: sealed bytes differ between two runs
of one seed, their length does not.

Source: RFC 9180, single-shot base mode.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from dfs_sdk.crypto.keys import AgreementKey, check_agreement_public
from dfs_sdk.errors import ProtocolError

SUITE_X25519 = 1
"""DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM."""

SEALED_OVERHEAD_BYTES = 1 + 32 + 16

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def seal_to(public_x: bytes, info: bytes, plaintext: bytes, associated: bytes = b"") -> bytes:
    """Seal `plaintext` to the owner of an X25519 key.

    Args:
        public_x: The receiver's public key, 32 bytes.
        info: What this is for; the opener must give the same.
        plaintext: Bytes to hide.
        associated: Bytes the opener must give as well, authenticated, not hidden.

    Returns:
        Suite (1) ‖ encapsulated key (32) ‖ ciphertext and tag.

    Raises:
        ProtocolError: `public_x` is not a usable key.
    """
    check_agreement_public(public_x)
    key = X25519PublicKey.from_public_bytes(public_x)
    sealed = _SUITE.encrypt(plaintext, key, _bound_info(SUITE_X25519, info, associated))
    return bytes((SUITE_X25519,)) + sealed


def open_sealed(key: AgreementKey, info: bytes, sealed: bytes, associated: bytes = b"") -> bytes:
    """Verify and open what `seal_to` made for `key`.

    Raises:
        ProtocolError: Made for another key, `info` or `associated`; an unknown suite; or altered bytes.
    """
    if len(sealed) < SEALED_OVERHEAD_BYTES or sealed[0] != SUITE_X25519:
        raise ProtocolError("sealed with a suite this program does not know, or cut short")
    try:
        return _SUITE.decrypt(sealed[1:], key.primitive, _bound_info(SUITE_X25519, info, associated))
    except (InvalidTag, ValueError):
        raise ProtocolError("the sealed bytes are not for this key, or were altered") from None


def _bound_info(suite: int, info: bytes, associated: bytes) -> bytes:
    # The library's public interface takes no associated data. In single-shot use both inputs only bind the context,
    # so one unambiguous encoding of the two in `info` binds the same.
    return b"dfs/hpke/1" + bytes((suite,)) + len(info).to_bytes(8, "big") + info + associated
