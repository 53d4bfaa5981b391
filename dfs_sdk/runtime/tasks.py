"""Tasks that have a parent: nothing of ours runs unseen, and no error of a task vanishes.

A `TaskScope` owns the long-lived tasks of one component and ends them with it; `run_all` owns a few coroutines for the
length of one call. Every order here is the order of spawning, never that of a set, so that a run in virtual time
replays from its seed.

Tasks made here, and all they start, are marked in their context (`in_background`): the blocking facade refuses to nest
the event loop under them, because an inner call may wait for something that only the outer one can do. A task that is
not ours but awaits a coroutine of ours is entered in a table instead: ipykernel runs all cells in one context, where a
mark could stay behind.

Source: Nathaniel J. Smith, "Notes on structured concurrency" (2018): a task does not outlive its parent.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Generic, TypeVar

from dfs_sdk.errors import DfsError, NodeClosedError
from dfs_sdk.runtime.ports import Rng

logger = logging.getLogger(__name__)

T = TypeVar("T")
ErrorHandler = Callable[[str, BaseException], None]

JITTER_RATIO = 0.2

_background = contextvars.ContextVar("dfs_sdk_background", default=False)
_inside: dict[asyncio.Task[Any] | None, int] = {}


def in_background() -> bool:
    """Say whether the caller runs inside a task of ours, or in a callback that such a task registered."""
    return _background.get() or asyncio.current_task() in _inside


@contextmanager
def background() -> Iterator[None]:
    """Count the current task as ours until the block ends."""
    task = asyncio.current_task()
    if task is None:
        yield
        return
    _inside[task] = _inside.get(task, 0) + 1
    try:
        yield
    finally:
        if _inside[task] == 1:
            del _inside[task]
        else:
            _inside[task] -= 1


def _marked_context() -> contextvars.Context:
    context = contextvars.copy_context()
    context.run(_background.set, True)
    return context


async def settle(future: asyncio.Future[Any]) -> None:
    """Wait until `future` is done, also when cancelled meanwhile; then pass the cancellation on.

    The future itself is neither cancelled nor asked for its result.

    Raises:
        asyncio.CancelledError: The waiting task was cancelled; `future` is done all the same.
    """
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.add_done_callback(partial(_wake, wake))
        try:
            await wake
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


def _wake(sleeper: asyncio.Future[None], _done: object) -> None:
    if not sleeper.done():
        sleeper.set_result(None)


async def to_the_end(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, also when cancelled meanwhile; then pass the cancellation on.

    It runs as a task of its own: what it closes must not be, or contain, the calling task.

    Raises:
        asyncio.CancelledError: The waiting task was cancelled; the coroutine has ended all the same, and its error, if
            there was one, is in the log.
    """
    task = asyncio.get_running_loop().create_task(coroutine, context=_marked_context())
    try:
        await settle(task)
    except asyncio.CancelledError:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("what a cancelled caller waited for failed", exc_info=error)
        raise
    return task.result()


async def within(seconds: float | None, work: Awaitable[T], *, otherwise: Callable[[], DfsError]) -> T:
    """Wait for work at most so long, and say what a bare time-out does not.

    Args:
        seconds: How long, above 0; None for ever.
        work: What to wait for; it is cancelled when the time is over.
        otherwise: Makes the error that is raised instead of a `TimeoutError`; one that says what it is passes as it is.
    """
    try:
        async with asyncio.timeout(seconds):
            return await work
    except DfsError:
        raise
    except TimeoutError:
        raise otherwise() from None


