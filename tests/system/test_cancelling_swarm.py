"""Every call of a swarm is cancelled at its awaits, over loopback and simulated: the swarm goes on, and ends whole."""

import asyncio
import random
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from dfs_sdk import Swarm
from dfs_sdk.errors import NodeClosedError
from tests.fakes.cancelling import UNDISTURBED, Belongings, Strike, points, strike, strike_turn
from tests.system.test_cancelling import coroutine_methods

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("nothing_left")]

POINTS_MAX = 3
COUNT = 3
Call = Coroutine[Any, Any, Any]

CALLS: dict[str, Callable[[Swarm], Call]] = {
    "start": lambda swarm: swarm.start(),
    "run": lambda swarm: swarm.run(seconds=0.2, progress=False),
    "add": lambda swarm: swarm.add(),
    "kill": lambda swarm: swarm.kill(1),
    "restart": lambda swarm: swarm.restart(1),
    "leave": lambda swarm: swarm.leave(1),
    "strike": lambda swarm: swarm.strike("crash", 1),
    "settled": lambda swarm: swarm.settled(),
    "close": lambda swarm: swarm.close(),
}


def test_every_coroutine_method_of_a_swarm_has_its_call():
    assert coroutine_methods(Swarm) == set(CALLS)


# Over loopback the network of a swarm notices a dead node in real time: there those calls that bring nobody down.
GROUNDS = [*((name, "lan") for name in CALLS), *((name, None) for name in ("start", "run", "add", "close"))]


@pytest.mark.parametrize("how", [strike, strike_turn])
@pytest.mark.parametrize(("name", "net"), GROUNDS)
async def test_cancelled_call_of_a_swarm_leaves_it_usable_and_nothing_behind(name: str, how: Strike, net: str | None):
    _, total = await struck(name, UNDISTURBED[how], how, net)
    for at in points(total, POINTS_MAX, random.Random(name)):
        await struck(name, at, how, net)


async def struck(name: str, at: int, how: Strike, net: str | None) -> tuple[bool, int]:
    """Strike one call of a fresh swarm; says whether the await was reached, and how many there were."""
    belongings, threads = Belongings(), simulating()
    swarm = Swarm(COUNT, net=net, seed=7)
    try:
        if name != "start":
            await swarm.start()
        if name == "restart":
            await swarm.kill(1)
        outcome = await how(lambda: CALLS[name](swarm), at)
        if name == "start" and outcome.cancelled:
            await begins_or_says_that_it_ended(swarm)
        elif name != "close":
            await goes_on(swarm)
    finally:
        await swarm.close()
    await belongings.assert_none_left()
    assert simulating() <= threads
    return outcome.reached, outcome.awaits


def simulating() -> int:
    """How many worlds have a thread; the one on which nodes over loopback live is for all, and stays."""
    return sum("world" in thread.name for thread in threading.enumerate())


async def begins_or_says_that_it_ended(swarm: Swarm) -> None:
    """A start that was cancelled before it began can begin; one half-way has ended the swarm."""
    try:
        await swarm.start()
    except NodeClosedError as error:
        assert "start a new one" in str(error)
    else:
        await goes_on(swarm)


async def goes_on(swarm: Swarm) -> None:
    """Time passes, and a file put on one node is read on another."""
    await swarm.run(seconds=0.1, progress=False)
    writer, *_, reader = [node for node in swarm if node.running]
    file = await writer.put(b"and on", replicas=1, quorum=1)
    assert await reader.get(file.link) == b"and on"
    await asyncio.sleep(0)
