"""How fast the simulator is: `python -m tests.bench.bench_sim core`, or `nodes 100 [--sealed]`.

`core` carries datagrams between callbacks, nothing else. `nodes N` runs the slices of membership and DHT on N hosts
that are born knowing each other, and prints virtual over CPU seconds and where the time goes. CPU seconds, not wall.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import resource
import time

from dfs_sdk.crypto.identity import Identity
from dfs_sdk.dht.service import Dht
from dfs_sdk.events import EventBus
from dfs_sdk.ids import Address, NetworkId
from dfs_sdk.node.config import NodeConfig
from dfs_sdk.peers.selfdesc import Profile
from dfs_sdk.peers.service import Peers
from dfs_sdk.rpc.service import Rpc
from dfs_sdk.runtime.tasks import TaskScope
from dfs_sdk.sim.acquaintance import Newcomer, acquaint
from dfs_sdk.sim.conditions import Conditions
from dfs_sdk.sim.fidelity import Fidelity
from dfs_sdk.sim.host import Host
from dfs_sdk.sim.pace import at_leisure
from dfs_sdk.sim.world import World
from dfs_sdk.store.memory import MemoryStore
from dfs_sdk.transport.contact import Contact
from dfs_sdk.transport.driver import Transport
from dfs_sdk.transport.handshake import Network

PORT = 4001
HOSTS = 100
DELIVERIES = 300_000
PAYLOAD = bytes(200)
CONDITIONS = {
    "fixed delay": Conditions(),
    "lognormal delay": Conditions(delay_mean=0.02),
    "all faults": Conditions(delay_mean=0.02, loss_ratio=0.001, duplicate_ratio=0.001, corrupt_ratio=0.001),
}


def bench_core() -> None:
    for name, conditions in CONDITIONS.items():
        with World(1, conditions=conditions) as world:
            hosts = [world.host(f"n{number}") for number in range(HOSTS)]
            world.run(ring(world, hosts))
            begun = time.process_time()
            world.loop.run_forever()
            seconds = time.process_time() - begun
            print(f"{name:16} {world.network.counters.delivered / seconds:10,.0f} delivered messages/s")


async def ring(world: World, hosts: list[Host]) -> None:
    """Let every socket answer each datagram with one to a random host."""
    addresses = [Address(host.station.address, PORT) for host in hosts]
    left = [DELIVERIES]
    for host in hosts:
        sockets: list[object] = []

        def answer(_burst: memoryview, _size: int, _source: Address, sockets=sockets, rng=host.runtime.rng) -> None:
            left[0] -= 1
            if left[0] <= 0:
                world.loop.stop()
            else:
                sockets[0].send(PAYLOAD, len(PAYLOAD), addresses[int(rng.random() * HOSTS)])

        bound = host.runtime.udp.bind(Address("0.0.0.0", PORT), on_datagrams=answer, on_writable=lambda: None)
        sockets.append(await host.run(bound))
        sockets[0].send(PAYLOAD, len(PAYLOAD), addresses[0])


class Slices:
    """Membership and DHT of one node, without the rest of it."""

    def __init__(self, host: Host, network: Network, scope: TaskScope, config: NodeConfig) -> None:
        runtime = host.runtime
        self.host = host
        self.identity = Identity.generate(runtime.entropy)
        store = self._store = MemoryStore(runtime)
        make = runtime.transport or Transport
        self.transport = make(runtime=runtime, identity=self.identity, network=network, bind=Address("0.0.0.0", PORT))
        self.rpc = Rpc(runtime=runtime, transport=self.transport, identity=self.identity, scope=scope)
        self.peers = Peers(
            rpc=self.rpc, store=store, events=EventBus(), scope=scope, runtime=runtime, config=config.peers,
            profile=Profile(name=host.name, host=runtime.machine.fingerprint(), version="0"),
        )  # fmt: skip
        self.dht = Dht(
            rpc=self.rpc, store=store, scope=scope, runtime=runtime, network_id=network.network_id, config=config.dht
        )

    @property
    def contact(self) -> Contact:
        public = self.identity.public
        return Contact(ed=public.ed, x=public.x, addresses=(Address(self.host.station.address, PORT),))

    async def start(self) -> None:
        await self._store.open()
        await self.transport.start()
        await self.peers.start()
        await self.dht.start()


async def start_all(world: World, count: int, config: NodeConfig) -> list[Slices]:
    network = Network(network_id=NetworkId(bytes(32)))
    nodes = []
    for number in range(count):
        host = world.host(f"n{number}")
        scope = TaskScope(host.name, on_error=lambda name, error: print(name, repr(error)))
        nodes.append(Slices(host, network, scope, config))
        await host.run(nodes[-1].start())
    return nodes


def acquaint_all(world: World, nodes: list[Slices]) -> None:
    acquaint(
        (Newcomer(peers=node.peers, dht=node.dht, clock=node.host.clock) for node in nodes),
        rng=world.rng.child("acquaint"),
    )


async def join_all(nodes: list[Slices]) -> None:
    """Let each join through one of the first ones, so that nobody is the whole world's entrance."""
    for number, node in enumerate(nodes[1:], start=1):
        entrance = nodes[number // 2].contact
        await node.host.run(node.peers.join(entrance, timeout=20.0))
        await node.host.run(node.dht.join([entrance]))


def bench_nodes(given: argparse.Namespace) -> None:
    count, seconds = given.count, given.seconds
    conditions = Conditions(delay_min=0.005, delay_mean=0.02)
    world = World(1, conditions=conditions, fidelity=Fidelity(datagrams=given.sealed))
    gc.disable()
    begun = time.process_time()
    nodes = world.run(start_all(world, count, at_leisure(given.slower)))
    if given.meet:
        world.run(join_all(nodes))
    else:
        acquaint_all(world, nodes)
    joined = time.process_time() - begun
    print(f"{count} nodes: joined with {joined:.1f} s of CPU, {memory():.0f} MiB", flush=True)
    world.run_for(given.settle)
    known = sorted(len(node.peers.view) for node in nodes[:: max(1, count // 10)])  # a view takes memory
    settled = time.process_time() - begun - joined
    print(f"settled with {settled:.1f} s of CPU, {memory():.0f} MiB; the least one", end=" ")
    print(f"knows {known[0]} nodes, the middle one {known[len(known) // 2]}", flush=True)
    gc.collect()
    gc.freeze()
    before, events = world.network.counters.sent, world.scheduler.events
    profile = cProfile.Profile()
    begun = time.process_time()
    world.run_for(seconds)
    taken = time.process_time() - begun
    sent = world.network.counters.sent - before
    print(f"steady: {seconds / taken:.2f} x real time, {sent / seconds / count:.1f} datagrams and", end=" ")
    print(f"{(world.scheduler.events - events) / seconds / count:.1f} events per node-second,", end=" ")
    print(f"{taken / seconds / count * 1e6:.0f} us of CPU per node-second")
    profile.enable()
    world.run_for(seconds / 2)
    profile.disable()
    show(profile)
    world.close()


def memory() -> float:
    """The most memory this process had so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def show(profile: cProfile.Profile) -> None:
    """Print the share of own time by package, and the dearest functions."""
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    total = sum(row[2] for row in stats.values())
    rooms: dict[str, float] = {}
    for (path, _, _), row in stats.items():
        room = path.split("dfs_sdk/")[-1].split("/")[0] if "dfs_sdk/" in path else "Python itself"
        rooms[room] = rooms.get(room, 0.0) + row[2]
    for room, own in sorted(rooms.items(), key=lambda item: -item[1]):
        if own > 0.01 * total:
            print(f"  {own / total:6.1%} {room}")
    for (path, line, name), row in sorted(stats.items(), key=lambda item: -item[1][2])[:12]:
        print(f"  {row[2] / total:6.1%} {row[0]:9} calls {path.split('dfs_sdk/')[-1]}:{line} {name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("core", "nodes"))
    parser.add_argument("count", nargs="?", type=int, default=100)
    parser.add_argument("--sealed", action="store_true", help="sealed datagrams instead of whole messages")
    parser.add_argument("--seconds", type=float, default=20.0, help="virtual seconds to measure")
    parser.add_argument("--settle", type=float, default=40.0, help="virtual seconds to let them meet")
    parser.add_argument("--meet", action="store_true", help="let them meet: by default they know each other")
    parser.add_argument("--slower", type=float, default=1.0, help="times longer pauses: 30 in large swarms")
    given = parser.parse_args()
    if given.what == "core":
        bench_core()
    else:
        bench_nodes(given)


if __name__ == "__main__":
    main()
