from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.node.snapshot import FileRow
from dfs_sdk.ui import listing
from dfs_sdk.ui.listing import CHANGES_INTERVAL_MIN, VIEWS_MAX, Listing, Look, Order, Sort, row_values
from tests.fakes.hostile import HOSTILE, SURROGATES
from tests.fakes.rows import NOW, file_row

ROWS = (
    file_row("beta", file_id="1", size=3, copies_min=1, health="under target", origin="put", created_at_wall=NOW - 9),
    file_row("Alpha", file_id="2", size=1, copies_min=3, health="healthy", origin="got", created_at_wall=NOW - 3),
    file_row("gamma", file_id="3", size=2, copies_min=0, health="unavailable", origin="shared by Ben"),
)


def listed(*rows: FileRow) -> Listing:
    fresh = Listing()
    fresh.update(rows)
    return fresh


@pytest.mark.parametrize(
    ("sort", "names"),
    [
        (Sort.NAME, ["Alpha", "beta", "gamma"]),
        (Sort.SIZE, ["Alpha", "gamma", "beta"]),
        (Sort.COPIES, ["gamma", "beta", "Alpha"]),
        (Sort.HEALTH, ["gamma", "beta", "Alpha"]),
        (Sort.ORIGIN, ["Alpha", "beta", "gamma"]),
        (Sort.AGE, ["Alpha", "beta", "gamma"]),
    ],
)
def test_every_order_sorts_both_ways(sort: Sort, names: list[str]):
    rows = listed(*ROWS)
    assert [row.name for row in rows.ordered(Order(sort=sort))] == names
    assert [row.name for row in rows.ordered(Order(sort=sort, descending=True))] == names[::-1]


@pytest.mark.parametrize(
    ("search", "names"),
    [
        ("ALPHA", ["Alpha"]),
        ("ben", ["gamma"]),
        ("target", ["beta"]),
        ("mm unavail", ["gamma"]),
        ("a zz", []),
        ("  ", ["Alpha", "beta", "gamma"]),
    ],
)
def test_every_word_of_a_search_must_be_found(search: str, names: list[str]):
    assert [row.name for row in listed(*ROWS).ordered(Order(search=search))] == names


def test_view_hears_of_changes_within_its_window_only():
    rows = listed(*ROWS)
    rows.look("v", Look(first=1, count=1), 0.0)
    rows.update((*ROWS[1:], file_row("beta", file_id="1", copies_min=2)))
    (told,) = rows.changes(10.0)
    assert (told["first"], told["count"], told["matching"]) == (1, 1, 3)
    assert [(place, row["held"]) for place, row in told["rows"]] == [(0, 2)]
    rows.update((file_row("Alpha", file_id="2", size=77), *rows.ordered(Order())[1:]))
    assert rows.changes(20.0) == []


def test_changes_come_no_oftener_than_allowed_and_are_not_forgotten():
    rows = listed(*ROWS)
    rows.look("v", Look(count=3), 0.0)
    rows.update(ROWS[:2])
    assert rows.changes(CHANGES_INTERVAL_MIN / 2) == []
    assert rows.behind
    assert len(rows.changes(CHANGES_INTERVAL_MIN)) == 1
    assert not rows.behind


def test_view_that_looked_longest_ago_gives_way():
    rows = listed(*ROWS)
    for number in range(VIEWS_MAX + 3):
        rows.look(f"view {number}", Look(count=3), 0.0)
    rows.forget(f"view {VIEWS_MAX}")
    rows.update(ROWS[:1])
    assert len(rows.changes(9.0)) == VIEWS_MAX - 1


def shown_after(seen: list[dict], message: dict) -> list[dict]:
    """What the script of the browser keeps."""
    if message["kind"] == "rows":
        return list(message["rows"])
    kept = seen[: message["count"]]
    for place, row in message["rows"]:
        kept[place : place + 1] = [row]
    return kept


@given(st.integers(0, 2**32), st.sampled_from(Sort), st.booleans(), st.sampled_from(["", "a", "b c"]))
def test_what_a_view_keeps_is_what_it_would_be_sent_anew(seed: int, sort: Sort, descending: bool, search: str):
    rng = random.Random(seed)
    look = Look(
        first=rng.randrange(5), count=rng.randrange(8), order=Order(sort=sort, descending=descending, search=search)
    )
    rows, seen = Listing(), []
    for step in range(8):
        names = sorted({rng.choice("abc") + rng.choice("abc ") for _ in range(rng.randrange(12))})
        rows.update(
            tuple(file_row(name, file_id=name, size=rng.randrange(3), copies_min=rng.randrange(2)) for name in names)
        )
        if step == 0:
            seen = shown_after(seen, rows.look("v", look, float(step)))
        for message in rows.changes(float(step)):
            seen = shown_after(seen, message)
        anew = Listing()
        anew.update(rows.ordered(Order()))
        assert seen == anew.look("other", look, 0.0)["rows"]


@pytest.mark.parametrize("text", [*HOSTILE, *SURROGATES])
def test_rows_are_bounded_json_of_visible_text(text: str):
    values = row_values(
        file_row(text, file_id=text, origin=text, health=text, size=2**60, created_at_wall=float("nan"))
    )
    said = json.dumps(values, allow_nan=False)
    assert len(said) < 6_000
    assert all(each.isprintable() for each in values.values() if isinstance(each, str))


def test_orders_kept_are_bounded():
    rows = listed(*ROWS)
    for number in range(50):
        rows.ordered(Order(search=str(number)))
    assert len(rows._orders) == listing.ORDERS_KEPT_MAX
