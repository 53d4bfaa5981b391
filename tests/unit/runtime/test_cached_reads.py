"""Reads that wait for no disk."""

import os
import sys
from pathlib import Path

import pytest

from dfs_sdk.runtime import cached_reads
from dfs_sdk.runtime.system import SystemDisk

CONTENT = bytes(range(200))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "small.bin"
    path.write_bytes(CONTENT)
    return path


def test_what_is_found_is_the_file_or_nothing(path: Path) -> None:
    assert SystemDisk().read_cached(path, len(CONTENT)) in (CONTENT, None)


def test_file_just_written_is_found_on_a_linux_that_can_say(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if sys.platform != "linux":
            pytest.skip("only Linux tells what its page cache has")
        try:
            os.preadv(descriptor, [bytearray(1)], 0, os.RWF_NOWAIT)
        except OSError as error:
            pytest.skip(f"this file system does not tell what lies in the page cache ({error.strerror})")
    finally:
        os.close(descriptor)
    if cached_reads._open_cached is None or cached_reads._open_cached(os.fsencode(path)) < 0:
        pytest.skip("this kernel is older than 5.12, or its sandbox forbids openat2")
    assert cached_reads.read_cached(str(path), len(CONTENT)) == CONTENT


@pytest.mark.parametrize("size", [len(CONTENT) - 1, len(CONTENT) + 1, 0])
def test_file_of_another_length_is_left_to_a_worker(path: Path, size: int) -> None:
    assert cached_reads.read_cached(str(path), size) is None


def test_missing_file_folder_and_fifo_are_left_to_a_worker(tmp_path: Path) -> None:
    assert cached_reads.read_cached(str(tmp_path / "missing"), 10) is None
    assert cached_reads.read_cached(str(tmp_path), 10) is None
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "fifo")
        assert cached_reads.read_cached(str(tmp_path / "fifo"), 10) is None


def test_no_descriptor_stays_open(path: Path) -> None:
    before = os.dup(0)
    os.close(before)
    for size in (len(CONTENT), 1, len(CONTENT) + 1):
        cached_reads.read_cached(str(path), size)
    after = os.dup(0)
    os.close(after)
    assert after == before


def test_system_that_cannot_say_reads_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached_reads, "_open_cached", None)
    assert cached_reads.read_cached(str(path), len(CONTENT)) is None


def test_other_platforms_have_no_such_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cached_reads._opener() is None
