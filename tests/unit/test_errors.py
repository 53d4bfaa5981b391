"""What a notebook shows of errors: the lines of whoever called, and the message."""

from __future__ import annotations

import asyncio
import re
import sys
from types import SimpleNamespace

import pytest
from IPython.core.ultratb import AutoFormattedTB

from dfs_sdk.errors import ConfigError, show_as_line
from dfs_sdk.node.joining import parse_target
from dfs_sdk.runtime.tasks import within


@pytest.fixture(params=["Context", "Verbose"])
def mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The mode of a shell that renders tracebacks."""
    shell = SimpleNamespace(InteractiveTB=AutoFormattedTB(mode=request.param, tb_offset=0))
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: shell)
    return str(request.param)


def a_cell() -> ConfigError:
    try:
        try:
            raise KeyError("a " + "cause")
        except KeyError:
            parse_target("nowhere")  # the line of the user
    except ConfigError as error:
        error.add_note("a note")
        return error
    raise AssertionError("nothing was raised")


def test_notebook_shows_the_users_line_and_the_message_and_all_frames_when_asked(mode: str):
    error = a_cell()
    text = "\n".join(error._render_traceback_())
    assert "the line of the user" in text
    assert "ConfigError" in text
    assert str(error) in text
    assert "a note" in text
    assert ("joining.py" in text) == ("a cause" in text) == (mode == "Verbose")


def test_error_is_rendered_in_full_where_nobody_called_or_no_shell_runs(mode: str, monkeypatch: pytest.MonkeyPatch):
    error = a_cell()
    inside = error.__traceback__
    assert inside is not None
    error.__traceback__ = inside.tb_next  # as of a task: it begins in the package
    assert "joining.py" in "\n".join(error._render_traceback_())
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: None)
    assert "joining.py" in "\n".join(a_cell()._render_traceback_())


def test_lines_of_a_cell_that_the_package_called_are_shown(mode: str):
    """`world.run(story())`: the line of the story that failed is what its writer looks for."""
    story = "def story():\n    from dfs_sdk.node.joining import parse_target\n    parse_target('nowhere')\n"
    scope: dict[str, object] = {"__name__": "__main__"}
    exec(compile(story, "<cell>", "exec"), scope)
    try:
        asyncio.run(within(None, _awaiting(scope["story"]), otherwise=AssertionError))
    except ConfigError as error:
        text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error._render_traceback_()))
    assert "in story" in text
    assert ("tasks.py" in text) == (mode == "Verbose")


async def _awaiting(story: object) -> None:
    assert callable(story)
    story()


def test_an_interruption_is_one_line_unless_all_is_asked_for(mode: str):
    try:
        raise asyncio.CancelledError
    except asyncio.CancelledError as error:
        show_as_line(error, "put was interrupted")
        lines = error._render_traceback_()  # type: ignore[attr-defined] # IPython's hook
    assert lines[-1] == "put was interrupted"
    assert (len(lines) == 1) == (mode != "Verbose")
