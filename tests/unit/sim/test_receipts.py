"""Receipts: the second book strikes the instant one comes, and the inspector looks at disks instead of asking nodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.crypto.hashing import blake3_256
from dfs_sdk.ids import ChunkId
from dfs_sdk.sim.__main__ import main
from dfs_sdk.sim.conditions import Conditions
from dfs_sdk.sim.disk import SimDisk
from dfs_sdk.sim.faults import DiskHealth
from dfs_sdk.sim.inspector import Inspector
from dfs_sdk.sim.ledger import Ledger, Owed
from dfs_sdk.sim.plan import LOSING, Fault, FaultKind, Plan, draw_plan
from dfs_sdk.sim.receipts import draw_receipts_plan
from dfs_sdk.sim.trial import run_trial
from dfs_sdk.sim.world import World
from dfs_sdk.store.base import NewChunk, Role
from dfs_sdk.store.files import ChunkFiles
from dfs_sdk.store.header import HEADER_BYTES
from dfs_sdk.store.memory import MemoryStore

FOLDER = Path("/store")
DATA = b"sealed bytes"
CHUNK = ChunkId(blake3_256(DATA))


@given(st.integers(0, 10**9))
def test_plan_never_asks_for_more_than_the_promise_gives(seed: int):
    plan = draw_receipts_plan(seed)
    struck = {fault.host for fault in plan.faults if fault.kind in LOSING}
    assert plan.liars | struck <= plan.doomed
    assert len(plan.doomed) < plan.quorum <= plan.replicas < len(plan.hosts)
    # Whoever stores finds a quorum among the others, even if none of the doomed answers.
    assert plan.quorum <= len(plan.hosts) - 1 - len(plan.doomed)
    assert list(plan.faults) == sorted(plan.faults, key=lambda fault: fault.at)
    assert any(fault.kind is FaultKind.RECEIPT for fault in plan.faults)
    assert all(0 <= fault.at < fault.at + fault.seconds <= plan.seconds + 1e-9 for fault in plan.faults)
    assert plan == draw_receipts_plan(seed)


def test_seeds_of_the_first_book_mean_what_they_meant():
    plan = draw_plan(45, seconds=30.0)
    assert str(plan) == "seed 45: 6 hosts, 21 faults in 30 s (disk errors, traffic clogged, two halves), loss 0%"
    assert plan.disk_queue == 0
    assert not any(fault.kind is FaultKind.RECEIPT for seed in range(200) for fault in draw_plan(seed).faults)


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        for name in ("a", "b", "c"):
            world.host(name)
        yield world


def chunk_path(disk: SimDisk) -> Path:
    return ChunkFiles(disk, FOLDER, quarantine_files_max=0).path(CHUNK)


def put(world: World, name: str, *, data: bytes = DATA, sync: bool = True) -> Path:
    """Write a chunk file as a store does; without `sync` its name is not safe."""
    disk = world.hosts[name].disk
    path, temporary = chunk_path(disk), FOLDER / "tmp"
    disk.make_folders(path.parent)
    for folder in (FOLDER.parent, FOLDER, path.parent.parent):
        disk.sync_folder(folder)
    disk.write_new(temporary, bytes(HEADER_BYTES), data)
    disk.replace(temporary, path)
    if sync:
        disk.sync_folder(path.parent)
    return path


def receipt(world: World, *, quorum: int, excused: frozenset[str] = frozenset()) -> list[str]:
    ledger = Ledger()
    inspector = Inspector(world, ledger, folder=FOLDER, quorum=quorum, excused=lambda: excused)
    inspector.check_receipt("a", [CHUNK], when="then")
    return ledger.problems


def test_copies_of_others_count_and_the_writers_does_not(world: World):
    put(world, "a")
    assert len(receipt(world, quorum=1)) == 1
    put(world, "b")
    assert receipt(world, quorum=1) == []
    assert len(receipt(world, quorum=2)) == 1
    put(world, "c")
    assert receipt(world, quorum=2) == []


def test_who_may_have_lost_its_copy_gets_the_benefit_of_the_doubt_once(world: World):
    put(world, "b")
    assert receipt(world, quorum=2, excused=frozenset({"c"})) == []
    assert receipt(world, quorum=2, excused=frozenset({"a"}))
    assert receipt(world, quorum=2, excused=frozenset({"b"}))


def test_copy_that_a_power_cut_may_take_does_not_count(world: World):
    path = put(world, "b", sync=False)
    assert receipt(world, quorum=1)
    disk = world.hosts["b"].disk
    disk.sync_folder(path.parent)
    assert receipt(world, quorum=1) == []
    disk.remove(path)
    assert receipt(world, quorum=1)


def test_copy_without_an_fsync_or_with_wrong_bytes_does_not_count(world: World):
    put(world, "b", data=b"other bytes")
    assert receipt(world, quorum=1)
    disk = world.hosts["c"].disk
    path = chunk_path(disk)
    disk.make_folders(path.parent)
    part = disk.open_part(path)
    part.write_at(0, bytes(HEADER_BYTES) + DATA)
    for folder in reversed(path.parents):
        disk.sync_folder(folder)
    assert receipt(world, quorum=1)
    part.sync()
    assert receipt(world, quorum=1) == []


def test_acknowledged_file_without_any_copy_is_a_breach_until_it_is_removed(world: World):
    ledger = Ledger(files=[Owed(name="f", link="l", data=b"", owner="a", chunk_ids=(CHUNK,))])
    inspector = Inspector(world, ledger, folder=FOLDER, quorum=1, excused=frozenset)
    put(world, "a")
    inspector.check_standing(when="then")
    assert ledger.problems == []
    world.hosts["a"].wipe()
    inspector.check_standing(when="then")
    assert len(ledger.problems) == 1
    ledger.files[0].removed = True
    inspector.check_standing(when="then")
    assert len(ledger.problems) == 1


def claims(world: World, *, claimed: bool = True) -> list[str]:
    """Check a store of host b that claims the chunk, whatever its disk has."""
    ledger = Ledger(files=[Owed(name="f", link="l", data=b"", owner="a", chunk_ids=(CHUNK,))])
    inspector = Inspector(world, ledger, folder=FOLDER, quorum=1, excused=frozenset)
    host = world.hosts["b"]

    async def check() -> None:
        store = MemoryStore(host.runtime)
        await store.open()
        if claimed:
            await store.put([NewChunk(chunk_id=CHUNK, data=DATA, cell=0, role=Role.PRIMARY)])
        inspector.check_store("b", store)
        await store.close()

    world.run(host.run(check()))
    return ledger.problems


def stray(disk: SimDisk) -> None:
    """Write files of which every page lands in another file, beneath the cache."""
    disk.health = DiskHealth(misdirect_ratio=1.0)
    for number in range(20):
        disk.write_new(FOLDER / f"stray-{number}", b"s" * 2 * HEADER_BYTES)
    disk.health = DiskHealth()


def test_claim_of_a_chunk_that_the_disk_does_not_have_is_a_breach(world: World):
    assert claims(world, claimed=False) == []
    assert len(claims(world)) == 1
    put(world, "a")
    assert len(claims(world)) == 1, "the copy of another host counts"
    path = put(world, "b", sync=False)
    assert len(claims(world)) == 1
    world.hosts["b"].disk.sync_folder(path.parent)
    assert claims(world) == []


def test_claim_is_false_once_a_bit_has_rotted(world: World):
    path = put(world, "b")
    disk = world.hosts["b"].disk
    disk.overwrite(path, disk.read(path)[:-1] + bytes([DATA[-1] ^ 1]))
    assert len(claims(world)) == 1


def test_claim_is_false_once_a_misdirected_page_shows_and_not_before(world: World):
    """Until the cache is gone every reader finds the right bytes: no check of a node could know better."""
    host = world.hosts["b"]
    path = put(world, "b")
    stray(host.disk)
    assert host.disk.safe(path) != host.disk.read(path)
    assert receipt(world, quorum=1), "a spoilt copy counts for a receipt"
    assert claims(world) == []
    host.crash(power=False)
    host.restart()
    assert claims(world) == [], "the cache does not outlive the process"
    host.crash()
    host.restart()
    assert host.disk.exists(path)
    assert len(claims(world)) == 1


def test_claim_is_false_if_the_disk_is_wrong_beside_a_misdirected_page(world: World):
    disk = world.hosts["b"].disk
    path = put(world, "b", data=b"other bytes")
    stray(disk)
    assert disk.safe(path) != disk.read(path)
    assert len(claims(world)) == 1


@pytest.mark.parametrize("amount", [0.25, 0.75], ids=["receipt of a file", "receipt of a chunk"])
def test_power_goes_at_a_receipt_and_everything_comes_back(amount: float):
    plan = Plan(
        seed=1, hosts=("n0", "n1", "n2", "n3"), conditions=Conditions(), liars=frozenset(), doomed=frozenset(),
        faults=(Fault(at=0.0, kind=FaultKind.RECEIPT, host="n1", seconds=3.0, amount=amount),),
        quorum=2, replicas=3, seconds=20.0, disk_queue=0.05, sealed=False,
    )  # fmt: skip
    verdict = run_trial(plan)
    assert verdict.passed, verdict
    assert verdict.faults == {FaultKind.RECEIPT: 1}
    assert verdict.files
    assert run_trial(replace(plan, faults=())).faults == {}


def test_command_replays_a_seed_of_the_second_book(capsys: pytest.CaptureFixture[str]):
    digests = []
    for _ in range(2):
        assert main(["--seed", "3", "--seconds", "8", "--receipts", "--verbose"]) == 0
        said = capsys.readouterr().out
        assert "power cut at a receipt" in said
        digests.append(said.rsplit("Digest ", 1)[1])
    assert digests[0] == digests[1]
