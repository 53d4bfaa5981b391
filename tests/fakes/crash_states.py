"""All the states a power cut may leave of a history: one run, a picture of the disk at each step, many fates a picture.

A history is run once. Before each step of the disk the picture is taken that a cut at this step would leave; from it
every survival of what was not safe is made, and each different state is opened, checked and closed. So a state costs
one recovery, not a rerun of what led to it.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tests.fakes.disk import FakeDisk
from tests.fakes.store_histories import begun, history
from tests.fakes.store_model import Model, Operation, assert_tidy, name_of, verify_state
from tests.fakes.stores import disk_store

# Up to here all survivals of the changes are tried, above it those that are likely to matter and some at random.
EXHAUSTIVE_CHANGES_MAX = 4

Allowed = tuple[Model, ...]


@dataclass(slots=True)
class Tally:
    """What was seen.

    Attributes:
        cuts: Steps at which the power went.
        states: Survivals of those cuts: what a start may find.
        distinct: States that were opened and checked, the others being equal to one of these.
        cut_recoveries: Recoveries that were themselves cut off at every step.
    """

    cuts: int = 0
    states: int = 0
    distinct: int = 0
    cut_recoveries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What becomes of the changes that were not safe: which survive, and the seed by which unsafe data is torn."""

    survivors: tuple[bool, ...]
    torn: int | None = None

    def befall(self, disk: FakeDisk) -> None:
        """Turn a disk that loses its power here into what is found afterwards."""
        decided = iter(self.survivors)
        disk.power_on(lambda: next(decided), torn=None if self.torn is None else random.Random(self.torn))


@dataclass(slots=True)
class Pictures:
    """The disk before each of its steps, and what may be found if it is cut off there.

    Attributes:
        allowed: The states in which a store may be found that is cut off just now.
        taken: (step, disk, allowed) for each step so far.
    """

    allowed: Allowed
    taken: list[tuple[str, FakeDisk, Allowed]] = field(default_factory=list)

    def watch(self, disk: FakeDisk) -> None:
        """Take a picture before every step of `disk` from here on."""

        def note(_step: int, name: str) -> None:
            self.taken.append((name, picture_of(disk), self.allowed))

        disk.fail = note

    def finish(self, disk: FakeDisk) -> None:
        """Stop watching; the last picture is of the end."""
        disk.fail = lambda _step, _name: None
        self.taken.append(("the end", picture_of(disk), self.allowed))


def picture_of(disk: FakeDisk) -> FakeDisk:
    """Copy a disk with everything that is not safe on it; nobody watches the copy."""
    twin = disk.copy()
    twin.fail = lambda _step, _name: None
    return twin


def fates(disk: FakeDisk, *, rng: random.Random, random_fates: int) -> Iterator[Fate]:
    """Enumerate what may survive of a disk's unsafe changes and unsafe data."""
    unsafe_files = [change.file for change in disk._pending if change.file is not None]
    files = (*unsafe_files, *disk._durable.files.values())
    torn = any((file.durable is None and file.content) or file.dirty for file in files)
    for survivors in _survivals(len(disk._pending), rng, random_fates):
        yield Fate(survivors=survivors)
        if torn and any(survivors):
            yield Fate(survivors=survivors, torn=rng.getrandbits(32))


def _survivals(count: int, rng: random.Random, random_fates: int) -> Iterator[tuple[bool, ...]]:
    if count <= EXHAUSTIVE_CHANGES_MAX:
        yield from itertools.product((False, True), repeat=count)
        return
    for kept in range(count + 1):
        yield tuple(index < kept for index in range(count))
    for odd in range(count):
        yield tuple(index != odd for index in range(count))
        yield tuple(index == odd for index in range(count))
    for _ in range(random_fates):
        yield tuple(rng.random() < 0.5 for _ in range(count))


class CrashStates:
    """Checks the states that cuts leave; one that was seen with the same allowed models is not checked again.

    Args:
        rng: Draws the fates that are left to chance.
        random_fates: Survivals drawn at random for each cut with many unsafe changes.
        recoveries: The share of states whose recovery is itself cut off at every step, though not a third time.
    """

    def __init__(self, rng: random.Random, *, random_fates: int = 2, recoveries: float = 0.0) -> None:
        self._rng = rng
        self._random_fates = random_fates
        self._recoveries = recoveries
        self._seen: set[int] = set()
        self.tally = Tally()

    async def run_history(self, seed: int) -> None:
        """Run the history of a seed; raises like `run`."""
        drawn = history(seed)
        self._seen.clear()  # no state of another history is equal to one of this
        disk, model = await begun(drawn.setup)
        await self.run(disk, model, drawn.turns)

    async def run(self, disk: FakeDisk, model: Model, turns: Sequence[Sequence[Operation]]) -> None:
        """Run operations on the store of `disk`, and check what each cut may leave.

        Args:
            disk: With a store that is `model`; changed.
            model: What the store holds.
            turns: One after the other; the operations of one turn side by side, so they touch different things.

        Raises:
            AssertionError: A cut loses something, or leaves what never was.
        """
        pictures = Pictures((model,))
        pictures.watch(disk)
        store = disk_store(disk, yielding=True)
        await store.open()
        for turn in turns:
            under_way = dict(enumerate(turn))
            done = model

            async def change(number: int, under_way: dict[int, Operation] = under_way) -> None:
                nonlocal done
                await under_way[number].call(store)
                done = under_way.pop(number).effect(done)
                pictures.allowed = _allowed(done, under_way.values())

            pictures.allowed = _allowed(done, under_way.values())
            await asyncio.gather(*(change(number) for number in range(len(turn))))
            model = done
        await store.close()
        pictures.finish(disk)
        await self.check(pictures)

    async def check(self, pictures: Pictures, *, cut_again: bool = True) -> None:
        """Check every state that a cut may leave.

        Args:
            pictures: The disk at each step.
            cut_again: Whether some of the recoveries are cut off, too.

        Raises:
            AssertionError: One of them has lost something, or opens into what never was.
        """
        for number, (step, picture, allowed) in enumerate(pictures.taken):
            self.tally.cuts += 1
            names = hash(tuple(name_of(model) for model in allowed))
            for fate in fates(picture, rng=self._rng, random_fates=self._random_fates):
                self.tally.states += 1
                disk = picture_of(picture)
                fate.befall(disk)
                if self._is_new(disk, names):
                    try:
                        await self._verify(disk, allowed, cut_again=cut_again)
                    except Exception as error:
                        raise AssertionError(f"cut {number} before {step!r}, {fate}: {error!r}") from error

    def _is_new(self, disk: FakeDisk, names: int) -> bool:
        key = hash(
            (
                frozenset((path, file.content) for path, file in disk._now.files.items()),
                frozenset(disk._now.folders),
                names,
            )
        )
        if key in self._seen:
            return False
        self._seen.add(key)
        return True

    async def _verify(self, disk: FakeDisk, allowed: Allowed, *, cut_again: bool) -> None:
        self.tally.distinct += 1
        again = cut_again and self._rng.random() < self._recoveries
        pictures = Pictures(allowed)
        if again:
            self.tally.cut_recoveries += 1
            pictures.watch(disk)
        store = disk_store(disk)
        await store.open()
        if again:
            pictures.finish(disk)
        await verify_state(store, *allowed)
        assert_tidy(disk)
        await store.close()
        if again:
            await self.check(pictures, cut_again=False)


def _allowed(done: Model, under_way: Iterable[Operation]) -> Allowed:
    return (done, *(operation.effect(done) for operation in under_way))
