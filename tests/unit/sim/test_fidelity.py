"""A cheap world decides as a true one: the same seed with and without sealed datagrams."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from dfs_sdk.events import Event
from dfs_sdk.node.node import Node
from dfs_sdk.sim.conditions import Conditions
from dfs_sdk.sim.fidelity import CHEAP, Fidelity
from dfs_sdk.sim.partitions import Isolated
from dfs_sdk.sim.world import World
from tests.fakes.simnodes import all_met, start_network, start_node

DATA = bytes(range(256)) * 1000
NODES = 6


@dataclass(frozen=True)
class Decisions:
    """What was decided, without bytes and instants."""

    node_ids: tuple[str, ...]
    holders: tuple[tuple[str, int, tuple[str, ...]], ...]
    holders_after_loss: tuple[tuple[str, int, tuple[str, ...]], ...]
    states_after_crash: tuple[str, ...]
    states_at_the_end: tuple[str, ...]
    tasks_failed: int


def decisions(fidelity: Fidelity, *, seed: int) -> Decisions:
    async def story(world: World) -> Decisions:
        nodes = await start_network(world, NODES)
        node = nodes[0]
        failed: list[Event] = []
        for each in nodes:
            each.subscribe(Event, lambda event: failed.append(event) if type(event).__name__ == "TaskFailed" else None)
        for number in range(3):
            await nodes[number].put(DATA, name=f"file {number}")
        await asyncio.sleep(6)
        first = placed(nodes)
        world.hosts["n4"].crash()
        await asyncio.sleep(12)
        crashed = tuple(sorted(row.state for row in node.snapshot().peers))
        second = placed(nodes[:4] + nodes[5:])
        world.hosts["n4"].restart()
        nodes[4] = await start_node(world.hosts["n4"])
        await all_met(nodes)
        await asyncio.sleep(6)
        return Decisions(
            node_ids=tuple(str(each.node_id) for each in nodes),
            holders=first,
            holders_after_loss=second,
            states_after_crash=crashed,
            states_at_the_end=tuple(sorted(row.state for row in node.snapshot().peers)),
            tasks_failed=len(failed),
        )

    with World(seed, conditions=Conditions(delay_mean=0.005), fidelity=fidelity) as world:
        decided = world.run(story(world))
    assert world.failures == []
    return decided


def placed(nodes: Sequence[Node]) -> tuple[tuple[str, int, tuple[str, ...]], ...]:
    """Who holds which chunk of which file, by the word of the node that stored it."""
    rows: dict[tuple[str, int], list[str]] = {}
    for node in nodes:
        for row in node.snapshot().chunks:
            rows.setdefault((row.file, row.chunk), []).append(row.holder)
    return tuple(sorted((file, index, tuple(sorted(holders))) for (file, index), holders in rows.items()))


def test_cheap_world_decides_as_a_true_one():
    true, cheap = decisions(Fidelity(), seed=1), decisions(CHEAP, seed=1)
    assert true.node_ids == cheap.node_ids
    assert len(true.holders) > 12
    assert true == cheap


def test_messages_of_a_cheap_world_survive_loss_duplicates_and_corruption():
    async def story(world: World) -> None:
        nodes = await start_network(world, 4)
        file = await nodes[0].put(DATA, name="data")
        assert await nodes[3].get(file.link) == DATA

    rough = Conditions(delay_mean=0.01, loss_ratio=0.1, duplicate_ratio=0.1, reorder_ratio=0.1, corrupt_ratio=0.05)
    with World(3, conditions=rough, fidelity=CHEAP) as world:
        world.run(story(world))
        counters = world.network.counters
        assert min(counters.lost, counters.duplicated, counters.corrupted, counters.reordered) > 0
    assert world.failures == []


def test_cheap_connection_goes_on_after_a_partition():
    async def story(world: World) -> None:
        nodes = await start_network(world, 3)
        file = await nodes[0].put(DATA, name="data")
        heal = world.network.partition(Isolated("n2"))
        await asyncio.sleep(30)
        assert any(row.state != "alive" for row in nodes[0].snapshot().peers if row.name == "n2")
        heal()
        await all_met(nodes)
        assert await nodes[2].get(file.link) == DATA

    with World(4, fidelity=CHEAP) as world:
        world.run(story(world))
    assert world.failures == []
