"""Saving downloads: B1, B2, B3, P-FILE-10: resuming, and never harming what is there."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dfs_sdk.errors import ConfigError, ContentUnavailableError, StoreError
from dfs_sdk.files.catalog import File
from dfs_sdk.files.config import FilesConfig
from dfs_sdk.files.news import FileFetched
from tests.fakes.crash_states import fates, picture_of
from tests.fakes.disk import FakeDisk
from tests.fakes.filenodes import CHUNK, FileNode, file_nodes, some
from tests.fakes.hostile import HOSTILE
from tests.fakes.network import FakeNetwork


@pytest.fixture
async def network() -> AsyncIterator[FakeNetwork]:
    async with FakeNetwork() as network:
        yield network
        assert network.errors == []


def resolved(path: Path) -> Path:
    return Path(os.path.realpath(path))


async def stored(network: FakeNetwork, size: int, *, name: str = "data.bin") -> tuple[FileNode, FileNode, File]:
    a, b, _c, reader = await file_nodes(network, 4, readers=1)
    return reader, b, await a.files.put(some(size), name=name, chunk_bytes=CHUNK)


@pytest.mark.parametrize("size", [0, 1, CHUNK, 3 * CHUNK + 1])
async def test_a_file_is_saved_and_only_it(network: FakeNetwork, tmp_path: Path, size: int):
    reader, _, file = await stored(network, size)
    target = tmp_path / "new" / "folder" / "x.bin"
    assert await reader.files.get(file.link, target) == target
    assert target.read_bytes() == some(size)
    assert os.listdir(target.parent) == ["x.bin"]
    assert target.stat().st_mode & 0o777 == 0o600


async def test_a_folder_gets_the_file_under_a_safe_name(network: FakeNetwork, tmp_path: Path):
    reader, _, file = await stored(network, 100, name="../../etc/pass\u202ewd")
    assert await reader.files.get(file.link, tmp_path) == tmp_path / "pass_wd"
    assert os.listdir(tmp_path) == ["pass_wd"]


async def test_hostile_names_are_all_saved_inside_the_folder(network: FakeNetwork, tmp_path: Path):
    a, *_ = await file_nodes(network, 3)
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in HOSTILE:
        if 0 < len(name.encode()) <= 1024:
            file = await a.files.put(b"x", name=name)
            saved = await a.files.get(file.link, folder, overwrite=True)
            assert isinstance(saved, Path)
            assert resolved(saved).parent == folder
    assert os.listdir(tmp_path) == ["folder"]


async def test_an_existing_file_is_left_alone_unless_asked(network: FakeNetwork, tmp_path: Path):
    reader, _, file = await stored(network, 2 * CHUNK)
    target = tmp_path / "x.bin"
    target.write_bytes(b"precious")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        await reader.files.get(file.link, target)
    assert target.read_bytes() == b"precious"
    assert os.listdir(tmp_path) == ["x.bin"]
    await reader.files.get(file.link, target, overwrite=True)
    assert target.read_bytes() == some(2 * CHUNK)


async def test_a_name_taken_during_the_download_is_left_alone(network: FakeNetwork, tmp_path: Path):
    reader, _, file = await stored(network, 2 * CHUNK)
    target = tmp_path / "x.bin"

    def take(_transfer: object) -> None:
        target.write_bytes(b"precious")

    with pytest.raises(FileExistsError):
        await reader.files.get(file.link, target, progress=take)
    assert target.read_bytes() == b"precious"


@pytest.mark.parametrize("overwrite", [False, True])
async def test_a_link_at_the_destination_is_never_followed(network: FakeNetwork, tmp_path: Path, overwrite: bool):
    reader, _, file = await stored(network, 2 * CHUNK)
    victim, target = tmp_path / "victim", tmp_path / "x.bin"
    victim.write_bytes(b"precious")
    target.symlink_to(victim)
    if overwrite:
        await reader.files.get(file.link, target, overwrite=True)
        assert target.read_bytes() == some(2 * CHUNK)
        assert not target.is_symlink()
    else:
        with pytest.raises(FileExistsError):
            await reader.files.get(file.link, target)
    assert victim.read_bytes() == b"precious"


async def test_a_dangling_link_is_not_followed_either(network: FakeNetwork, tmp_path: Path):
    reader, _, file = await stored(network, 100)
    target = tmp_path / "x.bin"
    target.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        await reader.files.get(file.link, target)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("kind", ["symlink", "hard link", "fifo", "folder"])
async def test_what_lies_in_the_place_of_the_part_file_is_not_touched(network: FakeNetwork, tmp_path: Path, kind: str):
    reader, _, file = await stored(network, 2 * CHUNK)
    part = tmp_path / f"x.bin.part-{file.file_id}"
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    match kind:
        case "symlink":
            part.symlink_to(victim)
        case "hard link":
            part.hardlink_to(victim)
        case "fifo":
            os.mkfifo(part)
        case "folder":
            part.mkdir()
    with pytest.raises(FileExistsError, match="in the way"):
        await reader.files.get(file.link, tmp_path / "x.bin")
    assert victim.read_bytes() == b"precious"
    assert not (tmp_path / "x.bin").exists()


async def test_a_folder_of_that_name_is_not_overwritten(network: FakeNetwork, tmp_path: Path):
    reader, _, file = await stored(network, 100, name="data.bin")
    (tmp_path / "data.bin").mkdir()
    with pytest.raises(FileExistsError):
        await reader.files.get(file.link, tmp_path, overwrite=True)


async def test_an_interrupted_download_goes_on_and_trusts_nothing(network: FakeNetwork, tmp_path: Path):
    size = 10 * CHUNK + 5
    reader, _, file = await stored(network, size)
    target, part = tmp_path / "x.bin", tmp_path / f"x.bin.part-{file.file_id}"
    everybody = [node for node in network.scopes if node != reader.node_id]
    for node in everybody:
        network.kill(node)
    with pytest.raises(ContentUnavailableError):
        await reader.files.get(file.link, target)
    assert not target.exists()
    for node in everybody:
        network.revive(node)
    # What an earlier attempt left: right bytes, a damaged chunk, and half of another one.
    data = bytearray(some(size))
    data[2 * CHUNK + 7] ^= 1
    part.write_bytes(bytes(data[: 6 * CHUNK + 100]))
    part.chmod(0o600)
    before = network.bytes
    assert await reader.files.get(file.link, target) == target
    assert target.read_bytes() == some(size)
    fetched = network.bytes - before
    assert 5 * CHUNK < fetched < 7 * CHUNK + 2000  # 1 damaged, 4 whole and 1 short chunk
    assert os.listdir(tmp_path) == ["x.bin"]


async def test_a_part_file_longer_than_the_file_is_cut(network: FakeNetwork, tmp_path: Path):
    reader, _, file = await stored(network, 2 * CHUNK)
    part = tmp_path / f"x.bin.part-{file.file_id}"
    part.write_bytes(some(2 * CHUNK) + b"tail")
    part.chmod(0o600)
    await reader.files.get(file.link, tmp_path / "x.bin")
    assert (tmp_path / "x.bin").read_bytes() == some(2 * CHUNK)


async def test_a_failed_download_says_where_it_goes_on(network: FakeNetwork, tmp_path: Path):
    a, b, c, reader = await file_nodes(network, 4, readers=1)
    file = await a.files.put(some(40 * CHUNK), name="x", chunk_bytes=CHUNK)

    def cut(transfer: object) -> None:
        if transfer.bytes_done >= 3 * CHUNK:  # type: ignore[attr-defined]
            for node in (a, b, c):
                network.kill(node.node_id)

    with pytest.raises(ContentUnavailableError):
        await reader.files.get(file.link, tmp_path / "x", progress=cut)
    (part,) = (tmp_path / name for name in os.listdir(tmp_path))
    (transfer,) = reader.files.transfers
    assert part.name in transfer.error
    assert part.stat().st_size >= 3 * CHUNK
    for node in (a, b, c):
        network.revive(node.node_id)
    await reader.files.get(file.link, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == some(40 * CHUNK)
    assert os.listdir(tmp_path) == ["x"]


async def test_the_same_download_twice_at_once_is_refused(network: FakeNetwork, tmp_path: Path):
    reader, _, file = await stored(network, 40 * CHUNK)
    refused: list[BaseException] = []

    async def again() -> None:
        try:
            await reader.files.get(file.link, tmp_path / "x")
        except ConfigError as error:
            refused.append(error)

    started = False

    def start(_transfer: object) -> None:
        nonlocal started
        if not started:
            started = True
            reader.base.scope.spawn("again", again())

    await reader.files.get(file.link, tmp_path / "x", progress=start)
    assert "already" in str(refused[0])
    assert os.listdir(tmp_path) == ["x"]


async def test_a_full_disk_is_told_before_anything_is_fetched(network: FakeNetwork, tmp_path: Path):
    reader, _, file = await stored(network, 3 * CHUNK)
    disk = reader.files._downloads._disk

    class Full(type(disk)):  # type: ignore[misc]
        def free_bytes(self, path: Path) -> int:
            return 10

    reader.files._downloads._disk = Full()
    before = network.bytes
    with pytest.raises(StoreError, match="room for 10 bytes"):
        await reader.files.get(file.link, tmp_path / "x")
    assert network.bytes - before < 2 * CHUNK  # the manifest
    assert os.listdir(tmp_path) == []


def test_what_others_send_is_saved_where_nothing_is_imported_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """B3: a kernel imports from the folder it was started in, and a fetched `numpy.py` would be found there."""
    monkeypatch.chdir(tmp_path)
    folder = resolved(FilesConfig().download_folder)
    assert folder.parent == resolved(tmp_path)
    assert folder not in {resolved(Path(entry)) for entry in (os.curdir, *sys.path)}


async def test_the_download_folder_is_made_and_files_that_act_are_told(network: FakeNetwork, tmp_path: Path):
    config = FilesConfig(download_folder=tmp_path / "dfs_downloads", rounds=1)
    a, *_ = await file_nodes(network, 3, config=config)
    file = await a.files.put(b"import os", name="numpy.py")
    assert await a.files.download(file.link) == tmp_path / "dfs_downloads" / "numpy.py"
    (event,) = a.happened(FileFetched)
    assert "can run code" in event.text


async def test_a_power_cut_at_any_step_leaves_the_whole_file_or_none(network: FakeNetwork):
    disk, folder = FakeDisk(), Path("/home/me")
    disk.make_folders(folder)
    disk.sync_folder(folder.parent.parent)
    disk.sync_folder(folder.parent)
    a, _b, _c, reader = await file_nodes(network, 4, readers=1, disk=disk)
    content = some(2 * CHUNK + 1)
    file = await a.files.put(content, name="x.bin", chunk_bytes=CHUNK)
    pictures: list[FakeDisk] = []
    disk.fail = lambda _step, _name: pictures.append(picture_of(disk))
    saved = await reader.files.get(file.link, folder)
    pictures.append(picture_of(disk))
    assert len(pictures) > 5
    rng = random.Random(7)
    for picture in pictures:
        for fate in fates(picture, rng=rng, random_fates=2):
            after = picture_of(picture)
            fate.befall(after)
            assert after.all_files().get(saved) in (None, content)
    pictures[-1].power_on(lambda: False)
    assert pictures[-1].all_files() == {saved: content}
