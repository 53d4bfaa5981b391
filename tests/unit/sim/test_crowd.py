"""Many nodes that want one file at one time, on lines of a bounded rate."""

from __future__ import annotations

from dfs_sdk.sim.conditions import Conditions
from dfs_sdk.sim.fidelity import Fidelity
from dfs_sdk.sim.world import World
from tests.bench.bench_crowd import KIB, measure


def test_a_crowd_moves_hardly_more_than_it_wants():
    """Who was slow got company, and what had been given up came all the same: 1.18 of what was wanted."""
    with World(seed=2, conditions=Conditions(delay_mean=0.01), fidelity=Fidelity()) as world:
        figures = world.run(measure(world, 8, 2000))
    assert sum(figures.sent) < 1.05 * 2000 * KIB * len(figures.took)
    assert figures.took[-1] < 4.0
