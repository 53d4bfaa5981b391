"""Seeds: hundreds in every run of the tests, those that once failed for ever, and some of them twice.

A campaign of thousands is `python -m dfs_sdk.sim --seeds 3000 --book docs/ledger/simulator.jsonl`; of the second and
the third book `--receipts` and `--wild`, with books of their own.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from dfs_sdk.sim.books import Book
from dfs_sdk.sim.campaign import run_campaign, run_seed

pytestmark = pytest.mark.system

COUNT = int(os.environ.get("DFS_SEEDS", "300"))
RECEIPTS = COUNT // 15
AT_ONCE = 100  # seeds of one test
SECONDS = 30.0
# Work is bounded, not time: how long it takes depends on what else the machine does. A seed takes one second of a
# processor, seldom five.
SEED_SECONDS_MAX = 60.0
MEAN_SECONDS_MAX = 6.0
patient = pytest.mark.timeout(1800)
WILD = (4, 7, 20, 77)  # a storm, two bustles, the second of them sealed, and a vigil
WILD_SECONDS = 4.0  # a small part of what the seeds of the book have
TWICE = ((Book.FAULTS, 11), (Book.FAULTS, 33), (Book.WILD, 7))
KNOWN = Path(__file__).with_name("seeds.txt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A seed that once broke the promise."""

    book: Book
    seed: int
    seconds: float
    why: str


def known(text: str) -> list[Known]:
    """Read what every line says."""
    lines = [line.split(" ", 3) for line in text.splitlines() if line and not line.startswith("#")]
    return [
        Known(book=Book(book), seed=int(seed), seconds=float(seconds), why=why) for book, seed, seconds, why in lines
    ]


@patient
@pytest.mark.parametrize("first", range(0, COUNT, AT_ONCE))
def test_promise_holds_on_many_seeds_of_faults(first: int):
    assert_kept(first, min(AT_ONCE, COUNT - first), of=Book.FAULTS)


@patient
def test_promise_holds_on_many_seeds_of_receipts():
    assert_kept(0, RECEIPTS, of=Book.RECEIPTS)


def assert_kept(first: int, count: int, *, of: Book) -> None:
    """Run seeds of one book on all processors; each must keep the promise."""
    broken: list[str] = []
    result = run_campaign(
        count,
        first=first,
        processes=os.cpu_count() or 1,
        seconds=SECONDS,
        of=of,
        on_verdict=lambda verdict: None if verdict.passed else broken.append(str(verdict)),
        seed_seconds_max=SEED_SECONDS_MAX,
    )
    assert not broken, "\n".join(broken)
    assert result.lost == 0
    assert result.seeds == count
    assert result.files > count
    assert 0 < result.processor_seconds < MEAN_SECONDS_MAX * count


@pytest.mark.parametrize("seed", WILD)
def test_promise_holds_behind_routers_on_slow_lines_in_crowds_and_for_long(seed: int):
    verdict = run_seed(seed, WILD_SECONDS, of=Book.WILD)
    assert verdict.passed, verdict


@pytest.mark.parametrize(("book", "seed"), TWICE)
def test_same_seed_gives_the_same_digest(book: Book, seed: int):
    seconds = WILD_SECONDS if book is Book.WILD else SECONDS
    assert run_seed(seed, seconds, of=book).digest == run_seed(seed, seconds, of=book).digest


def test_seeds_that_once_failed_pass():
    seeds = known(KNOWN.read_text(encoding="utf-8"))
    assert {each.book for each in seeds} >= {Book.FAULTS, Book.RECEIPTS}
    for each in seeds:
        verdict = run_seed(each.seed, each.seconds, of=each.book)
        assert verdict.passed, f"{each.why} is back: {verdict}"


def test_seed_of_a_book_that_does_not_exist_is_no_seed():
    with pytest.raises(ValueError, match="genesis"):
        known("genesis 1 30 no such book")
