"""An asyncio loop on virtual time. Each simulated host has one of its own; one scheduler drives them all.

A loop for each host makes every callback attributable without marks: timers, tasks and futures of a host lie on its
loop, which can be frozen (a blocked kernel), put to sleep (a closed lid) and ended (a crash) as a whole. Code on one
loop that awaits a future of another fails as it does in asyncio, so nothing reaches over between hosts by accident.

`SimLoop()` alone is a virtual-time loop like any other: `run_until_complete`, `run_for`, `advance_until`. Sockets,
child processes and threads it does not have; `call_soon_threadsafe` is the one way in for other threads.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import traceback
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, TypeVar, cast

from dfs_sdk.sim.errors import DeadlockError
from dfs_sdk.sim.scheduler import Ending, Scheduler
from dfs_sdk.sim.turns import SimTask, Timer, Turn, fire, is_cancelled

logger = logging.getLogger(__name__)

T = TypeVar("T")
ExceptionHandler = Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object]
TaskCoroutine = Coroutine[Any, Any, T] | Generator[Any, None, T]
TaskFactory = Callable[..., asyncio.Future[Any]]

if TYPE_CHECKING:
    # For the checker only: it has bodies for the methods of sockets and processes that a simulated loop lacks.
    _Base = asyncio.BaseEventLoop
else:
    _Base = asyncio.AbstractEventLoop

UNWIND_ROUNDS = 8
"""How often the tasks of a crashed host are cancelled before their coroutines are closed by force."""

UNWIND_TURNS_MAX = 100_000
"""Callbacks of one such round."""

WAITING_NAMED_MAX = 20
"""Tasks that a deadlock's message names."""


