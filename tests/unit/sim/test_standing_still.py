"""A kernel that is blocked and a lid that is closed, one within the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from dfs_sdk.sim.host import Host
from dfs_sdk.sim.world import World

END = 100.0
TICK = 0.5


def ticks(befall: Callable[[Host, World], None]) -> tuple[list[float], float]:
    """Say when a clock on a host ticked, and how far its monotonic clock went."""
    told: list[float] = []

    async def tick(world: World) -> None:
        while True:
            told.append(world.now)
            await asyncio.sleep(TICK)

    with World(1) as world:
        host = world.host("a")
        before = host.clock.monotonic()
        host.start(tick(world))
        befall(host, world)
        world.run_for(END)
        assert world.failures == []
        return told, host.clock.monotonic() - before


def at(world: World, second: float, act: Callable[[], None]) -> None:
    world.scheduler.at(second, lambda _: act(), None)


def stands_still(told: list[float], first: float, last: float) -> bool:
    """Whether nothing ran in between, and something did right before and after."""
    return (
        not [second for second in told if first + TICK < second < last]
        and any(first - TICK <= second <= first for second in told)
        and any(last <= second <= last + TICK for second in told)
    )


@pytest.mark.parametrize(
    ("block", "sleep", "last"),
    [
        ((10, 40), (15, 10), 60),  # closed during the block: the rest of it comes after the sleep
        ((10, 10), (15, 30), 50),  # so it does where the block would have ended in the sleep
        ((15, 10), (10, 30), 50),  # begun in the sleep: nothing runs that could block before it ends
        ((10, 5), (20, 30), 50),  # one after the other
    ],
)
def test_a_sleep_holds_up_a_block_and_no_block_shortens_a_sleep(
    block: tuple[float, float], sleep: tuple[float, float], last: float
):
    def befall(host: Host, world: World) -> None:
        at(world, block[0], lambda: host.block(block[1]))
        at(world, sleep[0], lambda: host.sleep(sleep[1]))

    told, passed = ticks(befall)
    first = block[0] if block[0] + block[1] >= sleep[0] > block[0] else sleep[0]
    assert stands_still(told, first, last)
    assert passed == pytest.approx(END - sleep[1])


def test_two_sleeps_in_one_block_both_stand_on_the_monotonic_clock():
    def befall(host: Host, world: World) -> None:
        host.block(40)
        at(world, 5, lambda: host.sleep(10))
        at(world, 20, lambda: host.sleep(10))

    told, passed = ticks(befall)
    assert not [second for second in told if 0 < second < 60]
    assert told[-1] == pytest.approx(END, abs=TICK)
    assert passed == pytest.approx(END - 20)


def test_a_host_that_is_awake_and_blocked_can_be_reached_and_one_asleep_cannot():
    with World(1) as world:
        host = world.host("a")
        host.block(40)
        at(world, 5, lambda: host.sleep(10))
        seen = {}
        for second in (4, 6, 16, 49, 51):
            at(world, second, lambda second=second: seen.update({second: (host.station.is_up, host.is_blocked)}))
        world.run_for(END)
    assert seen == {4: (True, True), 6: (False, True), 16: (True, True), 49: (True, True), 51: (True, False)}


def test_a_sleep_that_a_crash_ended_stood_still_as_long_as_it_lasted():
    with World(1) as world:
        host = world.host("a")
        before = host.clock.monotonic()
        host.sleep(10_000)
        at(world, 30, host.crash)
        at(world, 40, host.restart)
        world.run_for(END)
        assert host.clock.monotonic() - before == pytest.approx(END - 30)
