"""Fuzz what foreign bytes meet: `python -m tests.fuzz [before|after] --seconds 60`; needs atheris.

`before` is what anybody may send, `after` what members send and what lies on the disk. `--only NAME` takes one target
of a group (`--list` names them), `--folder` goes on with the inputs of an earlier run, `--note` writes the run in the
ledger (docs/ledger/fuzz.jsonl), `--distil` renews the inputs kept in tests/fuzz/corpus from a folder, `--totals` adds
the ledger up.

Each run draws other inputs, unless it is given the seed of an earlier one. After a breach it prints what replays it:
the one input, for `--replay`, and the whole run, for targets whose state comes from the inputs before.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path

from dfs_sdk.sim.commit import commit
from tests.campaigns import ledger
from tests.fuzz.law import check, check_memory
from tests.fuzz.running import GROUPS, Fuzzer, Outcome, distil

LEDGER = ledger.ROOT / "docs" / "ledger" / "fuzz.jsonl"
SEEDS = 2**31


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("group", nargs="?", choices=list(GROUPS), default="before")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--seconds", type=int, default=60)
    length.add_argument("--runs", type=int, help="so many inputs, for as long as that takes")
    parser.add_argument("--only", default="", help="one target of the group")
    parser.add_argument("--seed", type=int, help="of libFuzzer, 1 or more; one is drawn if not given")
    parser.add_argument("--replay", metavar="HEX", help="only hold the target of --only to the law with this input")
    parser.add_argument("--folder", type=Path, help="where inputs lie and are kept; a temporary one if not given")
    parser.add_argument("--note", action="store_true", help="write the run in the ledger")
    parser.add_argument("--distil", action="store_true", help="only renew the kept inputs from --folder")
    parser.add_argument("--list", action="store_true", help="only name the targets")
    parser.add_argument("--totals", action="store_true", help="only add the ledger up")
    options = parser.parse_args()
    if options.replay is not None and not options.only:
        parser.error("--replay goes with --only: an input is one target's")
    return options


def note(options: argparse.Namespace, seed: int, seconds: float, outcome: Outcome) -> None:
    """Write a run in the ledger."""
    limit = f" --only '{options.only}'" if options.only else ""
    length = f"--seconds {options.seconds}" if options.runs is None else f"--runs {options.runs}"
    entry = ledger.Entry(
        command=f"python -m tests.fuzz {options.group}{limit} --seed {seed} {length}",
        kind=options.group,
        commit=commit("dfs_sdk", "tests/fuzz"),
        at=ledger.utc_now(),
        seconds=round(seconds, 1),
        first=0,
        next=0,
        losses=int(outcome.breach is not None),
        counts={"executions": outcome.executions},
    )
    ledger.append(LEDGER, entry)


def fuzz(options: argparse.Namespace) -> int:
    """Run a fuzzer and tell what came of it; returns 1 after a breach."""
    group, only, seed = options.group, options.only, options.seed or random.SystemRandom().randrange(1, SEEDS)
    length = {"seconds": options.seconds} if options.runs is None else {"runs": options.runs}
    with tempfile.TemporaryDirectory(prefix="dfs-fuzz-") as scratch:
        began = time.monotonic()
        with Fuzzer(group, options.folder or Path(scratch), seed=seed, only=only, **length) as fuzzer:
            outcome = fuzzer.wait()
        seconds = time.monotonic() - began
    print(f"{group}: {outcome.executions:,} inputs in {seconds:.0f} s, seed {seed}")
    if options.note:
        note(options, seed, seconds, outcome)
    if outcome.breach is None:
        return 0
    print(outcome.words)
    print(outcome.replay(group, seed=seed, only=only))
    return 1


def main() -> int:
    """Do what was asked for; returns 1 after a breach."""
    options = parse()
    targets = {target.name: target for target in GROUPS[options.group].targets()}
    if options.only and options.only not in targets:
        print(f"{options.group} has no target {options.only!r}: see --list")
        return 2
    if options.totals:
        for kind, counts in ledger.totals(ledger.read(LEDGER)).items():
            print(kind, ", ".join(f"{count:,} {name}" for name, count in counts.items()))
        return 0
    if options.list:
        print("\n".join(targets))
        return 0
    if options.distil:
        print(distil(options.group, options.folder), "inputs kept")
        return 0
    if options.replay is not None:
        taken = check(targets[options.only], bytes.fromhex(options.replay))
        check_memory(targets[options.only], bytes.fromhex(options.replay))
        print("it obeys the law:", "taken" if taken else "refused")
        return 0
    return fuzz(options)


if __name__ == "__main__":
    raise SystemExit(main())
