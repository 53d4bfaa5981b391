"""The two files of an identity: one of them may rot, vanish or become unreadable, and the node is still itself."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from dfs_sdk.crypto.identity import Identity
from dfs_sdk.errors import IdentityError, StoreError
from dfs_sdk.node.identity_file import COPY_NAME, FILE_NAME, load_identity
from dfs_sdk.runtime.ports import Runtime
from dfs_sdk.runtime.system import SeededRng
from dfs_sdk.sim.disk import SimDisk
from dfs_sdk.sim.disk_files import PowerCut
from dfs_sdk.sim.faults import DiskHealth
from dfs_sdk.sim.world import World

FOLDER = Path("/home/user/store")
FILES = (FOLDER / FILE_NAME, FOLDER / COPY_NAME)


class Machine:
    """A simulated machine with one disk, on which an identity is loaded again and again."""

    def __init__(self) -> None:
        with World(1) as world:
            self._runtime: Runtime = world.host("n0").runtime
        self.disk = SimDisk(rng=SeededRng(1))
        self.disk.make_folders(FOLDER)
        self.disk.power_on(lambda: True)

    def load(self, passphrase: str | None = None) -> Identity:
        """Load it as a node that starts would."""
        runtime = replace(self._runtime, disk=self.disk, offload=Direct())
        return asyncio.run(load_identity(FOLDER, passphrase=passphrase, runtime=runtime))

    def contents(self) -> list[bytes | None]:
        """What the two files hold."""
        files = self.disk.all_files()
        return [files.get(path) for path in FILES]


class Direct:
    """Runs at once what would go to a thread."""

    async def run(self, function, /, *args, **kwargs):
        return function(*args, **kwargs)


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.mark.parametrize("passphrase", [None, "open sesame"])
@pytest.mark.parametrize("path", FILES)
def test_an_identity_survives_rot_of_either_file_and_both_are_good_again(machine, passphrase, path):
    first = machine.load(passphrase)
    good = machine.contents()
    assert good[0] == good[1]
    machine.disk.rot(path, SeededRng(7))
    assert machine.contents() != good
    assert machine.load(passphrase).public == first.public
    assert machine.contents() == good


@pytest.mark.parametrize("path", FILES)
def test_an_identity_survives_the_loss_of_either_file(machine, path):
    first = machine.load()
    machine.disk.remove(path)
    assert machine.load().public == first.public
    assert None not in machine.contents()


def test_an_identity_with_two_rotten_files_is_refused_and_left_as_it_is(machine):
    machine.load()
    for number, path in enumerate(FILES):
        machine.disk.rot(path, SeededRng(number))
    rotten = machine.contents()
    with pytest.raises(IdentityError, match="restore it from a copy"):
        machine.load()
    assert machine.contents() == rotten


def test_a_wrong_passphrase_changes_nothing(machine):
    machine.load("open sesame")
    good = machine.contents()
    with pytest.raises(IdentityError, match="wrong passphrase"):
        machine.load("open barley")
    assert machine.contents() == good


def test_a_file_put_back_from_a_backup_wins_over_the_copy(machine):
    machine.load()
    old = machine.contents()[0]
    for path in FILES:
        machine.disk.remove(path)
    machine.load()
    machine.disk.overwrite(FILES[0], old)
    machine.load()
    assert machine.contents() == [old, old]


def test_a_copy_that_cannot_be_written_stops_nobody(machine, caplog):
    first = machine.load()
    machine.disk.remove(FILES[1])
    machine.disk.health = DiskHealth(full_ratio=1.0)
    assert machine.load().public == first.public
    assert "only one file of the identity is good" in caplog.text
    machine.disk.health = DiskHealth()
    assert machine.load().public == first.public
    assert None not in machine.contents()


def test_unreadable_files_are_an_error_of_the_store_and_no_new_identity(machine):
    machine.load()
    good = machine.contents()
    machine.disk.health = DiskHealth(read_error_ratio=1.0)
    with pytest.raises(StoreError, match="cannot be read"):
        machine.load()
    assert machine.contents() == good


def test_power_cut_at_any_step_leaves_no_identity_or_a_whole_one(machine):
    empty, steps = machine.disk, 0
    while True:
        machine.disk = empty.copy()
        machine.disk.cut_in(steps)
        try:
            machine.load()
        except PowerCut:
            for chance in range(8):
                machine.disk = machine.disk.after_power_cut(SeededRng(chance))
                public = machine.load().public
                assert machine.load().public == public
                assert machine.contents()[0] == machine.contents()[1]
                machine.disk = empty.copy()
                machine.disk.cut_in(steps)
                with pytest.raises(PowerCut):
                    machine.load()
        else:
            break
        steps += 1
    assert steps > 8
