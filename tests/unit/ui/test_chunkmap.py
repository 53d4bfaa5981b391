from __future__ import annotations

import json
import random
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.node.snapshot import ChunkRow
from dfs_sdk.ui import chunkmap
from dfs_sdk.ui.chunkmap import Picture, full, patch, picture, summary
from tests.fakes.hostile import HOSTILE, SURROGATES
from tests.fakes.rows import chunk_row, hex_id

ROLES = ("primary", "surplus", "cache")
STATES = ("alive", "self", "suspect", "away")
WANTED = {"data.bin": 3, "other.bin": 2}


def drawn(*rows: ChunkRow, only: str | None = None) -> Picture:
    return picture(rows, WANTED, only)


def grid(shown: Picture) -> list[list[int]]:
    width = len(shown.holders)
    return [list(shown.cells[row * width : (row + 1) * width]) for row in range(len(shown.keys))]


def test_rows_are_chunks_by_file_and_columns_are_holders_by_name():
    shown = drawn(
        chunk_row(7, 1, file="other.bin"),
        chunk_row(0, 2, role="cache", state="away"),
        chunk_row(0, 0),
        chunk_row(-1, 0),
        chunk_row(0, 1, role="surplus"),
    )
    assert [(file, index) for file, index, _ in shown.keys] == [("data.bin", -1), ("data.bin", 0), ("other.bin", 7)]
    assert [each.name for each in shown.holders] == ["node-0", "node-1", "node-2"]
    assert grid(shown) == [[1, 0, 0], [1, 2, 3], [0, 1, 0]]
    assert struct.unpack("<12i", shown.rows)[:4] == (0, -1, 2**20, 3)
    assert struct.unpack("<12i", shown.rows)[8:] == (1, 7, 2**20, 2)


def test_chunk_of_two_files_has_a_row_in_each():
    shown = drawn(chunk_row(0, 0, file="a"), chunk_row(0, 1, file="b"))
    assert grid(shown) == [[1, 0], [0, 1]]


def test_one_file_alone_keeps_the_list_of_files():
    shown = drawn(chunk_row(0, 0), chunk_row(0, 1, file="other.bin"), only="other.bin")
    assert shown.files == ("data.bin", "other.bin")
    assert [key[0] for key in shown.keys] == ["other.bin"]
    assert [each.name for each in shown.holders] == ["node-1"]


@pytest.mark.parametrize(
    ("rows", "sentences"),
    [
        ((), []),
        (
            [chunk_row(0, n) for n in range(3)],
            ["1 chunk on 3 holders.", "Each has the copies wanted at holders that answer."],
        ),
        (
            [chunk_row(0, 0), chunk_row(0, 1, state="away")],
            [
                "1 chunk on 2 holders.",
                "1 has fewer copies than wanted at holders that answer, the scarcest 1.",
                "Not answering: node-1 (away).",
            ],
        ),
    ],
)
def test_summary_says_how_well_chunks_are_kept(rows: list[ChunkRow], sentences: list[str]):
    assert summary(drawn(*rows)) == " ".join(sentences)


def test_summary_names_few_and_counts_the_other_silent_holders():
    rows = [replace(chunk_row(0, n, state="gone"), holder=f"h{n}") for n in range(9)]
    assert summary(drawn(*rows)).endswith("h0 (gone), h1 (gone), h2 (gone), h3 (gone), h4 (gone) and 4 more.")


def after(before: Picture, message: tuple[dict, list[bytes]] | None) -> bytes:
    """The cells a browser has that applied a patch."""
    cells = bytearray(before.cells)
    if message is not None:
        places = struct.unpack(f"<{len(message[1][0]) // 4}I", message[1][0])
        for place, value in zip(places, message[1][1], strict=True):
            cells[place] = value
    return bytes(cells)


@given(st.integers(0, 2**32))
def test_patched_picture_is_the_picture_drawn_anew(seed: int):
    rng = random.Random(seed)
    rows = [
        chunk_row(chunk, holder, chunk_id=hex_id(chunk + 1), role=rng.choice(ROLES), state="alive")
        for chunk in range(-1, rng.randrange(1, 300))
        for holder in range(rng.randrange(1, 8))
    ]
    shown = drawn(*rows)
    for _ in range(4):
        kept = [row for row in rows if rng.random() < 0.97] or rows
        later = drawn(*(replace(row, role=rng.choice(ROLES)) if rng.random() < 0.1 else row for row in kept))
        if later.same_shape(shown):
            message = patch(shown, later, 1)
            assert after(shown, message) == later.cells
            assert (message is None) == (shown.cells == later.cells)
        shown = later


def test_holder_that_goes_away_changes_no_cell():
    before = drawn(chunk_row(0, 0), chunk_row(0, 1))
    later = drawn(chunk_row(0, 0), chunk_row(0, 1, state="away"))
    assert later.same_shape(before)
    message = patch(before, later, 3)
    assert message is not None
    assert message[0]["holders"][1]["answers"] is False
    assert message[1] == [b"", b""]


def test_large_pictures_are_cut_and_say_so():
    rows = [chunk_row(n, n % 2, chunk_id=hex_id(n)) for n in range(900)]
    shown = picture(rows, {}, None)
    assert shown.total == len(shown.keys) == 900
    many = [chunk_row(0, 0, holder_id=hex_id(n)) for n in range(chunkmap.HOLDERS_SHOWN_MAX + 5)]
    assert len(picture(many, {}, None).holders) == chunkmap.HOLDERS_SHOWN_MAX
    files = [chunk_row(0, 0, file=f"f{n:05}") for n in range(chunkmap.FILES_SHOWN_MAX + 5)]
    cut = picture(files, {}, None)
    assert len(cut.keys) == chunkmap.FILES_SHOWN_MAX
    assert f"the first of {chunkmap.FILES_SHOWN_MAX + 5:,}" in summary(cut)


def test_cells_are_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(chunkmap, "CELLS_SHOWN_MAX", 100)
    rows = [chunk_row(n, n % 10, chunk_id=hex_id(n)) for n in range(90)]
    assert len(picture(rows, {}, None).cells) == 100


@pytest.mark.parametrize("text", [*HOSTILE, *SURROGATES])
def test_messages_are_bounded_json_of_visible_text(text: str):
    rows = [
        chunk_row(2**40, 0, file=text, size=2**50),
        replace(chunk_row(0, 1, state=text, role=text), holder=text),
    ]
    content, buffers = full(picture(rows, {text: 2**40}, None), 1)
    assert len(json.dumps(content, allow_nan=False)) < 4_000
    assert all(name.isprintable() for name in content["files"])
    assert all(str(value).isprintable() for each in content["holders"] for value in each.values())
    assert len(buffers[0]) == 2 * 16
