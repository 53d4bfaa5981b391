"""Real nodes in memory over loopback UDP, on the test's own loop and in a hurry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from dfs_sdk import Node
from dfs_sdk.sim.swarm import hurried

LOCAL = "127.0.0.1:0"


def make(name: str, **settings: object) -> Node:
    """A node that is not started; settings as those of `Node`."""
    defaults: dict[str, object] = {"store": "memory", "listen": LOCAL, "home": "loop", "config": hurried()}
    return Node(name, **{**defaults, **settings})  # type: ignore[arg-type]


@asynccontextmanager
async def network(*names: str, **settings: object) -> AsyncIterator[list[Node]]:
    """Nodes of these names that have met; all of them vanish at the end."""
    nodes = [make(name, **settings) for name in names]
    try:
        for node in nodes:
            await node.start()
        for node in nodes[1:]:
            await node.join(str(nodes[0].address))
        yield nodes
    finally:
        for node in nodes:
            await node.abort()


async def until(condition: Callable[[], bool], timeout: float = 20.0) -> None:
    """Wait for what nodes do in their own time."""
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.02)
