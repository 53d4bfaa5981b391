"""The simulated disk: what is safe, what a crash may leave, and how it fails."""

import asyncio
import errno
import itertools
import os
import random
import sqlite3
from pathlib import Path

import pytest

from dfs_sdk.runtime.files import open_part
from dfs_sdk.runtime.ports import Disk
from dfs_sdk.runtime.system import SeededRng, SystemDisk
from dfs_sdk.sim.disk import PowerCut, SimDisk
from dfs_sdk.sim.faults import DiskHealth, ever, named, once
from dfs_sdk.sim.platter import PAGE_BYTES, SECTOR_BYTES
from dfs_sdk.sim.world import World

HOME = Path("/home")
FILE = HOME / "file"


def disk(**options: object) -> SimDisk:
    made = SimDisk(**options)  # type: ignore[arg-type]
    made.make_folders(HOME)
    made.sync_folder(Path("/"))
    return made


@pytest.fixture(params=["simulated", "real"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Disk, Path]:
    """A disk and a folder on it: what holds for the real one holds for the simulated one."""
    return (disk(), HOME) if request.param == "simulated" else (SystemDisk(), tmp_path)


@pytest.mark.parametrize(("room", "found"), [(0, b""), (3, b"con"), (7, b"content"), (10, b"content")])
def test_a_file_is_read_into_memory_at_hand(either: tuple[Disk, Path], room: int, found: bytes):
    port, folder = either
    port.write_new(folder / "file", b"con", b"tent")
    memory = memoryview(bytearray(b"?" * room))
    assert port.read_into(folder / "file", memory) == len(found)
    assert bytes(memory) == found.ljust(room, b"?")
    with pytest.raises(FileNotFoundError):
        port.read_into(folder / "none", memory)


def test_open_files_behave_as_real_ones(either: tuple[Disk, Path]):
    port, folder = either
    path = folder / "part"
    part = port.open_part(path)
    part.write_at(10, b"later")
    part.write_at(0, b"first")
    assert part.read_at(0, 100) == b"first\0\0\0\0\0later"
    assert part.read_at(10, 3) == b"lat"
    part.truncate(3)
    part.truncate(6)
    assert (part.size(), part.read_at(0, 10)) == (6, b"fir\0\0\0")
    part.write_back(0, 6)
    part.sync()
    part.close()
    part.close()
    with pytest.raises(OSError, match="closed"):
        part.size()
    again = port.open_part(path)
    assert again.size() == 6
    again.close()
    source = port.open_source(path)
    assert source.read_at(0, 3) == b"fir"
    source.close()
    with pytest.raises(FileNotFoundError):
        port.open_source(folder / "missing")
    with pytest.raises(IsADirectoryError):
        port.open_source(folder)


def test_publishing_harms_no_other_file(either: tuple[Disk, Path]):
    port, folder = either
    for name in ("one", "two"):
        port.write_new(folder / name, name.encode())
    with pytest.raises(FileExistsError):
        port.publish(folder / "one", folder / "two", overwrite=False)
    assert port.read(folder / "one") == b"one"
    port.publish(folder / "one", folder / "three", overwrite=False)
    port.publish(folder / "two", folder / "three", overwrite=True)
    assert port.list_files(folder) == [folder / "three"]
    assert port.read(folder / "three") == b"two"
    assert port.is_folder(folder)
    assert not port.is_folder(folder / "three")


def after_cut(content: bytes, *, seed: int) -> bytes | None:
    """Sync a file of a's, write b's over it, and cut the power."""
    found = disk()
    part = found.open_part(FILE)
    part.write_at(0, b"a" * len(content))
    part.sync()
    found.sync_folder(HOME)
    part.write_at(0, content)
    return found.after_power_cut(SeededRng(seed)).all_files().get(FILE)


def test_unsynced_pages_are_kept_lost_torn_and_reordered():
    size = 6 * PAGE_BYTES
    outcomes = {after_cut(b"b" * size, seed=seed) for seed in range(120)}
    pages = set()
    for outcome in outcomes:
        assert outcome is not None
        assert len(outcome) == size
        assert set(outcome) <= set(b"ab")
        pages.add(tuple(outcome[at : at + PAGE_BYTES] for at in range(0, size, PAGE_BYTES)))
    whole = {tuple(page in (b"a" * PAGE_BYTES, b"b" * PAGE_BYTES) for page in each) for each in pages}
    assert any(not all(each) for each in whole), "no page was torn"
    assert any(each[0] == b"a" * PAGE_BYTES and each[1] == b"b" * PAGE_BYTES for each in pages), "never reordered"
    torn = [page for each in pages for page in each if len(set(page)) == 2]
    assert all(page.rstrip(b"a").count(b"b") % SECTOR_BYTES == 0 for page in torn)


def test_synced_data_and_entries_survive_every_cut():
    for seed in range(30):
        found = disk()
        found.write_new(FILE, b"kept")
        found.sync_folder(HOME)
        found.write_new(HOME / "other", b"perhaps")
        after = found.after_power_cut(SeededRng(seed))
        assert after.read(FILE) == b"kept"
        assert after.all_files().get(HOME / "other") in (None, b"perhaps")


def test_disk_that_lost_its_power_does_nothing_more():
    found = disk()
    found.write_new(FILE, b"x")
    part = found.open_part(HOME / "part")
    heir = found.after_kill()
    for use in (
        lambda: found.read(FILE),
        lambda: found.write_new(HOME / "y", b""),
        lambda: found.exists(FILE),
        lambda: part.write_at(0, b"x"),
        lambda: found.open_index(HOME / "db"),
    ):
        with pytest.raises(PowerCut):
            use()
    assert heir.read(FILE) == b"x"


def test_killed_process_loses_nothing_that_was_written():
    found = disk()
    part = found.open_part(FILE)
    part.write_at(0, b"unsynced")
    heir = found.after_kill()
    assert heir.read(FILE) == b"unsynced"
    assert heir.after_power_cut(SeededRng(2)).all_files().get(FILE) in (None, b"", b"unsynced")


def test_failed_sync_leaves_pages_that_look_written_and_are_gone():
    found = disk()
    part = found.open_part(FILE)
    part.write_at(0, b"old")
    part.sync()
    found.sync_folder(HOME)
    part.write_at(0, b"new")
    found.fail = named("fsync", errno.EIO)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        part.sync()
    found.fail = lambda _step, _name: None
    part.sync()
    assert part.read_at(0, 3) == b"new"
    assert found.after_power_cut(SeededRng(1)).read(FILE) == b"old"


def test_committed_rows_survive_and_uncommitted_ones_are_lost():
    found = disk()
    path = HOME / "db"
    database = found.open_index(path)
    found.sync_folder(HOME)
    database.execute("BEGIN")
    database.execute("CREATE TABLE t (x)")
    database.execute("INSERT INTO t VALUES (1)")
    database.commit()
    database.execute("BEGIN")
    database.execute("INSERT INTO t VALUES (2)")
    after = found.after_power_cut(SeededRng(1))
    assert after.open_index(path).execute("SELECT x FROM t").fetchall() == [(1,)]


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_nth_operation_fails_once_or_from_then_on(code: int):
    for make, failures in ((once, 1), (ever, 4)):
        found = disk()
        found.fail = make(found.steps, code)
        failed = 0
        for number in range(4):
            try:
                found.write_new(HOME / f"f{number}", b"x")
            except OSError as error:
                assert error.errno == code
                failed += 1
        assert failed == failures


def test_database_on_a_full_disk_raises_what_sqlite_raises():
    found = disk()
    database = found.open_index(HOME / "db")
    found.fail = named("commit", errno.ENOSPC)
    database.execute("BEGIN")
    database.execute("CREATE TABLE t (x)")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        database.commit()


def test_full_disk_refuses_to_grow():
    found = disk(capacity_bytes=100)
    found.write_new(FILE, bytes(60))
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        found.write_new(HOME / "more", bytes(60))
    part = found.open_part(HOME / "part")
    part.write_at(0, bytes(40))
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        part.write_at(40, b"x")
    assert found.free_bytes(HOME) == 0


def test_health_draws_errors_with_their_ratios():
    found = disk(rng=SeededRng(1), health=DiskHealth(read_error_ratio=0.2))
    found.write_new(FILE, b"x")
    failed = 0
    for _ in range(500):
        try:
            found.read(FILE)
        except OSError:
            failed += 1
    assert failed == pytest.approx(100, rel=0.3)


def test_rotten_bit_stays_and_misdirected_page_shows_after_a_restart():
    found = disk(rng=SeededRng(3), health=DiskHealth(rot_ratio=1.0))
    found.write_new(FILE, bytes(1000))
    rotten = found.read(FILE)
    assert sum(byte.bit_count() for byte in rotten) == 1
    found = disk(rng=SeededRng(3))
    found.write_new(FILE, b"v" * 3 * PAGE_BYTES)
    found.sync_folder(HOME)
    found.health = DiskHealth(misdirect_ratio=1.0)
    found.write_new(HOME / "stray", b"s" * 2 * PAGE_BYTES)
    found.sync_folder(HOME)
    assert found.read(FILE) == b"v" * 3 * PAGE_BYTES
    assert found.safe(FILE) != found.read(FILE) == found.safe(FILE, as_read=True)
    after = found.after_power_cut(SeededRng(1))
    assert after.read(FILE).count(b"s") == PAGE_BYTES
    assert after.read(HOME / "stray").count(b"\0") == PAGE_BYTES
    assert after.safe(FILE, as_read=True) == after.read(FILE)


def test_only_misdirected_pages_are_seen_as_they_are_read():
    found = disk(rng=SeededRng(3))
    found.write_new(FILE, b"v" * 3 * PAGE_BYTES)
    found.sync_folder(HOME)
    found.health = DiskHealth(misdirect_ratio=1.0)
    found.write_new(HOME / "stray", b"s" * PAGE_BYTES)
    found.health = DiskHealth()
    part = found.open_part(FILE)
    # All pages are written again and the fsync fails: what is missing now is not the stray's doing.
    part.write_at(0, b"w" * 3 * PAGE_BYTES)
    found.fail = named("fsync", errno.EIO)
    with pytest.raises(OSError, match="fsync"):
        part.sync()
    assert found.read(FILE) == b"w" * 3 * PAGE_BYTES
    assert found.safe(FILE, as_read=True) == found.safe(FILE) != found.read(FILE)
    found.rot(FILE, random.Random(1))
    assert found.safe(FILE, as_read=True) == found.safe(FILE) == found.read(FILE)


def test_twins_are_independent_and_cheap():
    found = disk()
    for number in range(100):
        found.write_new(HOME / f"f{number}", bytes(100_000))
    twins = [found.copy() for _ in range(50)]
    twins[0].remove(HOME / "f1")
    twins[1].overwrite(HOME / "f1", b"x")
    assert found.size(HOME / "f1") == twins[2].size(HOME / "f1") == 100_000
    contents = {id(twin.all_files()[HOME / "f2"]) for twin in twins}
    assert len(contents) == 1, "the bytes are copied"


def test_work_of_a_slow_disk_takes_its_time():
    async def story(world: World) -> float:
        host = world.hosts["a"]
        await host.run(host.runtime.offload.run(host.runtime.disk.make_folders, HOME))
        begun = world.now
        await host.run(host.runtime.offload.run(host.runtime.disk.write_new, FILE, bytes(1_000_000)))
        return world.now - begun

    with World() as world:
        world.host("a").disk.health = DiskHealth(seek_seconds=0.01, sync_seconds=0.02, rate_bytes=1e7)
        assert world.run(story(world)) == pytest.approx(0.01 * 3 + 0.02 + 0.1, abs=0.001)


def test_host_crashes_at_the_step_that_was_chosen():
    async def story(world: World) -> None:
        host = world.hosts["a"]
        disk_of_first_life = host.disk
        host.start(write(host.runtime.disk), name="writer")
        host.disk.cut_in(5)
        await asyncio.sleep(0.01)
        assert not host.is_up
        assert host.disk is not disk_of_first_life
        host.restart()
        assert len(host.disk.all_files()) <= 5

    async def write(port: Disk) -> None:
        port.make_folders(HOME)
        for number in itertools.count():
            port.write_new(HOME / f"f{number}", b"x")

    with World() as world:
        world.host("a")
        world.run(story(world))
    assert world.failures == []


def test_part_files_are_checked_alike(tmp_path: Path):
    """The port's contract on what lies in the way of a part file, on both disks."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileExistsError):
        open_part(tmp_path / "folder")
    found = disk()
    with pytest.raises(FileExistsError):
        found.open_part(HOME)


def test_power_on_in_place_asks_for_each_change_in_order():
    found = disk()
    for name in ("a", "b", "c"):
        found.write_new(HOME / name, name.encode())
    answers = iter((True, False, True))
    found.power_on(lambda: next(answers), torn=random.Random(0))
    assert sorted(path.name for path in found.all_files()) == ["a", "c"]
