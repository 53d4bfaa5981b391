"""The fixed layouts that a store writes: the header of a chunk file and the file that names the store. Pure.

docs/storage-format.md is their description; both are big-endian, carry a version and end in a BLAKE3 checksum.
"""

from __future__ import annotations

import math
import struct

from dfs_sdk.crypto.hashing import blake3_256
from dfs_sdk.errors import CorruptContentError, StoreError
from dfs_sdk.ids import ChunkId
from dfs_sdk.runtime.ports import Buffer
from dfs_sdk.store.base import CHUNK_BYTES_MAX, REMOVAL_HASH_BYTES, STORAGE_UUID_BYTES, ChunkInfo, Role

CHUNK_MAGIC = b"DFSCHUNK"
CHUNK_VERSION = 1
HEADER_BYTES = 128
_CHUNK = struct.Struct(">8sHBBIQd32s32sB15x")
_CHUNK_DOMAIN = b"dfs/store/chunk-header/1"
_CHECKSUM_BYTES = HEADER_BYTES - _CHUNK.size
_HAS_REMOVAL_HASH = 1
_ROLES = frozenset(role.value for role in Role)

STORE_MAGIC = b"DFSSTORE"
STORE_VERSION = 1
STORE_FILE_BYTES = 64
_STORE = struct.Struct(">8sH6x16s")
_STORE_DOMAIN = b"dfs/store/name/1"


def encode_header(info: ChunkInfo) -> bytes:
    """Write the 128 bytes that precede a chunk's data in its file."""
    fields = _CHUNK.pack(
        CHUNK_MAGIC,
        CHUNK_VERSION,
        info.role.value,
        _HAS_REMOVAL_HASH if info.removal_hash else 0,
        info.cell,
        info.size,
        info.stored_at_wall,
        info.chunk_id,
        info.removal_hash or bytes(REMOVAL_HASH_BYTES),
        info.replicas,
    )
    return fields + blake3_256(_CHUNK_DOMAIN, fields)[:_CHECKSUM_BYTES]


def decode_header(data: Buffer) -> ChunkInfo:
    """Read a header; the last read counts as the arrival, and nothing is pinned.

    Args:
        data: At least the first 128 bytes of a file.

    Raises:
        CorruptContentError: It is not a whole, undamaged header of this version.
    """
    fields, checksum = data[: _CHUNK.size], data[_CHUNK.size : HEADER_BYTES]
    if len(data) < HEADER_BYTES or blake3_256(_CHUNK_DOMAIN, fields)[:_CHECKSUM_BYTES] != checksum:
        raise CorruptContentError("the header of a chunk file is cut short or damaged")
    magic, version, role, flags, cell, size, stored_at, chunk_id, removal_hash, replicas = _CHUNK.unpack(fields)
    sound = role in _ROLES and flags in (0, _HAS_REMOVAL_HASH) and size <= CHUNK_BYTES_MAX and math.isfinite(stored_at)
    sound = sound and replicas >= 1
    if magic != CHUNK_MAGIC or version != CHUNK_VERSION or not sound:
        raise CorruptContentError(f"the header of a chunk file is not of version {CHUNK_VERSION}")
    return ChunkInfo(
        chunk_id=ChunkId(chunk_id),
        size=size,
        cell=cell,
        role=Role(role),
        removal_hash=removal_hash if flags & _HAS_REMOVAL_HASH else b"",
        stored_at_wall=stored_at,
        last_read_at_wall=stored_at,
        replicas=replicas,
    )


def encode_store_name(storage_uuid: bytes) -> bytes:
    """Write the file that names a store."""
    fields = _STORE.pack(STORE_MAGIC, STORE_VERSION, storage_uuid)
    return fields + blake3_256(_STORE_DOMAIN, fields)[: STORE_FILE_BYTES - _STORE.size]


def decode_store_name(data: bytes) -> bytes | None:
    """Read the file that names a store and return its uuid, or None when it is damaged.

    Raises:
        StoreError: It is sound, but of another version.
    """
    fields, checksum = data[: _STORE.size], data[_STORE.size :]
    if len(data) != STORE_FILE_BYTES or blake3_256(_STORE_DOMAIN, fields)[: len(checksum)] != checksum:
        return None
    magic, version, storage_uuid = _STORE.unpack(fields)
    if magic != STORE_MAGIC or len(storage_uuid) != STORAGE_UUID_BYTES:
        return None
    if version != STORE_VERSION:
        raise StoreError(
            f"this store has format {version}, this program writes format {STORE_VERSION}: "
            "use the version of dfs_sdk that made it, or another folder"
        )
    return bytes(storage_uuid)
