"""A run is noted with the commit it ran on, and whether what it depends on was changed since."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from dfs_sdk.sim.commit import commit

AUTHOR = ("-c", "user.name=ada", "-c", "user.email=ada@example.org")


def git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_commit_is_named_and_a_change_under_the_given_paths_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dfs_sdk.sim.commit.ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit("code") == "", "no repository"
    git(tmp_path, "init", "-q")
    (tmp_path / "code").write_text("1")
    git(tmp_path, "add", "code")
    git(tmp_path, *AUTHOR, "commit", "-q", "-m", "first")
    name = git(tmp_path, "rev-parse", "HEAD")[:10]
    (tmp_path / "notes").write_text("")
    assert commit("code") == name
    (tmp_path / "code").write_text("2")
    assert (commit("code"), commit("notes", "code")) == (f"{name}+", f"{name}+")
    monkeypatch.setenv("PATH", "")
    assert commit("code") == "", "no git"
