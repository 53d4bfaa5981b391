"""A swarm that is used before its start, after its end, or with what it cannot take: it says so in words."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from dfs_sdk.errors import ConfigError, NodeClosedError
from dfs_sdk.runtime.ports import Rng
from dfs_sdk.sim.scenario import ActKind, Scenario, Strike
from dfs_sdk.sim.swarm import Swarm

NETS = pytest.mark.parametrize("net", [None, "lan"])
TABLES = ("chunks", "peers", "files", "transfers", "snapshots")
MEMORIES = ("history", "events")


async def test_run_starts_a_swarm_that_was_not_started():
    swarm = Swarm(3, net="lan", seed=7)
    try:
        report = await swarm.run(minutes=1, progress=False)
        assert report.seconds == pytest.approx(60)
        assert (report.before.nodes, report.after.answering) == (3, 3)
        again = await swarm.run(minutes=1, progress=False)
        assert again.after.seconds == pytest.approx(report.after.seconds + 60)
    finally:
        await swarm.close()


async def test_two_runs_at_once_start_a_swarm_once():
    swarm = Swarm(3, net="lan", seed=7)
    try:
        one, other = await asyncio.gather(swarm.run(seconds=5, progress=False), swarm.run(seconds=5, progress=False))
        assert len(swarm) == one.before.nodes == other.before.nodes == 3
        assert one.before.answering == other.before.answering == 3
    finally:
        await swarm.close()


@NETS
def test_script_may_run_a_swarm_without_starting_it(net: str | None):
    swarm = Swarm(1, net=net)
    try:
        assert swarm.sync.run(seconds=0.1).after.answering == 1
    finally:
        swarm.sync.close()


async def test_path_of_the_notebooks_disk_is_told_from_one_of_a_simulated_disk(tmp_path: Path):
    path = tmp_path / "slides.pdf"
    path.write_bytes(b"slides")
    async with Swarm(1, net="lan", seed=7) as swarm:
        with pytest.raises(FileNotFoundError, match="simulated disk; give bytes"):
            await swarm[0].put(path, quorum=0)
        file = await swarm[0].put(path.read_bytes(), name=path.name, quorum=0)
        assert await swarm[0].get(file.link) == b"slides"


@NETS
async def test_swarm_that_was_not_started_says_so(net: str | None):
    swarm = Swarm(2, net=net, seed=1)
    looks: list[Callable[[], Any]] = [getattr(swarm, name) for name in (*TABLES, *MEMORIES)]
    for look in (*looks, lambda: swarm[0]):
        with pytest.raises(NodeClosedError, match="not started"):
            look()
    for act in (
        swarm.add(),
        swarm.kill(0),
        swarm.restart(0),
        swarm.leave(0),
        swarm.settled(),
        swarm.strike("crash", 0),
    ):
        with pytest.raises(NodeClosedError, match="not started"):
            await act
    assert "not started" in repr(swarm)
    assert "not started" in swarm._repr_mimebundle_()["text/plain"]
    await swarm.close()


@NETS
async def test_closed_swarm_tells_what_happened_and_not_how_it_stands(net: str | None):
    swarm = await Swarm(2, net=net, seed=1).start()
    await swarm.run(seconds=0.1, progress=False)
    await swarm.close()
    for name in TABLES:
        with pytest.raises(NodeClosedError, match="closed"):
            getattr(swarm, name)()
    with pytest.raises(NodeClosedError, match="closed"):
        await swarm.run(seconds=1, progress=False)
    with pytest.raises(NodeClosedError):
        await swarm.start()
    assert not swarm.history().empty
    assert not swarm.events().empty
    assert repr(swarm) == swarm._repr_mimebundle_()["text/plain"] == "<Swarm of 2 nodes, closed>"


@pytest.mark.parametrize(
    "scenario",
    [
        Scenario().crash(at="1 h", who=("n99",)),
        Scenario().crash(at="1 h", who="n99"),
        {"act": []},
        [],
        5,
    ],
)
def test_wrong_scenario_is_refused_before_anything_starts(scenario: Any):
    with pytest.raises(ConfigError, match=r"n99|scenario is"):
        Swarm(3, net="lan", scenario=scenario)


def test_scenario_that_cannot_happen_on_real_sockets_is_refused_before_anything_starts():
    with pytest.raises(ConfigError, match='net="lan"'):
        Swarm(3, scenario=Scenario().sleep(at="1 h", who=1, seconds=5))


async def test_wrong_scenario_of_a_run_is_told_before_time_passes():
    async with Swarm(2) as swarm:
        with pytest.raises(ConfigError, match="sleep"):
            await swarm.run(hours=1, scenario=Scenario().sleep(at=1, who=1, seconds=5), progress=False)


@pytest.mark.parametrize(
    "arguments",
    [
        {"count": "5"},
        {"count": 5.5},
        {"count": True},
        {"count": None},
        {"seed": "x"},
        {"seed": 1.5},
        {"fidelity": True},
    ],
)
def test_argument_of_another_kind_is_refused_in_words(arguments: dict[str, Any]):
    with pytest.raises(ConfigError, match=next(iter(arguments)).replace("count", "a swarm has")):
        Swarm(net="lan", **{"count": 3, **arguments})


async def test_call_with_something_else_is_refused_in_words():
    async with Swarm(2, net="lan", seed=1) as swarm:
        with pytest.raises(ConfigError, match="hours is '1'"):
            await swarm.run(hours="1")  # type: ignore[arg-type]
        for act in (swarm.strike("crash", 99), swarm.kill(99), swarm.restart(-3), swarm.leave(2)):
            with pytest.raises(ConfigError, match="from 0 to 1"):
                await act


class Elsewhere:
    """A timeline of somebody's own, which strikes a host that is not there."""

    def strikes(self, hosts: Sequence[str], rng: Rng) -> Iterator[Strike]:
        yield Strike(at=1, kind=ActKind.SLEEP, hosts=("n1",), seconds=1)
        yield Strike(at=2, kind=ActKind.CRASH, hosts=("n99",))


async def test_timeline_that_strikes_nobody_ends_the_run_in_words():
    async with Swarm(2, net="lan", seed=1) as swarm:
        with pytest.raises(ConfigError, match="crash names n99"):
            await swarm.run(minutes=1, scenario=Elsewhere(), progress=False)
