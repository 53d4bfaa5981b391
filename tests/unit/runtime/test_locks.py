"""The folder lock: one holder, named to the others, free again after release."""

import errno
import os
import sys
from pathlib import Path

import pytest

from dfs_sdk.runtime import locks
from dfs_sdk.runtime.locks import take_lock


def test_second_taker_is_refused_at_once_and_told_who_holds_it(tmp_path: Path):
    held = take_lock(tmp_path / "lock")
    with pytest.raises(BlockingIOError) as caught:
        take_lock(tmp_path / "lock")
    assert caught.value.errno == errno.EWOULDBLOCK
    assert caught.value.strerror == "this process"
    held.release()
    held.release()
    take_lock(tmp_path / "lock").release()


@pytest.mark.parametrize(
    ("note", "words"),
    [
        (b"4711\n", "process 4711"),
        (b"", "another process"),
        (b"<script>\n", "another process"),
        (None, "another process"),
    ],
)
def test_holder_is_named_only_by_a_number(tmp_path: Path, note: bytes | None, words: str):
    held = take_lock(tmp_path / "lock")
    holder = tmp_path / "lock.holder"
    if note is None:
        holder.unlink()
    else:
        holder.write_bytes(note)
    with pytest.raises(BlockingIOError) as caught:
        take_lock(tmp_path / "lock")
    assert caught.value.strerror == words
    held.release()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps no such modes")
def test_lock_files_are_private(tmp_path: Path):
    held = take_lock(tmp_path / "lock")
    assert (tmp_path / "lock").stat().st_mode & 0o077 == 0
    held.release()


def test_forked_child_does_not_free_its_parents_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    held = take_lock(tmp_path / "lock")
    pid = os.getpid()
    monkeypatch.setattr(locks.os, "getpid", lambda: pid + 1)
    held.release()
    monkeypatch.undo()
    with pytest.raises(BlockingIOError):
        take_lock(tmp_path / "lock")
    held.release()


def test_lock_is_freed_though_somebody_reads_who_holds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.name.endswith(locks.HOLDER_SUFFIX):
            raise PermissionError(errno.EACCES, "Windows deletes no file that is being read")
        real(path, missing_ok=missing_ok)

    held = take_lock(tmp_path / "lock")
    monkeypatch.setattr(Path, "unlink", refuse)
    held.release()
    take_lock(tmp_path / "lock").release()


def test_lock_that_cannot_be_noted_is_held_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_arguments: object, **_options: object) -> None:
        raise PermissionError(errno.EACCES, "Windows writes no file that is held")

    monkeypatch.setattr(Path, "write_text", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    held = take_lock(tmp_path / "lock")
    with pytest.raises(BlockingIOError):
        take_lock(tmp_path / "lock")
    monkeypatch.undo()
    held.release()
