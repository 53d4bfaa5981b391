"""Cryptography: hashes, keys, identities, sealed packets, handshakes.

The only package that imports a primitives library. What a peer sent and does not verify raises `ProtocolError`;
secrets come from the Entropy port, except where a module says otherwise.
"""

from dfs_sdk.crypto.aead import ReceiveCipher, SendCipher, open_once, seal_once
from dfs_sdk.crypto.hashing import Blake3, blake3_256, hkdf_sha256, keyed_hash
from dfs_sdk.crypto.identity import (
    Identity,
    PublicIdentity,
    is_sealed,
    open_identity,
    seal_identity,
    verify_certificate,
)
from dfs_sdk.crypto.keys import AgreementKey, SigningKey, verify_signature
from dfs_sdk.crypto.noise import HandshakeState
from dfs_sdk.crypto.passphrase import stretch
from dfs_sdk.crypto.sealing import open_sealed, seal_to

__all__ = [
    "AgreementKey",
    "Blake3",
    "HandshakeState",
    "Identity",
    "PublicIdentity",
    "ReceiveCipher",
    "SendCipher",
    "SigningKey",
    "blake3_256",
    "hkdf_sha256",
    "is_sealed",
    "keyed_hash",
    "open_identity",
    "open_once",
    "open_sealed",
    "seal_identity",
    "seal_once",
    "seal_to",
    "stretch",
    "verify_certificate",
    "verify_signature",
]
