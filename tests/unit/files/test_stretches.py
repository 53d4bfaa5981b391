"""Stretches of a growing file: each told once, when nothing in it is missing."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.files.chunker import chunk_span
from dfs_sdk.files.stretches import MIB, STRETCH_BYTES, Stretches


def test_a_stretch_is_told_when_its_last_piece_lands_whatever_the_order():
    stretches = Stretches(40 * MIB, MIB)
    told = [stretches.note(index * MIB, MIB) for index in reversed(range(40))]
    assert [stretch for stretch in told if stretch] == [
        (32 * MIB, 8 * MIB),
        (STRETCH_BYTES, STRETCH_BYTES),
        (0, STRETCH_BYTES),
    ]


def test_a_chunk_longer_than_a_stretch_is_one():
    stretches = Stretches(50 * MIB, 20 * MIB)
    assert stretches.note(20 * MIB, 20 * MIB) == (20 * MIB, 20 * MIB)
    assert stretches.note(40 * MIB, 10 * MIB) == (40 * MIB, 10 * MIB)


@given(size=st.integers(1, 200 * MIB), chunk_bytes=st.sampled_from([MIB, 3 * MIB, 4 * MIB]), order=st.randoms())
def test_all_stretches_together_are_the_file(size: int, chunk_bytes: int, order):
    spans = [chunk_span(index, size, chunk_bytes) for index in range(-(-size // chunk_bytes))]
    order.shuffle(spans)
    stretches = Stretches(size, chunk_bytes)
    told = sorted(filter(None, (stretches.note(*span) for span in spans)))
    assert told[0][0] == 0
    assert all(start + length == following for (start, length), (following, _) in pairwise(told))
    assert sum(told[-1]) == size
