"""Every call of a node is cancelled at its awaits: nothing is left behind, and the node goes on working.

`python -m tests.campaigns.store cancels` strikes all of them instead of a few.
"""

import asyncio
import random
from pathlib import Path

import pytest

from dfs_sdk import Node
from dfs_sdk.files.reader import Reader
from dfs_sdk.node.chatting import NodeChat
from tests.fakes.cancelling import Strike, strike, strike_turn
from tests.fakes.node_calls import CALLS, LIFE, strike_call, strike_life

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("nothing_left")]

POINTS_MAX = 6


def coroutine_methods(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_") and asyncio.iscoroutinefunction(getattr(kind, name))}


def test_every_coroutine_method_has_its_call():
    names = {name.partition(" ")[0] for name in CALLS}
    assert coroutine_methods(Node) == {name for name in names if "." not in name} | set(LIFE)
    assert coroutine_methods(NodeChat) == {name.removeprefix("chat.") for name in names if name.startswith("chat.")}
    assert coroutine_methods(Reader) == {name.removeprefix("reader.") for name in names if name.startswith("reader.")}


@pytest.mark.parametrize("how", [strike, strike_turn])
@pytest.mark.parametrize("name", CALLS)
async def test_cancelled_call_leaves_nothing_and_the_node_goes_on(name: str, how: Strike, tmp_path: Path):
    await strike_call(name, tmp_path, points_max=POINTS_MAX, rng=random.Random(name), how=how)


@pytest.mark.parametrize("how", [strike, strike_turn])
@pytest.mark.parametrize("name", LIFE)
async def test_node_whose_life_is_cancelled_leaves_nothing(name: str, how: Strike, tmp_path: Path):
    assert await strike_life(name, tmp_path, points_max=POINTS_MAX, rng=random.Random(name), how=how) > 0


@pytest.mark.parametrize("name", ["close", "leave"])
async def test_node_in_memory_whose_end_is_cancelled_leaves_nothing(name: str, tmp_path: Path):
    assert await strike_life(name, tmp_path, points_max=POINTS_MAX, rng=random.Random(name), memory=True) > 0
