"""Who a node is: two key pairs, the id that names both, and the file that keeps them.

The node id is a hash over both public keys, so neither can be swapped; the certificate, a signature of the one key
over the other, proves that they belong to one owner. This module makes and reads the bytes of the identity file;
where that file lies and who may read it is decided above.

The file is one line of plain words that says whether a passphrase protects it, then fixed-width fields:

    sealed      line ‖ salt (16) ‖ memory in KiB (u32) ‖ passes (u16) ‖ lanes (u16) ‖ AES-256-GCM(secret) (64 + 16)
    unprotected line ‖ secret (64) ‖ BLAKE3 of everything before (32)

The secret is the Ed25519 seed and the X25519 private key; the associated data of the sealed form is everything before.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from struct import Struct
from typing import Self

from dfs_sdk.crypto.aead import TAG_BYTES, open_once, seal_once
from dfs_sdk.crypto.hashing import HASH_BYTES, blake3_256
from dfs_sdk.crypto.keys import (
    PRIVATE_KEY_BYTES,
    AgreementKey,
    SecretObject,
    SigningKey,
    check_agreement_public,
    check_signing_public,
    verify_signature,
)
from dfs_sdk.crypto.passphrase import LANES, MEMORY_KIB, PASSES, stretch
from dfs_sdk.errors import IdentityError, ProtocolError
from dfs_sdk.ids import NodeId
from dfs_sdk.runtime.ports import Entropy

NODE_DOMAIN = b"dfs/node/1"
STATIC_DOMAIN = b"dfs/static/1"
IDENTITY_BYTES = 2 * PRIVATE_KEY_BYTES

SEALED_LINE = b"dfs identity 1, sealed with a passphrase\n"
PLAIN_LINE = b"dfs identity 1, NOT protected by a passphrase: whoever reads this file is this node\n"
SALT_BYTES = 16
# What a damaged or planted file may make us spend before its tag is checked.
MEMORY_KIB_MAX = 1024 * 1024
PASSES_MAX = 64
LANES_MAX = 64
_COSTS = Struct(">IHH")


@dataclass(frozen=True)
class PublicIdentity:
    """The public keys of a node. Without slots, since `node_id` is kept in the instance once computed.

    Attributes:
        ed: Ed25519 key that its records and messages are signed with, 32 bytes.
        x: X25519 key that sessions with it start from, 32 bytes.

    Raises:
        ProtocolError: A key has the wrong length, is not canonical, or is of small order.
    """

    ed: bytes
    x: bytes

    def __post_init__(self) -> None:
        check_signing_public(self.ed)
        check_agreement_public(self.x)

    @cached_property
    def node_id(self) -> NodeId:
        """The name of the node that owns these keys."""
        return NodeId(blake3_256(NODE_DOMAIN, self.ed, self.x))


class Identity(SecretObject):
    """The secret keys of this node."""

    __slots__ = ("_agreement", "_certificate", "_public", "_signing")

    def __init__(self, *, signing: SigningKey, agreement: AgreementKey) -> None:
        self._signing = signing
        self._agreement = agreement
        self._public = PublicIdentity(ed=signing.public, x=agreement.public)
        self._certificate = signing.sign(STATIC_DOMAIN + agreement.public)

    @classmethod
    def generate(cls, entropy: Entropy) -> Self:
        """Draw both key pairs."""
        return cls(signing=SigningKey.generate(entropy), agreement=AgreementKey.generate(entropy))

    @classmethod
    def from_bytes(cls, secret: bytes) -> Self:
        """Read what `to_bytes` gave.

        Raises:
            IdentityError: Not 64 bytes.
        """
        if len(secret) != IDENTITY_BYTES:
            raise IdentityError(f"an identity has {IDENTITY_BYTES} secret bytes, not {len(secret)}")
        return cls(
            signing=SigningKey.from_seed(secret[:PRIVATE_KEY_BYTES]),
            agreement=AgreementKey.from_bytes(secret[PRIVATE_KEY_BYTES:]),
        )

    def to_bytes(self) -> bytes:
        """Return the 64 secret bytes: Ed25519 seed, then X25519 private key."""
        return self._signing.seed + self._agreement.private

    @property
    def public(self) -> PublicIdentity:
        """What others may know."""
        return self._public

    @property
    def node_id(self) -> NodeId:
        """The name of this node."""
        return self._public.node_id

    @property
    def signing(self) -> SigningKey:
        """The key records and messages are signed with."""
        return self._signing

    @property
    def agreement(self) -> AgreementKey:
        """The static key of sessions."""
        return self._agreement

    @property
    def certificate(self) -> bytes:
        """The signature of `signing` over the public half of `agreement`, 64 bytes."""
        return self._certificate

    def __repr__(self) -> str:
        return f"Identity({self.node_id.short}…)"


def verify_certificate(public: PublicIdentity, certificate: bytes) -> None:
    """Return only if the owner of `public.ed` says that `public.x` is theirs too.

    Raises:
        ProtocolError: The certificate does not match.
    """
    verify_signature(public.ed, certificate, STATIC_DOMAIN + public.x)


def is_sealed(data: bytes) -> bool:
    """Say whether an identity file needs a passphrase."""
    return data.startswith(SEALED_LINE)


def seal_identity(identity: Identity, passphrase: str | None, entropy: Entropy) -> bytes:
    """Make the contents of an identity file. Blocks for about 0.1 s with a passphrase: offload it.

    Raises:
        ConfigError: The passphrase is empty.
    """
    if passphrase is None:
        body = PLAIN_LINE + identity.to_bytes()
        return body + blake3_256(body)
    salt = entropy.token(SALT_BYTES)
    head = SEALED_LINE + salt + _COSTS.pack(MEMORY_KIB, PASSES, LANES)
    # The salt is fresh, so the stretched key seals this one message.
    return head + seal_once(stretch(passphrase, salt=salt), identity.to_bytes(), head)


def open_identity(data: bytes, passphrase: str | None) -> Identity:
    """Read the contents of an identity file. Blocks for about 0.1 s with a passphrase: offload it.

    A passphrase for an unprotected file is refused: somebody may have put another file in the place of a sealed one.

    Raises:
        IdentityError: Wrong, missing or superfluous passphrase; or the file is damaged.
        ConfigError: The passphrase is empty, or too little memory is free for the file's costs.
    """
    if is_sealed(data):
        if passphrase is None:
            raise IdentityError("the identity file is sealed: give the passphrase it was sealed with")
        return _open_sealed(data, passphrase)
    if not data.startswith(PLAIN_LINE):
        raise IdentityError("this is not an identity file of a version this program knows")
    if passphrase is not None:
        raise IdentityError("the identity file is not protected, but a passphrase was given: open it without one")
    return _open_plain(data)


def _open_plain(data: bytes) -> Identity:
    body, check = data[:-HASH_BYTES], data[-HASH_BYTES:]
    if len(body) != len(PLAIN_LINE) + IDENTITY_BYTES or blake3_256(body) != check:
        raise IdentityError("the identity file is damaged: restore it from a copy")
    return Identity.from_bytes(body[len(PLAIN_LINE) :])


def _open_sealed(data: bytes, passphrase: str) -> Identity:
    salt_end = len(SEALED_LINE) + SALT_BYTES
    head_end = salt_end + _COSTS.size
    if len(data) != head_end + IDENTITY_BYTES + TAG_BYTES:
        raise IdentityError("the identity file is damaged: restore it from a copy")
    memory_kib, passes, lanes = _COSTS.unpack(data[salt_end:head_end])
    if not (1 <= passes <= PASSES_MAX and 1 <= lanes <= LANES_MAX and 8 * lanes <= memory_kib <= MEMORY_KIB_MAX):
        raise IdentityError("the identity file is damaged: restore it from a copy")
    salt = data[len(SEALED_LINE) : salt_end]
    key = stretch(passphrase, salt=salt, memory_kib=memory_kib, passes=passes, lanes=lanes)
    try:
        return Identity.from_bytes(open_once(key, data[head_end:], data[:head_end]))
    except ProtocolError:
        raise IdentityError("the identity file does not open: wrong passphrase, or the file is damaged") from None
