"""Open files, part files and publishing: B2."""

from __future__ import annotations

import errno
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

from dfs_sdk.runtime import files
from dfs_sdk.runtime.files import open_part, open_source, publish


def test_a_part_file_is_written_and_read_at_offsets(tmp_path: Path):
    part = open_part(tmp_path / "part")
    part.write_at(5, b"world")
    part.write_at(0, memoryview(b"hello"))
    assert part.read_at(0, 100) == b"helloworld"
    assert part.read_at(7, 2) == b"rl"
    assert part.read_at(50, 2) == b""
    part.truncate(7)
    part.sync()
    assert part.size() == 7
    part.close()
    part.close()
    assert (tmp_path / "part").read_bytes() == b"hellowo"
    assert (tmp_path / "part").stat().st_mode & 0o777 == 0o600
    with pytest.raises(OSError, match="closed"):
        part.size()


@pytest.mark.parametrize("advice", [files._WRITE_BACK, None, 9999])
def test_an_early_write_back_changes_nothing_that_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, advice: int | None
):
    monkeypatch.setattr(files, "_WRITE_BACK", advice)  # as here, on a system without it, and where it is refused
    part = open_part(tmp_path / "x.part")
    data = os.urandom(3 * 4096 + 5)
    part.write_at(0, data)
    part.write_back(0, 2 * 4096)
    part.write_back(4096, 1 << 30)
    assert part.read_at(0, 1 << 20) == data
    part.close()
    with pytest.raises(OSError, match="closed"):
        part.write_back(0, 1)


@pytest.mark.parametrize("at_offsets", [True, False])
def test_threads_do_not_disturb_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_offsets: bool):
    monkeypatch.setattr(files, "_AT_OFFSETS", at_offsets)
    part, size = open_part(tmp_path / "part"), 3000

    def work(number: int) -> bool:
        data = bytes([number]) * size
        for _ in range(20):
            part.write_at(number * size, data)
            if part.read_at(number * size, size) != data:
                return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(64)))
    part.close()


def test_a_part_file_is_opened_again(tmp_path: Path):
    first = open_part(tmp_path / "part")
    first.write_at(0, b"kept")
    first.close()
    again = open_part(tmp_path / "part")
    assert again.read_at(0, 10) == b"kept"
    again.close()


@pytest.mark.parametrize("kind", ["symlink", "dangling", "hard link", "fifo", "folder"])
def test_what_is_no_part_file_of_ours_is_not_opened(tmp_path: Path, kind: str):
    victim, part = tmp_path / "victim", tmp_path / "part"
    victim.write_bytes(b"precious")
    match kind:
        case "symlink":
            part.symlink_to(victim)
        case "dangling":
            part.symlink_to(tmp_path / "nowhere")
        case "hard link":
            part.hardlink_to(victim)
        case "fifo":
            os.mkfifo(part)
        case "folder":
            part.mkdir()
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileExistsError, match="in the way"):
        open_part(part)
    assert len(os.listdir("/proc/self/fd")) == before
    assert victim.read_bytes() == b"precious"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="only root gives a file to somebody else")
def test_a_part_file_of_somebody_else_is_in_the_way(tmp_path: Path):
    part = tmp_path / "part"
    part.write_bytes(b"planted")
    os.chown(part, 12_345, -1)
    with pytest.raises(FileExistsError):
        open_part(part)
    assert part.read_bytes() == b"planted"


def test_a_source_is_a_regular_file_also_behind_a_link(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"data")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    source = open_source(tmp_path / "link")
    assert source.read_at(0, 10) == b"data"
    assert source.modified_ns() == (tmp_path / "file").stat().st_mtime_ns
    source.close()
    with pytest.raises(IsADirectoryError):
        open_source(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_source(tmp_path / "none")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="no regular file"):
        open_source(tmp_path / "fifo")


@pytest.fixture(params=["hard links", "no hard links", "FAT on Windows"])
def links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param != "hard links":
        code = errno.EINVAL if request.param == "FAT on Windows" else errno.EOPNOTSUPP

        def refuse(_self: Path, _target: Path) -> None:
            raise OSError(code, "no links here")

        monkeypatch.setattr(files.Path, "hardlink_to", refuse)
    return str(request.param)


def test_a_finished_file_gets_its_name(tmp_path: Path, links: str):
    (tmp_path / "part").write_bytes(b"new")
    publish(tmp_path / "part", tmp_path / "target", overwrite=False)
    assert (tmp_path / "target").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["target"]


