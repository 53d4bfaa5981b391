"""A ledger of long runs: one JSON line each, so that every figure in the documents can be added up again."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One run.

    Attributes:
        command: What gives such a run again.
        kind: Which campaign it belongs to.
        commit: The code it ran on; "+" at its end if files had been changed since.
        at: When it ended, as UTC.
        seconds: How long it took.
        first, next: The seeds from `first` on were run, `next` not any more.
        counts: What was done and seen.
        losses: Acknowledged things that were lost, and everything else a check objected to.
    """

    command: str
    kind: str
    commit: str
    at: str
    seconds: float
    first: int
    next: int
    losses: int
    counts: dict[str, int] = field(default_factory=dict)


def append(path: Path, entry: Entry) -> None:
    """Add a run to a ledger."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(asdict(entry)) + "\n")


def read(path: Path) -> list[Entry]:
    """Read all runs of a ledger; none if there is no such file."""
    if not path.exists():
        return []
    return [Entry(**json.loads(line)) for line in path.read_text().splitlines() if line]


def totals(entries: list[Entry]) -> dict[str, dict[str, int]]:
    """Add up the counts of each kind, with its runs, seconds and losses."""
    sums: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for entry in entries:
        kind = sums[entry.kind]
        kind["runs"] += 1
        kind["seconds"] += round(entry.seconds)
        kind["losses"] += entry.losses
        for name, count in entry.counts.items():
            kind[name] += count
    return {kind: dict(counts) for kind, counts in sums.items()}


def next_seed(entries: list[Entry], kind: str) -> int:
    """Say where a campaign goes on: no seed is run twice."""
    return max((entry.next for entry in entries if entry.kind == kind), default=0)


def utc_now() -> str:
    """Say the time."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
