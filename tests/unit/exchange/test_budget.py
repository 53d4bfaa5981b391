"""Bytes are lent within the limit, in turn."""

from __future__ import annotations

import asyncio
import random

import pytest

from dfs_sdk.exchange.budget import ByteBudget
from dfs_sdk.runtime.tasks import run_all


async def test_takers_are_served_in_turn():
    budget, order = ByteBudget(10), []

    async def taker(name: str, size: int) -> None:
        async with budget.hold(size):
            order.append(name)
            await asyncio.sleep(0)

    await run_all(taker("large", 8), taker("second", 8), taker("small", 2))
    assert order == ["large", "second", "small"]
    assert budget.used_bytes == 0


async def test_a_demand_over_the_limit_is_served_alone():
    budget = ByteBudget(10)
    async with budget.hold(1000):
        assert budget.used_bytes == 10
    assert budget.used_bytes == 0


@pytest.mark.parametrize("seed", range(20))
async def test_cancelled_takers_lose_nothing(seed: int):
    rng, budget, peak = random.Random(seed), ByteBudget(10), 0

    async def taker(size: int) -> None:
        nonlocal peak
        async with budget.hold(size):
            peak = max(peak, budget.used_bytes)
            for _ in range(rng.randrange(3)):
                await asyncio.sleep(0)

    tasks = [asyncio.create_task(taker(rng.randrange(1, 12))) for _ in range(40)]
    for _ in range(100):
        rng.choice(tasks).cancel()
        await asyncio.sleep(0)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert budget.used_bytes == 0
    assert peak <= 10
    async with asyncio.timeout(1), budget.hold(10):
        pass


def test_an_empty_budget_is_refused():
    with pytest.raises(ValueError, match="more than 0"):
        ByteBudget(0)
