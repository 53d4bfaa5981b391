"""Room: what a chunk is charged, and what must go to make room for another. Pure.

Only unpinned cache copies go, the least recently read first: redundancy never counts on them, while surplus copies
stand in for a peer that is away and primary ones are our duty.
"""

from __future__ import annotations

from collections.abc import Iterable

from dfs_sdk.errors import QuotaExceededError
from dfs_sdk.ids import ChunkId
from dfs_sdk.store.base import ChunkInfo

# One block of a common file system. Charging it bounds the number of chunks a quota can hold, so that a flood of
# one-byte chunks cannot fill the disk or the index at no cost.
CHARGE_BYTES_MIN = 4096


def charged_bytes(size: int) -> int:
    """Say what a chunk of `size` bytes counts against the quota."""
    return max(size, CHARGE_BYTES_MIN)


def eviction_order(chunks: Iterable[ChunkInfo]) -> list[ChunkInfo]:
    """Order the chunks that may go: least recently read first, ties by id."""
    return sorted((info for info in chunks if info.evictable), key=lambda info: (info.last_read_at_wall, info.chunk_id))


def plan_eviction(
    needed_bytes: int,
    *,
    used_bytes: int,
    capacity_bytes: int,
    evictable_bytes: int,
    candidates: Iterable[ChunkInfo],
) -> list[ChunkId]:
    """Choose what to evict so that `needed_bytes` fit, as little as the order allows.

    Args:
        needed_bytes: Charged bytes of what comes in.
        used_bytes: Charged bytes held or promised.
        capacity_bytes: The quota.
        evictable_bytes: Charged bytes of all candidates: lets a refusal cost no search.
        candidates: Evictable chunks in `eviction_order`; only as many are drawn as have to go.

    Raises:
        QuotaExceededError: Everything evictable together is not enough.
    """
    short_bytes = used_bytes + needed_bytes - capacity_bytes
    if needed_bytes == 0 or short_bytes <= 0:
        return []
    if short_bytes <= evictable_bytes:
        chosen: list[ChunkId] = []
        for info in candidates:
            chosen.append(info.chunk_id)
            short_bytes -= charged_bytes(info.size)
            if short_bytes <= 0:
                return chosen
    raise QuotaExceededError(
        f"the store is full: {needed_bytes} bytes do not fit, {used_bytes} of {capacity_bytes} are in use and "
        f"{evictable_bytes} of those are cache copies that may go. Raise the quota, remove files, or unpin some."
    )
