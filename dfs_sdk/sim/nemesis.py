"""Carries out the faults of a plan in a world, and takes all of them back."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from dfs_sdk.ids import ChunkId
from dfs_sdk.sim.faults import DiskHealth
from dfs_sdk.sim.households import moved_address
from dfs_sdk.sim.partitions import Isolated, OneWay, Partition, Ring, halves
from dfs_sdk.sim.plan import LOSING, Fault, FaultKind, Plan, rotting_disk, sick_disk
from dfs_sdk.sim.world import World

LOOK_INTERVAL = 0.5
CLOG_SECONDS_MAX = 5.0
CLOCK_STEP_MAX = 86_400.0
POWER_CUT_STEPS = 40
"""A power cut strikes within so many steps of the disk, or at once if it is idle."""

SPARE_WRITER_RATIO = 0.2
SPARE_OTHER_RATIO = 0.2
"""A cut at a receipt spares the writer, or one other host, so often; else nobody."""

RestartHandler = Callable[[str], None]
CutHandler = Callable[[str, Sequence[ChunkId]], None]
ForkHandler = Callable[[str, float], bool]


class Nemesis:
    """Does what a plan says, and puts everything right in the end.

    Args:
        world: Where.
        plan: What.
        restart: Called with the name of a host that has to come back.
        on_cut: Called when the power went at a receipt, with the writer and the chunks that were acknowledged.
        fork: Called with the name of a host whose process is to fork, and for how long; says whether it did.

    Attributes:
        struck: How many faults of each kind there were.
        spoiled: Hosts that lost their store or the truth of it.
    """

    def __init__(
        self, world: World, plan: Plan, *, restart: RestartHandler, on_cut: CutHandler, fork: ForkHandler
    ) -> None:
        self._world = world
        self._plan = plan
        self._restart = restart
        self._on_cut = on_cut
        self._fork = fork
        self._rng = world.rng.child("nemesis")
        self._moves = 0
        self._armed: Fault | None = None
        self.struck: Counter[FaultKind] = Counter()
        self.spoiled: set[str] = set()

    async def run(self) -> None:
        """Let all faults strike, each at its instant; returns when the time of faults is over."""
        began = self._world.now
        self._world.network.set_conditions(self._plan.conditions)
        for fault in self._plan.faults:
            await asyncio.sleep(began + fault.at - self._world.now)
            if fault.kind is FaultKind.RECEIPT:
                self._armed = fault
                continue
            if fault.kind is FaultKind.FORK:
                self.struck[fault.kind] += self._fork(fault.host, fault.seconds)
                continue
            self.struck[fault.kind] += 1
            if fault.kind in LOSING:
                self.spoiled.add(fault.host)
            self._strike(fault)
        await asyncio.sleep(began + self._plan.seconds - self._world.now)
        self._armed = None

    def receipt(self, writer: str, chunk_ids: Sequence[ChunkId], *, whole: bool) -> None:
        """Hear of a receipt the instant it comes, and strike if a fault has waited for one like it.

        Args:
            writer: The host that has it.
            chunk_ids: What was acknowledged.
            whole: Whether it is that of a file; otherwise that of one chunk.
        """
        fault = self._armed
        if fault is None or whole is not (fault.amount < 0.5):
            return
        self._armed = None
        self.struck[fault.kind] += 1
        # Not from within the host that is about to end.
        self._after(0.0, lambda: self._cut_all(fault, writer, chunk_ids))

    async def heal(self) -> None:
        """End everything: afterwards all hosts run, on good disks, over a good network."""
        self._world.network.heal()
        self._world.network.set_conditions(None)
        for name in self._plan.hosts:
            self._world.hosts[name].disk.health = DiskHealth()
        while any(host.is_blocked for host in self._world.hosts.values()):  # noqa: ASYNC110 - hosts ring no bell
            await asyncio.sleep(LOOK_INTERVAL)
        for name in self._plan.hosts:
            if not self._world.hosts[name].is_up:
                self._restart(name)

    def _strike(self, fault: Fault) -> None:
        host = self._world.hosts[fault.host]
        match fault.kind:
            case FaultKind.POWER:
                self._cut_power(fault)
            case FaultKind.KILL:
                host.crash(power=False)
                self._after(fault.seconds, lambda: self._restart(fault.host))
            case FaultKind.WIPE:
                host.wipe()
                self._after(fault.seconds, lambda: self._restart(fault.host))
            case FaultKind.BLOCK:
                host.block(fault.seconds)
            case FaultKind.SLEEP:
                host.sleep(fault.seconds)
            case FaultKind.CLOCK:
                host.step_clock((2 * fault.amount - 1) * CLOCK_STEP_MAX)
                self._after(fault.seconds, lambda: host.step_clock((1 - 2 * fault.amount) * CLOCK_STEP_MAX))
            case FaultKind.DISK:
                self._disk(fault, sick_disk(fault.amount))
            case FaultKind.ROT:
                self._disk(fault, rotting_disk(fault.amount))
            case _:
                self._strike_network(fault)

    def _strike_network(self, fault: Fault) -> None:
        network, hosts = self._world.network, self._plan.hosts
        match fault.kind:
            case FaultKind.MOVE:
                self._move(fault.host)
            case FaultKind.ROUTER:
                nat = self._world.hosts[fault.host].station.nat
                if nat is not None:
                    nat.reboot()
            case FaultKind.CLOG:
                network.clog(fault.host)
                self._after(min(fault.seconds, CLOG_SECONDS_MAX), lambda: network.unclog(fault.host))
            case FaultKind.SWIZZLE:
                network.swizzle(hosts, interval=0.2 + CLOG_SECONDS_MAX / 10 * fault.amount)
            case _:
                self._after(fault.seconds, network.partition(self._rule(fault)))

    def _move(self, name: str) -> None:
        """Give a host another address: its router's, where it is behind one."""
        self._moves += 1
        host = self._world.hosts[name]
        if host.station.nat is not None:
            self._world.network.readdress(host.station.nat, moved_address(self._moves))
        elif self._plan.internet:
            host.move(moved_address(self._moves))
        else:
            host.move(f"10.200.{self._moves >> 8}.{self._moves & 255}")

    def _rule(self, fault: Fault) -> Partition:
        hosts = self._plan.hosts
        match fault.kind:
            case FaultKind.HALVES:
                return halves(hosts, self._rng)
            case FaultKind.RING:
                return Ring(hosts)
            case FaultKind.ONE_WAY:
                others = [name for name in hosts if name != fault.host]
                return OneWay([fault.host], self._rng.sample(others, self._rng.randrange(1, len(others) + 1)))
            case _:
                return Isolated(fault.host)

    def _cut_power(self, fault: Fault) -> None:
        host = self._world.hosts[fault.host]
        if host.is_up:
            host.disk.cut_in(int(POWER_CUT_STEPS * fault.amount))
        self._after(fault.seconds / 2, host.crash)
        self._after(fault.seconds, lambda: self._restart(fault.host))

    def _cut_all(self, fault: Fault, writer: str, chunk_ids: Sequence[ChunkId]) -> None:
        """Take the power from all who could hide that a copy is missing; the promised number may lose the disk, too."""
        coin, spared = self._rng.random(), set[str]()
        if coin < SPARE_WRITER_RATIO:
            spared = {writer}
        elif coin < SPARE_WRITER_RATIO + SPARE_OTHER_RATIO:
            spared = {fault.host}
        for name in self._plan.hosts:
            if name in spared:
                continue
            host = self._world.hosts[name]
            if name in self._plan.doomed - self._plan.liars and self._rng.random() < 0.5:
                self.spoiled.add(name)
                host.wipe()
            else:
                host.crash()
            back = fault.seconds * self._rng.uniform(0.2, 1.0)
            self._after(back, partial(self._restart, name))
        self._on_cut(writer, chunk_ids)

    def _disk(self, fault: Fault, health: DiskHealth) -> None:
        disk = self._world.hosts[fault.host].disk
        disk.health = health

        def repair() -> None:
            disk.health = DiskHealth()
            self._world.hosts[fault.host].disk.health = DiskHealth()

        self._after(fault.seconds, repair)

    def _after(self, seconds: float, act: Callable[[], None]) -> None:
        self._world.scheduler.at(self._world.now + seconds, lambda _: act(), None)
