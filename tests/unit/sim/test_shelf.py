"""Equal pieces of files lie in memory once, and nobody in the world can tell."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path

import pytest

from dfs_sdk.runtime.system import SeededRng
from dfs_sdk.sim import trial
from dfs_sdk.sim.campaign import run_seed
from dfs_sdk.sim.disk import SimDisk
from dfs_sdk.sim.faults import DiskHealth
from dfs_sdk.sim.fidelity import CHEAP
from dfs_sdk.sim.shelf import SHARED_BYTES_MIN, Shelf
from dfs_sdk.sim.swarm import Swarm

HEADER = b"header"
BODY = bytes(range(256)) * 64
WHERE = Path("/f")
OWN_COPIES = replace(CHEAP, copies=True)


def disks(count: int) -> tuple[Shelf, list[SimDisk]]:
    shelf = Shelf()
    made = [SimDisk(shelf=shelf, rng=SeededRng(number)) for number in range(count)]
    for number, disk in enumerate(made):
        disk.write_new(WHERE, HEADER + bytes([number]), BODY)
        disk.sync_folder(WHERE.parent)
    return shelf, made


def test_equal_pieces_lie_in_memory_once_until_the_last_holder_lets_go():
    shelf, made = disks(3)
    assert (len(shelf), shelf.held_bytes) == (1, len(BODY))
    for number, disk in enumerate(made):
        assert disk.read(WHERE) == HEADER + bytes([number]) + BODY
        assert disk.read(WHERE, 4) == HEADER[:4]
        assert disk.read(WHERE, SHARED_BYTES_MIN) == disk.read(WHERE)[:SHARED_BYTES_MIN]
        assert disk.size(WHERE) == len(disk.read(WHERE))
        assert disk.safe(WHERE) == disk.read(WHERE)
    for disk in made[1:]:
        disk.remove(WHERE)
        disk.sync_folder(WHERE.parent)
    gc.collect()
    assert len(shelf) == 1
    made[0].remove(WHERE)
    made[0].sync_folder(WHERE.parent)
    gc.collect()
    assert len(shelf) == 0


def test_what_is_damaged_is_that_disks_own():
    shelf, (one, other) = disks(2)
    one.rot(WHERE, SeededRng(5))
    assert one.read(WHERE) != HEADER + b"\0" + BODY
    assert other.read(WHERE) == HEADER + b"\1" + BODY
    assert len(shelf) == 1


def test_a_power_cut_keeps_the_handle_and_an_unsynced_file_is_as_torn_as_ever():
    shelf, (disk,) = disks(1)
    plain = SimDisk()
    for each in (disk, plain):
        part = each.open_part(Path("/part"))
        part.write_at(0, BODY)
        each.sync_folder(Path("/"))
    found, found_plain = (each.after_power_cut(SeededRng(1)) for each in (disk, plain))
    assert found.read(WHERE) == HEADER + b"\0" + BODY
    assert len(shelf) == 1
    assert BODY != found.read(Path("/part")) == found_plain.read(Path("/part"))


def test_a_misdirected_write_shares_nothing():
    shelf, (disk,) = disks(1)
    disk.health = DiskHealth(misdirect_ratio=1.0)
    disk.write_new(Path("/g"), BODY)
    assert disk.read(Path("/g")) == BODY
    assert len(shelf) == 1  # of the first file
    assert disk.after_power_cut(SeededRng(3)).read(WHERE) != HEADER + b"\0" + BODY


@pytest.mark.parametrize("seed", [6, 23])
def test_a_seed_goes_the_same_way_with_and_without(seed: int, monkeypatch: pytest.MonkeyPatch):
    by_handle = run_seed(seed, 30.0)
    monkeypatch.setattr(trial, "CHEAP", OWN_COPIES)
    assert run_seed(seed, 30.0) == by_handle
    assert by_handle.files


async def test_a_swarm_decides_the_same_with_and_without():
    tables = []
    for fidelity in (CHEAP, OWN_COPIES):
        async with Swarm(8, net="classroom-day", seed=7, fidelity=fidelity) as swarm:
            file = await swarm[0].put(BODY * 20, name="data", chunk_size=65_536)
            await swarm.run(minutes=3, progress=False)
            assert await swarm[1].get(file.link) == BODY * 20
            tables.append([frame.to_csv() for frame in (swarm.chunks(), swarm.files(), swarm.events())])
    assert tables[0] == tables[1]
