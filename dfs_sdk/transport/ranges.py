"""A set of integers kept as sorted, disjoint, half-open ranges.

It numbers received packets (replay window and acknowledgements), bytes of a message that landed, and bytes that are
still to be sent. All operations take whole ranges, so that a burst of 64 packets costs one of them.

Invariant: `starts[i] < stops[i] < starts[i + 1]`: ranges that touch are merged.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator


class RangeSet:
    """A set of integers; `len()` gives the number of ranges, `total` that of members."""

    __slots__ = ("_starts", "_stops", "_total")

    def __init__(self, start: int = 0, stop: int = 0) -> None:
        """Hold the members of [start, stop)."""
        self._starts: list[int] = [start] if start < stop else []
        self._stops: list[int] = [stop] if start < stop else []
        self._total = max(stop - start, 0)

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._starts, self._stops, strict=True)

    def __contains__(self, value: int) -> bool:
        index = bisect_right(self._starts, value) - 1
        return index >= 0 and value < self._stops[index]

    def __repr__(self) -> str:
        return f"RangeSet({list(self)})"

    @property
    def total(self) -> int:
        """How many integers it holds."""
        return self._total

    @property
    def first(self) -> tuple[int, int]:
        """The lowest range.

        Raises:
            IndexError: The set is empty.
        """
        return self._starts[0], self._stops[0]

    @property
    def last(self) -> tuple[int, int]:
        """The highest range.

        Raises:
            IndexError: The set is empty.
        """
        return self._starts[-1], self._stops[-1]

    def newest(self, count: int) -> list[tuple[int, int]]:
        """Return the `count` highest ranges, highest first."""
        return list(zip(self._starts[: -count - 1 : -1], self._stops[: -count - 1 : -1], strict=True))

    def add(self, start: int, stop: int) -> int:
        """Add [start, stop) and return how many members are new."""
        if start >= stop:
            return 0
        starts, stops = self._starts, self._stops
        if stops and stops[-1] == start:  # the common case: what comes next
            stops[-1] = stop
            self._total += stop - start
            return stop - start
        low = bisect_left(stops, start)
        high = bisect_right(starts, stop)
        if low == high:
            starts.insert(low, start)
            stops.insert(low, stop)
            self._total += stop - start
            return stop - start
        merged_start = min(start, starts[low])
        merged_stop = max(stop, stops[high - 1])
        if high - low == 1:
            known = stops[low] - starts[low]
            starts[low], stops[low] = merged_start, merged_stop
        else:
            known = sum(stops[low:high]) - sum(starts[low:high])
            starts[low:high], stops[low:high] = [merged_start], [merged_stop]
        fresh = merged_stop - merged_start - known
        self._total += fresh
        return fresh

    def remove(self, start: int, stop: int) -> int:
        """Remove [start, stop) and return how many members went."""
        starts, stops = self._starts, self._stops
        if starts and starts[0] == start < stop < stops[0]:  # the common case: a part of the first range
            starts[0] = stop
            self._total -= stop - start
            return stop - start
        low = bisect_right(stops, start)
        high = bisect_left(starts, stop)
        if start >= stop or low >= high:
            return 0
        left, right = starts[low], stops[high - 1]
        gone = sum(stops[low:high]) - sum(starts[low:high])
        kept_starts: list[int] = []
        kept_stops: list[int] = []
        if left < start:
            kept_starts.append(left)
            kept_stops.append(start)
            gone -= start - left
        if right > stop:
            kept_starts.append(stop)
            kept_stops.append(right)
            gone -= right - stop
        starts[low:high], stops[low:high] = kept_starts, kept_stops
        self._total -= gone
        return gone

    def missing(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Return the parts of [start, stop) that are not in the set."""
        gaps: list[tuple[int, int]] = []
        for index in range(bisect_right(self._stops, start), len(self._starts)):
            if self._starts[index] >= stop:
                break
            if self._starts[index] > start:
                gaps.append((start, self._starts[index]))
            start = self._stops[index]
        if start < stop:
            gaps.append((start, stop))
        return gaps

    def remove_below(self, floor: int) -> None:
        """Remove all members below `floor`."""
        if self._starts and self._starts[0] < floor:
            self.remove(self._starts[0], floor)
