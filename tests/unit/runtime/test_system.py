"""The real ports: clocks, chance, entropy, disk, worker threads."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dfs_sdk.errors import ConfigError, NodeClosedError
from dfs_sdk.runtime import system
from dfs_sdk.runtime.ports import Clock, Disk, Entropy, Offload, Rng
from dfs_sdk.runtime.system import (
    OFFLOAD_NICENESS,
    SeededRng,
    SystemClock,
    SystemDisk,
    SystemEntropy,
    ThreadOffload,
    system_runtime,
)

posix_only = pytest.mark.skipif(os.name != "posix", reason="file modes and links of POSIX")


def test_system_classes_fill_the_ports() -> None:
    clock: Clock = SystemClock()
    rng: Rng = SeededRng(1)
    entropy: Entropy = SystemEntropy()
    disk: Disk = SystemDisk()
    offload: Offload = ThreadOffload()
    assert clock.monotonic() <= clock.monotonic()
    assert clock.wall() > 1_600_000_000
    assert 0 <= rng.random() < 1
    assert len(entropy.token(33)) == 33
    assert entropy.token(16) != entropy.token(16)
    assert disk.exists(Path(__file__))
    assert offload is not None


def test_clock_tells_two_instants_of_a_loopback_round_trip_apart() -> None:
    """That of `time.monotonic` on Windows does not before Python 3.13: another one is taken there."""
    name = system._monotonic.__name__
    assert name == ("perf_counter" if sys.platform == "win32" else "monotonic")
    assert time.get_clock_info(name).resolution <= 1e-4
    assert not time.get_clock_info("perf_counter").adjustable


def draws(rng: Rng) -> list[float]:
    return [rng.random() for _ in range(5)]


def test_same_seed_gives_the_same_draws_and_children() -> None:
    one, two = SeededRng(42), SeededRng(42)
    draws(one)  # a child does not depend on what its parent drew
    assert draws(one.child("dht")) == draws(two.child("dht"))
    assert draws(one.child("dht")) != draws(one.child("rpc"))
    assert draws(SeededRng(42)) == draws(SeededRng(42))
    assert draws(SeededRng(42)) != draws(SeededRng(43))
    assert draws(SeededRng(b"seed")) == draws(SeededRng(b"seed"))


def test_draws_of_a_seed_are_fixed_for_ever() -> None:
    rng = SeededRng(1).child("a").child("b")
    assert [rng.randrange(0, 1000) for _ in range(5)] == [998, 111, 655, 319, 836]


def test_seed_and_name_do_not_run_into_each_other() -> None:
    assert draws(SeededRng(1).child("2x")) != draws(SeededRng(12).child("x"))
    assert draws(SeededRng(1).child("ab").child("c")) != draws(SeededRng(1).child("a").child("bc"))


def test_rng_draws_stay_in_their_ranges() -> None:
    rng = SeededRng(7)
    items = list(range(20))
    assert all(2 <= rng.uniform(2, 3) <= 3 for _ in range(100))
    assert {rng.randrange(0, 3) for _ in range(100)} == {0, 1, 2}
    assert rng.choice(items) in items
    assert len(set(rng.sample(items, 10))) == 10
    shuffled = items.copy()
    rng.shuffle(shuffled)
    assert shuffled != items
    assert sorted(shuffled) == items


def test_draws_do_not_depend_on_the_hash_seed() -> None:
    code = "from dfs_sdk.runtime.system import SeededRng as R;r=R(5).child('x');print(r.sample(range(99),9),r.random())"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert len(outputs) == 1


@pytest.fixture
def disk() -> SystemDisk:
    return SystemDisk()


def test_written_file_reads_back_and_is_created_exclusively(disk: SystemDisk, tmp_path: Path) -> None:
    path = tmp_path / "a"
    disk.write_new(path, memoryview(b"x" * 50_000), b"", bytearray(b"x" * 50_000))
    assert disk.read(path) == b"x" * 100_000
    assert disk.read(path, 7) == b"x" * 7
    assert disk.read(path, 200_000) == b"x" * 100_000
    assert disk.size(path) == 100_000
    with pytest.raises(FileExistsError):
        disk.write_new(path, b"other")
    assert disk.read(path) == b"x" * 100_000


@posix_only
def test_files_and_folders_are_private_to_their_owner(disk: SystemDisk, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        disk.make_folders(tmp_path / "x" / "y" / "z")
        disk.write_new(tmp_path / "x" / "f", b"")
    finally:
        os.umask(before)
    for folder in ("x", "x/y", "x/y/z"):
        assert stat.S_IMODE((tmp_path / folder).stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "x" / "f").stat().st_mode) == 0o600


def test_make_folders_accepts_folders_and_refuses_files(disk: SystemDisk, tmp_path: Path) -> None:
    disk.make_folders(tmp_path / "a" / "b")
    disk.make_folders(tmp_path / "a" / "b")
    disk.write_new(tmp_path / "file", b"x")
    with pytest.raises(NotADirectoryError):
        disk.make_folders(tmp_path / "file")
    with pytest.raises(OSError):
        disk.make_folders(tmp_path / "file" / "below")


@posix_only
def test_new_file_follows_no_link(disk: SystemDisk, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(OSError):
        disk.write_new(tmp_path / "link", b"x")
    assert not (tmp_path / "target").exists()


def test_failed_write_leaves_no_file(disk: SystemDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(system, "sync_descriptor", fail)
    with pytest.raises(OSError, match="Input/output"):
        disk.write_new(tmp_path / "a", b"x")
    assert disk.list_files(tmp_path) == []


def test_short_writes_are_completed(disk: SystemDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(system.os, "write", lambda fd, data: real(fd, bytes(data[:7])))
    disk.write_new(tmp_path / "a", bytes(range(100)))
    monkeypatch.undo()
    assert disk.read(tmp_path / "a") == bytes(range(100))


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="folders are not synced, or by another call")
def test_what_counts_as_durable_was_synced_when_all_of_it_was_there(
    disk: SystemDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[int, int]] = []

    def note(descriptor: int) -> None:
        status = os.fstat(descriptor)
        synced.append((status.st_ino, status.st_size))

    monkeypatch.setattr(os, "fsync", note)
    disk.write_new(tmp_path / "new", b"some", b"more")
    assert synced == [((tmp_path / "new").stat().st_ino, 8)]
    disk.sync_folder(tmp_path)
    assert [inode for inode, _ in synced[1:]] == [tmp_path.stat().st_ino]
    part = disk.open_part(tmp_path / "part")
    part.write_at(0, b"parts")
    part.sync()
    part.close()
    assert synced[2:] == [((tmp_path / "part").stat().st_ino, 5)]


def test_replace_remove_and_sync(disk: SystemDisk, tmp_path: Path) -> None:
    disk.write_new(tmp_path / "new", b"new")
    disk.write_new(tmp_path / "old", b"old")
    disk.replace(tmp_path / "new", tmp_path / "old")
    disk.sync_folder(tmp_path)
    assert disk.read(tmp_path / "old") == b"new"
    assert not disk.exists(tmp_path / "new")
    disk.remove(tmp_path / "old")
    disk.remove(tmp_path / "old")
    with pytest.raises(FileNotFoundError):
        disk.read(tmp_path / "old")


def test_listings_are_sorted_and_leave_links_out(disk: SystemDisk, tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        disk.write_new(tmp_path / name, b"")
        disk.make_folders(tmp_path / f"folder-{name}")
    if os.name == "posix":
        (tmp_path / "link").symlink_to(tmp_path / "a")
        (tmp_path / "link-folder").symlink_to(tmp_path / "folder-a")
    assert disk.list_files(tmp_path) == [tmp_path / name for name in "abc"]
    assert disk.list_folders(tmp_path) == [tmp_path / f"folder-{name}" for name in "abc"]
    assert disk.list_files(tmp_path / "missing") == []
    assert disk.list_folders(tmp_path / "missing") == []


def test_size_of_a_folder_is_an_error(disk: SystemDisk, tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        disk.size(tmp_path)


def test_free_bytes_of_a_place_that_is_not_there_yet(disk: SystemDisk, tmp_path: Path) -> None:
    assert disk.free_bytes(tmp_path / "not" / "yet") > 0


def test_lock_has_one_holder_and_names_it(disk: SystemDisk, tmp_path: Path) -> None:
    lock = disk.lock(tmp_path / "lock")
    with pytest.raises(BlockingIOError, match="this process"):
        disk.lock(tmp_path / "lock")
    lock.release()
    lock.release()
    disk.lock(tmp_path / "lock").release()


async def test_index_may_move_between_threads(disk: SystemDisk, tmp_path: Path) -> None:
    offload = ThreadOffload(threads=2)
    index = disk.open_index(tmp_path / "index.db")
    await offload.run(index.execute, "CREATE TABLE t (x INTEGER)")
    await offload.run(index.execute, "INSERT INTO t VALUES (7)")
    assert not index.in_transaction
    assert index.execute("SELECT x FROM t").fetchall() == [(7,)]
    index.close()
    await offload.close()


async def test_offload_runs_in_a_named_thread_and_passes_results_and_errors() -> None:
    offload = ThreadOffload(threads=1, name="worker")
    assert (await offload.run(lambda: threading.current_thread().name)).startswith("worker")
    assert await offload.run(int, "ff", base=16) == 255
    with pytest.raises(ZeroDivisionError):
        await offload.run(lambda: 1 // 0)
    await offload.close()


async def test_offload_close_waits_for_running_work_and_ends_the_threads() -> None:
    offload = ThreadOffload(threads=2, name="closing")
    gate, done = threading.Event(), []

    def work() -> None:
        gate.wait(10)
        done.append(1)

    caller = asyncio.create_task(offload.run(work))
    await asyncio.sleep(0)
    closing = asyncio.create_task(offload.close())
    await asyncio.sleep(0)
    assert not closing.done()
    gate.set()
    await closing
    await caller
    assert done == [1]
    assert not [t for t in threading.enumerate() if t.name.startswith("closing")]
    with pytest.raises(NodeClosedError):
        await offload.run(work)
    await offload.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives single threads a weight of their own")
async def test_worker_threads_give_way_to_the_loop() -> None:
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    offload = ThreadOffload()
    before = niceness()
    expected = min(before + OFFLOAD_NICENESS, 19)
    assert await offload.run(niceness) == await offload.compute(niceness) == expected
    assert niceness() == before
    await offload.close()


@pytest.mark.parametrize(("processors", "threads"), [(1, 1), (2, 1), (3, 2), (64, 4)])
async def test_what_computes_leaves_one_processor_to_the_loop(processors: int, threads: int) -> None:
    offload = ThreadOffload(threads=4, processors=processors)
    together = threading.Barrier(threads)
    gate, running, most = threading.Lock(), 0, 0

    def work() -> None:
        nonlocal running, most
        with gate:
            running += 1
            most = max(most, running)
        together.wait(10)
        with gate:
            running -= 1

    await asyncio.gather(*(offload.compute(work) for _ in range(4 * threads)))
    assert most == threads
    await offload.close()


async def test_waiting_for_a_disk_and_computing_do_not_hold_each_other_up() -> None:
    offload = ThreadOffload(threads=1, processors=1)
    loop, began, gate = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def wait() -> None:
        loop.call_soon_threadsafe(began.set)
        gate.wait(10)

    waiting = asyncio.create_task(offload.run(wait))
    await began.wait()
    assert await offload.compute(int, "7") == 7
    gate.set()
    await waiting
    began.clear()
    gate.clear()
    waiting = asyncio.create_task(offload.compute(wait))
    await began.wait()
    assert await offload.run(int, "8") == 8
    gate.set()
    await waiting
    await offload.close()
    with pytest.raises(NodeClosedError):
        await offload.compute(int, "9")


async def test_cancelled_caller_waits_until_its_work_has_ended() -> None:
    offload = ThreadOffload(threads=1)
    loop = asyncio.get_running_loop()
    began, gate, done = asyncio.Event(), threading.Event(), []

    def work() -> None:
        loop.call_soon_threadsafe(began.set)
        gate.wait(10)
        done.append(1)

    caller = asyncio.create_task(offload.run(work))
    queued = asyncio.create_task(offload.run(done.append, 2))
    await began.wait()
    queued.cancel()
    with pytest.raises(asyncio.CancelledError):
        await queued
    caller.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not caller.done()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert done == [1], "work that had not begun when its caller was cancelled never runs"
    await offload.close()


def test_work_at_interpreter_exit_is_done_by_the_caller() -> None:
    code = """
import asyncio, atexit, threading
from dfs_sdk.runtime.system import ThreadOffload
offload = ThreadOffload()
loop = asyncio.new_event_loop()
loop.run_until_complete(offload.run(int))
def goodbye():
    print(loop.run_until_complete(offload.run(lambda: threading.current_thread().name)))
    loop.run_until_complete(offload.close())
    loop.close()
atexit.register(goodbye)
"""
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=30)
    assert run.stdout.strip() == "MainThread", run.stderr
    assert run.stderr == ""


@pytest.mark.parametrize("threads", [0, -1, 257])
def test_absurd_thread_counts_are_refused(threads: int) -> None:
    with pytest.raises(ConfigError, match="threads"):
        system_runtime(threads=threads)


def test_runtime_is_repeatable_from_its_seed() -> None:
    assert draws(system_runtime(seed=5).rng) == draws(system_runtime(seed=5).rng)
    assert draws(system_runtime().rng) != draws(system_runtime().rng)
    assert type(system_runtime(udp="portable").udp).__name__ == "PortableUdp"
    with pytest.raises(ConfigError, match="udp"):
        system_runtime(udp="tcp")  # type: ignore[arg-type]
