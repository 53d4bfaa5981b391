"""Plants bugs, one at a time, and shows which test caught each: `python -m tests.drill [--seeds N] [NAME …]`.

A bug is planted in the process that runs its tests, while the code is imported; the tree is never touched. The drill
fails if a bug survives, and if one no longer fits the code. Names may be given in part. With `--seeds` the simulator
looks for those bugs that it must find, instead.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence

from dfs_sdk.sim.books import Book
from tests.drill.bugs import BUGS
from tests.drill.drilling import DrillError, Outcome, require_sound, run_drill
from tests.drill.planting import Bug, DriftError
from tests.drill.seeds import Hunt, hunt


def chosen(names: Sequence[str]) -> list[Bug]:
    """Choose the bugs whose name holds one of `names`; all without any."""
    return [bug for bug in BUGS if not names or any(name in bug.name for name in names)]


def row(outcome: Outcome) -> str:
    """A row of the table of tests."""
    # Without the parameters of the test: some of them are hostile texts.
    caught = f"`{outcome.caught_by.partition('[')[0]}`" if outcome.caught_by else "**nothing**"
    return f"| {outcome.bug.name} | {places(outcome.bug)} | {caught} | {outcome.seconds:.1f} |"


def seed_row(found: Hunt) -> str:
    """A row of the table of seeds."""
    seed = f"none of the first {found.ran}" if found.seed is None else str(found.seed)
    return f"| {found.bug.name} | {found.of} | {seed} | {found.problem} | {found.seconds:.0f} |"


def places(bug: Bug) -> str:
    """Name the files a bug sits in, without the package's name."""
    return ", ".join(dict.fromkeys(f"`{edit.path.removeprefix('dfs_sdk/')}`" for edit in bug.edits))


def drill(bugs: Sequence[Bug]) -> int:
    """Run the tests of each bug; returns how many survived."""
    print(f"with no bug the tests of all {len(bugs)} pass in {require_sound(bugs):.0f} s\n", flush=True)
    print("| bug | planted in | caught by | processor seconds |\n|---|---|---|---|", flush=True)
    survived = 0
    for bug in bugs:
        outcome = run_drill(bug)
        survived += outcome.caught_by is None
        print(row(outcome), flush=True)
    print(f"\n{len(bugs) - survived} of {len(bugs)} caught")
    return survived


def hunts(bugs: Sequence[Bug], seeds: int, seconds: float) -> int:
    """Let the simulator look for bugs with the seeds of the first two books; returns how many neither found."""
    print(
        "| bug | book | first seed that finds it | what it says | processor seconds |\n|---|---|---|---|---|",
        flush=True,
    )
    found_by: Counter[Book] = Counter()
    survived = 0
    for bug in bugs:
        hunted = [hunt(bug, seeds, seconds, of=of) for of in (Book.RECEIPTS, Book.FAULTS)]
        for found in hunted:
            print(seed_row(found), flush=True)
            found_by[found.of] += found.seed is not None
        survived += all(found.seed is None for found in hunted)
    print(
        f"\n{len(bugs) - survived} of {len(bugs)} found within {seeds} seeds and {seconds:.0f} processor seconds of a "
        f"book: {found_by[Book.RECEIPTS]} by receipts, {found_by[Book.FAULTS]} by faults"
    )
    return survived


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.drill", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a bug, or a part of its name")
    parser.add_argument("--seeds", type=int, help="run so many seeds of the simulator at most, from 0")
    parser.add_argument("--seconds", type=float, default=120.0, help="begin no seed after so many processor seconds")
    options = parser.parse_args()
    bugs = chosen(options.names)
    if options.seeds is not None:
        bugs = [bug for bug in bugs if bug.seeds]
    if not bugs:
        parser.error("no bug is called that")
    try:
        survived = drill(bugs) if options.seeds is None else hunts(bugs, options.seeds, options.seconds)
    except (DriftError, DrillError) as error:
        sys.exit(str(error))
    sys.exit(1 if survived else 0)


if __name__ == "__main__":
    main()
