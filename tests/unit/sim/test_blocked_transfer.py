"""A kernel that is blocked in the middle of a transfer: it goes on at once afterwards, and little is sent twice."""

import asyncio
import random

import pytest

from dfs_sdk.node.config import NodeConfig
from dfs_sdk.node.node import Node
from dfs_sdk.sim.conditions import Conditions
from dfs_sdk.sim.world import World
from tests.fakes.simnodes import start_network

DATA = random.Random(7).randbytes(3 * 1024 * 1024)
RATE = 1_000_000
DELAY = 0.01
RESUME_SECONDS_MAX = 5.0
WINDOW_BYTES = 64 * 1024  # more than what this path holds: 20 kB of delay, and a share of its queue
BULK_BYTES = 1250  # more than this carries a piece of a file; greetings and probes of a path have 1,200


# Blocked for less than the minute after which their peers give up their sessions, and for longer: then the requests
# that were under way are put again, and holders may answer both.
@pytest.mark.parametrize(
    ("seconds", "timeout", "again_bytes_max"),
    [
        (1.0, None, 2 * WINDOW_BYTES),
        (10.0, None, 2 * WINDOW_BYTES),
        (50.0, None, 2 * WINDOW_BYTES),
        (60.0, 600.0, len(DATA)),
        (300.0, 600.0, len(DATA)),
    ],
)
def test_a_transfer_from_blocked_holders_resumes_at_once_with_no_false_death_and_no_repair(
    seconds: float, timeout: float | None, again_bytes_max: int
):
    bulk: list[tuple[float, str, str, int]] = []
    states: set[str] = set()

    async def story(world: World) -> tuple[float, float]:
        nodes = await start_network(world, 3, config=NodeConfig())
        file = await nodes[0].put(DATA, replicas=1, quorum=1)
        await asyncio.sleep(5)  # until the put has nothing more to send
        world.network.on_wire.append(
            lambda sender, to, datagram: (
                bulk.append((world.now, sender, to, len(datagram))) if len(datagram) > BULK_BYTES else None
            )
        )
        reading = asyncio.get_running_loop().create_task(nodes[2].get(file.link, timeout=timeout))
        await asyncio.sleep(0.7)
        blocked_at = world.now
        for name in ("n0", "n1"):
            world.hosts[name].block(seconds)
        await _watch(nodes[2], seconds, states)
        assert await reading == DATA
        return blocked_at, world.now

    with World(7, conditions=Conditions(delay_min=DELAY, rate_bytes=RATE)) as world:
        blocked_at, ended_at = world.run(story(world))
    assert world.failures == []
    freed_at = blocked_at + seconds
    before = sum(size for at, _, _, size in bulk if at < blocked_at)
    assert 0 < before < len(DATA) / 2, "it was under way"
    assert not [each for each in bulk if blocked_at < each[0] < freed_at], "nothing runs on a blocked kernel"
    assert min(at for at, *_ in bulk if at >= freed_at) - freed_at <= RESUME_SECONDS_MAX
    assert ended_at - freed_at <= RESUME_SECONDS_MAX + (len(DATA) + again_bytes_max) / RATE
    assert states <= {"alive", "self", "lagging", "suspect", "away"}, "nobody was declared gone"
    # A new session probes how large a packet its path takes, eight times here; a copy of a chunk would be 256 KiB.
    aside = [(sender, to, size) for _, sender, to, size in bulk if to != "n2"]
    assert {sender for sender, _, _ in aside} <= {"n2"}, "nothing was repaired"
    assert sum(size for _, _, size in aside) < WINDOW_BYTES
    # n2 holds the chunks that it drew itself; each byte of the others came once, and a window of each holder again.
    assert sum(size for _, _, to, size in bulk if to == "n2") <= len(DATA) * 1.05 + again_bytes_max


async def _watch(reader: Node, seconds: float, states: set[str]) -> None:
    """Note for a time in which states a node sees the others."""
    for _ in range(20):
        await asyncio.sleep(seconds / 20)
        states |= {row.state for row in reader.snapshot().peers}
