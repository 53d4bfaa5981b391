"""The picture of chunks and holders as bytes: a row per chunk, a column per holder, a byte per cell.

Pure: `picture` is a function of the rows of a snapshot; `full` and `patch` say how it travels. A browser that has a
picture is sent what changed of it, as long as its rows and columns stay the same.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from dfs_sdk.node.snapshot import ChunkRow
from dfs_sdk.views import words

FILES_SHOWN_MAX = 2_000
HOLDERS_SHOWN_MAX = 1_000
CELLS_SHOWN_MAX = 400_000
COMPARED_BYTES = 1_024
SILENT_NAMED_MAX = 5

ROLE_CODES: Final = {"primary": 1, "surplus": 2, "cache": 3}
NO_COPY: Final = 0
ANSWERING: Final = frozenset({"self", "alive", "lagging", "busy"})
INDEX_MAX = 2**31 - 1

Key = tuple[str, int, str]
"""A row: the file's name, the chunk's index (-1 is the manifest), its id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A column: who it is, and what state it is in."""

    holder_id: str
    name: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Which holder has which chunk.

    Attributes:
        files: Names of the files shown, which `rows` counts through.
        keys: The rows, by file and index.
        holders: The columns, by name.
        cells: `ROLE_CODES`, row by row.
        rows: Four numbers for each row: place of its file, index, sealed bytes, copies wanted.
        short: Rows whose copies at answering holders are fewer than wanted.
        fewest: Copies at answering holders of the row that has the fewest.
        total: Chunks there are, shown or not.
    """

    files: tuple[str, ...]
    keys: tuple[Key, ...]
    holders: tuple[Holder, ...]
    cells: bytes
    rows: bytes
    short: int
    fewest: int
    total: int

    def same_shape(self, other: Picture) -> bool:
        """Whether both have the same rows and columns, so that cells can be compared."""
        return (
            self.rows == other.rows
            and self.files == other.files
            and [each.holder_id for each in self.holders] == [each.holder_id for each in other.holders]
            and self.keys == other.keys
        )


@dataclass(slots=True)
class _Row:
    size: int
    copies: list[tuple[str, int]]
    answering: int


def picture(chunks: Iterable[ChunkRow], wanted: Mapping[str, int], only: str | None = None) -> Picture:
    """Draw the copies of all files, or of one.

    Args:
        chunks: One row per copy.
        wanted: Copies wanted of each file, by name.
        only: The file to show; all if None.
    """
    rows, states, names = _gathered(chunks, only)
    holders = sorted(
        (Holder(holder_id=key, name=name, state=state) for key, (name, state) in states.items()),
        key=lambda each: (each.name, each.holder_id),
    )[:HOLDERS_SHOWN_MAX]
    files = sorted(names)[:FILES_SHOWN_MAX]
    places = {name: place for place, name in enumerate(files)}
    most = CELLS_SHOWN_MAX // max(1, len(holders))
    keys = sorted(key for key in rows if key[0] in places)[:most]
    short = sum(rows[key].answering < wanted.get(key[0], 0) for key in keys)
    return Picture(
        files=tuple(words.visible(name, length_max=100) for name in files),
        keys=tuple(keys),
        holders=tuple(holders),
        cells=_cells(keys, rows, {each.holder_id: column for column, each in enumerate(holders)}),
        rows=_numbers([(places[key[0]], key[1], rows[key].size, wanted.get(key[0], 0)) for key in keys]),
        short=short,
        fewest=min((rows[key].answering for key in keys), default=0),
        total=len(rows),
    )


def full(shown: Picture, version: int) -> tuple[dict[str, Any], list[bytes]]:
    """The message that brings a whole picture: its fields, and the numbers of its rows and its cells as buffers."""
    content = {"kind": "map", "version": version, "files": list(shown.files), "holders": _holders(shown)}
    return content, [shown.rows, shown.cells]


