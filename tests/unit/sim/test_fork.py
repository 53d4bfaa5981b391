"""A forked process of a simulated host: the child refuses, and the parent goes on as if there had been no child."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from dfs_sdk.runtime import forks
from dfs_sdk.sim.conditions import Conditions
from dfs_sdk.sim.errors import ForkError, HostDownError
from dfs_sdk.sim.fidelity import CHEAP, Fidelity
from dfs_sdk.sim.fork import CAN_FORK, DATAGRAMS_MAX, REFUSED, WAITING, Offspring
from dfs_sdk.sim.ledger import Ledger
from dfs_sdk.sim.plan import DRAWN, Fault, FaultKind, Plan
from dfs_sdk.sim.receipts import draw_receipts_plan
from dfs_sdk.sim.trial import run_trial
from dfs_sdk.sim.witness import Witness
from dfs_sdk.sim.world import World
from tests.fakes.simnodes import start_network

pytestmark = pytest.mark.skipif(not CAN_FORK, reason="this system has no fork()")

DATA = bytes(range(256)) * 700
LONG = 90.0
"""Seconds in which each timer of a node comes."""


async def story(world: World, born: list[Offspring] | None) -> None:
    """Store and read files; fork at rest, and in the middle of a put."""
    nodes = await start_network(world, 3)
    file = await nodes[0].put(DATA, name="data")
    if born is not None:
        calls = {
            "put": lambda: nodes[1].put(b"from the child"),
            "get": lambda: nodes[1].get(file.link),
            "send": lambda: nodes[1].chat.send("from the child"),
            "remove": lambda: nodes[1].remove("data"),
        }
        born.append(world.hosts["n1"].fork(calls, seconds=LONG))
    writing = asyncio.get_running_loop().create_task(nodes[1].put(DATA[::-1], name="more"))
    for _ in range(3):
        await asyncio.sleep(0.02)
        if born is not None:
            born += [world.hosts[name].fork(seconds=LONG) for name in ("n1", "n2")]
    assert await nodes[2].get((await writing).link) == DATA[::-1]
    await nodes[1].chat.send("the parent goes on")


def digest(fidelity: Fidelity, born: list[Offspring] | None) -> str:
    ledger = Ledger()
    with World(7, conditions=Conditions(delay_mean=0.01, loss_ratio=0.02), fidelity=fidelity) as world:
        with Witness(world, ledger):
            world.run(story(world, born))
        assert world.failures == []
        assert ledger.problems == []
        return world.trace.digest()


@pytest.mark.parametrize("fidelity", [Fidelity(), CHEAP], ids=["sealed", "cheap"])
def test_forked_child_refuses_all_and_its_parent_goes_on_as_without_it(fidelity: Fidelity):
    born: list[Offspring] = []
    assert digest(fidelity, born) == digest(fidelity, None)
    assert [each for offspring in born for each in offspring.problems()] == []
    assert set(born[0].answers.values()) == {REFUSED}
    # They were tried: timers came in each, and datagrams reached some.
    assert all(offspring.events > 100 for offspring in born)
    assert sum(offspring.arrived for offspring in born) > 0


def test_child_that_kept_its_keys_is_seen_to_seal_and_the_witness_sees_numbers_used_twice(
    monkeypatch: pytest.MonkeyPatch,
):
    ledger = Ledger()

    async def betray(world: World) -> list[str]:
        nodes = await start_network(world, 3)
        monkeypatch.setattr(forks, "_callbacks", {})
        offspring = world.hosts["n1"].fork({"send": lambda: nodes[1].chat.send("from the child")}, seconds=LONG)
        monkeypatch.undo()
        await nodes[1].chat.send("from the parent")
        await asyncio.sleep(5)
        assert 0 < len(offspring.sent) <= DATAGRAMS_MAX
        return offspring.problems()

    with World(7) as world, Witness(world, ledger):
        problems = world.run(betray(world))
    assert "send of a forked child did not refuse: ForkedNodeError" not in problems
    assert any("sent" in problem for problem in problems)
    assert any("sealed two packets under number" in problem for problem in ledger.problems), ledger.problems


def test_what_a_child_does_to_the_disk_and_does_not_refuse_is_told():
    async def tried(world: World) -> list[str]:
        host = world.hosts["a"]

        async def write() -> None:
            host.runtime.disk.write_new(Path("/a"), b"from the child")

        async def fail() -> None:
            host.loop.call_soon(lambda: 1 / 0)

        calls = {"write": write, "fail": fail, "wait": lambda: asyncio.sleep(LONG)}
        offspring = host.fork(calls)
        assert offspring.answers["wait"] == WAITING
        assert not host.runtime.disk.exists(Path("/a"))
        return offspring.problems()

    with World() as world:
        world.host("a")
        told = "\n".join(world.run(tried(world)))
        assert "write of a forked child did not refuse: returned" in told
        assert "a forked child touched the disk: create /a" in told
        assert "ZeroDivisionError" in told
        assert world.failures == []


def test_host_that_is_down_or_blocked_does_not_fork_and_a_child_that_dies_is_told():
    async def die() -> None:
        os._exit(3)

    with World() as world:
        host = world.host("a")
        with pytest.raises(ForkError, match="without a word"):
            host.fork({"die": die})
        host.block(1.0)
        with pytest.raises(HostDownError):
            host.fork()
        host.crash()
        with pytest.raises(HostDownError):
            host.fork()


CALM = Plan(
    seed=1, hosts=("n0", "n1", "n2", "n3"), conditions=Conditions(), liars=frozenset(), doomed=frozenset(), faults=(),
    quorum=2, replicas=3, seconds=12.0, sealed=True,
)  # fmt: skip


def test_seed_with_forks_keeps_its_promise():
    faults = tuple(
        Fault(at=at, kind=FaultKind.FORK, host=host, seconds=2.0, amount=0.0)
        for at, host in ((1.5, "n0"), (6.0, "n1"), (9.0, "n2"))
    )
    verdict = run_trial(replace(CALM, faults=faults))
    assert verdict.passed, verdict
    assert verdict.faults == {FaultKind.FORK: 3}


def test_only_the_second_book_forks():
    assert FaultKind.FORK not in DRAWN
    plans = [draw_receipts_plan(seed) for seed in range(30)]
    forking = [plan for plan in plans if any(fault.kind is FaultKind.FORK for fault in plan.faults)]
    assert 0 < len(forking) < len(plans)
