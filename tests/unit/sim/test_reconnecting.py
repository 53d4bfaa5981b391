"""How soon a machine is back among the others: after a closed lid, with its clock set wrong, or both at once."""

import asyncio
import os
from collections.abc import Sequence

import pytest

from dfs_sdk.node.config import NodeConfig
from dfs_sdk.node.node import Node
from dfs_sdk.sim.conditions import Conditions
from dfs_sdk.sim.fidelity import CHEAP
from dfs_sdk.sim.world import World
from tests.fakes.simnodes import start_network

HOSTS = 6
DAY = 86_400.0
RECONNECT_P95_SECONDS_MAX = 10.0
PATHS = Conditions(delay_min=0.005, delay_mean=0.02, loss_ratio=0.01)


# Hours take minutes of a processor: DFS_SLEPT=30,600,7200 for all of them.
SLEPT = [float(text) for text in os.environ.get("DFS_SLEPT", "30,100").split(",")]


@pytest.mark.parametrize("slept", SLEPT)
@pytest.mark.parametrize("stepped", [0.0, DAY, -DAY])
def test_a_machine_that_slept_is_back_within_ten_seconds_in_95_of_100_cases(slept: float, stepped: float):
    waits: list[float] = []

    async def story(world: World) -> None:
        nodes = await start_network(world, HOSTS, config=NodeConfig())
        for number in range(HOSTS):
            host = world.hosts[f"n{number}"]
            host.sleep(slept)
            await asyncio.sleep(slept / 2)
            host.step_clock(stepped)
            await asyncio.sleep(slept / 2)
            waits.append(await _until_back(world, nodes, number))

    with World(8, conditions=PATHS, fidelity=CHEAP) as world:
        world.run(story(world))
    assert world.failures == []
    print(f"slept {slept:g} s, clock set by {stepped:+g} s: back after {max(waits):.2f} s at most")
    waits.sort()
    assert len(waits) == HOSTS
    assert waits[int(0.95 * HOSTS)] <= RECONNECT_P95_SECONDS_MAX, waits


async def _until_back(world: World, nodes: Sequence[Node], number: int) -> float:
    """Wait until it sees all the others alive, and all of them see it."""
    begun, me = world.now, nodes[number]
    async with asyncio.timeout(300):
        while not all(_sees(me, other) and _sees(other, me) for other in nodes if other is not me):
            await asyncio.sleep(0.25)
    return world.now - begun


def _sees(node: Node, other: Node) -> bool:
    return any(row.name == other.name and row.state == "alive" for row in node.snapshot().peers)
