"""Hashing chunks: how anything that comes in, or out, is held against its id."""

from __future__ import annotations

from collections.abc import Iterable

from dfs_sdk.crypto.hashing import blake3_256
from dfs_sdk.errors import ProtocolError
from dfs_sdk.ids import ChunkId
from dfs_sdk.runtime.ports import Buffer

# BLAKE3 hashes some 1 to 4 GB/s on one core: up to here hashing on the loop is cheaper than a thread hop and stays far
# below the 10 ms for which the loop may be held.
INLINE_HASH_BYTES_MAX = 2 * 1024 * 1024


def matches(chunk_id: ChunkId, data: Buffer) -> bool:
    """Say whether `data` hashes to the id."""
    return blake3_256(data) == chunk_id


def verify_ids(contents: Iterable[tuple[ChunkId, Buffer]]) -> None:
    """Hash every chunk.

    Raises:
        ProtocolError: One does not hash to its id.
    """
    for chunk_id, data in contents:
        if not matches(chunk_id, data):
            raise ProtocolError(f"the bytes given for chunk {chunk_id.short} do not hash to its id")
