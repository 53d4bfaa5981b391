"""How long a crowd takes that wants one file at one time: `python tests/bench/bench_crowd.py NODES KIB [--mbit 20]`.

Real nodes with sealed datagrams in virtual time: every node has a line of that rate both ways, one of them puts the
file and all others read it at one moment. Prints when the readers had it, and who sent how much.
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections import Counter
from dataclasses import dataclass

from dfs_sdk.node.node import Node
from dfs_sdk.sim.conditions import Conditions, Link
from dfs_sdk.sim.fidelity import Fidelity
from dfs_sdk.sim.host import Host
from dfs_sdk.sim.world import World

KIB = 1024
MIB = 1024 * KIB
PORT = 4001
SETTLE_SECONDS = 30.0
QUEUE_SECONDS = 0.1
PATIENCE_SECONDS = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a crowd took.

    Attributes:
        took: Seconds until each reader had the file, the quickest first.
        sent: Bytes each node sent, the busiest first.
    """

    took: list[float]
    sent: list[int]


async def measure(world: World, nodes: int, kib: int, *, mbit: float = 20.0, chunk_kib: int = 1024) -> Figures:
    """Let all nodes but one read its file at one moment."""
    rate = mbit * 1e6 / 8
    line = Link(up_bytes=rate, down_bytes=rate, queue_bytes=int(rate * QUEUE_SECONDS))
    (writer, author), *readers = await _start(world, nodes, line)
    data = random.Random(kib).randbytes(kib * KIB)
    file = await writer.run(author.put(data, name="lesson", chunk_size=chunk_kib * KIB))
    await asyncio.sleep(SETTLE_SECONDS)
    sent: Counter[str] = Counter()
    world.network.on_wire.append(lambda sender, _receiver, burst: sent.update({sender: len(burst)}))
    begun = world.now

    async def read(host: Host, node: Node) -> float:
        assert await host.run(node.get(file.link, timeout=PATIENCE_SECONDS)) == data
        return world.now - begun

    took = sorted(await asyncio.gather(*(read(host, node) for host, node in readers)))
    return Figures(took=took, sent=sorted(sent.values(), reverse=True))


async def _start(world: World, nodes: int, line: Link) -> list[tuple[Host, Node]]:
    started: list[tuple[Host, Node]] = []
    for number in range(nodes):
        host = world.host(f"host {number}", link=line)
        node = Node(f"node {number}", store="/store", home="loop", listen=f"0.0.0.0:{PORT}", runtime=host.runtime)
        await host.run(node.start())
        if started:
            await host.run(node.join(f"host 0:{PORT}"))
        started.append((host, node))
    await asyncio.sleep(SETTLE_SECONDS)
    return started


def main(given: argparse.Namespace) -> None:
    """Measure one crowd and print it."""
    with World(seed=given.seed, conditions=Conditions(delay_mean=0.01), fidelity=Fidelity()) as world:
        figures = world.run(measure(world, given.nodes, given.kib, mbit=given.mbit, chunk_kib=given.chunk_kib))
    total, took = sum(figures.sent), figures.took
    most = ", ".join(f"{sent / MIB:.1f}" for sent in figures.sent[:5])
    print(f"{given.nodes} nodes, {given.kib} KiB, {given.mbit:g} Mbit/s, seed {given.seed}")
    print(f"  alone at that rate   {given.kib * KIB * 8 / given.mbit / 1e6:6.1f} s")
    print(f"  half of them, all    {took[len(took) // 2]:6.1f}, {took[-1]:.1f} s")
    wanted = given.kib * KIB * len(took)
    print(f"  sent in all          {total / MIB:6.0f} MiB, {total / wanted:.2f} of what they wanted")
    print(f"  busiest              {most} MiB, {total / given.nodes / MIB:.1f} on average")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("nodes", type=int)
    parser.add_argument("kib", type=int)
    parser.add_argument("--mbit", type=float, default=20.0)
    parser.add_argument("--chunk-kib", type=int, default=1024)
    parser.add_argument("--seed", type=int, default=1)
    main(parser.parse_args())
