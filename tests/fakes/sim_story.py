"""A story with many faults, told to a world of real nodes; prints the digest. Run as a program it takes a seed."""

from __future__ import annotations

import asyncio
import sys

from dfs_sdk.sim.conditions import Conditions
from dfs_sdk.sim.fidelity import Fidelity
from dfs_sdk.sim.partitions import Isolated
from dfs_sdk.sim.world import World
from tests.fakes.simnodes import all_met, start_network, start_node

ROUGH = Conditions(
    delay_mean=0.01, loss_ratio=0.02, duplicate_ratio=0.02, reorder_ratio=0.02, corrupt_ratio=0.01,
    bad_enter_ratio=0.005, spike_interval=5.0,
)  # fmt: skip


async def story(world: World) -> None:
    """Meet, store, crash, restart, block, sleep, part, heal and fetch."""
    nodes = await start_network(world, 4)
    file = await nodes[0].put(bytes(range(256)) * 600, name="data")
    world.hosts["n1"].crash()
    world.hosts["n2"].block(3)
    await asyncio.sleep(8)
    world.hosts["n1"].restart()
    nodes[1] = await start_node(world.hosts["n1"])
    heal = world.network.partition(Isolated("n3"))
    world.hosts["n2"].sleep(10)
    await asyncio.sleep(12)
    heal()
    await all_met(nodes)
    await nodes[3].get(file.link)


def digest(seed: int, *, content: bool = True) -> str:
    """Tell the story to a fresh world and return the digest of all that happened."""
    with World(seed, conditions=ROUGH, fidelity=Fidelity(content=content)) as world:
        world.run(story(world))
        return world.trace.digest()


if __name__ == "__main__":
    print(digest(int(sys.argv[1])))
