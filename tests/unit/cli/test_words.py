"""Exit codes and printed words of the command line, without a process."""

import io
import json
import math
from dataclasses import replace

import pytest
from rich.console import Console

from dfs_sdk import errors
from dfs_sdk.cli import show
from dfs_sdk.cli.doctor import data_folder
from dfs_sdk.cli.exits import Exit, exit_for, words_for
from dfs_sdk.node.node import store_folder
from tests.fakes.hostile import HOSTILE
from tests.fakes.rows import chunk_row, file_row, peer_row

ERRORS = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.DfsError)]


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_of_ours_has_an_exit_code_that_is_not_success(kind):
    assert exit_for(kind("what happened")) not in (None, Exit.OK)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.CorruptContentError("x"), Exit.CORRUPT),
        (errors.QuotaExceededError("x"), Exit.STORE),
        (errors.IdentityError("x"), Exit.STORE),
        (errors.JoinTimeoutError("x"), Exit.UNREACHABLE),
        (errors.NetworkMismatchError("x"), Exit.UNREACHABLE),
        (errors.ContentNotFoundError("x"), Exit.NOT_FOUND),
        (FileNotFoundError(2, "No such file", "x"), Exit.NOT_FOUND),
        (PermissionError(13, "Permission denied", "x"), Exit.FAILED),
        (ValueError("a defect"), None),
        (KeyError("a defect"), None),
    ],
    ids=repr,
)
def test_the_most_telling_code_wins_and_defects_keep_their_traceback(error, code):
    assert exit_for(error) is code


def test_codes_never_change_their_meaning():
    assert {each.name: int(each) for each in Exit} == {
        "OK": 0, "FAILED": 1, "USAGE": 2, "NOT_FOUND": 3, "UNREACHABLE": 4, "TOO_FEW_REPLICAS": 5, "CORRUPT": 6,
        "STORE": 7, "INTERRUPTED": 130, "TERMINATED": 143,
    }  # fmt: skip
    assert all(each.meaning for each in Exit)


def test_errors_of_the_system_name_their_file():
    assert words_for(FileExistsError(17, "File exists", "here.txt")) == "here.txt: File exists"
    assert words_for(OSError(28, "No space left on device")) == "No space left on device"
    assert words_for(errors.StoreError("the disk is gone")) == "the disk is gone"
    assert words_for(errors.StoreError()) == "StoreError"


def test_json_is_one_line_and_strict(capsys):
    show.as_json([file_row(name="ü\n"), {"rate": math.nan, "eta": math.inf, "deep": ({"x": -math.inf},)}])
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    told = json.loads(line, parse_constant=pytest.fail)
    assert told[0]["name"] == "ü\n"
    assert told[1] == {"rate": None, "eta": None, "deep": [{"x": None}]}


@pytest.mark.parametrize("text", ["[bold]bold[/bold]", "[link=https://x]x[/link]", ":boom:", "[red", *HOSTILE[:20]])
def test_names_of_others_are_never_taken_for_markup(text, monkeypatch):
    sink = io.StringIO()
    monkeypatch.setattr(show, "out", Console(file=sink, width=10_000, force_terminal=False))
    shown = show.Text(text).plain
    show.files([file_row(name=text)])
    show.peers([peer_row(name=text)])
    show.chunks([replace(chunk_row(), file=text, holder=text, why=text)])
    if "\n" not in shown and "\t" not in shown:
        assert sink.getvalue().count(shown) >= 4


def test_tables_say_sizes_times_and_states_as_the_panels_do(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = io.StringIO()
    monkeypatch.setattr(show, "out", Console(file=sink, width=10_000))
    show.peers([peer_row(state="self", used_bytes=12 * 2**20, capacity_bytes=3 * 2**29, uptime=90_000.0)])
    assert "this node" in sink.getvalue()
    assert "12 MiB" in sink.getvalue()
    assert "1.5 GiB" in sink.getvalue()
    assert "1 d 1 h" in sink.getvalue()


def test_empty_tables_say_what_to_do_next(monkeypatch):
    sink = io.StringIO()
    monkeypatch.setattr(show, "out", Console(file=sink))
    for table in (show.files, show.peers, show.chunks):
        table([])
    assert sink.getvalue().count("\n") == 3
    assert "dfs put FILE" in sink.getvalue()


def test_the_doctor_looks_where_nodes_keep_their_stores():
    assert store_folder(None, "ada").is_relative_to(data_folder())