class TaskScope:
    """The parent of tasks: keeps them referenced, hands their errors on, ends them all in `close`.

    Args:
        name: Prefix of the tasks' names.
        on_error: Called with the task's name and its exception, on the loop, for each task that failed.
    """

    def __init__(self, name: str, *, on_error: ErrorHandler) -> None:
        self._name = name
        self._on_error = on_error
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def spawn(self, name: str, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task on the running loop.

        Raises:
            NodeClosedError: The scope is closed; the coroutine is closed, too.
        """
        if self._closed:
            coroutine.close()
            raise NodeClosedError(f"{self._name} is closed: it cannot start {name}")
        loop = asyncio.get_running_loop()
        task = loop.create_task(coroutine, name=f"{self._name}/{name}", context=_marked_context())
        self._tasks[task] = None
        task.add_done_callback(self._on_done)
        return task

    def soon(self, name: str, function: Callable[..., object], *arguments: object) -> asyncio.Handle:
        """Call a plain function in the next turn of the running loop: a task that waits for nothing costs a tenth.

        Its error is reported like a task's; it is not called any more once the scope is closed.

        Raises:
            NodeClosedError: The scope is closed.
        """
        if self._closed:
            raise NodeClosedError(f"{self._name} is closed: it cannot start {name}")
        loop = asyncio.get_running_loop()
        return loop.call_soon(self._call, name, function, arguments, context=_marked_context())

    def every(
        self,
        name: str,
        interval_seconds: float,
        action: Callable[[], Awaitable[object]],
        *,
        rng: Rng,
        jitter: float = JITTER_RATIO,
    ) -> asyncio.Task[None]:
        """Call `action` again and again, first after one interval.

        An error of one turn is reported and does not end the series.

        Args:
            name: The task's name.
            interval_seconds: Pause between the end of one call and the start of the next, above 0.
            action: What to do.
            rng: Draws the jitter.
            jitter: Each pause is drawn from interval * [1 - jitter, 1 + jitter]; within [0, 1).

        Raises:
            ValueError: An interval or jitter out of range.
        """
        if interval_seconds <= 0 or not 0 <= jitter < 1:
            raise ValueError(f"{name}: interval {interval_seconds} must be above 0, jitter {jitter} within [0, 1)")
        return self.spawn(name, self._repeat(name, interval_seconds, action, rng, jitter))

    async def close(self) -> None:
        """Refuse new tasks, cancel all others in the order of their start and wait until they have ended.

        A task of the scope may call this: it is then the only one left.

        Raises:
            asyncio.CancelledError: The caller was cancelled meanwhile; the tasks have ended all the same.
        """
        self._closed = True
        caller = asyncio.current_task()
        others = [task for task in self._tasks if task is not caller]
        for task in others:
            task.cancel()
        cancelled: asyncio.CancelledError | None = None
        for task in others:
            try:
                await settle(task)
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    async def _repeat(
        self, name: str, interval: float, action: Callable[[], Awaitable[object]], rng: Rng, jitter: float
    ) -> None:
        while True:
            await asyncio.sleep(interval * rng.uniform(1 - jitter, 1 + jitter))
            try:
                await action()
            except Exception as error:  # noqa: BLE001 - a series outlives one bad turn; the error is reported
                self._report(name, error)

    def _call(self, name: str, function: Callable[..., object], arguments: tuple[object, ...]) -> None:
        if self._closed:
            return
        try:
            function(*arguments)
        except Exception as error:  # noqa: BLE001 - reported, like that of a task
            self._report(f"{self._name}/{name}", error)

    def _on_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._report(task.get_name(), error)

    def _report(self, name: str, error: BaseException) -> None:
        try:
            self._on_error(name, error)
        except Exception:
            logger.exception("the error handler of %s failed on %r", name, error)


async def run_all(*coroutines: Coroutine[Any, Any, T], limit: int | None = None) -> list[T]:
    """Run coroutines side by side and return their results in order.

    When one fails or the caller is cancelled, the others are cancelled, waited for and closed if they had not begun.

    Args:
        coroutines: What to run.
        limit: The most that run at one time, at least 1; None for all.

    Raises:
        ValueError: A limit below 1.
        BaseException: The first error of a coroutine, alone; later ones are logged for debugging only.
    """
    if limit is not None and limit < 1:
        for coroutine in coroutines:
            coroutine.close()
        raise ValueError(f"limit must be at least 1, not {limit}")
    crew = _Crew(coroutines, limit if limit is not None else len(coroutines))
    return await crew.run()


class _Crew(Generic[T]):
    """The children of one `run_all`."""

    def __init__(self, coroutines: tuple[Coroutine[Any, Any, T], ...], limit: int) -> None:
        self._waiting = deque(enumerate(coroutines))
        self._limit = limit
        self._running: dict[asyncio.Task[T], int] = {}
        self._results: dict[int, T] = {}
        self._failure: BaseException | None = None
        self._loop = asyncio.get_running_loop()
        self._wake: asyncio.Future[None] | None = None

    async def run(self) -> list[T]:
        cancelled: asyncio.CancelledError | None = None
        self._start_more()
        while self._running:
            self._wake = self._loop.create_future()
            try:
                await self._wake
            except asyncio.CancelledError as error:
                cancelled = error
                self._fail(error)
        if self._failure is not None:
            try:
                raise cancelled or self._failure
            finally:
                self._failure = cancelled = None  # a frame that holds its own exception is a reference cycle
        return [self._results[index] for index in range(len(self._results))]

    def _start_more(self) -> None:
        while self._waiting and len(self._running) < self._limit:
            index, coroutine = self._waiting.popleft()
            task = self._loop.create_task(coroutine, context=_marked_context())
            self._running[task] = index
            task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[T]) -> None:
        index = self._running.pop(task)
        if task.cancelled():
            self._fail(asyncio.CancelledError())
        elif (error := task.exception()) is not None:
            self._fail(error)
        else:
            self._results[index] = task.result()
        self._start_more()
        if not self._running and self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _fail(self, error: BaseException) -> None:
        if self._failure is not None:
            logger.debug("%r came after %r", error, self._failure)
            return
        self._failure = error
        while self._waiting:
            self._waiting.popleft()[1].close()
        for task in tuple(self._running):
            task.cancel()
