"""How well a file is kept, in one of five words: pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum

from dfs_sdk.ids import NodeId


class Health(Enum):
    """The words of the file list."""

    HEALTHY = "healthy"
    REPAIRING = "repairing"
    UNDER_TARGET = "under target"
    ONLY_HERE = "only here"
    UNAVAILABLE = "unavailable"


def copies_min(holders_of_chunks: Iterable[Sequence[NodeId]], is_reachable: Callable[[NodeId], bool]) -> int:
    """Count the reachable copies of the scarcest chunk; 0 for no chunks."""
    return min(
        (sum(is_reachable(holder) for holder in holders) for holders in holders_of_chunks),
        default=0,
    )


def machines_min(
    holders_of_chunks: Iterable[Sequence[NodeId]],
    is_reachable: Callable[[NodeId], bool],
    machine_of: Callable[[NodeId], bytes],
) -> int:
    """Count the machines with a reachable copy of the chunk that is on the fewest; 0 for no chunks."""
    return min(
        (len({machine_of(holder) for holder in holders if is_reachable(holder)}) for holders in holders_of_chunks),
        default=0,
    )


def judge(*, copies: int, wanted: int, members: int, only_here: bool) -> Health:
    """Choose the word.

    Args:
        copies: Reachable copies of the scarcest chunk.
        wanted: Copies its owner asks for.
        members: Reachable members of the network, this node included.
        only_here: Whether some chunk has its only copy on this node.
    """
    if copies == 0:
        return Health.UNAVAILABLE
    if copies >= wanted:
        return Health.HEALTHY
    if only_here:
        return Health.ONLY_HERE
    return Health.REPAIRING if members > copies else Health.UNDER_TARGET
