"""Fuzz what foreign bytes meet: `python -m tests.fuzz [before|after] --seconds 60`; needs atheris.

`before` is what anybody may send, `after` what members send and what lies on the disk. `--only NAME` takes one target
of a group (`--list` names them), `--folder` goes on with the inputs of an earlier run, `--note` writes the run in the
ledger (docs/ledger/fuzz.jsonl), `--distil` renews the inputs kept in tests/fuzz/corpus from a folder, `--totals` adds
the ledger up.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from dfs_sdk.sim.commit import commit
from tests.campaigns import ledger
from tests.fuzz.running import GROUPS, Fuzzer, Outcome, distil

LEDGER = ledger.ROOT / "docs" / "ledger" / "fuzz.jsonl"


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("group", nargs="?", choices=list(GROUPS), default="before")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--only", default="", help="one target of the group")
    parser.add_argument("--seed", type=int, default=0, help="of libFuzzer; 0 draws one")
    parser.add_argument("--folder", type=Path, help="where inputs lie and are kept; a temporary one if not given")
    parser.add_argument("--note", action="store_true", help="write the run in the ledger")
    parser.add_argument("--distil", action="store_true", help="only renew the kept inputs from --folder")
    parser.add_argument("--list", action="store_true", help="only name the targets")
    parser.add_argument("--totals", action="store_true", help="only add the ledger up")
    return parser.parse_args()


def note(group: str, only: str, seconds: float, outcome: Outcome) -> None:
    """Write a run in the ledger."""
    entry = ledger.Entry(
        command=f"python -m tests.fuzz {group} --seconds {seconds:.0f}" + (f" --only '{only}'" if only else ""),
        kind=group,
        commit=commit("dfs_sdk", "tests/fuzz"),
        at=ledger.utc_now(),
        seconds=round(seconds, 1),
        first=0,
        next=0,
        losses=int(outcome.breach is not None),
        counts={"executions": outcome.executions},
    )
    ledger.append(LEDGER, entry)


def main() -> int:
    """Do what was asked for; returns 1 after a breach."""
    options = parse()
    if options.only and options.only not in (target.name for target in GROUPS[options.group].targets()):
        print(f"{options.group} has no target {options.only!r}: see --list")
        return 2
    if options.totals:
        for kind, counts in ledger.totals(ledger.read(LEDGER)).items():
            print(kind, ", ".join(f"{count:,} {name}" for name, count in counts.items()))
        return 0
    if options.list:
        print("\n".join(target.name for target in GROUPS[options.group].targets()))
        return 0
    if options.distil:
        print(distil(options.group, options.folder), "inputs kept")
        return 0
    with tempfile.TemporaryDirectory(prefix="dfs-fuzz-") as scratch:
        began = time.monotonic()
        folder = options.folder or Path(scratch)
        outcome = Fuzzer(options.group, folder, seconds=options.seconds, only=options.only, seed=options.seed).wait()
        seconds = time.monotonic() - began
    print(f"{options.group}: {outcome.executions:,} inputs in {seconds:.0f} s")
    if options.note:
        note(options.group, options.only, seconds, outcome)
    if outcome.breach is not None:
        print(outcome.words)
        print(f"{outcome.breach[0]} broke the law with {outcome.breach[1].hex()}")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
