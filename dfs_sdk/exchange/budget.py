"""A budget of bytes that calls wait for in turn: the bound on what is in flight."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class ByteBudget:
    """Lends up to `limit_bytes` at one time, first come, first served.

    A single demand over the whole limit is served alone rather than never.

    Args:
        limit_bytes: What is lent at most, above 0.
    """

    __slots__ = ("_free", "_limit", "_waiting")

    def __init__(self, limit_bytes: int) -> None:
        if limit_bytes <= 0:
            raise ValueError(f"a budget needs more than {limit_bytes} bytes")
        self._limit = limit_bytes
        self._free = limit_bytes
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def used_bytes(self) -> int:
        """Bytes lent at this moment."""
        return self._limit - self._free

    @property
    def idle(self) -> bool:
        """Whether nothing is lent and nobody waits."""
        return self._free == self._limit and not self._waiting

    async def take(self, size: int) -> None:
        """Wait until `size` bytes are free and take them; each `take` needs its `give`."""
        size = min(size, self._limit)
        if not self._waiting and size <= self._free:
            self._free -= size
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give(size)  # it was granted in the very turn in which the caller was cancelled
            else:
                self._forget(turn)
            raise

    def give(self, size: int) -> None:
        """Return what was taken and let the next ones in."""
        self._free += min(size, self._limit)
        self._admit()

    @asynccontextmanager
    async def hold(self, size: int) -> AsyncIterator[None]:
        """Take `size` bytes for the length of the block."""
        await self.take(size)
        try:
            yield
        finally:
            self.give(size)

    def _admit(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            size, turn = self._waiting.popleft()
            if not turn.done():
                self._free -= size
                turn.set_result(None)

    def _forget(self, turn: asyncio.Future[None]) -> None:
        self._waiting = deque(entry for entry in self._waiting if entry[1] is not turn)
        self._admit()
