"""What a check looks at and how its findings add up. Pure; the stores do the reading."""

from __future__ import annotations

from collections.abc import Iterable

from dfs_sdk.errors import ConfigError
from dfs_sdk.ids import ChunkId
from dfs_sdk.store.base import ScrubReport

SUBSET_PARTS_MAX = 65_536


def validate_subset(subset: tuple[int, int] | None) -> None:
    """Check a (part, parts) pair.

    Raises:
        ConfigError: It is out of range.
    """
    if subset is not None and not 1 <= subset[0] <= subset[1] <= SUBSET_PARTS_MAX:
        raise ConfigError(f"subset {subset}: give (part, parts) with 1 <= part <= parts <= {SUBSET_PARTS_MAX}")


def in_subset(chunk_id: ChunkId, subset: tuple[int, int] | None) -> bool:
    """Say whether a chunk is in a share; the shares of one `parts` split all chunks without overlap."""
    if subset is None:
        return True
    part, parts = subset
    return int.from_bytes(chunk_id[-8:], "big") % parts == part - 1


def joined(reports: Iterable[ScrubReport]) -> ScrubReport:
    """Add up the reports of several rounds."""
    rounds = list(reports)
    return ScrubReport(
        checked_count=sum(report.checked_count for report in rounds),
        read_bytes=sum(report.read_bytes for report in rounds),
        corrupt=tuple(chunk_id for report in rounds for chunk_id in report.corrupt),
        missing=tuple(chunk_id for report in rounds for chunk_id in report.missing),
        unreadable=tuple(chunk_id for report in rounds for chunk_id in report.unreadable),
        corrected=tuple(chunk_id for report in rounds for chunk_id in report.corrected),
    )
