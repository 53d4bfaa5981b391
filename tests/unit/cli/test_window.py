"""The window of `dfs app`, without a browser: options on their way to its kernel, and one window for each store."""

import sys
from pathlib import Path

import pytest

from dfs_sdk.cli import desktop, window
from dfs_sdk.cli.session import Options
from dfs_sdk.errors import ConfigError, StoreLockedError
from dfs_sdk.node.node import Node

OPTIONS = Options(
    name="ada", store=None, listen="127.0.0.1:0", join=None, passphrase="a secret", quota=None, timeout=1.0, json=True
)


def with_store(folder: Path | str) -> Options:
    return Options(
        name="ada", store=str(folder), listen="127.0.0.1:0", join=None, passphrase=None, quota=None, timeout=1.0,
        json=True,
    )  # fmt: skip


def test_options_arrive_in_the_kernel_as_they_were_given():
    assert window.options_from_text(window.options_as_text(OPTIONS)) == OPTIONS


def test_passphrase_is_not_in_the_repr_of_the_options():
    assert "a secret" not in repr(OPTIONS)


def test_second_window_of_a_store_is_refused_in_words(tmp_path):
    with (
        desktop._only_window(with_store(tmp_path / "s")),
        pytest.raises(StoreLockedError, match="has a window already"),
        desktop._only_window(with_store(tmp_path / "s")),
    ):
        raise AssertionError("there must be no second window")


def test_a_window_that_was_closed_makes_room_for_the_next(tmp_path):
    for _ in range(2):
        with desktop._only_window(with_store(tmp_path / "s")):
            pass


def test_nodes_in_memory_may_have_any_number_of_windows():
    with desktop._only_window(with_store("memory")), desktop._only_window(with_store("memory")):
        pass


def test_without_voila_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "dfs_sdk.cli.server", None)
    monkeypatch.delattr("dfs_sdk.cli.server", raising=False)
    with pytest.raises(ConfigError, match=r"pip install 'dfs-sdk\[app\]'"):
        desktop.open_window(OPTIONS, port=0, theme="light", browser=False)


def test_files_go_to_the_downloads_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setattr(window.platformdirs, "user_downloads_path", lambda: tmp_path / "Downloads")
    monkeypatch.chdir(tmp_path)
    assert window.work_in_downloads() == tmp_path / "Downloads"
    assert Path.cwd() == tmp_path / "Downloads"


async def test_start_waits_for_a_store_that_is_about_to_be_free_and_then_gives_up(tmp_path):
    async with Node("first", store=tmp_path / "s", listen="127.0.0.1:0"):
        with pytest.raises(StoreLockedError):
            await window.start_patiently(with_store(tmp_path / "s"), patience=0.0)
    node = await window.start_patiently(with_store(tmp_path / "s"), patience=0.0)
    await node.close()
