"""The same seeds under several Pythons: `python -m tests.campaigns.digests --seeds 20 --python /opt/py313/bin/python`.

Each interpreter runs the same seeds of the first two books in a process of its own, with a PYTHONHASHSEED of its own,
and tells the digest of each; all of them must agree. Interpreters come from `--python`, as often as you like, or from
`DFS_PYTHONS`, with the separator of PATH; each needs the package's dependencies. The one that runs this is the first.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dfs_sdk.sim.books import Book
from dfs_sdk.sim.campaign import run_seed

ROOT = Path(__file__).parents[2]
VARIABLE = "DFS_PYTHONS"
SECONDS = 30.0

Digests = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one interpreter told.

    Attributes:
        version: Which Python it is.
        digests: The digest of each seed, by book and seed.
    """

    version: str
    digests: Digests


def others() -> list[str]:
    """List the interpreters that the environment names."""
    return [path for path in os.environ.get(VARIABLE, "").split(os.pathsep) if path]


def digests(first: int, count: int) -> Digests:
    """Run seeds of the first two books here."""
    return {
        f"{book} {seed}": run_seed(seed, SECONDS, of=book).digest
        for book in (Book.FAULTS, Book.RECEIPTS)
        for seed in range(first, first + count)
    }


def ask(python: str, first: int, count: int, *, hash_seed: int) -> Told:
    """Have an interpreter run seeds in a process of its own.

    Raises:
        RuntimeError: It could not.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": str(hash_seed)}
    command = [python, "-m", "tests.campaigns.digests", "--tell", "--first", str(first), "--seeds", str(count)]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise RuntimeError(f"{python} could not run the seeds:\n{ended.stderr}")
    told = json.loads(ended.stdout.splitlines()[-1])
    return Told(version=told["version"], digests=told["digests"])


def compare(pythons: Sequence[str], first: int, count: int) -> tuple[list[Told], list[str]]:
    """Run the same seeds under several interpreters.

    Returns:
        What each told, and in words where one differs from the first.
    """
    told = [ask(python, first, count, hash_seed=number) for number, python in enumerate(pythons, 1)]
    model = told[0]
    differ = [
        f"{seed}: {digest} on {model.version}, {each.digests[seed]} on {each.version}"
        for each in told[1:]
        for seed, digest in model.digests.items()
        if each.digests[seed] != digest
    ]
    return told, differ


def main() -> int:
    """Compare, print, and say whether all agree."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.digests", description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=5, help="of each book")
    parser.add_argument("--python", action="append", default=[], help="another interpreter")
    parser.add_argument("--tell", action="store_true", help="only print the digests of this one, as JSON")
    options = parser.parse_args()
    if options.tell:
        version = ".".join(map(str, sys.version_info[:3]))
        print(json.dumps({"version": version, "digests": digests(options.first, options.seeds)}))
        return 0
    told, differ = compare([sys.executable, *(options.python or others())], options.first, options.seeds)
    print(f"{len(told[0].digests)} seeds on {', '.join(each.version for each in told)}: {len(differ)} differ")
    for problem in differ:
        print(f"  {problem}")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
