"""The local store: sealed chunks and small documents, kept so that no crash loses what was acknowledged.

`base` is the interface, `memory` and `disk` keep it, `quota` and `scrub` are the pure rules they share.
"""

from __future__ import annotations

from dfs_sdk.store.base import (
    CHUNK_BYTES_MAX,
    DOCUMENT_BYTES_MAX,
    ChunkInfo,
    ChunkStore,
    DocumentStore,
    NewChunk,
    Role,
    ScrubReport,
    StoreUsage,
)
from dfs_sdk.store.config import StoreConfig
from dfs_sdk.store.disk import DiskStore
from dfs_sdk.store.memory import MemoryStore

__all__ = [
    "CHUNK_BYTES_MAX",
    "DOCUMENT_BYTES_MAX",
    "ChunkInfo",
    "ChunkStore",
    "DiskStore",
    "DocumentStore",
    "MemoryStore",
    "NewChunk",
    "Role",
    "ScrubReport",
    "StoreConfig",
    "StoreUsage",
]
