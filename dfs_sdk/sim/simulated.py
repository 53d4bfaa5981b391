"""The ground of a simulated swarm: a world on a thread of its own, and a host for each node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import assert_never

from dfs_sdk.node.config import NodeConfig
from dfs_sdk.node.membership import Membership, found
from dfs_sdk.node.node import Node
from dfs_sdk.runtime.driven import DrivenHome, GuestHome
from dfs_sdk.runtime.home import Home
from dfs_sdk.runtime.ports import Clock, Rng
from dfs_sdk.sim.acquaintance import Newcomer, acquaint
from dfs_sdk.sim.driver import WorldDriver
from dfs_sdk.sim.fidelity import CHEAP, Fidelity
from dfs_sdk.sim.ground import Ground, Traffic, Undo
from dfs_sdk.sim.host import Host
from dfs_sdk.sim.liars import Liar
from dfs_sdk.sim.pace import at_leisure
from dfs_sdk.sim.partitions import Groups, OneWay, Partition, Ring
from dfs_sdk.sim.ports import SimClock
from dfs_sdk.sim.presets import MONDAY_MORNING, Net
from dfs_sdk.sim.scenario import ActKind, Shape, Strike, Timeline
from dfs_sdk.sim.world import World

FIRST = "n0"
PORT = 4001
FOLDER = Path("/home/me/dfs")
SIMULATED_NODES_MAX = 10_000
NODES_AT_FULL_PACE = 16
"""Larger networks look around less often, in proportion, unless somebody gives settings."""

SLOWEST = 30.0

BORN_ACQUAINTED_MIN = 64
"""Nodes of networks of this size and above know each other from the start."""


class Simulated(Ground):
    """A world with a host for each node.

    Args:
        net: What is between the hosts and what happens to them.
        seed: Decides everything.
        fidelity: What is done for real; by default messages travel whole (`fidelity.CHEAP`).
    """

    nodes_max = SIMULATED_NODES_MAX
    meet_parallel = 16
    look_interval = 1.0

    def __init__(self, net: Net, *, seed: int, fidelity: Fidelity | None) -> None:
        self._net = net
        self._world = World(seed, conditions=net.conditions, fidelity=fidelity or CHEAP, wall_start=MONDAY_MORNING)
        self._home = DrivenHome(WorldDriver(self._world))
        self._world.scheduler.on_submitted = self._home.wake
        self._clock = SimClock(self._world.loop, wall_start=MONDAY_MORNING)
        self._guests: dict[str, GuestHome] = {}
        self._rots: dict[str, dict[object, float]] = {}

    @property
    def world(self) -> World:
        """The world itself, for those who want more than a swarm offers; only the world's own code may touch it."""
        return self._world

    @property
    def home(self) -> Home:
        """See `Ground`."""
        return self._home

    @property
    def clock(self) -> Clock:
        """See `Ground`."""
        return self._clock

    @property
    def rng(self) -> Rng:
        """See `Ground`."""
        return self._world.rng.child("swarm")

    @property
    def timeline(self) -> Timeline:
        """See `Ground`."""
        return self._net.timeline

    def config(self, count: int) -> NodeConfig:
        """See `Ground`: those of any node, at leisure in large networks."""
        return at_leisure(min(SLOWEST, max(1.0, count / NODES_AT_FULL_PACE)))

    async def found(self) -> Membership:
        """See `Ground`."""
        return await found(passphrase=None, runtime=self._host(FIRST).runtime)

    def node(self, name: str, config: NodeConfig, membership: Membership | None) -> Node:
        """See `Ground`; a host that was down comes back with what its disk kept."""
        host = self._host(name)
        home = self._guests[name] = GuestHome(self._home, host.loop)
        return Node(
            name,
            store=FOLDER,
            home=home,
            listen=f"0.0.0.0:{PORT}",
            config=config,
            runtime=host.runtime,
            membership=membership,
        )

    def address(self, node: Node) -> str:
        """See `Ground`."""
        return f"{node.name}:{PORT}"

    def are_born_acquainted(self, count: int) -> bool:
        """See `Ground`: n nodes that meet exchange some n² messages, which is nothing to study in a large network."""
        return count >= BORN_ACQUAINTED_MIN

    def acquaint(self, nodes: Sequence[Node]) -> None:
        """See `Ground`: member lists are whole, routing tables have the nearest nodes and some of all others."""
        newcomers = []
        for node in nodes:
            stack = node._running  # noqa: SLF001 - what no message between them says
            newcomers.append(Newcomer(peers=stack.peers, dht=stack.dht, clock=self._world.hosts[node.name].clock))
        acquaint(newcomers, rng=self._world.rng.child("acquaint"))

    async def crash(self, node: Node, *, power: bool) -> None:
        """See `Ground`."""
        self._world.hosts[node.name].crash(power=power)
        node.lose()
        self._guests[node.name].abandon()

    def restart(self, name: str) -> None:
        """See `Ground`."""
        self._world.hosts[name].restart()

    def answers(self, name: str) -> bool:
        """See `Ground`."""
        host = self._world.hosts[name]
        return host.is_up and not host.is_blocked

    def strike(self, strike: Strike) -> Undo:
        """See `Ground`."""
        hosts = [self._world.hosts[name] for name in strike.hosts if name in self._world.hosts]
        seconds = strike.seconds or 0.0
        match strike.kind:
            case ActKind.FREEZE:
                for host in hosts:
                    host.block(seconds)
            case ActKind.SLEEP:
                for host in hosts:
                    host.sleep(seconds)
            case ActKind.PARTITION:
                return self._partition(hosts, strike.shape)
            case ActKind.CLOG:
                return self._each(hosts, self._clog)
            case ActKind.CORRUPT:
                return self._each(hosts, lambda host: self._corrupt(host, strike.amount))
            case _:
                raise ValueError(f"{strike.kind} does not happen to the ground")
        return _nothing

    def lie(self, node: Node) -> None:
        """See `Ground`."""
        host = self._world.hosts[node.name]
        Liar(node, rng=self._world.rng.child(f"liar/{node.name}/{host.lives}"), entropy=host.runtime.entropy)

    def traffic(self) -> Traffic:
        """See `Ground`."""
        counters = self._world.network.counters
        return Traffic(
            delivered=counters.delivered,
            lost=counters.sent + counters.duplicated - counters.delivered,
            bytes_delivered=counters.bytes_delivered,
        )

    async def close(self, nodes: Sequence[Node]) -> None:
        """See `Ground`; the world ends with its home."""
        for node in nodes:
            node.lose()

    # Inside

    def _host(self, name: str) -> Host:
        if name not in self._world.hosts:
            self._world.host(name, internet=self._net.internet, link=self._net.link)
        return self._world.hosts[name]

    def _partition(self, hosts: Sequence[Host], shape: Shape) -> Undo:
        chosen = [host.name for host in hosts]
        rest = [name for name in self._world.hosts if name not in set(chosen)]
        return self._world.network.partition(_rule(chosen, rest, shape))

    def _clog(self, host: Host) -> Undo:
        self._world.network.clog(host.name)
        return lambda: self._world.network.unclog(host.name)

    def _corrupt(self, host: Host, ratio: float) -> Undo:
        strike = object()
        self._rots.setdefault(host.name, {})[strike] = ratio
        self._rot(host)

        def repair() -> None:
            del self._rots[host.name][strike]
            self._rot(host)

        return repair

    def _rot(self, host: Host) -> None:
        """Let a disk rot as all strikes that have not ended say, which add up; a crash may have put in another disk."""
        ratio = min(1.0, sum(self._rots[host.name].values()))
        host.disk.health = replace(host.disk.health, rot_ratio=ratio)

    @staticmethod
    def _each(hosts: Sequence[Host], act: Callable[[Host], Undo]) -> Undo:
        undos = [act(host) for host in hosts]
        ended = False

        def undo() -> None:
            nonlocal ended
            if not ended:
                ended = True
                for each in undos:
                    each()

        return undo


def _rule(chosen: Sequence[str], rest: Sequence[str], shape: Shape) -> Partition:
    match shape:
        case Shape.GROUPS:
            return Groups(chosen, rest)
        case Shape.ONE_WAY:
            return OneWay(chosen, rest)
        case Shape.RING:
            return Ring(chosen)
        case _:
            assert_never(shape)


def _nothing() -> None:
    """It ends by itself."""
