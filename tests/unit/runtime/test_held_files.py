"""Files that somebody holds open, which Windows refuses to touch for a moment: here by force."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dfs_sdk.runtime import held_files
from dfs_sdk.runtime.files import open_part, publish
from dfs_sdk.runtime.held_files import PAUSES_SECONDS, is_held, until_let_go
from dfs_sdk.runtime.system import SystemDisk


class Scanner:
    """Holds every file for some calls, as a virus scanner does."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.pauses: list[float] = []

    def refuse(self) -> None:
        if self.refusals:
            self.refusals -= 1
            raise PermissionError(errno.EACCES, "The process cannot access the file because it is being used")


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Scanner]:
    """Makes every change of a name, and every opening, fail so often."""

    def begin(refusals: int) -> Scanner:
        scanner = Scanner(refusals)

        def held(real: Callable[..., object]) -> Callable[..., object]:
            def call(*args: object, **kwargs: object) -> object:
                scanner.refuse()
                return real(*args, **kwargs)

            return call

        for name in ("replace", "unlink", "open"):
            monkeypatch.setattr(Path, name, held(getattr(Path, name)))
        monkeypatch.setattr(os, "open", held(os.open))
        monkeypatch.setattr(held_files, "REFUSES_FOR_A_MOMENT", True)
        monkeypatch.setattr(held_files.time, "sleep", scanner.pauses.append)
        return scanner

    return begin


@pytest.mark.parametrize("refusals", [0, 1, len(PAUSES_SECONDS)])
def test_what_is_held_for_a_moment_is_changed_in_the_end(
    tmp_path: Path, windows: Callable[[int], Scanner], refusals: int
):
    disk = SystemDisk()
    for change in (
        lambda: disk.write_new(tmp_path / "new", b"new"),
        lambda: disk.replace(tmp_path / "new", tmp_path / "named"),
        lambda: disk.read(tmp_path / "named"),
        lambda: disk.read(tmp_path / "named", 10),
        lambda: disk.read_into(tmp_path / "named", memoryview(bytearray(10))),
        lambda: disk.remove(tmp_path / "named"),
        lambda: disk.remove(tmp_path / "named"),
    ):
        scanner = windows(refusals)
        change()
        assert scanner.refusals == 0
        assert scanner.pauses == list(PAUSES_SECONDS[:refusals])
    assert disk.list_files(tmp_path) == []


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_download_gets_its_name_though_somebody_looks_at_it(
    tmp_path: Path, windows: Callable[[int], Scanner], overwrite: bool
):
    part = open_part(tmp_path / "part")
    part.write_at(0, b"content")
    part.close()
    scanner = windows(3)
    publish(tmp_path / "part", tmp_path / "target", overwrite=overwrite)
    assert scanner.refusals == 0
    assert os.listdir(tmp_path) == ["target"]


def test_what_is_held_for_long_is_given_up(windows: Callable[[int], Scanner], tmp_path: Path):
    (tmp_path / "file").write_bytes(b"x")
    scanner = windows(1_000)
    with pytest.raises(PermissionError):
        SystemDisk().remove(tmp_path / "file")
    assert sum(scanner.pauses) < 2


def test_elsewhere_a_refusal_is_final(monkeypatch: pytest.MonkeyPatch):
    calls: list[None] = []

    def refuse() -> None:
        calls.append(None)
        raise PermissionError(errno.EACCES, "not yours")

    monkeypatch.setattr(held_files, "REFUSES_FOR_A_MOMENT", False)
    with pytest.raises(PermissionError):
        until_let_go(refuse)
    assert len(calls) == 1


def test_only_windows_says_that_a_file_is_held(monkeypatch: pytest.MonkeyPatch):
    held = PermissionError(errno.EACCES, "used by another process")
    monkeypatch.setattr(held_files, "REFUSES_FOR_A_MOMENT", False)
    assert not is_held(held)
    monkeypatch.setattr(held_files, "REFUSES_FOR_A_MOMENT", True)
    assert is_held(held), "one that could not be opened"
    assert not is_held(OSError(errno.EIO, "broken"))
    for winerror, told in ((32, True), (1117, False)):
        held.winerror = winerror  # type: ignore[attr-defined]  # what Windows sets
        assert is_held(held) is told
