"""Lets the simulator look for a bug: seed after seed, in a process in which it is planted."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass

from dfs_sdk.sim.books import Book
from dfs_sdk.sim.campaign import run_seed
from tests.drill.drilling import DrillError, children_seconds, environment
from tests.drill.planting import ROOT, Bug, check

SECONDS_MAX = 600
FAULTY_SECONDS = 30.0  # as in the gate's three hundred seeds


@dataclass(frozen=True, slots=True, kw_only=True)
class Hunt:
    """What the simulator found.

    Attributes:
        bug: The bug.
        of: The book that the seeds were of.
        seed: The first seed that broke the promise; None if none did.
        ran: How many seeds ran.
        problem: What it said.
        seconds: Processor seconds of all seeds, and of that one without the bug.
    """

    bug: Bug
    of: Book
    seed: int | None
    ran: int
    problem: str
    seconds: float


def hunt(bug: Bug, seeds: int, seconds: float, *, of: Book) -> Hunt:
    """Run seeds from 0 on until one breaks the promise, and that one without the bug.

    Args:
        bug: What to look for.
        seeds: Run so many at most.
        seconds: Begin none after so many processor seconds.
        of: The book to take the seeds of.

    Raises:
        DriftError: The bug does not fit the code.
        DrillError: The sound code breaks the promise of that seed, too; or the simulator could not run.
    """
    check(bug)
    begin = children_seconds()
    seed, ran, problem = _first_broken(bug, 0, seeds, seconds, of=of)
    if seed is not None and _first_broken(None, seed, 1, seconds, of=of)[0] is not None:
        raise DrillError(f"seed {seed} breaks without {bug.name!r}, too")
    took = children_seconds() - begin
    return Hunt(bug=bug, of=of, seed=seed, ran=ran, problem=problem, seconds=took)


def _first_broken(bug: Bug | None, first: int, count: int, seconds: float, *, of: Book) -> tuple[int | None, int, str]:
    command = [sys.executable, "-m", "tests.drill.seeds", of, str(first), str(count), str(seconds)]
    try:
        ended = subprocess.run(
            command, cwd=ROOT, env=environment(bug), capture_output=True, text=True, timeout=SECONDS_MAX, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DrillError(f"the seeds took over {SECONDS_MAX} s") from error
    if ended.returncode != 0:
        raise DrillError(f"the simulator could not run\n{ended.stdout}{ended.stderr}")
    found = json.loads(ended.stdout.splitlines()[-1])
    return found["seed"], found["ran"], found["problem"]


def run_seeds(first: int, count: int, seconds: float, *, of: Book) -> tuple[int | None, int, str]:
    """Run seeds until one breaks the promise; returns it, how many ran, and what it said."""
    begin, ran = time.process_time(), 0
    while ran < count and (ran == 0 or time.process_time() - begin < seconds):
        verdict = run_seed(first + ran, FAULTY_SECONDS, of=of)
        ran += 1
        if not verdict.passed:
            return verdict.seed, ran, verdict.problems[0]
    return None, ran, ""


def main() -> None:
    """Run seeds; the environment says which bug is planted."""
    parser = argparse.ArgumentParser(prog="python -m tests.drill.seeds", description=__doc__)
    parser.add_argument("of", type=Book)
    parser.add_argument("first", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("seconds", type=float)
    options = parser.parse_args()
    seed, ran, problem = run_seeds(options.first, options.count, options.seconds, of=options.of)
    print(json.dumps({"seed": seed, "ran": ran, "problem": problem}))


if __name__ == "__main__":
    main()
