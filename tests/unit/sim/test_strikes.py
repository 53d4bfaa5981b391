"""Strikes that overlap: each ends with its own time and takes back only what it did."""

from typing import Any

import pytest

from dfs_sdk.errors import ConfigError
from dfs_sdk.sim.news import Struck
from dfs_sdk.sim.scenario import Scenario
from dfs_sdk.sim.simulated import Simulated
from dfs_sdk.sim.swarm import Swarm
from dfs_sdk.sim.world import World


def world_of(swarm: Swarm) -> World:
    ground = swarm._ground
    assert isinstance(ground, Simulated)
    return ground.world


def rot(swarm: Swarm, name: str = "n0") -> float:
    return world_of(swarm).hosts[name].disk.health.rot_ratio


async def test_corruptions_that_overlap_add_up_and_end_each_by_itself():
    storm = (
        Scenario()
        .corrupt(at=1, who="n0", amount=0.25, seconds=10)
        .corrupt(at=5, who="n0", amount=0.5, seconds=20)
        .corrupt(at=8, who="n0", amount=0.75, seconds=2)
    )
    async with Swarm(2, net="lan", seed=1, scenario=storm) as swarm:
        seen = []
        for seconds in (4, 3, 2, 2, 1, 20):  # at 4, 7, 9, 11, 12 and 32 s
            await swarm.run(seconds=seconds, progress=False)
            seen.append(rot(swarm))
        assert seen == [0.25, 0.75, 1.0, 0.5, 0.5, 0.0]


async def test_repair_ends_corruptions_that_overlap_also_on_the_disk_of_the_next_life():
    storm = (
        Scenario()
        .corrupt(at=1, who="n1", amount=0.25)
        .corrupt(at=2, who="n1", amount=0.5, seconds=100)
        .crash(at=3, who="n1", seconds=1)
        .repair(at=10)
    )
    async with Swarm(2, net="lan", seed=1, scenario=storm) as swarm:
        await swarm.run(seconds=8, progress=False)
        assert rot(swarm, "n1") == 0.75
        await swarm.run(seconds=4, progress=False)
        assert rot(swarm, "n1") == 0.0
        await swarm.run(seconds=100, progress=False)
        assert rot(swarm, "n1") == 0.0


async def test_end_of_a_runs_scenario_takes_back_what_that_struck_and_nothing_else():
    async with Swarm(4, net="lan", seed=1, scenario=Scenario().partition(at=1, who="n1", seconds=100)) as swarm:
        network = world_of(swarm).network
        await swarm.strike("clog", 2, seconds=100)
        storm = Scenario().clog(at=1, who="n2", seconds=50).partition(at=2, who="n3").corrupt(at=2, who="n0")
        running = Scenario().sleep(at=1, who="n3", seconds=1)
        await swarm.run(seconds=5, scenario=running, progress=False)
        assert network.is_cut("n0", "n1")
        assert network._clogged == {"n2": 1}
        await swarm.run(seconds=5, scenario=storm, progress=False)
        assert network.is_cut("n0", "n1")
        assert not network.is_cut("n0", "n3")
        assert network._clogged == {"n2": 1}
        assert rot(swarm) == 0.0
        await swarm.strike("repair")
        assert not network.is_cut("n0", "n1")
        assert not network._clogged
        assert swarm.failures == ()


async def test_what_went_on_before_a_run_ends_at_its_own_time():
    async with Swarm(3, net="lan", seed=1) as swarm:
        network = world_of(swarm).network
        await swarm.strike("clog", 2, seconds=20)
        await swarm.run(seconds=5, scenario=Scenario().clog(at=1, who="n2", seconds=100), progress=False)
        assert network._clogged == {"n2": 1}
        await swarm.run(seconds=20, progress=False)
        assert not network._clogged


async def test_only_those_that_were_struck_are_counted():
    storm = Scenario(spared=("n0",)).crash(at=1, who=2).repair(at=5).restart(at=10).restart(at=60)
    async with Swarm(5, net="lan", seed=1) as swarm:
        report = await swarm.run(minutes=2, scenario=storm, progress=False)
        assert report.strikes == {"crash": 2, "restart": 2}
        told = swarm.events()["kind"].value_counts()
        assert (told["repair"], told["restart"]) == (1, 3)  # a row for each host, and one for what struck none
        assert report.after.answering == 5


async def test_by_hand_everything_can_be_told_that_a_scenario_can_tell():
    async with Swarm(3, net="lan", seed=1) as swarm:
        await swarm.strike("corrupt", 1, amount=0.25, seconds="10 s")
        assert rot(swarm, "n1") == 0.25
        await swarm.run(seconds=11, progress=False)
        assert rot(swarm, "n1") == 0.0
        await swarm.strike("crash", 1, 2, power=False)
        await swarm.strike("restart")
        report = await swarm.run(minutes=1, progress=False)
        assert report.after.answering == 3
        crashed = [event.strike.power for _name, event in swarm._chronicle._events if isinstance(event, Struck)][1:3]
        assert crashed == [False, False]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"kind": "sleep", "seconds": 5}, "sleep happens to nobody"),
        ({"kind": "explode"}, "'explode' is nothing that can happen"),
        ({"kind": "corrupt", "amount": 2}, "amount is 2"),
        ({"kind": "crash", "amount": 0.5}, "crash takes no amount"),
        ({"kind": "repair", "seconds": 5}, "repair takes no duration"),
    ],
)
async def test_strike_by_hand_is_refused_in_words(arguments: dict[str, Any], complaint: str):
    async with Swarm(1, net="lan", seed=1) as swarm:
        with pytest.raises(ConfigError, match=complaint):
            await swarm.strike(arguments.pop("kind"), **arguments)
        with pytest.raises(ConfigError, match="repair takes no who"):
            await swarm.strike("repair", 0)


async def test_partition_has_the_shape_it_is_given():
    async with Swarm(6, net="lan", seed=1) as swarm:
        network = world_of(swarm).network

        def cut(pairs: str) -> list[bool]:
            return [network.is_cut(f"n{one}", f"n{other}") for one, other in pairs.split()]

        await swarm.strike("partition", 1, 2)
        assert cut("13 31 12 34") == [True, True, False, False]
        await swarm.strike("repair")
        await swarm.strike("partition", 1, 2, shape="one-way")
        assert cut("13 31 12 34") == [True, False, False, False]
        await swarm.strike("repair")
        await swarm.run(seconds=2, scenario=Scenario().partition(at=1, who="all", shape="ring"), progress=False)
        assert cut("01 03 30 05") == [False] * 4
        await swarm.strike("partition", 0, 1, 2, 3, 4, 5, shape="ring", seconds=5)
        assert cut("01 03 30 05") == [False, True, True, False]
        assert swarm.events()["text"].iloc[-1] == "partition n0, n1, n2, n3, n4 and 1 more for 5 s, ring"
