"""Which chunks are being changed: two changes of one chunk run one after the other, others side by side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Container
from contextlib import asynccontextmanager

from dfs_sdk.ids import ChunkId


class ChunkLocks:
    """Locks on chunk ids. A change locks all it touches at once, so that no two can wait for each other."""

    def __init__(self) -> None:
        self._held: set[ChunkId] = set()
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def held(self) -> Container[ChunkId]:
        """The ids under a lock."""
        return self._held

    @asynccontextmanager
    async def hold(self, chunk_ids: Collection[ChunkId]) -> AsyncIterator[None]:
        """Wait until nobody else changes any of `chunk_ids`, then keep others out of the block."""
        while not self._held.isdisjoint(chunk_ids):
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
        wanted = set(chunk_ids)
        self._held |= wanted
        try:
            yield
        finally:
            self._held -= wanted
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
