"""Fixtures of the tests on the real system."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    point = tmp_path / "small"
    point.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("mounting a small disk takes root: run this test as root")
    made = subprocess.run([mount, "-t", "tmpfs", "-o", "size=8m", "none", point], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"mount refused a tmpfs: {made.stderr.strip()}")
    yield point
    subprocess.run(["umount", point], check=True)
