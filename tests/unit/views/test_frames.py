import csv
import math
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.views import frames
from tests.fakes.hostile import FORMULAS, HOSTILE, SURROGATES
from tests.fakes.rows import (
    NOW,
    chunk_row,
    empty_snapshot,
    file_row,
    full_snapshot,
    message_row,
    peer_row,
    snapshot_saying,
)

MAKERS = {
    "chunks": frames.chunks,
    "peers": frames.peers,
    "files": frames.files,
    "transfers": frames.transfers,
    "events": frames.events,
    "messages": frames.messages,
}


def dtypes(frame: pd.DataFrame) -> dict[str, str | tuple[str, ...]]:
    return {
        str(name): tuple(dtype.categories) if isinstance(dtype, pd.CategoricalDtype) else str(dtype)
        for name, dtype in frame.dtypes.items()
    }


@pytest.mark.parametrize("table", list(frames.COLUMNS))
@pytest.mark.parametrize("snapshot", [empty_snapshot(), full_snapshot(), snapshot_saying("x")])
def test_columns_and_dtypes_never_change(table, snapshot):
    assert dtypes(MAKERS[table](snapshot)) == frames.COLUMNS[table]


def test_columns_are_the_fields_of_the_rows():
    for table, columns in frames.COLUMNS.items():
        row = getattr(full_snapshot(), table)[0]
        assert [name.removesuffix("_wall") for name in row.__slots__] == list(columns)


def test_every_row_is_there_with_its_values():
    snapshot = full_snapshot()
    frame = frames.chunks(snapshot)
    assert len(frame) == len(snapshot.chunks)
    assert frame["chunk"].tolist() == [row.chunk for row in snapshot.chunks]
    assert frame["role"].tolist() == [row.role for row in snapshot.chunks]
    assert frame["confirmed_at"][0] == pd.Timestamp(NOW - 5, unit="s", tz="UTC")


def test_chunks_of_one_file_only():
    snapshot = empty_snapshot(chunks=(chunk_row(), chunk_row(1, file="other")))
    assert frames.chunks(snapshot, file="other")["chunk"].tolist() == [1]


def test_newest_events_only():
    snapshot = full_snapshot()
    assert frames.events(snapshot, limit=1)["kind"].tolist() == ["PeerLeft"]
    assert len(frames.events(snapshot, limit=0)) == 0
    assert len(frames.events(snapshot, limit=99)) == 2


@pytest.mark.parametrize("wall", [0.0, math.nan, math.inf, -5.0, 1e300, -1e300])
def test_absurd_instants_are_unknown(wall: float):
    frame = frames.messages(empty_snapshot(messages=(message_row(sent_at_wall=wall),)))
    assert frame["sent_at"].isna().all()


@given(st.floats(min_value=1, max_value=8e9))
def test_instants_are_right_to_the_microsecond(wall: float):
    frame = frames.messages(empty_snapshot(messages=(message_row(sent_at_wall=wall),)))
    assert abs(frame["sent_at"][0].timestamp() - wall) <= 2e-6


def test_capacity_beyond_int64_is_clamped():
    frame = frames.peers(empty_snapshot(peers=(peer_row(capacity_bytes=2**64 - 1, rtt=math.nan),)))
    assert frame["capacity_bytes"][0] == 2**63 - 1


def test_swarm_frame_names_the_node():
    one, two = full_snapshot(), full_snapshot(name="second\x1b")
    frame = frames.of_swarm("files", [(each.name, each.files) for each in (one, two)])
    assert list(frame.columns) == ["node", *frames.COLUMNS["files"]]
    assert frame["node"].tolist() == ["node-0"] * 2 + ["second␛"] * 2
    assert dtypes(frames.of_swarm("files", [])) == {"node": "string", **frames.COLUMNS["files"]}
    assert dtypes(frame) == {"node": "string", **frames.COLUMNS["files"]}


@pytest.mark.parametrize("text", [*HOSTILE, *SURROGATES])
def test_frames_print_without_tricks(text: str):
    snapshot = snapshot_saying(text)
    for make in MAKERS.values():
        frame = make(snapshot)
        with pd.option_context("display.max_columns", None, "display.max_colwidth", None):
            shown = repr(frame)
        assert not {"\x1b", "\r", "\x07", "\u202e"} & set(shown)
        shown.encode()


def read_back(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("text", FORMULAS[:-2])
def test_csv_holds_no_formula(tmp_path: Path, text: str):
    frame = frames.files(empty_snapshot(files=(file_row(text),)))
    raw = pd.DataFrame({text: [text], "n": [-1.5]})
    for number, each in enumerate((frame, raw)):
        cells = read_back(frames.export_csv(each, tmp_path / f"{number}.csv"))
        for cell in (cell for row in cells for cell in row if not cell.startswith("-1")):
            assert cell.lstrip(" ;\"'")[:1] not in frames.FORMULA_STARTS or cell.startswith("'")


def test_csv_keeps_values_and_negative_numbers(tmp_path: Path):
    path = frames.export_csv(pd.DataFrame({"a": [-1, 2], "b": ["x", 'q"uote']}), tmp_path / "out.csv")
    assert read_back(path) == [["a", "b"], ["-1", "x"], ["2", 'q"uote']]


def test_csv_does_not_overwrite_unasked(tmp_path: Path):
    frame = frames.peers(full_snapshot())
    path = frames.export_csv(frame, tmp_path / "out.csv")
    with pytest.raises(FileExistsError):
        frames.export_csv(frame, path)
    frames.export_csv(frame, path, overwrite=True)


def test_csv_of_categories_and_missing_values(tmp_path: Path):
    frame = frames.chunks(empty_snapshot(chunks=(chunk_row(confirmed_at_wall=0),)))
    rows = read_back(frames.export_csv(frame, tmp_path / "out.csv"))
    assert rows[1][rows[0].index("role")] == "primary"
    assert rows[1][rows[0].index("confirmed_at")] == ""
