"""Seeds of the second book: the power goes at the very instant a receipt comes. Pure.

In the seeds of `plan` a single bad holder hides behind the others: by the time anything strikes, the chunk has its
other copies, and repair makes more. Here faults wait for an acknowledgement, of a chunk or of a file, and then strike
all that could hide it at once, while disks are slow enough for a receipt to overtake what it speaks of. Processes fork
as well, now and then, which must change nothing at all. What is drawn comes from streams of its own: the seeds of the
first book mean what they meant.

Source: J. Zhou et al., "FoundationDB: A Distributed Unbundled Transactional Key Value Store" (SIGMOD 2021), section 4,
for biasing a simulation toward rare but dangerous states.
"""

from __future__ import annotations

from dfs_sdk.runtime.ports import Rng
from dfs_sdk.runtime.system import SeededRng
from dfs_sdk.sim.conditions import Conditions
from dfs_sdk.sim.plan import (
    FAULTY_SECONDS,
    REPLICAS,
    SEALED_RATIO,
    Fault,
    FaultKind,
    Plan,
    draw_conditions,
    draw_doomed,
    draw_faults,
    draw_hosts,
)

OTHERS = (
    FaultKind.POWER, FaultKind.KILL, FaultKind.BLOCK, FaultKind.SLEEP, FaultKind.WIPE, FaultKind.DISK, FaultKind.ROT,
    FaultKind.CLOG, FaultKind.HALVES,
)  # fmt: skip
"""What may strike besides."""

OTHERS_RATIO = 0.15
STRIKE_INTERVAL = 4.0
DOWN_SECONDS_MAX = 6.0
QUEUE_SECONDS_MAX = 0.1
CALM_RATIO = 0.7
EXTRA_QUORUM_RATIO = 0.5
FORKS_MAX = 2
CHILD_SECONDS = 2.0


def draw_receipts_plan(seed: int, *, seconds: float = FAULTY_SECONDS) -> Plan:
    """Draw the plan of a seed of the second book.

    Args:
        seed: Any integer.
        seconds: How long faults may strike, virtual.
    """
    rng = SeededRng(seed).child("receipts")
    hosts = draw_hosts(rng)
    kinds = [kind for kind in OTHERS if rng.random() < OTHERS_RATIO]
    liars, losing = draw_doomed(hosts, kinds, rng)
    forks = _forks(hosts, seconds, SeededRng(seed).child("forks"))
    faults = (*_strikes(hosts, seconds, rng), *draw_faults(hosts, kinds, losing, seconds, rng), *forks)
    doomed = liars | losing
    quorum = 1 + len(doomed)
    if quorum < len(hosts) - 1 - len(doomed) and rng.random() < EXTRA_QUORUM_RATIO:
        quorum += 1
    return Plan(
        seed=seed,
        hosts=hosts,
        conditions=_conditions(rng),
        faults=tuple(sorted(faults, key=lambda fault: fault.at)),
        liars=liars,
        doomed=doomed,
        quorum=quorum,
        replicas=min(len(hosts) - 1, max(REPLICAS, quorum)),
        seconds=seconds,
        sealed=rng.random() < SEALED_RATIO,
        disk_queue=rng.uniform(0.0, QUEUE_SECONDS_MAX),
    )


def _strikes(hosts: tuple[str, ...], seconds: float, rng: Rng) -> list[Fault]:
    """Draw from when on the next receipt is struck, and for how long hosts are down."""
    strikes = []
    at = rng.uniform(0, STRIKE_INTERVAL)
    while at < seconds:
        down = min(rng.uniform(0.5, DOWN_SECONDS_MAX), seconds - at)
        strikes.append(Fault(at=at, kind=FaultKind.RECEIPT, host=rng.choice(hosts), seconds=down, amount=rng.random()))
        at += down + rng.uniform(0, 2 * STRIKE_INTERVAL)
    return strikes


def _forks(hosts: tuple[str, ...], seconds: float, rng: Rng) -> list[Fault]:
    """Draw who forks when, from a stream of its own: seeds from before there were forks mean what they meant."""
    forks = []
    for _ in range(rng.randrange(0, FORKS_MAX + 1)):
        at = rng.uniform(0, seconds)
        living = min(CHILD_SECONDS, seconds - at)
        forks.append(Fault(at=at, kind=FaultKind.FORK, host=rng.choice(hosts), seconds=living, amount=0.0))
    return forks


def _conditions(rng: Rng) -> Conditions:
    """Draw paths: most are calm, so that many files are put and receipts are fast."""
    if rng.random() < CALM_RATIO:
        return Conditions(delay_min=0.0005, delay_mean=rng.uniform(0, 0.01))
    return draw_conditions(rng)
