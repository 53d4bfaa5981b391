"""Virtual time: what happens next in a simulated world, and in which order.

One scheduler drives the loops of all hosts. Events lie in one heap of tuples `(instant, sequence, function, argument)`:
of two events at one instant the one that was planned first happens first, so the order never depends on hashes,
addresses or the wall clock. Callbacks that are ready now lie in one queue across all hosts and are run to the end
before time goes on. The clock takes the event's own instant: a sum may stay behind it by rounding, and the loop would
hang.

Nothing here knows the hosts, the network or the node. Source: L. Lamport, "Time, Clocks, and the Ordering of Events"
(1978), for why one total order is enough; the heap with a sequence number is the `heapq` documentation's.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import sys
from asyncio.events import _get_running_loop, _set_running_loop
from collections import deque
from collections.abc import AsyncGenerator, Callable
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from dfs_sdk.runtime.system import SystemClock
from dfs_sdk.sim.errors import LivelockError

if TYPE_CHECKING:
    from dfs_sdk.sim.turns import Turn

logger = logging.getLogger(__name__)

TURNS_PER_INSTANT_MAX = 2_000_000
"""Callbacks at one virtual instant; a world that needs more is going round in circles."""

CANCELLED_MIN = 1_024
"""The heap is swept once more than so many of its timers, and more than half of it, were cancelled."""

FAILURES_MAX = 1_000
"""Unhandled errors that are kept; later ones are only logged."""

EVENTS_PER_GLANCE = 512
"""Events between two looks at the real clock."""

Event = tuple[float, int, Callable[[Any], None], Any]


class Ending(Enum):
    """Why `drive` came back."""

    STOPPED = auto()
    TIME = auto()
    IDLE = auto()
    REAL_TIME = auto()


class Scheduler:
    """Drives virtual time.

    Args:
        start: The first instant, in seconds.

    Attributes:
        now: Virtual seconds; only `drive` moves it.
        ready: What runs before time goes on, in order.
        failures: (loop's name, context as of `call_exception_handler`) of what nobody handled, at most 1,000.
        on_submitted: Called, from the submitting thread, when another thread handed something in; for who drives.
    """

    __slots__ = (
        "_cancelled",
        "_current",
        "_heap",
        "_inbox",
        "_sequence",
        "_stopping",
        "events",
        "failures",
        "now",
        "on_submitted",
        "ready",
    )

    def __init__(self, *, start: float = 0.0) -> None:
        self.now = start
        self.ready: deque[Turn] = deque()
        self.failures: list[tuple[str, dict[str, Any]]] = []
        self.on_submitted: Callable[[], None] | None = None
        self.events = 0
        self._heap: list[Event] = []
        self._sequence = itertools.count()
        self._inbox: deque[Turn] = deque()
        self._current: asyncio.AbstractEventLoop | None = None
        self._cancelled = 0
        self._stopping = False

    @property
    def is_driving(self) -> bool:
        """Whether the calling thread is inside `drive`."""
        return self._current is not None and _get_running_loop() is self._current

    def next_number(self) -> int:
        """Draw the next number of the world's one sequence."""
        return next(self._sequence)

    def at(self, when: float, function: Callable[[Any], None], argument: Any) -> None:
        """Call `function(argument)` at a virtual instant, or as soon as possible when that has passed."""
        now = self.now
        heapq.heappush(self._heap, (when if when > now else now, next(self._sequence), function, argument))  # noqa: FURB136 - max() takes twice as long

    def submit(self, turn: Turn) -> None:
        """Make a callback ready, from any thread."""
        self._inbox.append(turn)
        if self.on_submitted is not None:
            self.on_submitted()

    def stop(self) -> None:
        """Let `drive` come back after the present callback."""
        self._stopping = True

    def enter(self, loop: asyncio.AbstractEventLoop) -> None:
        """Make `loop` the running one: what follows happens on its host."""
        if self._current is not loop:
            self._current = loop
            _set_running_loop(loop)

    def wake_in_child(self, keeps: Callable[[Event], bool]) -> None:
        """Be driven anew in a forked child of the process that drives, with some of the events that were planned."""
        self._heap[:] = [event for event in self._heap if keeps(event)]
        heapq.heapify(self._heap)
        self._current = None  # no loop runs in a forked child until one is entered

    def fail(self, name: str, context: dict[str, Any]) -> None:
        """Keep an error that nobody handled."""
        logger.error("unhandled on %s: %s", name, context.get("message"), exc_info=context.get("exception"))
        if len(self.failures) < FAILURES_MAX:
            self.failures.append((name, context))

    def note_cancelled(self, is_cancelled: Callable[[Event], bool]) -> None:
        """Count a cancelled timer; too many of them are swept out of the heap."""
        self._cancelled += 1
        if self._cancelled > CANCELLED_MIN and self._cancelled * 2 > len(self._heap):
            self._heap[:] = [event for event in self._heap if not is_cancelled(event)]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def drive(self, *, until: float | None = None, real_seconds: float | None = None) -> Ending:
        """Let things happen until `stop`, until an instant, until nothing is left, or for some real time.

        Args:
            until: The virtual instant to stop at; it is `now` afterwards. None: no such instant.
            real_seconds: Real seconds after which to come back; checked now and then. None: as long as it takes.

        Raises:
            LivelockError: No time passes any more.
        """
        before, outer = _get_running_loop(), self._current
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(finalizer=self._finish_generator)
        self._stopping = False
        try:
            return self._drive(float("inf") if until is None else until, real_seconds)
        finally:
            self._stopping = False
            self._current = outer
            _set_running_loop(before)
            sys.set_asyncgen_hooks(*hooks)

    def _drive(self, until: float, real_seconds: float | None) -> Ending:
        heap, ready, pop = self._heap, self.ready, heapq.heappop
        clock = SystemClock()
        deadline = None if real_seconds is None else clock.monotonic() + real_seconds
        while True:
            if ready or self._inbox:
                self._run_ready()
            if self._stopping:
                return Ending.STOPPED
            if not heap or heap[0][0] > until:
                break
            when, _, function, argument = pop(heap)
            self.now = when
            function(argument)
            self.events += 1
            if deadline is not None and self.events % EVENTS_PER_GLANCE == 0 and clock.monotonic() >= deadline:
                return Ending.REAL_TIME
        if until == float("inf"):
            return Ending.IDLE
        self.now = max(self.now, until)
        return Ending.TIME

    def _run_ready(self) -> None:
        ready, turns = self.ready, 0
        while not self._stopping:
            while self._inbox:
                ready.append(self._inbox.popleft())
            if not ready:
                return
            turn = ready.popleft()
            turn.run()
            turns += 1
            if turns > TURNS_PER_INSTANT_MAX:
                raise LivelockError(f"{turns} callbacks at {self.now:.6f} s and no end; the last was {turn!r}")

    def _finish_generator(self, generator: AsyncGenerator[Any, Any]) -> None:
        # As asyncio does it: a generator nobody reads any more is closed on the loop that let go of it.
        loop = self._current
        if loop is not None and not loop.is_closed():
            loop.call_soon(loop.create_task, generator.aclose())
