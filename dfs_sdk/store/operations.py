"""Changes that run to their end: a cancelled caller never leaves half of one behind."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

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
        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        try:
            task = self._scope.spawn(name, _carry(coroutine, outcome))
        except NodeClosedError:
            coroutine.close()
            raise
        self._running[task] = None
        task.add_done_callback(self._forget)
        try:
            await settle(task)
        finally:
            if outcome.done():
                outcome.exception()  # seen, also when a cancelled caller no longer asks
        if not outcome.done():
            task.result()  # it ended by something that is no error, such as the end of the loop
        return outcome.result()

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


async def _carry(coroutine: Coroutine[Any, Any, T], outcome: asyncio.Future[T]) -> None:
    """Run a change; its error goes to its caller alone, not to the scope."""
    try:
        outcome.set_result(await coroutine)
    except Exception as error:  # noqa: BLE001 - the caller gets it
        outcome.set_exception(error)


def _report(name: str, error: BaseException) -> None:
    logger.error("%s failed", name, exc_info=error)
