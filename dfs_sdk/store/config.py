"""What can be tuned about a store. All sizes are bytes."""

from __future__ import annotations

from dataclasses import dataclass

from dfs_sdk.errors import ConfigError, require_at_least

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreConfig:
    """Limits of one store.

    Attributes:
        capacity_bytes: The quota: the most that all chunks together may be charged.
        documents_bytes_max: The most that the values of all documents together may take.
        free_bytes_min: Room left on the disk for others: a write that would leave less is refused.
        reserve_bytes: Size of the file that is given up when the disk is full, so that deletes and an orderly
            end still work.
        quarantine_files_max: Damaged files kept as evidence; beyond that they are deleted.
        lock_wait_seconds: How long `open` waits for another process that is about to let go.
    """

    capacity_bytes: int = 10 * GIB
    documents_bytes_max: int = 1 * GIB
    free_bytes_min: int = 64 * MIB
    reserve_bytes: int = 1 * MIB
    quarantine_files_max: int = 64
    lock_wait_seconds: float = 0.5

    def __post_init__(self) -> None:
        require_at_least(
            0, self, "capacity_bytes", "documents_bytes_max", "free_bytes_min", "reserve_bytes", "quarantine_files_max"
        )
        if not 0 <= self.lock_wait_seconds <= 1:
            raise ConfigError(f"lock_wait_seconds is {self.lock_wait_seconds}: give 0 to 1 seconds")
