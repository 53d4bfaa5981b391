"""The two key pairs of a node: Ed25519 signs, X25519 agrees on secrets.

Everything that arrives from a peer (public keys, signatures) is checked here before a primitives library sees it,
and every refusal is a `ProtocolError`. Private keys never print, copy or pickle.

Source: RFC 8032 (Ed25519), RFC 7748 (X25519); Chalkias, Garillot, Nikolaenko, "Taming the many EdDSAs" (2020) for
what a strict verifier has to refuse.
"""

from __future__ import annotations

from typing import NoReturn, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from dfs_sdk.errors import ProtocolError
from dfs_sdk.runtime.ports import Entropy

PUBLIC_KEY_BYTES = 32
PRIVATE_KEY_BYTES = 32
SIGNATURE_BYTES = 64

FIELD_PRIME = 2**255 - 19
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
_SIGN_BIT = 1 << 255

# The y coordinates of the eight points whose order divides 8. Under such a key OpenSSL verifies one signature for
# any message. Two points share each y of order 8 and each y = 0, told apart by the sign bit alone.
_ORDER_8_Y = int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little")
SMALL_ORDER_Y = frozenset({0, 1, FIELD_PRIME - 1, _ORDER_8_Y, FIELD_PRIME - _ORDER_8_Y})

# The u coordinates of points of small order on Curve25519 and its twist: every agreement with one gives zero.
_ORDER_8_U = int.from_bytes(bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"), "little")
_OTHER_ORDER_8_U = int.from_bytes(
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"), "little"
)
SMALL_ORDER_U = frozenset({0, 1, FIELD_PRIME - 1, _ORDER_8_U, _OTHER_ORDER_8_U})


class SecretObject:
    """Base of what holds key material: it neither copies nor pickles, so that no second user of a key appears."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(f"{type(self).__name__} holds a secret key and is neither copied nor pickled")


class SigningKey(SecretObject):
    """An Ed25519 key pair."""

    __slots__ = ("_key", "_public")

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self._public = key.public_key().public_bytes_raw()

    @classmethod
    def generate(cls, entropy: Entropy) -> Self:
        """Draw a fresh key pair."""
        return cls.from_seed(entropy.token(PRIVATE_KEY_BYTES))

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """Make the key pair of a 32-byte seed (RFC 8032's private key).

        Raises:
            ValueError: The seed is not 32 bytes long.
        """
        return cls(Ed25519PrivateKey.from_private_bytes(_private_bytes(seed)))

    @property
    def seed(self) -> bytes:
        """The 32 secret bytes this key is made of."""
        return self._key.private_bytes_raw()

    @property
    def public(self) -> bytes:
        """The 32-byte public key."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """Sign `message`; 64 bytes, the same ones each time."""
        return self._key.sign(message)

    def __repr__(self) -> str:
        return f"SigningKey(public={self._public[:4].hex()}…)"


class AgreementKey(SecretObject):
    """An X25519 key pair."""

    __slots__ = ("_key", "_public")

    def __init__(self, key: X25519PrivateKey) -> None:
        self._key = key
        self._public = key.public_key().public_bytes_raw()

    @classmethod
    def generate(cls, entropy: Entropy) -> Self:
        """Draw a fresh key pair."""
        return cls.from_bytes(entropy.token(PRIVATE_KEY_BYTES))

    @classmethod
    def from_bytes(cls, private: bytes) -> Self:
        """Make the key pair of 32 private bytes.

        Raises:
            ValueError: `private` is not 32 bytes long.
        """
        return cls(X25519PrivateKey.from_private_bytes(_private_bytes(private)))

    @property
    def private(self) -> bytes:
        """The 32 secret bytes, as given."""
        return self._key.private_bytes_raw()

    @property
    def public(self) -> bytes:
        """The 32-byte public key."""
        return self._public

    @property
    def primitive(self) -> X25519PrivateKey:
        """The library's own key object, for `crypto.sealing` alone."""
        return self._key

    def agree(self, remote_public: bytes) -> bytes:
        """Compute the 32 bytes both sides share.

        Raises:
            ProtocolError: `remote_public` is not 32 bytes, or of small order: the result would be zero.
        """
        if len(remote_public) != PUBLIC_KEY_BYTES:
            raise ProtocolError(f"an X25519 key has {PUBLIC_KEY_BYTES} bytes, not {len(remote_public)}")
        try:
            return self._key.exchange(X25519PublicKey.from_public_bytes(remote_public))
        except ValueError:
            raise ProtocolError("the peer's X25519 key is of small order") from None

    def __repr__(self) -> str:
        return f"AgreementKey(public={self._public[:4].hex()}…)"


def check_signing_public(public: bytes) -> None:
    """Refuse Ed25519 public keys that no honest node has.

    Raises:
        ProtocolError: Not 32 bytes, not the canonical encoding of its point, or a point of small order.
    """
    if len(public) != PUBLIC_KEY_BYTES:
        raise ProtocolError(f"an Ed25519 key has {PUBLIC_KEY_BYTES} bytes, not {len(public)}")
    y = int.from_bytes(public, "little") & ~_SIGN_BIT
    if y >= FIELD_PRIME:
        raise ProtocolError("the Ed25519 key is not canonically encoded")
    if y in SMALL_ORDER_Y:
        raise ProtocolError("the Ed25519 key is of small order")


def check_agreement_public(public: bytes) -> None:
    """Refuse X25519 public keys that no honest node has, so that a key has one spelling and a node one id.

    `AgreementKey.agree` itself accepts other spellings, as RFC 7748 section 5 asks.

    Raises:
        ProtocolError: Not 32 bytes, not canonical (u ≥ 2²⁵⁵ - 19), or of small order.
    """
    if len(public) != PUBLIC_KEY_BYTES:
        raise ProtocolError(f"an X25519 key has {PUBLIC_KEY_BYTES} bytes, not {len(public)}")
    u = int.from_bytes(public, "little")
    if u >= FIELD_PRIME:
        raise ProtocolError("the X25519 key is not canonically encoded")
    if u in SMALL_ORDER_U:
        raise ProtocolError("the X25519 key is of small order")


def verify_signature(public: bytes, signature: bytes, message: bytes) -> None:
    """Return only if `signature` over `message` was made with the private key of `public`.

    Raises:
        ProtocolError: It was not, or key or signature have an encoding that strict verifiers refuse
            (small order, non-canonical key, S not below the group order).
    """
    check_signing_public(public)
    if len(signature) != SIGNATURE_BYTES:
        raise ProtocolError(f"an Ed25519 signature has {SIGNATURE_BYTES} bytes, not {len(signature)}")
    if int.from_bytes(signature[32:], "little") >= GROUP_ORDER:
        raise ProtocolError("the signature is not canonically encoded")
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise ProtocolError("the signature does not match") from None


def _private_bytes(private: bytes) -> bytes:
    if len(private) != PRIVATE_KEY_BYTES:
        raise ValueError(f"a private key has {PRIVATE_KEY_BYTES} bytes, not {len(private)}")
    return private
