"""One coroutine's run on a home loop, seen from any thread.

A `Call` is a `concurrent.futures.Future` that ends when the coroutine has really ended: cancelling it asks the
coroutine to stop and the call stays open until it did. A coroutine that had not begun is withdrawn at once, so nobody
waits for a loop that is blocked.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from dfs_sdk.errors import NodeClosedError, SyncCallError
from dfs_sdk.runtime.tasks import TaskScope

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Call(Future[T]):
    """The future of a coroutine that runs, or will run, on a home loop.

    An error that nobody looks at is logged when the call is collected.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop, thread_id: int) -> None:
        super().__init__()
        self.begun = threading.Event()
        self._coroutine: Coroutine[Any, Any, T] | None = coroutine
        self._loop = loop
        self._thread_id = thread_id
        self._task: asyncio.Task[T] | None = None
        self._guard = threading.Lock()  # over the step from waiting to begun or withdrawn
        self._seen = False

    @property
    def task(self) -> asyncio.Task[T] | None:
        """The task on the home loop, once begun."""
        return self._task

    def begin(self, scope: TaskScope, name: str) -> None:
        """Start the coroutine as a task of `scope`; called on the home loop."""
        with self._guard:
            coroutine, self._coroutine = self._coroutine, None
        if coroutine is None:
            return
        try:
            self._task = scope.spawn(name, coroutine)
        except NodeClosedError as error:
            self.set_exception(error)
        else:
            self._task.add_done_callback(self._on_done)
        self.begun.set()

    def cancel(self) -> bool:
        """Ask the coroutine to stop; from any thread.

        Returns:
            False when it had already ended.
        """
        if self.done():
            return False
        with self._guard:
            coroutine, self._coroutine = self._coroutine, None
        if coroutine is not None:
            coroutine.close()
            return self._end_cancelled()
        try:
            self._loop.call_soon_threadsafe(self._cancel_task)
        except RuntimeError:  # the loop is closed: its tasks are gone
            return self._end_cancelled()
        return True

    def result(self, timeout: float | None = None) -> T:
        """Wait for the outcome.

        Raises:
            SyncCallError: Called on the home thread itself, where waiting would stop what it waits for.
        """
        if not self.done() and timeout is None and threading.get_ident() == self._thread_id:
            raise SyncCallError("waiting here would block the node's own loop: write `await` instead of `.result()`")
        self._seen = True
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the outcome and return its error, if any."""
        self._seen = True
        return super().exception(timeout)

    def __del__(self) -> None:
        if not self._seen and self.done() and not self.cancelled():
            error = super().exception()
            if error is not None:
                logger.error("nobody looked at the error of a submitted call", exc_info=error)

    def _end_cancelled(self) -> bool:
        # without the second step `concurrent.futures.wait` goes on waiting
        return super().cancel() and not self.set_running_or_notify_cancel()

    def _cancel_task(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _on_done(self, task: asyncio.Task[T]) -> None:
        if self.done():
            return
        if task.cancelled():
            self._end_cancelled()
        elif (error := task.exception()) is not None:
            self.set_exception(error)
        else:
            self.set_result(task.result())


async def outcome(call: Call[T]) -> T:
    """Await a call from any loop; a cancelled waiter cancels the call and waits until it has ended.

    Raises:
        asyncio.CancelledError: The waiter was cancelled.
        NodeClosedError: The call was cancelled by somebody else: its home was closed.
        BaseException: The call's own error.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ended.done():
            ended.set_result(None)

    def tell(_call: Future[T]) -> None:
        try:
            loop.call_soon_threadsafe(wake)
        except RuntimeError:
            logger.debug("the loop that awaited a call was closed before the call ended")

    call.add_done_callback(tell)
    cancelled: asyncio.CancelledError | None = None
    while not call.done():
        try:
            await asyncio.shield(ended)
        except asyncio.CancelledError as error:
            if cancelled is None:
                call.cancel()
            cancelled = error
    if cancelled is not None:
        if not call.cancelled():
            call.exception()  # seen: the waiter asked to be cancelled and gets just that
        raise cancelled
    if call.cancelled():
        raise NodeClosedError("the call was cancelled: its node was closed")
    return call.result()


async def called(function: Callable[[], T]) -> T:
    """Call a function where this is awaited."""
    return function()
