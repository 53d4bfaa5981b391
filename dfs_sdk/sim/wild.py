"""Seeds of the third book: as networks are out there, with routers, slow lines, long absences and many hosts. Pure.

A seed is in one of three moods. In a *bustle* 9 to 24 hosts put hundreds of small files within a minute or two. In a
*storm* as many of them crash and part as often as in dozens of seeds of the first book. In a *vigil* a few hosts live
for hours, mostly idle, and what strikes is far apart and lasts: kernels blocked for up to five minutes, lids closed for
up to half an hour. In all of them hosts sit behind routers whose mappings end, whose addresses change and which
restart, and on lines of 1 to 100 Mbit/s with a queue before them.

What is drawn stays within what is promised. There is neither traversal nor relay: only one host is behind a router that
admits nothing but answers. The first two hosts can be reached by name, and the first one stays where and who it is.
Routers and lines are as they are: they stay when all else heals. Draws come from a stream of their own.

Source: J. Gettys and K. Nichols, "Bufferbloat" (ACM Queue 2011), for queues of up to seconds at slow lines; RFC 4787
for the times that mappings live.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dfs_sdk.runtime.ports import Rng
from dfs_sdk.runtime.system import SeededRng
from dfs_sdk.sim.conditions import Conditions, Link
from dfs_sdk.sim.households import Household
from dfs_sdk.sim.nat import NatKind
from dfs_sdk.sim.plan import FAULTY_SECONDS, REPLICAS, Fault, FaultKind, Plan, draw_conditions

Range = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mood:
    """How much of what a seed holds: ranges to draw from, durations in virtual seconds.

    Attributes:
        hosts: How many hosts there are.
        span: How long faults strike, in units of what is asked for.
        work: Mean time between two things that one user does.
        up: Mean time between two crashes of one host.
        down: How long a crash lasts.
        parting: Mean time between two partitions.
        parted: How long one lasts.
        striking: The same between two faults of other kinds.
        struck: How long one of them lasts.
        leisure: See `Plan`.
        probing: Time between two probes by one node.
    """

    hosts: tuple[int, int]
    span: Range
    work: Range
    up: Range
    down: Range
    parting: Range
    parted: Range
    striking: Range
    struck: Range
    leisure: Range = (2, 8)
    probing: float = 1.0


BUSTLE = Mood(
    hosts=(9, 24), span=(1, 3), work=(0.3, 1.5), up=(60, 600), down=(0.5, 20), parting=(4, 30), parted=(0.2, 6),
    striking=(4, 20), struck=(0.5, 40),
)  # fmt: skip
STORM = Mood(
    hosts=(9, 24), span=(1, 3), work=(4, 16), up=(3, 12), down=(0.3, 3), parting=(0.5, 2), parted=(0.2, 6),
    striking=(2, 20), struck=(0.5, 40),
)  # fmt: skip
VIGIL = Mood(
    hosts=(4, 6), span=(120, 240), work=(60, 300), up=(900, 7200), down=(2, 1800), parting=(300, 1800),
    parted=(5, 900), striking=(120, 900), struck=(5, 1800), leisure=(6, 12), probing=3.0,
)  # fmt: skip
MOODS = (*[BUSTLE] * 6, *[STORM] * 6, VIGIL)

SEALED_RATIO = 0.15
CALM_RATIO = 0.7
FILE_BYTES_MAX = 8 * 1024
READS_AT_ONCE = 16

HIDING = (NatKind.ADDRESS_RESTRICTED, NatKind.PORT_RESTRICTED, NatKind.SYMMETRIC)
HIDING_RATIO = 0.4
ROUTER_RATIO = 0.3
SHARED_RATIO = 0.3
FORWARDED_RATIO = 0.5
MAPPING_SECONDS = (30.0, 300.0)

LINE_RATIO = 0.4
LINE_BYTES = (125e3, 12.5e6)
QUEUE_SECONDS = (0.01, 1.0)
QUEUE_BYTES_MIN = 64 * 1024
"""A line passes at least so many bytes at once: less than one burst of a host would drop all of it."""

LIARS_MAX = 2
CRASHES = (FaultKind.KILL, FaultKind.KILL, FaultKind.POWER)
WIPED_RATIO = 0.15
PARTITIONS = (FaultKind.ISOLATE, FaultKind.HALVES, FaultKind.RING, FaultKind.ONE_WAY, FaultKind.SWIZZLE)
PARTITIONS_RATIO = 0.5
OTHERS = (
    FaultKind.BLOCK, FaultKind.SLEEP, FaultKind.CLOCK, FaultKind.MOVE, FaultKind.DISK, FaultKind.ROT, FaultKind.CLOG,
    FaultKind.ROUTER,
)  # fmt: skip
OTHERS_RATIO = 0.4
LONGEST = {FaultKind.BLOCK: 300.0, FaultKind.SLEEP: 1800.0, FaultKind.CLOG: 5.0}


def draw_wild_plan(seed: int, *, seconds: float = FAULTY_SECONDS) -> Plan:
    """Draw the plan of a seed of the third book.

    Args:
        seed: Any integer.
        seconds: The measure of how long faults may strike, virtual: a bustle or a storm lasts 1 to 3 times as
            long, a vigil 120 to 240 times.
    """
    rng = SeededRng(seed).child("wild")
    mood = rng.choice(MOODS)
    low, high = mood.hosts
    hosts = tuple(f"n{number}" for number in range(int(_between((low, high + 1), rng))))
    span = seconds * rng.uniform(*mood.span)
    households = _draw_households(hosts, rng)
    lines = _draw_lines(hosts, rng)
    liars, losing = _draw_doomed(hosts, rng)
    faults = _draw_faults(hosts, households, losing, span, mood, rng)
    quorum = 1 + len(liars | losing)
    return Plan(
        seed=seed,
        hosts=hosts,
        conditions=_draw_conditions(rng),
        faults=faults,
        liars=liars,
        doomed=liars | losing,
        quorum=quorum,
        replicas=min(len(hosts) - 1, max(REPLICAS, quorum)),
        seconds=span,
        sealed=rng.random() < SEALED_RATIO,
        households=households,
        lines=lines,
        internet=True,
        work_interval=_between(mood.work, rng),
        file_bytes_max=FILE_BYTES_MAX,
        reads_at_once=READS_AT_ONCE,
        leisure=_between(mood.leisure, rng),
        probe_interval=mood.probing,
    )


def _between(ends: Range, rng: Rng) -> float:
    """Draw a number whose logarithm is even between those of two others."""
    low, high = ends
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def _draw_households(hosts: Sequence[str], rng: Rng) -> tuple[Household, ...]:
    """Draw who is behind routers: never the first host, and the second at most behind a forwarded port."""
    households: list[Household] = []
    left = list(hosts[1:])
    hidden = rng.choice(hosts[2:]) if rng.random() < HIDING_RATIO else None
    while left:
        name = left.pop(0)
        if name != hidden and rng.random() >= ROUTER_RATIO:
            continue
        inside: tuple[str, ...] = (name,)
        if name != hidden and left and left[0] != hidden and rng.random() < SHARED_RATIO:
            inside = (name, left.pop(0))
        households.append(
            Household(
                hosts=inside,
                kind=rng.choice(HIDING) if name == hidden else NatKind.FULL_CONE,
                forwards=name != hidden and (name == hosts[1] or rng.random() < FORWARDED_RATIO),
                mapping_seconds=_between(MAPPING_SECONDS, rng),
            )
        )
    return tuple(households)


def _draw_lines(hosts: Sequence[str], rng: Rng) -> dict[str, Link]:
    """Draw slow lines: their rates, and queues that hold from 10 ms to a second of them."""
    lines = {}
    for name in hosts:
        if rng.random() < LINE_RATIO:
            down = _between(LINE_BYTES, rng)
            up = max(LINE_BYTES[0], down * rng.choice((1.0, 0.5, 0.1)))
            queue = max(QUEUE_BYTES_MIN, int(up * _between(QUEUE_SECONDS, rng)))
            lines[name] = Link(up_bytes=up, down_bytes=down, queue_bytes=queue)
    return lines


def _draw_doomed(hosts: Sequence[str], rng: Rng) -> tuple[frozenset[str], frozenset[str]]:
    """Draw who lies and whose copies may be lost: never the first host, by which the others find each other."""
    budget = (len(hosts) - 2) // 2
    liars = rng.sample(hosts[1:], rng.choice((0, 0, 1, min(LIARS_MAX, budget))))
    others = [name for name in hosts[1:] if name not in liars]
    losing = rng.sample(others, rng.randrange(0, 1 + min(1, budget - len(liars))))
    return frozenset(liars), frozenset(losing)


def _draw_faults(
    hosts: Sequence[str], households: Sequence[Household], losing: frozenset[str], span: float, mood: Mood, rng: Rng
) -> tuple[Fault, ...]:
    """Draw what strikes whom when."""
    crashes = _draw_crashes(hosts, losing, span, mood, rng)
    parting = [(kind, hosts) for kind in PARTITIONS if rng.random() < PARTITIONS_RATIO]
    partitions = _draw_stream(parting, _between(mood.parting, rng), mood.parted, span, rng)
    behind = [name for each in households for name in each.hosts]
    whom = {FaultKind.MOVE: hosts[1:], FaultKind.ROT: sorted(losing), FaultKind.ROUTER: behind}
    striking = [(kind, whom.get(kind, hosts)) for kind in OTHERS if rng.random() < OTHERS_RATIO]
    usable = [(kind, names) for kind, names in striking if names]
    others = _draw_stream(usable, _between(mood.striking, rng), mood.struck, span, rng)
    return tuple(sorted((*crashes, *partitions, *others), key=lambda fault: fault.at))


def _draw_crashes(hosts: Sequence[str], losing: frozenset[str], span: float, mood: Mood, rng: Rng) -> list[Fault]:
    """Draw the lives of each host: none is struck while it is down."""
    up = _between(mood.up, rng)
    crashes = []
    for name in hosts:
        at = -math.log(1.0 - rng.random()) * up
        while at < span:
            lasting = min(_between(mood.down, rng), span - at)
            kind = FaultKind.WIPE if name in losing and rng.random() < WIPED_RATIO else rng.choice(CRASHES)
            crashes.append(Fault(at=at, kind=kind, host=name, seconds=lasting, amount=rng.random()))
            at += lasting - math.log(1.0 - rng.random()) * up
    return crashes


def _draw_stream(
    kinds: Sequence[tuple[FaultKind, Sequence[str]]], interval: float, lasting: Range, span: float, rng: Rng
) -> list[Fault]:
    """Draw faults of some kinds, each with those it may strike, one after the other."""
    faults: list[Fault] = []
    at = rng.uniform(0, 2 * interval)
    while kinds and at < span:
        kind, whom = rng.choice(kinds)
        seconds = min(_between(lasting, rng), LONGEST.get(kind, span), span - at)
        faults.append(Fault(at=at, kind=kind, host=rng.choice(whom), seconds=seconds, amount=rng.random()))
        at += rng.uniform(0, 2 * interval)
    return faults


def _draw_conditions(rng: Rng) -> Conditions:
    """Draw paths: most are calm, so that much is put."""
    if rng.random() < CALM_RATIO:
        return Conditions(delay_min=rng.uniform(0.0005, 0.02), delay_mean=rng.uniform(0, 0.02))
    return draw_conditions(rng)
