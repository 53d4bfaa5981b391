"""Windows into a long list of files: each view of a panel sees a few rows of it, sorted and searched here.

The browser says which rows it looks at (`Look`); it is sent those rows, and afterwards only what changed of them. Pure
but for the time that is handed in: no comm, no clock.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from dfs_sdk.node.snapshot import FileRow
from dfs_sdk.views import text, words

VIEWS_MAX = 16
WINDOW_ROWS_MAX = 200
SEARCH_LENGTH_MAX = 200
TERMS_MAX = 8
ORDERS_KEPT_MAX = 4
CHANGES_INTERVAL_MIN = 0.5
PLACE_MAX = 2**31

HEALTHS: Final = ("unavailable", "only here", "under target", "repairing", "healthy")


class Sort(Enum):
    """What a list of files is sorted by; the value is its name in messages."""

    NAME = "name"
    SIZE = "size"
    COPIES = "copies"
    HEALTH = "health"
    ORIGIN = "origin"
    AGE = "age"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Which rows, in which order.

    Attributes:
        sort: What they are sorted by; rows that are equal in it follow by name.
        descending: The largest, or last, first.
        search: Every word in it must occur in a row's name, origin, health or id; of any case.
    """

    sort: Sort = Sort.NAME
    descending: bool = False
    search: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a view looks at.

    Attributes:
        first: Place of the first row wanted in the order.
        count: Rows wanted; 0 while the view cannot be seen.
        order: Which rows, in which order.
    """

    first: int = 0
    count: int = 0
    order: Order = field(default_factory=Order)


@dataclass(slots=True)
class _View:
    look: Look
    sent: tuple[FileRow, ...] = ()
    matching: int = -1
    changed_at: float = -CHANGES_INTERVAL_MIN


class Listing:
    """The rows of one panel and what each of its views has seen of them."""

    def __init__(self) -> None:
        self._rows: tuple[FileRow, ...] = ()
        self._orders: dict[Order, tuple[FileRow, ...]] = {}
        self._views: dict[str, _View] = {}
        self.behind = False
        """Whether a view waits for changes that came too soon after its last ones."""

    def update(self, rows: tuple[FileRow, ...]) -> None:
        """Take the rows of a snapshot."""
        if rows is not self._rows and rows != self._rows:
            self._orders.clear()
        self._rows = rows

    def look(self, view: str, look: Look, now: float) -> dict[str, Any]:
        """Let a view look somewhere, and say what it sees there. The view that looked longest ago gives way.

        Args:
            view: The view's name for itself.
            look: What it wants to see.
            now: Seconds on a monotonic clock.
        """
        self._views.pop(view, None)
        while len(self._views) >= VIEWS_MAX:
            del self._views[next(iter(self._views))]
        state = self._views[view] = _View(look)
        seen, matching = self._seen(look)
        state.sent, state.matching, state.changed_at = seen, matching, now
        return {**self._head(view, state), "kind": "rows", "rows": [row_values(row) for row in seen]}

    def forget(self, view: str) -> None:
        """A view is gone."""
        self._views.pop(view, None)

    def changes(self, now: float, *, most: int = VIEWS_MAX) -> list[dict[str, Any]]:
        """Say to each view what changed of what it sees; none hears more often than `CHANGES_INTERVAL_MIN`.

        Args:
            now: Seconds on a monotonic clock.
            most: How many views can be told; the others are behind, and are told first the next time.
        """
        self.behind = False
        told: list[dict[str, Any]] = []
        for name, view in sorted(self._views.items(), key=_told_last):
            if not view.look.count:
                continue
            seen, matching = self._seen(view.look)
            if seen == view.sent and matching == view.matching:
                continue
            if now - view.changed_at < CHANGES_INTERVAL_MIN or len(told) >= most:
                self.behind = True
                continue
            told.append(self._changes(name, view, seen, matching))
            view.sent, view.matching, view.changed_at = seen, matching, now
        return told

    def ordered(self, order: Order) -> tuple[FileRow, ...]:
        """All rows that match, in order."""
        known = self._orders.get(order)
        if known is None:
            while len(self._orders) >= ORDERS_KEPT_MAX:
                del self._orders[next(iter(self._orders))]
            terms = order.search.casefold().split()[:TERMS_MAX]
            rows = [row for row in self._rows if _matches(row, terms)] if terms else list(self._rows)
            rows.sort(key=_by_name)
            if order.sort is not Sort.NAME:
                rows.sort(key=_KEYS[order.sort], reverse=order.descending)  # stable: equal ones stay by name
            elif order.descending:
                rows.reverse()
            known = self._orders[order] = tuple(rows)
        return known

    def _seen(self, look: Look) -> tuple[tuple[FileRow, ...], int]:
        rows = self.ordered(look.order)
        return rows[look.first : look.first + look.count], len(rows)

    def _head(self, name: str, view: _View) -> dict[str, Any]:
        return {"view": name, "first": view.look.first, "matching": view.matching, "total": len(self._rows)}

    def _changes(self, name: str, view: _View, seen: tuple[FileRow, ...], matching: int) -> dict[str, Any]:
        before = view.sent
        view.matching = matching
        changed = [
            [place, row_values(row)]
            for place, row in enumerate(seen)
            if place >= len(before) or (row is not before[place] and row != before[place])
        ]
        return {**self._head(name, view), "kind": "rows-changed", "count": len(seen), "rows": changed}


def row_values(row: FileRow) -> dict[str, Any]:
    """A row as the browser gets it: plain JSON values, foreign texts made safe to show."""
    return {
        "id": words.visible(row.file_id, length_max=64),
        "name": words.visible(row.name, length_max=200),
        "size": words.size(row.size),
        "bytes": row.size,
        "chunks": row.chunks,
        "copies": text.copies(row),
        "held": min(row.copies_min, 99),
        "wanted": min(row.copies_wanted, 99),
        "health": words.visible(row.health, length_max=40),
        "pinned": row.pinned,
        "mine": row.origin == "put",
        "origin": origin_in_words(row.origin),
        "at": row.created_at_wall if abs(row.created_at_wall) < 1e12 else 0.0,
    }


def origin_in_words(origin: str) -> str:
    """Say where a file of the catalog came from."""
    return {"put": "put here", "got": "got by link"}.get(origin) or words.visible(origin, length_max=80)


def weight(message: dict[str, Any]) -> int:
    """About how many bytes a message takes on its way."""
    return len(json.dumps(message, allow_nan=False))


def _told_last(view: tuple[str, _View]) -> float:
    return view[1].changed_at


def _matches(row: FileRow, terms: list[str]) -> bool:
    hay = f"{row.name}\n{origin_in_words(row.origin)}\n{row.health}\n{row.file_id}".casefold()
    return all(term in hay for term in terms)


def _by_name(row: FileRow) -> tuple[str, str]:
    return row.name.casefold(), row.file_id


_KEYS: Final[dict[Sort, Callable[[FileRow], Any]]] = {
    Sort.SIZE: lambda row: row.size,
    Sort.COPIES: lambda row: row.copies_min,
    Sort.HEALTH: lambda row: HEALTHS.index(row.health) if row.health in HEALTHS else -1,
    Sort.ORIGIN: lambda row: row.origin.casefold(),
    Sort.AGE: lambda row: -row.created_at_wall,
}
