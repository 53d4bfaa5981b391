"""Many seeds on all cores, and the book that keeps count of them.

The book is a file of JSON lines, one for each batch of seeds, only ever appended to: what was run, on which state of
the code, what struck, what was acknowledged, what was lost. A campaign goes on after the last seed in its book.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from dfs_sdk.errors import ConfigError
from dfs_sdk.sim.books import Book
from dfs_sdk.sim.crew import Crew
from dfs_sdk.sim.plan import FAULTY_SECONDS, FaultKind
from dfs_sdk.sim.trial import Verdict, run_trial

BATCH_SEEDS = 25
BROKEN_NAMED_MAX = 100
CRASHES = (FaultKind.POWER, FaultKind.KILL, FaultKind.WIPE, FaultKind.RECEIPT)
PARTITIONS = (FaultKind.ISOLATE, FaultKind.HALVES, FaultKind.RING, FaultKind.ONE_WAY, FaultKind.SWIZZLE)
READABLE_BOUND = 60.0
HOUR = 3600.0

Reporter = Callable[[Verdict], None]


@dataclass(slots=True, kw_only=True)
class Batch:
    """What some consecutive seeds came to; also the sum of many.

    Attributes:
        first: The first seed.
        last: The last one.
        seeds: How many ran.
        kept: Of those, how many kept the promise.
        broken: Seeds that did not, at most 100.
        hours: Virtual hours of all worlds.
        host_hours: The same times the hosts in them.
        faults: How many of each kind struck.
        files: Acknowledged files.
        lost: Of those, not readable in the end.
        reads: Reads that gave the right bytes.
        messages: Messages said.
        reunited_after_max: The longest time from healing until all had found each other, in virtual seconds; None
            where it was not measured in all of them.
        readable_after_max: The longest time from that reunion until everything was readable.
        whole_after_max: The same until every chunk had its copies.
        commit: The state of the code; a + says that it was changed since.
        seconds: How long faults could strike in each seed, virtual.
        book: Which book's seeds they are.
        processor_seconds: What they took of the processors, real; 0 where it was not measured.
    """

    first: int = 0
    last: int = -1
    seeds: int = 0
    kept: int = 0
    broken: list[int] = field(default_factory=list)
    hours: float = 0.0
    host_hours: float = 0.0
    faults: dict[str, int] = field(default_factory=dict)
    files: int = 0
    lost: int = 0
    reads: int = 0
    messages: int = 0
    reunited_after_max: float | None = None
    readable_after_max: float = 0.0
    whole_after_max: float = 0.0
    commit: str = ""
    seconds: float = FAULTY_SECONDS
    book: Book = Book.FAULTS
    processor_seconds: float = 0.0

    def add(self, verdict: Verdict) -> None:
        """Count one seed."""
        if not self.seeds:
            self.first = verdict.seed
        self.last = max(self.last, verdict.seed)
        self.seeds += 1
        self.kept += verdict.passed
        if not verdict.passed and len(self.broken) < BROKEN_NAMED_MAX:
            self.broken.append(verdict.seed)
        self.hours += verdict.seconds / HOUR
        self.host_hours += verdict.seconds * verdict.hosts / HOUR
        counts = Counter(self.faults)
        counts.update({kind.value: count for kind, count in verdict.faults.items()})
        self.faults = dict(sorted(counts.items()))
        self.files += verdict.files
        self.lost += verdict.lost
        self.reads += verdict.reads
        self.messages += verdict.messages
        self.reunited_after_max = max(self.reunited_after_max or 0.0, verdict.reunited_after)
        self.readable_after_max = max(self.readable_after_max, verdict.readable_after)
        self.whole_after_max = max(self.whole_after_max, verdict.whole_after)

    def count(self, kinds: Iterable[FaultKind]) -> int:
        """How many faults of some kinds struck."""
        return sum(self.faults.get(kind.value, 0) for kind in kinds)

    def __str__(self) -> str:
        broken = f"; broken: {', '.join(map(str, self.broken))}" if self.broken else ""
        reunion = "" if self.reunited_after_max is None else f", within {self.reunited_after_max:.0f} s of healing"
        return (
            f"{self.kept} of {self.seeds} seeds kept the promise{broken}. {self.files} acknowledged files, {self.lost} "
            f"lost; {self.reads} right reads; {self.messages} messages; {self.count(CRASHES)} crashes, "
            f"{self.count(PARTITIONS)} partitions, {sum(self.faults.values())} faults in all, in {self.hours:.1f} "
            f"virtual hours ({self.host_hours:.0f} host hours). Once all had found each other again"
            f"{reunion}, everything was readable within {self.readable_after_max:.0f} s and whole within "
            f"{self.whole_after_max:.0f} s"
        )


def read_book(path: Path) -> list[Batch]:
    """Read all batches of a book; none if there is no such file.

    Raises:
        ConfigError: A line is not a batch, or the file cannot be read.
    """
    if not path.exists():
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigError(f"the book {path} cannot be read: {error.strerror or error}") from error
    names = {each.name for each in fields(Batch)}
    batches = []
    for number, line in enumerate(lines, start=1):
        try:
            values: dict[str, Any] = json.loads(line)
            # Until there was a third book, a line said whether it was of the second.
            values["book"] = Book(values.get("book", Book.RECEIPTS if values.get("receipts") else Book.FAULTS))
            batches.append(Batch(**{name: value for name, value in values.items() if name in names}))
        except (ValueError, TypeError, AttributeError) as error:
            raise ConfigError(f"line {number} of {path} is not a batch of seeds: {error}") from None
    return batches


def total(batches: Iterable[Batch]) -> Batch:
    """Add batches up."""
    total, batches = Batch(), list(batches)
    reunions = [batch.reunited_after_max for batch in batches]
    if reunions and None not in reunions:
        total.reunited_after_max = max(filter(None, reunions), default=0.0)
    for batch in batches:
        total.first = batch.first if not total.seeds else min(total.first, batch.first)
        total.last = max(total.last, batch.last)
        total.faults = dict(sorted((Counter(total.faults) + Counter(batch.faults)).items()))
        total.broken = [*total.broken, *batch.broken][:BROKEN_NAMED_MAX]
        for name in ("seeds", "kept", "hours", "host_hours", "files", "lost", "reads", "messages", "processor_seconds"):
            setattr(total, name, getattr(total, name) + getattr(batch, name))
        total.readable_after_max = max(total.readable_after_max, batch.readable_after_max)
        total.whole_after_max = max(total.whole_after_max, batch.whole_after_max)
    return total


def run_campaign(
    count: int,
    *,
    first: int,
    processes: int,
    book: Path | None = None,
    commit: str = "",
    seconds: float = FAULTY_SECONDS,
    of: Book = Book.FAULTS,
    on_verdict: Reporter | None = None,
    seed_seconds_max: float | None = None,
) -> Batch:
    """Run consecutive seeds, and write each batch into the book as soon as it is done.

    Args:
        count: How many.
        first: The first seed.
        processes: How many run at a time.
        book: Where batches are noted.
        commit: The state of the code, for the book.
        seconds: How long faults may strike in each.
        of: Which book's seeds they are.
        on_verdict: Called after each seed, in their order.
        seed_seconds_max: Processor seconds that one may take, as of `Crew`.

    Raises:
        ConfigError: The book holds seeds of another kind, or cannot be written.
        CrewError: A seed took too long, or the system ended its process.
    """
    if book is not None:
        _require_kind(book, seconds, of)
    batches: list[Batch] = []
    with Crew(min(processes, count), job_seconds_max=seed_seconds_max) as crew:
        for start in range(first, first + count, BATCH_SEEDS):
            batch = Batch(commit=commit, seconds=seconds, book=of)
            seeds = range(start, min(start + BATCH_SEEDS, first + count))
            for verdict in crew.run([Seed(number=seed, seconds=seconds, book=of) for seed in seeds]):
                batch.add(verdict)
                if on_verdict is not None:
                    on_verdict(verdict)
            batch.processor_seconds = round(crew.seconds - sum(each.processor_seconds for each in batches), 1)
            batches.append(batch)
            if book is not None:
                _append(book, batch)
    return total(batches)


def run_seed(seed: int, seconds: float = FAULTY_SECONDS, *, of: Book = Book.FAULTS) -> Verdict:
    """Run one seed of a book in this process."""
    return run_trial(of.draw(seed, seconds))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """One seed of a book, as the job of a process.

    Attributes:
        number: Which.
        seconds: How long faults may strike, virtual.
        book: Whose seed it is.
    """

    number: int
    seconds: float
    book: Book

    def __call__(self) -> Verdict:
        """Run it."""
        return run_seed(self.number, self.seconds, of=self.book)

    def __str__(self) -> str:
        """The command that replays it."""
        words = ("python -m dfs_sdk.sim", self.book.option, f"--seed {self.number} --seconds {self.seconds:g}")
        return " ".join(filter(None, words))


def _require_kind(path: Path, seconds: float, of: Book) -> None:
    for batch in read_book(path):
        if (batch.seconds, batch.book) != (seconds, of):
            kind = f"{batch.seconds:g} s of faults of the book {batch.book}"
            raise ConfigError(f"{path} holds seeds with {kind}: a seed means something else with other settings")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("a", encoding="utf-8").close()
    except OSError as error:
        raise ConfigError(f"the book {path} cannot be written: {error.strerror or error}") from error


def _append(path: Path, batch: Batch) -> None:
    with path.open("a", encoding="utf-8") as book:
        book.write(json.dumps(asdict(batch)) + "\n")
