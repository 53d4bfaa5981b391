"""Run seeds: `python -m dfs_sdk.sim --seed 7`, or many: `python -m dfs_sdk.sim --seeds 3000 --book FILE`."""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from dfs_sdk.errors import ConfigError
from dfs_sdk.sim.books import Book
from dfs_sdk.sim.campaign import Seed, read_book, run_campaign, total
from dfs_sdk.sim.commit import commit
from dfs_sdk.sim.errors import CrewError
from dfs_sdk.sim.plan import FAULTY_SECONDS
from dfs_sdk.sim.trial import Verdict, run_trial

RECORDS_KEPT = 400
STOPPED = 128 + signal.SIGINT


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m dfs_sdk.sim", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--seed", type=int, help="replay one seed and print its digest")
    what.add_argument("--seeds", type=_count, metavar="COUNT", help="run COUNT seeds on all cores")
    what.add_argument("--sum", type=Path, metavar="BOOK", help="add up a book of earlier campaigns")
    parser.add_argument("--first", type=int, help="first seed of a campaign; by default the one after the book's last")
    parser.add_argument("--book", type=Path, help="file to note each batch in")
    parser.add_argument("--processes", type=_count, default=os.cpu_count() or 1)
    parser.add_argument(
        "--seconds",
        type=_seconds,
        default=FAULTY_SECONDS,
        help=f"virtual seconds of faults a seed, {FAULTY_SECONDS:g} unless given: with others it is another seed",
    )
    _add_books(parser)
    parser.add_argument("--verbose", action="store_true", help="print the plan, and what happened last")
    given = parser.parse_args(arguments)
    try:
        return _run(given)
    except ConfigError as error:
        parser.error(str(error))
    except CrewError as error:
        print(error)
        return 1
    except KeyboardInterrupt:
        print("stopped" if given.book is None else "stopped: the book has every batch that was done")
        return STOPPED


def _add_books(parser: argparse.ArgumentParser) -> None:
    told = {
        Book.RECEIPTS: "seeds of the second book: the power goes the instant a receipt comes",
        Book.WILD: "seeds of the third book: routers, slow lines, crowds, hours; faults last 1 to 240 times --seconds",
    }
    books = parser.add_mutually_exclusive_group()
    for book, words in told.items():
        books.add_argument(book.option, dest="of", action="store_const", const=book, default=Book.FAULTS, help=words)


def _run(given: argparse.Namespace) -> int:
    if given.sum is not None:
        if not given.sum.is_file():
            raise ConfigError(f"there is no book {given.sum}")
        print(total(read_book(given.sum)))
        return 0
    if given.seed is not None:
        return _replay(given.seed, given.seconds, of=given.of, verbose=given.verbose)
    first = given.first
    if first is None:
        first = 1 + max((batch.last for batch in read_book(given.book)), default=-1) if given.book else 0
    result = run_campaign(
        given.seeds,
        first=first,
        processes=given.processes,
        book=given.book,
        commit=commit("dfs_sdk"),
        seconds=given.seconds,
        of=given.of,
        on_verdict=lambda verdict: _tell(verdict, given),
    )
    print(result)
    return int(result.kept < result.seeds)


def _replay(seed: int, seconds: float, *, of: Book, verbose: bool) -> int:
    plan, last = of.draw(seed, seconds), list[str]()
    print(plan)
    if verbose:
        for fault in plan.faults:
            print(f"  {fault.at:6.2f} s: {fault.kind.value}, {fault.host}, {fault.seconds:.2f} s, {fault.amount:.2f}")
    verdict = run_trial(plan, keep=RECORDS_KEPT if verbose else 0, on_end=last)
    if not verdict.passed:
        print("\n".join(last))
    print(verdict)
    return int(not verdict.passed)


def _tell(verdict: Verdict, given: argparse.Namespace) -> None:
    if given.verbose or not verdict.passed:
        print(verdict, flush=True)
    if not verdict.passed:
        print(f"  replay it: {Seed(number=verdict.seed, seconds=given.seconds, book=given.of)}", flush=True)


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is none: give 1 or more")
    return number


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no time that ends: give more than 0")
    return seconds


def _on_sigterm(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _on_sigterm)  # as Ctrl-C does: end what was started first
    sys.exit(main())
