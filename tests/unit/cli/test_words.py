"""Exit codes and printed words of the command line, without a process."""

import asyncio
import io
import json
import math
import os
import signal
import sys
from dataclasses import replace

import pytest
from rich.console import Console
from rich.text import Text

from dfs_sdk import errors
from dfs_sdk.cli import session, show
from dfs_sdk.cli.doctor import data_folder
from dfs_sdk.cli.exits import Exit, exit_for, words_for
from dfs_sdk.cli.lines import stdin_lines
from dfs_sdk.node import naming
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


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
@pytest.mark.parametrize("name", ["con", "Aux", "COM1", "lpt9", "ada", "console", None, "a:b\\c"])
def test_no_store_gets_the_name_of_a_device(monkeypatch, platform, name):
    monkeypatch.setattr(naming.sys, "platform", platform)
    folder = store_folder(None, name)
    plain = {"a:b\\c": "a_b_c", None: "default"}.get(name, name)
    escaped = platform == "win32" and name in ("con", "Aux", "COM1", "lpt9")
    assert folder.name == (f"_{plain}" if escaped else plain)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437", "utf-8"])
def test_any_text_can_be_printed_in_any_encoding(monkeypatch, encoding):
    """A pipe or a file on Windows speaks the code page of the country."""
    said = "Zoë → 你好 🎈"
    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding=encoding) for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"ab\xff\x81\n"), encoding=encoding))
    show.accept_any_text()
    show.out.print(Text(said), soft_wrap=True)
    show.err.print(Text(said), soft_wrap=True)
    show.as_json({"text": said})
    assert sys.stdin.readline().startswith("ab")
    printed, document = (line for line in written(streams["stdout"]).splitlines() if line)
    assert json.loads(document) == {"text": said}
    assert printed.startswith("Zo")
    assert (printed == said) == (encoding == "utf-8")
    assert written(streams["stderr"]).strip() == printed


def written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    return stream.buffer.getvalue().decode(stream.encoding)


def test_a_stream_of_another_kind_is_left_alone(monkeypatch):
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.StringIO() if name != "stdin" else None)
    show.accept_any_text()


@pytest.fixture
def windows_signals(monkeypatch):
    """As on Windows: its loops take no signal handlers, and Ctrl-Break comes as SIGBREAK. Gives both ends' numbers."""

    def refuse(*_arguments):
        raise NotImplementedError

    numbers = (signal.SIGTERM, signal.SIGUSR1)
    before = {number: signal.getsignal(number) for number in numbers}
    monkeypatch.setattr(asyncio.SelectorEventLoop, "add_signal_handler", refuse)
    monkeypatch.setattr(signal, "SIGBREAK", signal.SIGUSR1, raising=False)
    yield numbers
    for number, handler in before.items():
        signal.signal(number, handler)


async def test_a_loop_without_signals_is_told_of_them_all_the_same(windows_signals):
    told = asyncio.Event()
    with session._on_terminate(told.set):
        for number in windows_signals:
            told.clear()
            os.kill(os.getpid(), number)
            async with asyncio.timeout(10):
                await told.wait()


def test_an_end_that_is_asked_for_after_the_loop_was_closed_meets_whoever_was_there_before(windows_signals):
    heard = []
    for number in windows_signals:
        signal.signal(number, lambda number, _frame: heard.append(number))

    async def done() -> int:
        return 3

    assert asyncio.run(session._until_terminated(done())) == 3
    for number in windows_signals:
        os.kill(os.getpid(), number)
    assert heard == list(windows_signals)


async def test_input_that_cannot_be_read_ends_the_conversation(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one\n\xff\n"), encoding="utf-8"))
    async with asyncio.timeout(10):
        assert [line async for line in stdin_lines()] in ([], ["one"])
