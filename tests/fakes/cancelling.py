"""Cancels a coroutine at a chosen one of its awaits, as SQLite fails its Nth allocation.

The coroutine is stepped by hand inside its task: when it gives way for the Nth time, its task is cancelled, so that the
cancellation strikes exactly there. Source: https://www.sqlite.org/testing.html, section 3.1.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Make = Callable[[], Coroutine[Any, Any, Any]]

SETTLE_SECONDS = 3.0
AWAITS_MAX = 100_000


class Stepped:
    """An awaitable that runs a coroutine and cancels the task around it at one of its awaits.

    Args:
        coroutine: What to run.
        at: The await to strike, counted from 1; 0 strikes none.

    Attributes:
        awaits: How often the coroutine gave way so far.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, Any], at: int) -> None:
        self._coroutine = coroutine
        self._at = at
        self.awaits = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        task = asyncio.current_task()
        assert task is not None
        value: Any = None
        error: BaseException | None = None
        while True:
            try:
                waits_for = self._coroutine.send(value) if error is None else self._coroutine.throw(error)
            except StopIteration as stop:
                return stop.value
            self.awaits += 1
            assert self.awaits < AWAITS_MAX, "it never ends"
            if self.awaits == self._at:
                task.cancel()
            value = error = None
            try:
                value = yield waits_for
            except BaseException as thrown:  # noqa: BLE001 - the coroutine gets it
                error = thrown


@dataclass(frozen=True, slots=True, kw_only=True)
class Struck:
    """What became of a call that was cancelled at an await.

    Attributes:
        reached: Whether it gave way so often; if not, it ran to its end undisturbed.
        cancelled: Whether its caller was told of the cancellation.
        awaits: How often it gave way in all.
    """

    reached: bool
    cancelled: bool
    awaits: int


Strike = Callable[[Make, int], Awaitable[Struck]]


async def strike(make: Make, at: int) -> Struck:
    """Run a coroutine and cancel it at its await number `at`; errors other than the cancellation are raised."""
    stepped = Stepped(make(), at)

    async def run() -> None:
        await stepped

    task = asyncio.get_running_loop().create_task(run())
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
    return Struck(reached=0 < at <= stepped.awaits, cancelled=task.cancelled(), awaits=stepped.awaits)


async def strike_turn(make: Make, at: int) -> Struck:
    """Run a coroutine and cancel it `at` turns of the loop after its start, wherever it and its helpers are then."""
    task = asyncio.get_running_loop().create_task(make())
    turns = 0
    while not task.done() and turns != at:
        turns += 1
        await asyncio.sleep(0)
    reached = not task.done()
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
    return Struck(reached=reached, cancelled=task.cancelled(), awaits=turns)


async def strike_everywhere(
    make: Make,
    after: Callable[[], Awaitable[None]],
    *,
    points_max: int | None,
    rng: random.Random,
    how: Strike = strike,
) -> int:
    """Strike a call at each of its awaits, or turns, and look around after each.

    Args:
        make: Makes the call anew; called once for each await.
        after: Checks that nothing was left behind and that everything goes on.
        points_max: Strike so many awaits, the first and the last among them; None for all.
        rng: Draws which.
        how: `strike`, or `strike_turn`.

    Returns:
        How many were struck.
    """
    total = (await how(make, UNDISTURBED[how])).awaits
    await after()
    struck = 0
    for at in points(total, points_max, rng):
        if (await how(make, at)).reached:
            struck += 1
        await after()
    return struck


# The await, or turn, that is never reached.
UNDISTURBED: dict[Strike, int] = {strike: 0, strike_turn: -1}


def points(total: int, points_max: int | None, rng: random.Random) -> list[int]:
    """Choose which of `total` awaits to strike."""
    every = range(1, total + 1)
    if points_max is None or total <= points_max:
        return list(every)
    ends = [1, total]
    return sorted({*ends, *rng.sample(every, points_max - len(ends))})


class Belongings:
    """The tasks and open descriptors of this process, and the temporary files in some folders.

    Args:
        folders: Where nothing may be left.
    """

    def __init__(self, *folders: Path) -> None:
        self._folders = folders
        self._tasks = _task_names()
        self._descriptors = _descriptors()

    async def assert_none_left(self) -> None:
        """Wait until there is no more than at first; background work of the others may take a moment to end.

        Raises:
            AssertionError: Something is left; says what.
        """
        begin = asyncio.get_running_loop().time()
        while left := self._left():
            if asyncio.get_running_loop().time() - begin > SETTLE_SECONDS:
                raise AssertionError(f"left behind: {left}")
            await asyncio.sleep(0.01)

    def _left(self) -> list[str]:
        tasks = [f"task {name}" for name in (_task_names() - self._tasks).elements()]
        descriptors = [f"descriptor {name}" for name in (_descriptors() - self._descriptors).elements()]
        files = [f"file {path}" for folder in self._folders if folder.exists() for path in folder.iterdir()]
        return tasks + descriptors + files


def _task_names() -> Counter[str]:
    return Counter(_name(task) for task in asyncio.all_tasks() if task is not asyncio.current_task())


def _name(task: asyncio.Task[Any]) -> str:
    name = task.get_name()
    return repr(task.get_coro()).split(" at 0x")[0] if name.startswith("Task-") else name


def _descriptors() -> Counter[str]:
    """What is open, by what it is; a second one of a kind counts."""
    found: Counter[str] = Counter()
    for number in os.listdir("/proc/self/fd"):
        try:
            found[os.readlink(f"/proc/self/fd/{number}").split(":[")[0]] += 1
        except OSError:
            continue  # it was the listing's own
    return found
