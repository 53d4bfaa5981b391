"""What the tests of the exchange share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.fakes.network import FakeNetwork


@pytest.fixture
async def network() -> AsyncIterator[FakeNetwork]:
    async with FakeNetwork() as network:
        yield network
        assert network.errors == []
