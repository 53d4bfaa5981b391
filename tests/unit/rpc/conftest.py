"""Two nodes that know each other on an in-memory network."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from dfs_sdk.rpc import Rpc
from tests.fakes.network import FakeNetwork


@pytest.fixture
async def network() -> AsyncIterator[FakeNetwork]:
    async with FakeNetwork(seed=1) as network:
        yield network
        assert network.errors == []


@pytest.fixture
def pair(network: FakeNetwork) -> tuple[Rpc, Rpc]:
    a, b = network.rpc(), network.rpc()
    network.introduce(a, b)
    return a, b