class SimLoop(_Base):
    """An event loop on virtual seconds.

    Args:
        scheduler: Who drives it; by default one of its own.
        name: For messages.
        uptime: What its clock shows at the scheduler's present instant.

    Attributes:
        scheduler: Who drives it.
        name: For messages.
    """

    def __init__(self, scheduler: Scheduler | None = None, *, name: str = "main", uptime: float | None = None) -> None:
        self.scheduler = scheduler if scheduler is not None else Scheduler()
        self.name = name
        self._ready = self.scheduler.ready
        self._offset = 0.0 if uptime is None else self.scheduler.now - uptime
        self._floor = float("-inf")
        self._frozen = False
        self._late: list[Timer] = []
        self._ending = False
        self._closed = False
        self._running = False
        self._task_factory: TaskFactory | None = None
        self._exception_handler: ExceptionHandler | None = None

    def __repr__(self) -> str:
        return f"<SimLoop {self.name} at {self.time():.6f} s>"

    # Time

    @property
    def driver(self) -> object:
        """What gives this loop its turns; loops of one driver wait for each other without hanging."""
        return self.scheduler

    @property
    def frozen(self) -> bool:
        """Whether nothing of it runs."""
        return self._frozen

    def time(self) -> float:
        """Virtual seconds on this host's monotonic clock."""
        now = self.scheduler.now - self._offset
        return now if now >= self._floor else self._floor  # noqa: FURB136 - max() takes twice as long

    # Driving

    def run_until_complete(self, future: Any) -> Any:
        """Run until a coroutine or future is done and return its result.

        Raises:
            DeadlockError: Nothing is scheduled any more and it is still not done.
            LivelockError: Time does not pass any more.
        """
        task = self.create_task(future) if asyncio.iscoroutine(future) else asyncio.ensure_future(future, loop=self)  # noqa: TID251 - the loop's own job
        task.add_done_callback(self._stop_driving)
        self._running = True
        try:
            while not task.done():
                if self.scheduler.drive() is Ending.IDLE and not task.done():
                    raise DeadlockError(f"nothing is left to happen at {self.scheduler.now:.6f} s: {_in_words(task)}")
        except BaseException:
            if task.done() and not task.cancelled():
                task.exception()
            raise
        finally:
            self._running = False
            task.remove_done_callback(self._stop_driving)
        return task.result()

    def run_for(self, seconds: float, *, real_seconds: float | None = None) -> bool:
        """Let `seconds` of virtual time pass; see `advance_until`."""
        return self.advance_until(self.time() + seconds, real_seconds=real_seconds)

    def advance_until(self, when: float, *, real_seconds: float | None = None) -> bool:
        """Let virtual time pass until this loop's clock shows `when`.

        Args:
            when: An instant of `time()`; one that has passed runs what is ready.
            real_seconds: Come back after so many real seconds, to be called again.

        Returns:
            Whether the instant was reached.
        """
        self._running = True
        try:
            ending = self.scheduler.drive(until=when + self._offset, real_seconds=real_seconds)
        finally:
            self._running = False
        return ending is Ending.TIME

    def run_forever(self) -> None:
        """Run until `stop`, or until nothing is left to happen."""
        self._running = True
        try:
            self.scheduler.drive()
        finally:
            self._running = False

    def stop(self) -> None:
        """Let the drive of the whole world end after the present callback."""
        self.scheduler.stop()

    def _stop_driving(self, _task: object) -> None:
        self.scheduler.stop()

    def is_running(self) -> bool:
        """Whether something drives it just now."""
        return self._running or self.scheduler.is_driving

    def is_closed(self) -> bool:
        """Whether it takes no more callbacks."""
        return self._ending

    def close(self) -> None:
        """Drop what is left and take no more callbacks."""
        if not self._closed:
            self._closed = self._ending = True
            self._ready = deque(maxlen=0)
            self._late.clear()

    async def shutdown_asyncgens(self) -> None:
        """Do nothing: generators are closed when they are let go of."""

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Do nothing: there is no executor."""

    # Callbacks

    def call_soon(  # type: ignore[override] # typeshed ties the arguments' types together; nothing is gained here
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """Make a callback ready, after all that are ready already."""
        turn = Turn(callback, args, self, context if context is not None else contextvars.copy_context())
        self._ready.append(turn)
        return turn

    def call_soon_threadsafe(  # type: ignore[override] # as above
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """Make a callback ready, from any thread.

        Raises:
            RuntimeError: The loop is closed: its host crashed.
        """
        if self._ending:
            raise RuntimeError("Event loop is closed")
        if self.scheduler.is_driving:
            return self.call_soon(callback, *args, context=context)
        turn = Turn(callback, args, self, context if context is not None else contextvars.copy_context())
        self.scheduler.submit(turn)
        return turn

    def call_later(  # type: ignore[override] # as above
        self, delay: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """Call back after `delay` virtual seconds."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override] # as above
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """Call back when `time()` is `when`."""
        timer = Timer(when, callback, args, self, context if context is not None else contextvars.copy_context())
        if not self._ending:
            self.scheduler.at(when + self._offset, fire, timer)
        return timer

    def _timer_handle_cancelled(self, _handle: asyncio.TimerHandle) -> None:
        self.scheduler.note_cancelled(is_cancelled)

    # Tasks and futures

    def create_future(self) -> asyncio.Future[Any]:
        """Make a future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override] # typeshed's signature differs between the versions
        self,
        coro: TaskCoroutine[T],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
        **kwargs: Any,
    ) -> asyncio.Task[T]:
        """Start a task that hashes by its number."""
        if self._task_factory is not None:
            return cast("asyncio.Task[T]", self._task_factory(self, coro, name=name, context=context, **kwargs))
        return SimTask(coro, loop=self, name=name, context=context, **kwargs)

    def set_task_factory(self, factory: TaskFactory | None) -> None:
        """Set who makes tasks; None makes tasks that hash by their number."""
        self._task_factory = factory

    def get_task_factory(self) -> Any:
        """Return who makes tasks."""
        return self._task_factory

    # Errors

    def set_exception_handler(self, handler: ExceptionHandler | None) -> None:
        """Set who hears of errors that nobody handled; None keeps them in the scheduler's `failures`."""
        self._exception_handler = handler

    def get_exception_handler(self) -> Any:
        """Return who hears of errors that nobody handled."""
        return self._exception_handler

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep an error that nobody handled; those of a host that crashed are part of the crash."""
        if not self._ending:
            self.scheduler.fail(self.name, context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Tell of an error that nobody handled (asyncio calls this)."""
        if self._exception_handler is None:
            self.default_exception_handler(context)
        else:
            self._exception_handler(self, context)

    def get_debug(self) -> bool:
        """Debug mode is always off: it would cost a traceback for each callback."""
        return False

    def set_debug(self, enabled: bool) -> None:  # noqa: FBT001 - asyncio's signature
        """Ignore it: see `get_debug`."""

    # What happens to a host

    def keep_back(self, turn: Turn) -> bool:
        """Enter this loop for a turn; a frozen loop keeps the turn for later instead."""
        if self._frozen:
            self._ready.append(turn)
            return True
        if self._closed:
            return True
        self.scheduler.enter(self)
        return False

    def postpone(self, timer: Timer) -> bool:
        """Keep a timer that is due while the loop is frozen, or that a sleep has moved on."""
        due = timer.when() + self._offset
        if self._ending:
            return True
        if self._frozen:
            self._late.append(timer)
            return True
        if due > self.scheduler.now:
            self.scheduler.at(due, fire, timer)
            return True
        if self.time() < timer.when():
            self._floor = timer.when()  # the sum lost a bit: who waits for this instant must not find it still to come
        return False

    def freeze(self) -> None:
        """Let nothing of it run until `thaw`; its clock goes on."""
        if not self._frozen and not self._ending:
            self._frozen = True
            self._ready = deque()

    def thaw(self, *, slept: float = 0.0, first: Callable[[], None] | None = None) -> None:
        """Go on: what was ready, then what `first` brings in, then the timers that are late.

        Args:
            slept: Seconds for which its monotonic clock stood still.
            first: Called in between; for the datagrams that the socket kept.
        """
        if not self._frozen:
            return
        self._frozen = False
        kept, self._ready = self._ready, self.scheduler.ready
        self._ready.extend(kept)
        self._offset += slept
        if first is not None:
            self.call_soon(first)
        late, self._late = self._late, []
        for timer in late:
            self.scheduler.at(timer.when() + self._offset, fire, timer)

    def end(self) -> None:
        """Crash: no callback of it counts any more. Its tasks are cancelled, unwind at this instant, and are gone."""
        if self._ending:
            return
        self._ending = True
        kept = deque(turn for turn in self.scheduler.ready if turn.belongs_to(self))
        others = [turn for turn in self.scheduler.ready if not turn.belongs_to(self)]
        self.scheduler.ready.clear()
        self.scheduler.ready.extend(others)
        if self._frozen:
            kept.extend(self._ready)
        self._frozen = False
        self._ready = kept
        self._late.clear()
        # Not here: the caller may be a task, and a task cannot run within another one's step.
        self.scheduler.at(self.scheduler.now, self._unwind, kept)

    def _unwind(self, ready: deque[Turn]) -> None:
        for _ in range(UNWIND_ROUNDS):
            for _ in range(UNWIND_TURNS_MAX):
                if not ready:
                    break
                ready.popleft().run()
            tasks = pending_tasks(self)
            if not tasks:
                break
            for task in tasks:
                task.cancel()
        self._give_up()

    def _give_up(self) -> None:
        for task in pending_tasks(self):
            task._log_destroy_pending = False  # type: ignore[attr-defined] # noqa: SLF001 - its host is gone: no news
            try:
                cast("Coroutine[Any, Any, Any]", task.get_coro()).close()
            except (RuntimeError, ValueError) as error:
                logger.debug("%s resisted the crash of its host: %r", task.get_name(), error)
        self.close()


def pending_tasks(loop: SimLoop) -> list[asyncio.Task[Any]]:
    """List the tasks of a loop that are not done, in the order in which they were made."""
    return sorted(asyncio.all_tasks(loop), key=hash)


def _in_words(awaited: asyncio.Future[Any]) -> str:
    """Name the tasks that wait, and where."""
    tasks = sorted(asyncio.all_tasks(awaited.get_loop()), key=hash)
    named = [f"{task.get_name()} waits at {_place(task)}" for task in tasks[:WAITING_NAMED_MAX]]
    if len(tasks) > WAITING_NAMED_MAX:
        named.append(f"and {len(tasks) - WAITING_NAMED_MAX} more")
    return "; ".join(named) or f"{awaited!r} is awaited from outside"


def _place(task: asyncio.Task[Any]) -> str:
    stack = task.get_stack(limit=1)
    if not stack:
        return "its beginning"
    frame = traceback.extract_stack(stack[-1], limit=1)[0]
    return f"{frame.filename}:{frame.lineno} in {frame.name}"
