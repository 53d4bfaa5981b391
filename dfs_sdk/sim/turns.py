"""What a simulated loop is made of: tasks that hash by number, callbacks that are ready, and timers.

Handles skip what asyncio's own do in their constructor (debug mode, tracebacks): a simulated hour makes millions.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from dfs_sdk.sim.scheduler import Event

if TYPE_CHECKING:
    from dfs_sdk.sim.loop import SimLoop

T = TypeVar("T")


class SimTask(asyncio.Task[T]):
    """A task whose hash is the number of its creation: sets of tasks have the same order in every run.

    `asyncio.TaskGroup` and `asyncio.all_tasks` keep sets, and by default their order is that of addresses in memory.
    """

    __slots__ = ("_number",)

    _number: int

    def __new__(cls, *_args: Any, loop: SimLoop, **_kwargs: Any) -> SimTask[T]:
        """Draw the number first: the base class puts the task in a set as it is made."""
        self = super().__new__(cls)
        self._number = loop.scheduler.next_number()
        return self

    @property
    def number(self) -> int:
        """When it was made, relative to all else."""
        return self._number

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class Turn(asyncio.Handle):
    """A callback that is ready on one loop."""

    __slots__ = ()

    def __init__(
        self, callback: Callable[..., object], args: tuple[Any, ...], loop: SimLoop, context: contextvars.Context
    ) -> None:
        self._callback = callback
        self._args = args
        self._loop: SimLoop = loop
        self._context = context
        self._cancelled = False
        self._source_traceback = None
        self._repr = None

    def belongs_to(self, loop: SimLoop) -> bool:
        """Say whether it is a callback of `loop`."""
        return self._loop is loop

    def run(self) -> None:
        """Run it on its loop, or keep it there when the loop is frozen."""
        loop = self._loop
        if self._cancelled or loop.keep_back(self):
            return
        try:
            self._context.run(self._callback, *self._args)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - the funnel of everything nobody handled
            loop.call_exception_handler(
                {"message": f"a callback failed: {self._callback!r}", "exception": error, "handle": self}
            )


class Timer(asyncio.TimerHandle):
    """A callback for later on one loop."""

    __slots__ = ()

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: SimLoop,
        context: contextvars.Context,
    ) -> None:
        self._when = when
        self._scheduled = True
        self._callback = callback
        self._args = args
        self._loop: SimLoop = loop
        self._context = context
        self._cancelled = False
        self._source_traceback = None
        self._repr = None

    def belongs_to(self, loop: SimLoop) -> bool:
        """Say whether it is a timer of `loop`."""
        return self._loop is loop

    def fire(self) -> None:
        """Run the callback; called at its instant, when nothing else is ready."""
        loop = self._loop
        if self._cancelled or loop.postpone(self):
            return
        self._scheduled = False
        loop.scheduler.enter(loop)
        try:
            self._context.run(self._callback, *self._args)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - as in `Turn`
            loop.call_exception_handler(
                {"message": f"a timer's callback failed: {self._callback!r}", "exception": error, "handle": self}
            )


def fire(timer: Timer) -> None:
    """Fire a timer; what the scheduler calls."""
    timer.fire()


def is_cancelled(event: Event) -> bool:
    """Say whether an event is a timer that was cancelled."""
    return event[2] is fire and event[3].cancelled()
