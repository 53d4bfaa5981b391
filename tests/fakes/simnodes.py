"""Real nodes on simulated hosts, for tests."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from dfs_sdk.node.config import NodeConfig
from dfs_sdk.node.node import Node
from dfs_sdk.sim.host import Host
from dfs_sdk.sim.swarm import hurried
from dfs_sdk.sim.world import World

PORT = 4001
FOLDER = Path("/home/me/store")


async def start_node(host: Host, *, config: NodeConfig | None = None, memory: bool = False) -> Node:
    """Start a node on a host, on what its disk has."""
    node = Node(
        host.name,
        store="memory" if memory else FOLDER,
        home="loop",
        listen=f"0.0.0.0:{PORT}",
        config=config or hurried(),
        runtime=host.runtime,
    )
    await host.run(node.start())
    return node


async def start_network(
    world: World, count: int, *, config: NodeConfig | None = None, memory: bool = False
) -> list[Node]:
    """Make hosts `n0` and on, with a node each; all have met when this returns."""
    nodes = [await start_node(world.host(f"n{number}"), config=config, memory=memory) for number in range(count)]
    for node in nodes[1:]:
        await node.join(f"n0:{PORT}")
    await all_met(nodes)
    return nodes


async def all_met(nodes: Sequence[Node], *, timeout: float = 60.0) -> None:
    """Wait, in virtual time, until every node knows every other to be alive."""
    async with asyncio.timeout(timeout):
        while not all(_sees(node, len(nodes)) for node in nodes):
            await asyncio.sleep(0.1)


def _sees(node: Node, count: int) -> bool:
    return sum(row.state in ("alive", "self") for row in node.snapshot().peers) >= count
