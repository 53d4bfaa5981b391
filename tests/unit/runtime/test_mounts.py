"""Which file system holds a path."""

from pathlib import Path

import pytest

from dfs_sdk.runtime import mounts
from dfs_sdk.runtime.mounts import file_system_of, on_network

TABLE = """\
sysfs /sys sysfs rw 0 0
/dev/vda / ext4 rw,relatime 0 0
server:/home /home nfs4 rw 0 0
/dev/vdb /home/local xfs rw 0 0
//server/share /mnt/with\\040space cifs rw 0 0
tmpfs /tmp tmpfs rw 0 0
server:/over /tmp nfs rw 0 0
broken
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib", "ext4"),
        ("/home/me/store", "nfs4"),
        ("/homework", "ext4"),
        ("/home/local/store", "xfs"),
        ("/mnt/with space/store", "cifs"),
        ("/tmp/store", "nfs"),
        ("/", "ext4"),
    ],
)
def test_longest_and_latest_mount_point_wins(path: str, kind: str):
    assert file_system_of(Path(path), TABLE) == kind


def test_nothing_is_known_of_an_empty_table():
    assert file_system_of(Path("/x"), "") is None


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("d / ext4 rw", False),
        ("s:/ / nfs rw", True),
        ("x / fuse.sshfs rw", True),
        ("x / unheard-of rw", True),
        ("", True),
    ],
)
def test_only_known_local_file_systems_are_local(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str, expected: bool
):
    (tmp_path / "mounts").write_text(table)
    monkeypatch.setattr(mounts, "MOUNTS", tmp_path / "mounts")
    monkeypatch.setattr(mounts.sys, "platform", "linux")
    assert on_network(tmp_path) is expected


def test_where_it_cannot_be_told_it_counts_as_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mounts, "MOUNTS", tmp_path / "missing")
    assert on_network(tmp_path)
    monkeypatch.setattr(mounts.sys, "platform", "darwin")
    assert on_network(tmp_path)
