"""Long runs against the store: `python -m tests.campaigns.store KIND`, each noted in docs/ledger/store.jsonl.

Every kind goes on at the seed at which its last run ended, for as many seconds as it is given; the tests of the gate
run the first seeds of the same code. `sums` prints what all runs so far add up to, and `page` writes it into
docs/reliability.md.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import logging
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from dfs_sdk.sim.commit import commit
from tests.campaigns import ledger
from tests.fakes.cancelling import strike_turn
from tests.fakes.crash_states import CrashStates
from tests.fakes.node_calls import CALLS, LIFE, strike_call, strike_life
from tests.fakes.quorum_cuts import QuorumCuts
from tests.fakes.store_errors import KINDS, ErrorTally, fail_everywhere
from tests.fakes.store_flips import FlipTally, flip_and_find
from tests.fakes.store_histories import begun, history
from tests.fakes.store_kills import kill_again_and_again

LEDGER = ledger.ROOT / "docs" / "ledger" / "store.jsonl"
PAGE = ledger.ROOT / "docs" / "reliability.md"
TABLE_HEAD = "| campaign | seen | losses | time |\n|---|---|---|---|\n"
RECOVERIES = 0.01
KILLS_PER_SEED = 400
TURNS_MAX = 30

Counts = dict[str, int]
Deadline = float


def crashes(seed: int, _until: Deadline) -> Counts:
    """All states that power cuts may leave of one history."""
    states = CrashStates(random.Random(f"crashes {seed}"), recoveries=RECOVERIES)
    asyncio.run(states.run_history(seed))
    return asdict(states.tally)


def kills(seed: int, until: Deadline) -> Counts:
    """A real process on a real file system, killed again and again."""
    with tempfile.TemporaryDirectory(prefix="dfs-kills-") as folder:
        cycles, receipts = kill_again_and_again(Path(folder) / "store", seed=seed, cycles=KILLS_PER_SEED, until=until)
    return {"kills": cycles, "receipts": receipts}


def quorum(seed: int, _until: Deadline) -> Counts:
    """The power of all other nodes goes after the receipt."""
    cuts = QuorumCuts()
    cuts.run(seed)
    return asdict(cuts.tally)


def errors(seed: int, _until: Deadline) -> Counts:
    """One history with every kind of failure at every step of the disk."""
    tally = ErrorTally()

    async def run() -> None:
        drawn = history(seed)
        base, model = await begun(drawn.setup)
        operations = [operation for turn in drawn.turns for operation in turn]
        for kind in KINDS:
            await fail_everywhere(base, model, operations, kind, tally)

    asyncio.run(run())
    return asdict(tally)


def flips(seed: int, _until: Deadline) -> Counts:
    """Bits that rot under a small network: found by read or by scrub, and fetched again."""
    tally = FlipTally()
    flip_and_find(seed, tally)
    return asdict(tally)


def cancels(seed: int, _until: Deadline) -> Counts:
    """Every call of a node at every await, and one of the kinds at turns of the loop that the seed draws."""
    counts: Counts = {"calls": 0, "struck_awaits": 0, "struck_turns": 0}

    async def run() -> None:
        rng = random.Random(f"cancels {seed}")
        for name in CALLS:
            with tempfile.TemporaryDirectory(prefix="dfs-cancels-") as folder:
                counts["struck_awaits"] += await strike_call(name, Path(folder), points_max=None, rng=rng)
            with tempfile.TemporaryDirectory(prefix="dfs-cancels-") as folder:
                counts["struck_turns"] += await strike_call(
                    name, Path(folder), points_max=TURNS_MAX, rng=rng, how=strike_turn
                )
            counts["calls"] += 1
        for name in LIFE:
            for memory in (False, True):
                with tempfile.TemporaryDirectory(prefix="dfs-cancels-") as folder:
                    counts["struck_awaits"] += await strike_life(
                        name, Path(folder), points_max=None, rng=rng, memory=memory
                    )
                with tempfile.TemporaryDirectory(prefix="dfs-cancels-") as folder:
                    counts["struck_turns"] += await strike_life(
                        name, Path(folder), points_max=TURNS_MAX, rng=rng, how=strike_turn, memory=memory
                    )
            counts["calls"] += 1

    asyncio.run(run())
    return counts


CAMPAIGNS: dict[str, Callable[[int, Deadline], Counts]] = {
    "crashes": crashes,
    "kills": kills,
    "quorum": quorum,
    "errors": errors,
    "flips": flips,
    "cancels": cancels,
}


def run(kind: str, *, seconds: float, first: int | None, path: Path) -> int:
    """Run seeds of one kind until the time is up, and note it; return the number of losses."""
    start = ledger.next_seed(ledger.read(path), kind) if first is None else first
    code, counts, losses, seed = commit("dfs_sdk/store", "dfs_sdk/sim"), dict[str, int](), 0, start
    begin = time.monotonic()
    while seed == start or time.monotonic() - begin < seconds:
        try:
            for name, count in CAMPAIGNS[kind](seed, begin + seconds).items():
                counts[name] = counts.get(name, 0) + count
        except Exception:  # noqa: BLE001 - a check objected, or the code broke: the campaign looks for both
            losses += 1
            print(f"{kind} seed {seed}:", traceback.format_exc(), flush=True)
        seed += 1
    elapsed = time.monotonic() - begin
    entry = ledger.Entry(
        command=f"python -m tests.campaigns.store {kind} --seconds {seconds:.0f} --seed {start}",
        kind=kind,
        commit=code,
        at=ledger.utc_now(),
        seconds=round(elapsed, 1),
        first=start,
        next=seed,
        losses=losses,
        counts={**counts, "seeds": seed - start},
    )
    ledger.append(path, entry)
    print(f"{kind}: seeds {start} to {seed - 1} in {elapsed:.0f} s, {losses} losses, {counts}", flush=True)
    return losses


def sums(path: Path) -> str:
    """Say what all runs of a ledger add up to, as the rows of a Markdown table."""
    rows = []
    for kind, counts in sorted(ledger.totals(ledger.read(path)).items()):
        seen = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items() if name not in HEAD)
        rows.append(f"| {kind} | {seen} | {counts['losses']} | {counts['seconds']:,} s |")
    return "\n".join(rows)


def with_table(page: str, rows: str) -> str:
    """Put the rows of `sums` in their place of the page."""
    before, _, rest = page.partition(TABLE_HEAD)
    after = itertools.dropwhile(lambda line: line.startswith("|"), rest.splitlines(keepends=True))
    return f"{before}{TABLE_HEAD}{rows}\n{''.join(after)}"


HEAD = frozenset(("runs", "seconds", "losses"))


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.store", description=__doc__)
    parser.add_argument("kind", choices=[*CAMPAIGNS, "sums", "page"])
    parser.add_argument("--seconds", type=float, default=200.0, help="begin no further seed after so long")
    parser.add_argument("--seed", type=int, help="first seed; by default the one after the last of the ledger")
    parser.add_argument("--ledger", type=Path, default=LEDGER)
    options = parser.parse_args()
    if options.kind == "sums":
        print(sums(options.ledger))
        return
    if options.kind == "page":
        PAGE.write_text(with_table(PAGE.read_text(), sums(options.ledger)))
        return
    logging.disable(logging.ERROR)  # every start that repairs something says so
    sys.exit(1 if run(options.kind, seconds=options.seconds, first=options.seed, path=options.ledger) else 0)


if __name__ == "__main__":
    main()