def patch(before: Picture, after: Picture, version: int) -> tuple[dict[str, Any], list[bytes]] | None:
    """The message that makes `after` of `before`, which has the same shape; None if nothing is to be said.

    Its buffers are the places of the changed cells and what is in them.
    """
    places = array("I", _changed(before.cells, after.cells))
    if not places and before.holders == after.holders:
        return None
    content = {"kind": "map-patch", "version": version, "holders": _holders(after)}
    return content, [_little(places), bytes(after.cells[place] for place in places)]


def summary(shown: Picture) -> str:
    """What the picture tells, in a sentence or two."""
    if not shown.keys:
        return ""
    count = words.count(len(shown.keys), "chunk")
    cut = f" (the first of {shown.total:,})" if shown.total > len(shown.keys) else ""
    text = f"{count}{cut} on {words.count(len(shown.holders), 'holder')}. "
    if shown.short:
        verb = "has" if shown.short == 1 else "have"
        text += f"{shown.short:,} {verb} fewer copies than wanted at holders that answer, the scarcest {shown.fewest}."
    else:
        text += "Each has the copies wanted at holders that answer."
    silent = [each for each in shown.holders if each.state not in ANSWERING]
    if silent:
        text += f" Not answering: {', '.join(map(_silent, silent[:SILENT_NAMED_MAX]))}"
        text += f" and {len(silent) - SILENT_NAMED_MAX} more." if len(silent) > SILENT_NAMED_MAX else "."
    return text


def _silent(holder: Holder) -> str:
    return f"{words.visible(holder.name, length_max=40)} ({words.state(holder.state)})"


def _gathered(
    chunks: Iterable[ChunkRow], only: str | None
) -> tuple[dict[Key, _Row], dict[str, tuple[str, str]], set[str]]:
    rows: dict[Key, _Row] = {}
    states: dict[str, tuple[str, str]] = {}
    names: set[str] = set()
    file = chunk_id = ""
    row: _Row | None = None
    for each in chunks:
        if each.chunk_id != chunk_id or each.file != file or row is None:  # the copies of a chunk follow each other
            file, chunk_id = each.file, each.chunk_id
            names.add(file)
            key = (file, each.chunk, chunk_id)
            row = rows.get(key) or rows.setdefault(key, _Row(each.size, [], 0))
        if only is not None and file != only:
            continue
        row.copies.append((each.holder_id, ROLE_CODES.get(each.role, 1)))
        row.answering += each.state in ANSWERING
        states[each.holder_id] = (each.holder, each.state)
    if only is not None:
        rows = {key: row for key, row in rows.items() if key[0] == only}
    return rows, states, names


def _cells(keys: list[Key], rows: dict[Key, _Row], columns: dict[str, int]) -> bytes:
    width = len(columns)
    cells = bytearray(len(keys) * width)
    base = 0
    for key in keys:
        for holder_id, code in rows[key].copies:
            column = columns.get(holder_id)
            if column is not None:
                cells[base + column] = code
        base += width
    return bytes(cells)


def _changed(before: bytes, after: bytes) -> list[int]:
    if before == after:
        return []
    found = []
    for begin in range(0, len(after), COMPARED_BYTES):
        old, new = before[begin : begin + COMPARED_BYTES], after[begin : begin + COMPARED_BYTES]
        if old != new:
            found += [begin + place for place, (a, b) in enumerate(zip(old, new, strict=True)) if a != b]
    return found


def _holders(shown: Picture) -> list[dict[str, Any]]:
    return [
        {
            "name": words.visible(each.name, length_max=40),
            "short": words.short_id(each.holder_id),
            "state": words.visible(words.state(each.state), length_max=20),
            "answers": each.state in ANSWERING,
        }
        for each in shown.holders
    ]


def _numbers(rows: list[tuple[int, int, int, int]]) -> bytes:
    flat = array("i")
    for place, index, size, copies in rows:
        flat.extend((place, min(index, INDEX_MAX), min(size, INDEX_MAX), min(copies, INDEX_MAX)))
    return _little(flat)


def _little(numbers: array[int]) -> bytes:
    """The numbers as the browser reads them: 32 bits each, little end first."""
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()
