"""Slots: the same views for the same shape, each where it belongs, and a bounded memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.transport.slots import SHAPES_MAX, Slots


@given(st.integers(1, 40), st.integers(1, 20), st.data())
def test_a_view_is_the_part_of_its_slot(stride: int, count: int, data: st.DataObject) -> None:
    slots = Slots(1000)
    slots.view[:] = bytes(index % 251 for index in range(1000))
    start = data.draw(st.integers(0, stride))
    stop = data.draw(st.integers(start, stride))
    for wanted in (1, count):
        views = slots.cut(wanted, stride, start, stop)
        assert len(views) >= wanted
        for index, view in enumerate(views):
            assert view == slots.view[index * stride + start : index * stride + stop]


@given(st.integers(8, 40), st.integers(1, 20), st.data())
def test_rows_and_numbers_are_parts_of_the_slots(stride: int, count: int, data: st.DataObject) -> None:
    slots = Slots(1000)
    slots.view[:] = bytes(index % 251 for index in range(1000))
    start = data.draw(st.integers(0, stride))
    stop = data.draw(st.integers(start, stride))
    first = data.draw(st.integers(0, count - 1))
    rows = slots.rows(count - first, stride, start, stop, first=first)
    assert [bytes(row) for row in rows] == [bytes(view) for view in slots.cut(count, stride, start, stop)[first:count]]
    at = data.draw(st.integers(0, stride - 4))
    expected = [int.from_bytes(view, "big") for view in slots.cut(count, stride, at, at + 4)[:count]]
    assert slots.numbers(count, stride, at, 4).tolist() == expected
    slots.numbers(count, stride, at, 4)[:] = range(count)
    assert bytes(slots.view[at : at + 4]) == bytes(4)


def test_a_shape_is_cut_once() -> None:
    slots = Slots(100)
    first = slots.cut(3, 10, 2, 8)
    assert slots.cut(5, 10, 2, 8) is first
    assert len(first) == 5
    first[4][:] = b"sliced"
    assert bytes(slots.view[42:48]) == b"sliced"


def test_more_slots_than_the_buffer_holds_are_refused() -> None:
    slots = Slots(100)
    with pytest.raises(ValueError, match="11 slots of 10 bytes"):
        slots.cut(11, 10, 0, 10)
    for attempt in (
        lambda: slots.rows(11, 10, 0, 10),
        lambda: slots.rows(1, 10, 0, 10, first=10),
        lambda: slots.numbers(11, 10, 0, 4),
    ):
        with pytest.raises(ValueError):
            attempt()


def test_many_shapes_leave_a_bounded_memory() -> None:
    slots = Slots(1000)
    for size in range(1, 10 * SHAPES_MAX):
        assert len(slots.cut(2, size, 0, size)[1]) == size
        assert len(slots._cuts) <= SHAPES_MAX
