"""Checking what is held: which share of it, what each file says, and how the findings add up.

Nothing here changes anything: the stores act on the findings.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from dfs_sdk.errors import ConfigError, CorruptContentError
from dfs_sdk.ids import ChunkId
from dfs_sdk.store.base import ChunkInfo, ScrubReport
from dfs_sdk.store.files import ChunkFiles

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


def inspected(files: ChunkFiles, infos: Sequence[ChunkInfo], *, read_data: bool) -> tuple[ScrubReport, list[ChunkInfo]]:
    """Compare what is believed of some chunks with their files. Blocks.

    Returns:
        The findings, and the infos as the files have them where they differ.
    """
    corrupt: list[ChunkId] = []
    missing: list[ChunkId] = []
    unreadable: list[ChunkId] = []
    corrections: list[ChunkInfo] = []
    read_bytes = 0
    for info in infos:
        try:
            found = files.load(info.chunk_id)[0] if read_data else files.load_header(info.chunk_id)
        except CorruptContentError:
            corrupt.append(info.chunk_id)
        except FileNotFoundError:
            missing.append(info.chunk_id)
        except OSError:
            unreadable.append(info.chunk_id)
        else:
            read_bytes += found.size if read_data else 0
            wanted = replace(found, last_read_at_wall=info.last_read_at_wall, pinned=info.pinned)
            if wanted != info:
                corrections.append(wanted)
    report = ScrubReport(
        checked_count=len(infos),
        read_bytes=read_bytes,
        corrupt=tuple(corrupt),
        missing=tuple(missing),
        unreadable=tuple(unreadable),
        corrected=tuple(info.chunk_id for info in corrections),
    )
    return report, corrections
