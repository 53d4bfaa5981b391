"""A set of ranges behaves like a set of integers, whatever is done to it."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from dfs_sdk.transport.ranges import RangeSet

VALUES = st.integers(0, 60)


class RangesAgainstASet(RuleBasedStateMachine):
    """The naive model is a Python set."""

    def __init__(self):
        super().__init__()
        self.ranges = RangeSet()
        self.model: set[int] = set()

    @rule(start=VALUES, length=st.integers(-1, 20))
    def add(self, start, length):
        fresh = set(range(start, start + length)) - self.model
        assert self.ranges.add(start, start + length) == len(fresh)
        self.model |= fresh

    @rule(start=VALUES, length=st.integers(-1, 20))
    def remove(self, start, length):
        gone = set(range(start, start + length)) & self.model
        assert self.ranges.remove(start, start + length) == len(gone)
        self.model -= gone

    @rule(floor=VALUES)
    def remove_below(self, floor):
        self.ranges.remove_below(floor)
        self.model = {value for value in self.model if value >= floor}

    @rule(start=VALUES, length=st.integers(0, 30))
    def missing(self, start, length):
        gaps = self.ranges.missing(start, start + length)
        members = [value for low, high in gaps for value in range(low, high)]
        assert members == sorted(set(range(start, start + length)) - self.model)

    @rule(count=st.integers(1, 5))
    def newest(self, count):
        assert self.ranges.newest(count) == list(self.ranges)[::-1][:count]

    @invariant()
    def same_members(self):
        assert {value for low, high in self.ranges for value in range(low, high)} == self.model
        assert self.ranges.total == len(self.model)
        assert all((value in self.ranges) == (value in self.model) for value in range(-1, 90))

    @invariant()
    def ranges_are_disjoint_sorted_and_apart(self):
        edges = [edge for pair in self.ranges for edge in pair]
        assert edges == sorted(set(edges))
        if self.model:
            assert self.ranges.first[0] == min(self.model)
            assert self.ranges.last[1] == max(self.model) + 1


TestRangesAgainstASet = RangesAgainstASet.TestCase
TestRangesAgainstASet.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