@pytest.mark.parametrize("kind", ["file", "symlink", "dangling", "folder"])
def test_a_taken_name_is_left_alone(tmp_path: Path, links: str, kind: str):
    target, victim = tmp_path / "target", tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "part").write_bytes(b"new")
    match kind:
        case "file":
            target.write_bytes(b"precious")
        case "symlink":
            target.symlink_to(victim)
        case "dangling":
            target.symlink_to(tmp_path / "nowhere")
        case "folder":
            target.mkdir()
    with pytest.raises(FileExistsError):
        publish(tmp_path / "part", target, overwrite=False)
    assert (tmp_path / "part").read_bytes() == b"new"
    assert victim.read_bytes() == b"precious"
    assert not (tmp_path / "nowhere").exists()


def test_overwriting_replaces_a_link_not_what_it_leads_to(tmp_path: Path):
    (tmp_path / "victim").write_bytes(b"precious")
    (tmp_path / "target").symlink_to(tmp_path / "victim")
    (tmp_path / "part").write_bytes(b"new")
    publish(tmp_path / "part", tmp_path / "target", overwrite=True)
    assert (tmp_path / "target").read_bytes() == b"new"
    assert (tmp_path / "victim").read_bytes() == b"precious"


@pytest.mark.parametrize("somebody_writes", [False, True])
def test_a_claimed_name_is_given_back_unless_somebody_has_it_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, somebody_writes: bool
):
    def no_links(_self: Path, _target: Path) -> None:
        raise OSError(errno.EPERM, "no links here")

    def no_rename(_self: Path, target: Path) -> None:
        if somebody_writes:
            target.unlink()
            target.write_bytes(b"precious")
        raise PermissionError(errno.EACCES, "held open")

    (tmp_path / "part").write_bytes(b"new")
    monkeypatch.setattr(files.Path, "hardlink_to", no_links)
    monkeypatch.setattr(files.Path, "replace", no_rename)
    with pytest.raises(PermissionError):
        publish(tmp_path / "part", tmp_path / "target", overwrite=False)
    assert (tmp_path / "part").read_bytes() == b"new"
    assert sorted(os.listdir(tmp_path)) == (["part", "target"] if somebody_writes else ["part"])
    assert not somebody_writes or (tmp_path / "target").read_bytes() == b"precious"


def test_where_links_cannot_be_refused_they_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(files, "_CAN_REFUSE_LINKS", False)  # as on Windows
    monkeypatch.setattr(files, "_NO_FOLLOW", 0)
    (tmp_path / "victim").write_bytes(b"precious")
    (tmp_path / "part").symlink_to(tmp_path / "victim")
    with pytest.raises(FileExistsError, match="in the way"):
        open_part(tmp_path / "part")
    open_part(tmp_path / "other").close()
    open_part(tmp_path / "other").close()


def test_a_folder_is_called_one_where_it_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def as_on_windows(path: Path, _flags: int) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    (tmp_path / "file").write_bytes(b"not for us")
    monkeypatch.setattr(files.os, "open", as_on_windows)
    with pytest.raises(IsADirectoryError):
        open_source(tmp_path)
    with pytest.raises(PermissionError):
        open_source(tmp_path / "file")


class FakeFcntl(ModuleType):
    """macOS's call to flush the drive, or a file system that does not know it, or a drive that fails."""

    F_FULLFSYNC = 51

    def __init__(self, code: int = 0) -> None:
        super().__init__("fcntl")
        self.code = code
        self.flushed: list[int] = []

    def fcntl(self, descriptor: int, command: int) -> None:
        assert command == self.F_FULLFSYNC
        if self.code:
            raise OSError(self.code, os.strerror(self.code))
        self.flushed.append(descriptor)


@pytest.fixture
def fsyncs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    synced: list[int] = []
    monkeypatch.setattr(files.os, "fsync", synced.append)
    monkeypatch.setattr(files.sys, "platform", "darwin")
    return synced


def test_macos_flushes_the_drive_of_what_is_written_at_offsets_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fsyncs: list[int]
):
    fcntl = FakeFcntl()
    monkeypatch.setitem(sys.modules, "fcntl", fcntl)
    part = open_part(tmp_path / "part")
    part.sync()
    part.close()
    assert len(fcntl.flushed) == 1
    assert fsyncs == []


@pytest.mark.parametrize("code", sorted(files._NO_FULL_SYNC))
def test_a_file_system_that_cannot_flush_the_drive_is_synced(
    monkeypatch: pytest.MonkeyPatch, fsyncs: list[int], code: int
):
    monkeypatch.setitem(sys.modules, "fcntl", FakeFcntl(code))
    files.sync_descriptor(7)
    assert fsyncs == [7]


def test_a_drive_that_fails_to_flush_is_not_asked_again(monkeypatch: pytest.MonkeyPatch, fsyncs: list[int]):
    monkeypatch.setitem(sys.modules, "fcntl", FakeFcntl(errno.EIO))
    with pytest.raises(OSError, match=re.escape(os.strerror(errno.EIO))):
        files.sync_descriptor(7)
    assert fsyncs == []
