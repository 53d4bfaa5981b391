"""What to pass on next: each piece of news a bounded number of times, the least told first. Pure.

Source: Das, Gupta, Motivala, "SWIM" (2002), section 4.1: λ log N transmissions of an item reach everybody with high
probability, and preferring the least told items makes room for young ones.
"""

from __future__ import annotations

import heapq
import math
from typing import Generic, TypeVar

from dfs_sdk.ids import NodeId

T = TypeVar("T")


class Gossip(Generic[T]):
    """One newest item for each member, and how often it was passed on.

    The number of items is bounded by the number of members: an item replaces an older one about the same member.
    """

    def __init__(self, *, scale: float) -> None:
        self._scale = scale
        self._items: dict[NodeId, tuple[T, int]] = {}

    def __len__(self) -> int:
        return len(self._items)

    def add(self, about: NodeId, item: T) -> None:
        """Begin to pass on `item`, instead of what was told about that member before."""
        self._items[about] = (item, 0)

    def drop(self, about: NodeId) -> None:
        """Stop telling anything about a member."""
        self._items.pop(about, None)

    def take(self, count: int, *, members: int) -> tuple[T, ...]:
        """Choose at most `count` items for one message and count them as passed on once more.

        Args:
            count: The most items.
            members: Size of the network, which decides how often an item is told.
        """
        chosen = heapq.nsmallest(count, self._items.items(), key=lambda entry: (entry[1][1], entry[0]))
        told_max = math.ceil(self._scale * math.log10(members + 2))
        for about, (item, told) in chosen:
            if told + 1 >= told_max:
                del self._items[about]
            else:
                self._items[about] = (item, told + 1)
        return tuple(item for _, (item, _) in chosen)
