"""What one seed does to a network: how large it is, what its paths are like, which faults strike when. Pure.

Not every seed draws every kind of fault: a seed that leaves some out goes deeper into the others. What is drawn never
asks for more than the promise gives: hosts whose copies are lost for good (wiped, rotten, lying) are fewer than the
peers that acknowledge a put, and one host stays where it is and who it is: somebody who was away while all others
moved, or came back under other keys, could find nobody.

Source: A. Groce et al., "Swarm Testing" (2012), for leaving kinds out; K. Kingsbury, "Jepsen", for the kinds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from dfs_sdk.runtime.ports import Rng
from dfs_sdk.runtime.system import SeededRng
from dfs_sdk.sim.conditions import Conditions, Link
from dfs_sdk.sim.faults import DiskHealth
from dfs_sdk.sim.households import Household

HOSTS_MIN = 4
HOSTS_MAX = 8
FAULTY_SECONDS = 30.0
REPLICAS = 3
SEALED_RATIO = 0.25
WORK_INTERVAL = 4.0
FILE_BYTES_MAX = 200_000


class FaultKind(Enum):
    """What may strike."""

    POWER = "power cut"
    KILL = "process killed"
    BLOCK = "kernel blocked"
    SLEEP = "lid closed"
    CLOCK = "wall clock stepped"
    WIPE = "store lost"
    MOVE = "address moved"
    DISK = "disk errors"
    ROT = "bits rot"
    CLOG = "traffic clogged"
    ISOLATE = "one host cut off"
    HALVES = "two halves"
    RING = "ring"
    ONE_WAY = "one direction cut"
    SWIZZLE = "swizzle"
    RECEIPT = "power cut at a receipt"
    FORK = "process forked"
    ROUTER = "router restarted"


LOSING = frozenset({FaultKind.WIPE, FaultKind.ROT})
"""After these a host's copies may be gone for good."""

