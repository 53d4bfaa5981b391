"""`dfs lab` copies notebooks and never takes one away from whoever changed it."""

import json
import os
import signal
import sys
import threading
import time

import pytest

from dfs_sdk.cli import lab
from dfs_sdk.cli.exits import Exit
from dfs_sdk.cli.lab import FIRST, NOTES_FILE, copy_notebooks, in_words, tutorial
from dfs_sdk.errors import StoreError


@pytest.fixture
def shipped(tmp_path):
    folder = tmp_path / "shipped"
    folder.mkdir()
    for name in ("01_a", "02_b"):
        (folder / f"{name}.ipynb").write_text(f"{name} as shipped")
    (folder / "build.py").write_text("not for users")
    return folder


def test_what_is_shipped_has_the_notebook_that_opens_first():
    assert (tutorial() / FIRST).is_file()


def test_first_time_copies_all_notebooks_and_nothing_else(shipped, tmp_path):
    copies = copy_notebooks(shipped, tmp_path / "deep" / "mine")
    assert copies.fresh == ("01_a.ipynb", "02_b.ipynb")
    names = {path.name for path in (tmp_path / "deep" / "mine").iterdir()}
    assert names == {"01_a.ipynb", "02_b.ipynb", NOTES_FILE}


def test_an_edited_copy_is_kept_and_named(shipped, tmp_path):
    copy_notebooks(shipped, tmp_path / "mine")
    (tmp_path / "mine" / "01_a.ipynb").write_text("my own words")
    (shipped / "01_a.ipynb").write_text("a later edition")
    copies = copy_notebooks(shipped, tmp_path / "mine")
    assert copies.kept == ("01_a.ipynb",)
    assert (tmp_path / "mine" / "01_a.ipynb").read_text() == "my own words"
    assert "01_a.ipynb" in in_words(copies)


def test_an_untouched_copy_follows_a_later_edition(shipped, tmp_path):
    copy_notebooks(shipped, tmp_path / "mine")
    (shipped / "02_b.ipynb").write_text("a later edition")
    assert copy_notebooks(shipped, tmp_path / "mine").kept == ()
    assert (tmp_path / "mine" / "02_b.ipynb").read_text() == "a later edition"


@pytest.mark.parametrize("notes", ["", "[]", "{", json.dumps({"01_a.ipynb": 3})])
def test_damaged_notes_only_make_it_more_careful(shipped, tmp_path, notes):
    copy_notebooks(shipped, tmp_path / "mine")
    (tmp_path / "mine" / NOTES_FILE).write_text(notes)
    assert "01_a.ipynb" in copy_notebooks(shipped, tmp_path / "mine").kept


def test_a_file_that_was_there_before_is_not_replaced(shipped, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "01_a.ipynb").write_text("older than dfs")
    assert copy_notebooks(shipped, tmp_path / "mine").fresh == ("02_b.ipynb",)
    assert (tmp_path / "mine" / "01_a.ipynb").read_text() == "older than dfs"


def test_a_folder_that_cannot_be_is_refused_in_words(shipped, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="give another folder"):
        copy_notebooks(shipped, tmp_path / "file" / "mine")


def test_an_installation_without_notebooks_says_so(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match="install dfs_sdk again"):
        copy_notebooks(tmp_path / "empty", tmp_path / "mine")


@pytest.mark.parametrize(("user", "allowed"), [(0, True), (1000, False), (None, False)])
def test_root_of_a_container_gets_a_jupyterlab_that_starts(tmp_path, monkeypatch, user, allowed):
    monkeypatch.delattr(lab.os, "geteuid", raising=False)
    if user is not None:  # Windows has no such call
        monkeypatch.setattr(lab.os, "geteuid", lambda: user, raising=False)
    commands = []
    monkeypatch.setattr(lab, "_run", lambda command: commands.append(command) or 0)
    lab.open_lab(tmp_path, port=0, browser=False)
    assert ("--allow-root" in commands[0]) is allowed
    assert "--ip=127.0.0.1" in commands[0]


def test_a_server_that_does_not_end_when_told_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(lab, "ENDING_SECONDS_MAX", 0.3)
    up = tmp_path / "up"
    deaf = "import pathlib, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    deaf += "pathlib.Path(sys.argv[1]).touch(); time.sleep(60)"

    def tell() -> None:
        while not up.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    telling = threading.Thread(target=tell)
    telling.start()
    try:
        begun = time.monotonic()
        assert lab._run([sys.executable, "-c", deaf, str(up)]) is Exit.OK
        assert time.monotonic() - begun < 30
    finally:
        telling.join()
        signal.signal(signal.SIGTERM, before)


def test_a_server_that_fails_by_itself_is_a_failure():
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert lab._run([sys.executable, "-c", "raise SystemExit(3)"]) is Exit.FAILED
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_wait_that_ctrl_c_cannot_interrupt_is_made_of_short_ones(monkeypatch: pytest.MonkeyPatch):
    """As on Windows; the end of JupyterLab is waited for however many there are."""
    monkeypatch.setattr(lab, "LOOK_SECONDS", 0.01)
    before = signal.getsignal(signal.SIGTERM)
    try:
        ends_late = "import time; time.sleep(0.2); raise SystemExit(3)"
        assert lab._run([sys.executable, "-c", ends_late]) is Exit.FAILED, "it was ended and not waited for"
    finally:
        signal.signal(signal.SIGTERM, before)
