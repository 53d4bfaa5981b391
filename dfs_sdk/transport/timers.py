"""A queue of deadlines, one an owner, in which setting a deadline again is cheap."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

OwnerT = TypeVar("OwnerT")
STALE_RATIO_MAX = 4


class TimerQueue(Generic[OwnerT]):
    """Deadlines in order; entries that were set anew stay in the heap until they come up or outnumber the others."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, OwnerT]] = []
        self._current: dict[OwnerT, tuple[float, int]] = {}
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._current)

    def set(self, owner: OwnerT, deadline: float) -> None:
        """Give `owner` this deadline instead of the one it has."""
        known = self._current.get(owner)
        if known is not None and known[0] == deadline:
            return
        self._sequence += 1
        self._current[owner] = (deadline, self._sequence)
        heappush(self._heap, (deadline, self._sequence, owner))
        if len(self._heap) > STALE_RATIO_MAX * len(self._current) + 64:
            self._heap = [(at, sequence, owner) for owner, (at, sequence) in self._current.items()]
            heapify(self._heap)

    def cancel(self, owner: OwnerT) -> None:
        """Take the owner's deadline away; harmless when it has none."""
        self._current.pop(owner, None)

    def next_deadline(self) -> float | None:
        """Return the earliest deadline."""
        self._drop_stale()
        return self._heap[0][0] if self._heap else None

    def expired(self, now: float) -> list[OwnerT]:
        """Remove and return the owners whose deadline has come, in the order of deadlines."""
        owners: list[OwnerT] = []
        self._drop_stale()
        while self._heap and self._heap[0][0] <= now:
            owner = heappop(self._heap)[2]
            del self._current[owner]
            owners.append(owner)
            self._drop_stale()
        return owners

    def _drop_stale(self) -> None:
        while self._heap:
            _, sequence, owner = self._heap[0]
            known = self._current.get(owner)
            if known is not None and known[1] == sequence:
                return
            heappop(self._heap)
