"""Keys of a file and the sealing of its chunks: pure, called in worker threads for anything large.

Each key seals one plaintext only: it is derived with a salt that is itself a keyed hash of the plaintext. Sealing the
same bytes again gives the same chunk, so an interrupted upload goes on where it stopped; other bytes never meet the
same key, so a nonce of zero is safe.

Where the salt is checked on opening, in manifests, it also binds key and plaintext to each other: AES-GCM alone would
let a sender find two keys that open the same bytes. Chunks need no such check: their salts and ids lie in the manifest
and their keys follow from the read key it commits to, so a link has one plaintext.
Source: Bellare and Hoang, "Efficient Schemes for Committing Authenticated Encryption" (2022), for why that matters.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

from dfs_sdk.crypto.aead import TAG_BYTES, open_once, open_once_into, seal_once
from dfs_sdk.crypto.hashing import KEY_BYTES, blake3_256, hkdf_sha256, keyed_hash
from dfs_sdk.errors import CorruptContentError, ProtocolError
from dfs_sdk.files.link import verify_key_of
from dfs_sdk.ids import ChunkId
from dfs_sdk.runtime.ports import Buffer

SALT_BYTES = 16
SEAL_OVERHEAD_BYTES = TAG_BYTES
_CHUNK_INFO = b"dfs/chunk/1"
_SALT_INFO = b"dfs/salt/1"
_COMMITMENT_INFO = b"dfs/commitment/1"


@dataclass(frozen=True, slots=True)
class FileKeys:
    """The keys of one file, all derived from its read key.

    Attributes:
        read_key: 32 secret random bytes, never used for two files.
        verify_key: Opens the public part of the manifest.
        salt_key: Keys the hash that salts are made of.
        commitment: 32 public bytes that only this read key gives.
    """

    read_key: bytes = field(repr=False)
    verify_key: bytes = field(init=False, repr=False)
    salt_key: bytes = field(init=False, repr=False)
    commitment: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.read_key) != KEY_BYTES:
            raise ValueError(f"a read key has {KEY_BYTES} bytes, not {len(self.read_key)}")
        object.__setattr__(self, "verify_key", verify_key_of(self.read_key))
        object.__setattr__(self, "salt_key", hkdf_sha256(self.read_key, info=_SALT_INFO))
        object.__setattr__(self, "commitment", hkdf_sha256(self.read_key, info=_COMMITMENT_INFO))


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedChunk:
    """A chunk ready to leave this node.

    Attributes:
        index: Its position in the file.
        chunk_id: BLAKE3 of `data`.
        salt: What its key is derived with.
        size: Plain bytes.
        data: Sealed bytes.
    """

    index: int
    chunk_id: ChunkId
    salt: bytes
    size: int
    data: bytes = field(repr=False)


def seal_chunk(keys: FileKeys, index: int, plaintext: Buffer) -> SealedChunk:
    """Seal one chunk of a file; the same chunk of the same file always gives the same bytes."""
    number = index.to_bytes(4, "big")
    salt = keyed_hash(keys.salt_key, number, plaintext)[:SALT_BYTES]
    data = seal_once(_chunk_key(keys, number, salt), plaintext, _CHUNK_INFO + number)
    return SealedChunk(index=index, chunk_id=ChunkId(blake3_256(data)), salt=salt, size=len(plaintext), data=data)


def open_chunk(keys: FileKeys, index: int, salt: bytes, data: Buffer) -> bytes:
    """Open a chunk whose bytes were held against its id already.

    Raises:
        CorruptContentError: It was not sealed as this chunk of this file.
    """
    number = index.to_bytes(4, "big")
    try:
        return open_once(_chunk_key(keys, number, salt), data, _CHUNK_INFO + number)
    except ProtocolError:
        raise CorruptContentError(f"chunk {index} is not what the file's manifest says") from None


def open_chunk_into(keys: FileKeys, index: int, salt: bytes, data: Buffer, out: memoryview) -> None:
    """Open a chunk like `open_chunk`, into memory of exactly its plain length.

    Raises:
        CorruptContentError: It was not sealed as this chunk of this file.
    """
    number = index.to_bytes(4, "big")
    try:
        open_once_into(_chunk_key(keys, number, salt), data, _CHUNK_INFO + number, out)
    except ProtocolError:
        raise CorruptContentError(f"chunk {index} is not what the file's manifest says") from None


def seal_salted(key: bytes, info: bytes, plaintext: bytes) -> bytes:
    """Seal under a key derived from `key` and the plaintext: salt (16) ‖ ciphertext and tag."""
    salt = _salt(key, info, plaintext)
    return salt + seal_once(hkdf_sha256(key, info=info, salt=salt), plaintext, info)


def open_salted(key: bytes, info: bytes, sealed: Buffer) -> bytes:
    """Verify and open what `seal_salted` made.

    Raises:
        ProtocolError: Wrong key, or the bytes were altered, cut or made to open under two keys.
    """
    salt = bytes(sealed[:SALT_BYTES])
    if len(salt) != SALT_BYTES:
        raise ProtocolError("sealed bytes are cut short")
    plaintext = open_once(hkdf_sha256(key, info=info, salt=salt), sealed[SALT_BYTES:], info)
    if not hmac.compare_digest(_salt(key, info, plaintext), salt):
        raise ProtocolError("the sealed bytes open under more than one key")
    return plaintext


def _salt(key: bytes, info: bytes, plaintext: bytes) -> bytes:
    return keyed_hash(hkdf_sha256(key, info=_SALT_INFO + info), plaintext)[:SALT_BYTES]


def _chunk_key(keys: FileKeys, number: bytes, salt: bytes) -> bytes:
    return hkdf_sha256(keys.read_key, info=_CHUNK_INFO + number + salt)
