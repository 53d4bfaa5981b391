"""Group commit: changes that wait while one commit runs share the next one.

A commit costs an fsync whatever it holds; sixteen peers that push a chunk each should not pay sixteen in a row.
Source: DeWitt et al., "Implementation Techniques for Main Memory Database Systems" (SIGMOD 1984), section 5.2.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class GroupCommit(Generic[T]):
    """Commits changes in the order they came, many at a time. Its callers are not cancelled (`Operations`).

    Args:
        commit: Makes a list of changes durable, all or none of them.
    """

    def __init__(self, commit: Callable[[list[T]], Awaitable[None]]) -> None:
        self._commit = commit
        self._waiting: list[tuple[T, asyncio.Future[None]]] = []
        self._turn = asyncio.Lock()

    async def submit(self, change: T) -> None:
        """Wait until `change` is durable, or raise what its commit raised."""
        outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((change, outcome))
        async with self._turn:
            if not outcome.done():
                await self._commit_waiting()
        outcome.result()

    async def _commit_waiting(self) -> None:
        group, self._waiting = self._waiting, []
        try:
            await self._commit([change for change, _ in group])
        except BaseException as error:  # noqa: BLE001 - each caller gets it, this one among them
            for _, outcome in group:
                outcome.set_exception(error)
        else:
            for _, outcome in group:
                outcome.set_result(None)