DRAWN = tuple(kind for kind in FaultKind if kind not in (FaultKind.RECEIPT, FaultKind.FORK, FaultKind.ROUTER))
"""What any seed of the first book may draw; the others are struck in books of their own (`receipts`, `wild`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault.

    Attributes:
        at: Virtual seconds after the network has met.
        kind: What strikes.
        host: Whom; also the one a partition is drawn around.
        seconds: How long it lasts, or until the host restarts.
        amount: How bad it is, from 0 to 1; what that means depends on the kind.
    """

    at: float
    kind: FaultKind
    host: str
    seconds: float
    amount: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that a seed decides beforehand.

    Attributes:
        seed: The seed.
        hosts: Names of the hosts.
        conditions: Of all paths while faults last.
        faults: In the order of their instants.
        liars: Hosts whose nodes lie from the start.
        doomed: Hosts whose copies may be gone for good: liars, and those of `LOSING` faults.
        quorum: Peers that acknowledge a put.
        replicas: Copies of each chunk.
        seconds: How long faults last.
        sealed: Whether datagrams are sealed and travel one by one, as in the wild; otherwise whole messages do, which
            is three times as fast and leaves the transport untried.
        disk_queue: Virtual seconds that work for the disk waits before it happens.
        households: The hosts that are behind routers.
        lines: What the lines of hosts carry; no limit for those that are not named.
        internet: Whether each host has a public network of its own; otherwise all share a private one.
        work_interval: Mean virtual seconds between two things that one user does.
        file_bytes_max: Files are at most so long, and mostly far shorter.
        reads_at_once: Files that are read side by side after all has healed.
        leisure: How many times longer the pauses are between a node's rounds of repair and of keeping its records.
        probe_interval: Virtual seconds between two probes by one node; it compares lists five times as seldom.
    """

    seed: int
    hosts: tuple[str, ...]
    conditions: Conditions
    faults: tuple[Fault, ...]
    liars: frozenset[str]
    doomed: frozenset[str]
    quorum: int
    replicas: int
    seconds: float
    sealed: bool = True
    disk_queue: float = 0.0
    households: tuple[Household, ...] = ()
    lines: Mapping[str, Link] = field(default_factory=dict)
    internet: bool = False
    work_interval: float = WORK_INTERVAL
    file_bytes_max: int = FILE_BYTES_MAX
    reads_at_once: int = 1
    leisure: float = 1.0
    probe_interval: float = 1.0

    @property
    def listed(self) -> tuple[str, ...]:
        """The hosts that strangers reach by name: those behind no router, or behind one that forwards the port."""
        hidden = {name for each in self.households for name in each.hosts[1 if each.forwards else 0 :]}
        return tuple(name for name in self.hosts if name not in hidden)

    def __str__(self) -> str:
        kinds = sorted({fault.kind.value for fault in self.faults})
        lies = f", {len(self.liars)} of them lie" if self.liars else ""
        return (
            f"seed {self.seed}: {len(self.hosts)} hosts{lies}, {len(self.faults)} faults in {self.seconds:.0f} s "
            f"({', '.join(kinds) or 'none'}), loss {self.conditions.loss_ratio:.0%}"
            f"{', sealed' if self.sealed else ''}"
            f"{f', {len(self.households)} routers' if self.households else ''}"
            f"{f', {len(self.lines)} slow lines' if self.lines else ''}"
        )


def draw_plan(seed: int, *, seconds: float = FAULTY_SECONDS) -> Plan:
    """Draw the plan of a seed.

    Args:
        seed: Any integer.
        seconds: How long faults may strike, virtual.
    """
    rng = SeededRng(seed).child("plan")
    hosts = draw_hosts(rng)
    kinds = [kind for kind in DRAWN if rng.random() < 0.4]
    liars, losing = draw_doomed(hosts, kinds, rng)
    faults = stay_findable(hosts, draw_faults(hosts, kinds, losing, seconds, rng))
    doomed = liars | losing
    quorum = 1 + len(doomed)
    return Plan(
        seed=seed,
        hosts=hosts,
        conditions=draw_conditions(rng),
        faults=faults,
        liars=liars,
        doomed=doomed,
        quorum=quorum,
        replicas=min(len(hosts) - 1, max(REPLICAS, quorum)),
        seconds=seconds,
        sealed=rng.random() < SEALED_RATIO,
    )


def draw_hosts(rng: Rng) -> tuple[str, ...]:
    """Draw how many hosts there are, and name them."""
    return tuple(f"n{number}" for number in range(rng.randrange(HOSTS_MIN, HOSTS_MAX + 1)))


def draw_doomed(hosts: tuple[str, ...], kinds: Sequence[FaultKind], rng: Rng) -> tuple[frozenset[str], frozenset[str]]:
    """Draw who lies and whose copies may be lost; together so few that a put can reach a quorum beyond them."""
    budget = (len(hosts) - 2) // 2
    liars = rng.sample(hosts, rng.randrange(0, 1 + min(budget, math.floor(0.3 * len(hosts)))) if kinds else 0)
    others = [host for host in hosts if host not in liars]
    losing = rng.sample(others, min(1, budget - len(liars))) if LOSING.intersection(kinds) else []
    return frozenset(liars), frozenset(losing)


def draw_faults(
    hosts: tuple[str, ...], kinds: Sequence[FaultKind], losing: frozenset[str], seconds: float, rng: Rng
) -> tuple[Fault, ...]:
    """Draw what strikes whom when: some kinds, at intervals of seconds to minutes."""
    usable = [kind for kind in kinds if losing or kind not in LOSING]
    if not usable:
        return ()
    interval = math.exp(rng.uniform(math.log(1.0), math.log(20.0)))
    faults: list[Fault] = []
    at = rng.uniform(0, 2 * interval)
    while at < seconds:
        kind = rng.choice(usable)
        host = rng.choice(sorted(losing) if kind in LOSING else hosts[1:] if kind is FaultKind.MOVE else hosts)
        lasting = min(math.exp(rng.uniform(math.log(0.5), math.log(40.0))), seconds - at)
        faults.append(Fault(at=at, kind=kind, host=host, seconds=lasting, amount=rng.random()))
        at += rng.uniform(0, 2 * interval)
    return tuple(faults)


def stay_findable(hosts: tuple[str, ...], faults: tuple[Fault, ...]) -> tuple[Fault, ...]:
    """Leave the second host where it is if the first one loses its store, and with it its keys, while all others move.

    Nothing is drawn for it: the other faults of such a seed, and all other seeds, are what they were.
    """
    wiped = {fault.host for fault in faults if fault.kind is FaultKind.WIPE}
    moved = {fault.host for fault in faults if fault.kind is FaultKind.MOVE}
    if wiped | moved < set(hosts):
        return faults
    return tuple(fault for fault in faults if fault.kind is not FaultKind.MOVE or fault.host != hosts[1])


def draw_conditions(rng: Rng) -> Conditions:
    """Draw paths: a third are calm, the others may be as bad as the bar says."""
    if rng.random() < 1 / 3:
        return Conditions(delay_min=0.0005, delay_mean=rng.uniform(0, 0.02))
    return Conditions(
        delay_min=rng.uniform(0.0005, 0.05),
        delay_mean=rng.uniform(0, 0.1),
        delay_sigma=rng.uniform(0.3, 1.5),
        spike_interval=rng.choice([0.0, 5.0, 20.0]),
        spike_delay=rng.uniform(0.1, 0.8),
        loss_ratio=0.3 * rng.random() ** 3,
        bad_enter_ratio=rng.choice([0.0, 0.0, 0.01]),
        duplicate_ratio=0.5 * rng.random() ** 3,
        reorder_ratio=0.3 * rng.random() ** 2,
        corrupt_ratio=0.05 * rng.random() ** 2,
    )


def sick_disk(amount: float) -> DiskHealth:
    """What a disk with errors is like: up to one operation in ten fails.

    Args:
        amount: How bad, from 0 to 1.
    """
    ratio = 0.1 * amount
    return DiskHealth(
        read_error_ratio=ratio / 4, write_error_ratio=ratio / 2, full_ratio=ratio / 2, sync_error_ratio=ratio / 2
    )


def rotting_disk(amount: float) -> DiskHealth:
    """What a disk is like that changes what it keeps.

    Args:
        amount: How bad, from 0 to 1.
    """
    return DiskHealth(rot_ratio=0.05 * amount, misdirect_ratio=0.05 * amount)
