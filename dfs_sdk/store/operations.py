"""Changes that run to their end: a cancelled caller never leaves half of one behind."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar, cast

from dfs_sdk.errors import NodeClosedError
from dfs_sdk.runtime.tasks import TaskScope, settle

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Operations:
    """Runs changes as tasks of its own.

    A change that begins finishes, whatever becomes of its caller; the caller's cancellation arrives afterwards. The
    callers' own bounds bound the number of changes: each is awaited by one.
    """

    def __init__(self, name: str) -> None:
        self._scope = TaskScope(name, on_error=_report)
        self._running: dict[asyncio.Task[None], None] = {}

    async def run(self, name: str, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run one change and return its result, or raise its error.

        Raises:
            NodeClosedError: After `close`.
        """
        change = _Change[T]()
        try:
            task = self._scope.spawn(name, change.carry(coroutine))
        except NodeClosedError:
            coroutine.close()
            raise
        self._running[task] = None
        task.add_done_callback(self._forget)
        task.add_done_callback(change.end)
        try:
            await change.ended
        except asyncio.CancelledError:
            await settle(task)
            raise
        return change.result()

    def start(self, name: str, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run what serves several callers, none of whom waits for all of it; its error is logged.

        Raises:
            NodeClosedError: After `close`; the coroutine is closed, too.
        """
        task = self._scope.spawn(name, coroutine)
        self._running[task] = None
        task.add_done_callback(self._forget)

    async def close(self) -> None:
        """Wait for the running changes; later ones are refused."""
        while self._running:
            task = next(iter(self._running))
            await settle(task)
            self._forget(task)  # its own callback may come a turn later
        await self._scope.close()

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)


class _Change(Generic[T]):
    """One change: its error goes to its caller alone, not to the scope.

    Attributes:
        ended: Done when the change has ended in any way; the caller's own, who alone cancels it.
    """

    def __init__(self) -> None:
        # Set by the last step of the task: to wait for the task itself takes one more turn of the loop.
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._result: T | None = None
        # As long as nothing else is known: a task that is cancelled before its first step says nothing itself.
        self._error: BaseException | None = asyncio.CancelledError()

    async def carry(self, coroutine: Coroutine[Any, Any, T]) -> None:
        """Run the change."""
        try:
            self._result = await coroutine
            self._error = None
        except Exception as error:  # noqa: BLE001 - the caller gets it
            self._error = error
        except BaseException as error:  # no error, such as the end of the loop
            self._error = error
            raise
        finally:
            self.end()

    def end(self, _task: object = None) -> None:
        """Wake the caller."""
        if not self.ended.done():
            self.ended.set_result(None)

    def result(self) -> T:
        """Return what the change returned, or raise what it raised."""
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # a frame that holds its own exception is a reference cycle
        return cast("T", self._result)


def _report(name: str, error: BaseException) -> None:
    logger.error("%s failed", name, exc_info=error)
