"""Two endpoints that are connected, and one that sends what it likes."""

from __future__ import annotations

import pytest

from tests.fakes.pair import Pair
from tests.fakes.rogue import Rogue


@pytest.fixture
def pair():
    pair = Pair()
    pair.connect()
    return pair


@pytest.fixture
def rogue(pair):
    return Rogue(pair, pair.left, pair.right)
