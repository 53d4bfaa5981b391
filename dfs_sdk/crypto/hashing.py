"""BLAKE3 for names, keyed BLAKE3 for short tags, HKDF for keys derived from keys.

Parts are hashed as if they were joined: whoever hashes several parts makes their border unambiguous, by fixed
lengths and a leading domain string such as ``b"dfs/node/1"``.

Source: the BLAKE3 paper (O'Connor, Aumasson, Neves, Wilcox-O'Hearn, 2020); RFC 5869 for HKDF.
"""

from __future__ import annotations

import hmac

from blake3 import blake3

from dfs_sdk.runtime.ports import Buffer

HASH_BYTES = 32
KEY_BYTES = 32
HKDF_SIZE_MAX = 255 * 32  # RFC 5869 section 2.3: the block number is one byte


class Blake3:
    """An incremental BLAKE3 hash, keyed when a key is given."""

    __slots__ = ("_state",)

    def __init__(self, *, key: bytes | None = None, max_threads: int = 1) -> None:
        """Start an empty hash.

        Args:
            key: 32 bytes for the keyed mode, or None for the plain one.
            max_threads: Threads one `update` may use; `blake3.AUTO` (-1) takes all cores.

        Raises:
            ValueError: The key is not 32 bytes long.
        """
        if key is None:
            self._state = blake3(max_threads=max_threads)
        else:
            self._state = blake3(key=_checked_key(key), max_threads=max_threads)

    def update(self, data: Buffer) -> None:
        """Append `data`; the interpreter lock is released while a large buffer is hashed."""
        self._state.update(data)

    def digest(self) -> bytes:
        """Return the 32-byte hash of everything appended so far; more may follow."""
        return self._state.digest()


def blake3_256(*parts: Buffer, max_threads: int = 1) -> bytes:
    """Hash the concatenation of `parts` to 32 bytes."""
    state = blake3(max_threads=max_threads)
    for part in parts:
        state.update(part)
    return state.digest()


def keyed_hash(key: bytes, *parts: Buffer) -> bytes:
    """Compute a 32-byte tag over the concatenation of `parts` that only holders of the 32-byte `key` can make.

    Raises:
        ValueError: The key is not 32 bytes long.
    """
    state = blake3(key=_checked_key(key))
    for part in parts:
        state.update(part)
    return state.digest()


def hkdf_sha256(key: bytes, *, info: bytes, salt: bytes = b"", size: int = 32) -> bytes:
    """Derive `size` bytes from `key`, one independent stream for each `info`.

    Args:
        key: Input key material of any length; its secrecy is the secrecy of the result.
        info: What the result is for.
        salt: Optional, public; an empty one counts as 32 zero bytes.
        size: 1 … 8,160 bytes.

    Raises:
        ValueError: `size` is out of range.

    Source: RFC 5869 sections 2.2 and 2.3.
    """
    if not 1 <= size <= HKDF_SIZE_MAX:
        raise ValueError(f"HKDF-SHA256 derives 1 to {HKDF_SIZE_MAX} bytes, not {size}")
    extracted = hmac.digest(salt or bytes(32), key, "sha256")
    block, output = b"", bytearray()
    for number in range(1, -(-size // 32) + 1):
        block = hmac.digest(extracted, block + info + bytes((number,)), "sha256")
        output += block
    return bytes(output[:size])


def _checked_key(key: bytes) -> bytes:
    if len(key) != KEY_BYTES:
        raise ValueError(f"a keyed hash takes a key of {KEY_BYTES} bytes, not {len(key)}")
    return key
