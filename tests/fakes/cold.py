"""Cold starts in virtual time: how long the first messages of a session take, and a newcomer's first `get`."""

from __future__ import annotations

import asyncio

from dfs_sdk.node.config import NodeConfig
from dfs_sdk.sim.conditions import Conditions
from dfs_sdk.sim.fidelity import CHEAP, Fidelity
from dfs_sdk.sim.world import World
from dfs_sdk.transport.packet import INITIAL_WINDOW_BYTES
from dfs_sdk.transport.priority import Priority
from tests.fakes.pair import Pair, Wire
from tests.fakes.simnodes import PORT, start_network, start_node

SPREAD_SECONDS = 10.0


def cold_push(wire: Wire, size: int, *, older_dialler: bool = False) -> float:
    """Seconds from the dial until a message of the dialling side is whole at the other.

    Args:
        wire: What is between them.
        size: Bytes of the message.
        older_dialler: Whether the dialling side does not read the window in WELCOME.
    """
    pair, took = _dial(wire)
    if older_dialler:
        pair.left.session.sender.outbox._limit = INITIAL_WINDOW_BYTES
    pair.left.send(bytes(size))
    took += pair.run_until(lambda: bool(pair.right.messages))
    assert pair.right.messages == [bytes(size)]
    return took


def cold_fetch(wire: Wire, size: int) -> float:
    """Seconds from the dial until the answer to a small message is whole at the dialling side."""
    pair, took = _dial(wire)
    pair.left.send(b"give me", Priority.INTERACTIVE)
    took += pair.run_until(lambda: bool(pair.right.messages))
    pair.right.send(bytes(size))
    took += pair.run_until(lambda: bool(pair.left.messages))
    assert pair.left.messages == [bytes(size)]
    return took


def cold_gets(
    size: int, *, members: int, newcomers: int, seed: int, conditions: Conditions, sealed: bool = False
) -> list[float]:
    """Seconds that the first `get` of each newcomer takes, called when it has just joined.

    Args:
        size: Bytes of each file; everybody gets another one.
        members: Nodes that know each other and hold the files.
        newcomers: Nodes that join one after the other, and stay.
        seed: Decides who holds what.
        conditions: What is between any two nodes.
        sealed: Whether messages travel as sealed datagrams, with windows and congestion control, or whole.
    """
    with World(seed=seed, conditions=conditions, fidelity=Fidelity() if sealed else CHEAP) as world:
        taken = world.run(_cold_gets(world, size, members, newcomers))
        assert not world.failures
    return taken


def _dial(wire: Wire) -> tuple[Pair, float]:
    pair = Pair(wire=wire)
    pair.left.endpoint.connect(pair.right.contact, pair.right.address, pair.now)
    return pair, pair.run_until(lambda: bool(pair.left.opened))


async def _cold_gets(world: World, size: int, members: int, newcomers: int) -> list[float]:
    config = NodeConfig()
    first = (await start_network(world, members, config=config))[0]
    files = [await first.put(bytes((number,)) * size, name=f"file {number}") for number in range(newcomers)]
    await asyncio.sleep(SPREAD_SECONDS)
    taken = []
    for number, file in enumerate(files):
        newcomer = await start_node(world.host(f"newcomer {number}"), config=config)
        await newcomer.join(f"{first.name}:{PORT}")
        called_at = world.now
        assert await newcomer.get(file.link) == bytes((number,)) * size
        taken.append(world.now - called_at)
    return taken
