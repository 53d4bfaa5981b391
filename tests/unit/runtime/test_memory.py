import gc
import resource
import sys

import pytest

from dfs_sdk.runtime.memory import LentMemory, is_settled

PAGES = 2_048


def faults() -> int:
    """How many pages this process was given so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def test_what_is_written_to_the_lent_view_is_given_away():
    memory = LentMemory(4)
    view = memory.getbuffer()
    assert bytes(view) == bytes(4)
    view[1:3] = b"ab"
    view.release()
    assert memory.getvalue() == b"\0ab\0"


def test_memory_is_lent_as_long_as_any_view_of_it_is_left():
    memory = LentMemory(4)
    assert not memory.is_lent
    view = memory.getbuffer()
    part = view[1:3].toreadonly()
    del view
    assert memory.is_lent
    del part
    assert not memory.is_lent
    assert len(memory.getbuffer()) == memory.size_bytes == 4


def test_memory_is_not_touched_before_it_is_used():
    gc.collect()
    before = faults()
    views = [LentMemory(PAGES * resource.getpagesize()).getbuffer() for _ in range(4)]
    assert faults() - before < PAGES
    assert not any(view[-1] for view in views)


def test_closing_what_is_lent_leaves_it_to_its_borrower():
    memory = LentMemory(4)
    view = memory.getbuffer()
    memory.close()
    view[0] = 1
    assert bytes(view) == b"\1\0\0\0"


def test_collector_that_finds_memory_and_view_in_a_circle_says_nothing(monkeypatch):
    said: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", said.append)
    for _ in range(100):
        memory = LentMemory(4)
        circle: list[object] = [memory, memory.getbuffer()]
        circle.append(circle)
    del memory, circle
    gc.collect()
    assert said == []


@pytest.mark.parametrize(
    ("view", "settled"),
    [
        (memoryview(b"bytes"), True),
        (memoryview(b"bytes")[1:].cast("b"), True),
        (LentMemory(4).getbuffer().toreadonly()[2:], True),
        (LentMemory(4).getbuffer(), False),
        (memoryview(bytearray(4)).toreadonly(), False),
    ],
)
def test_only_bytes_and_lent_memory_shown_to_be_read_stay_as_they_are(view, settled):
    assert is_settled(view) is settled
