"""Chunks of an open reader: the latest stay in memory, and of one that reads in order the next are fetched ahead.

`Ahead` decides and is pure; `ChunkCache` acts. What is fetched ahead is a guess: its errors concern nobody, since the
read that comes to it asks again and tells.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any

from dfs_sdk.errors import DfsError
from dfs_sdk.runtime.tasks import TaskScope, settle

logger = logging.getLogger(__name__)


class Ahead:
    """Which chunks a reader that goes through a file in order wants next: one, then twice as many each time.

    Args:
        chunk_count: Chunks of the file.
        chunks_max: The most that are fetched ahead; 0 for none.

    Source: Wu et al., "On the Design of a New Linux Readahead Framework" (ACM SIGOPS OSR 2008), for the growing window.
    """

    def __init__(self, chunk_count: int, chunks_max: int) -> None:
        self._count = chunk_count
        self._max = chunks_max
        self._end: int | None = None
        self._depth = 0

    def note(self, start: int, end: int, last: int) -> range:
        """Note that bytes [start, end) were asked for.

        Args:
            start: Where the read begins.
            end: Where it ends.
            last: The last chunk it touches.

        Returns:
            The chunks to fetch ahead; none unless this read goes on where the latest ended.
        """
        in_order, self._end = start == self._end, end
        self._depth = min(max(1, 2 * self._depth), self._max) if in_order else 0
        return range(last + 1, min(last + 1 + self._depth, self._count))


class ChunkCache:
    """The chunks of one file that are in memory or on their way.

    Args:
        fetch: Gets the plain bytes of a chunk, verified.
        scope: The parent of what is fetched ahead.
        chunks_max: Chunks kept, at least 1.
    """

    def __init__(
        self, fetch: Callable[[int], Coroutine[Any, Any, bytes]], scope: TaskScope, *, chunks_max: int
    ) -> None:
        self._fetch = fetch
        self._scope = scope
        self._chunks_max = chunks_max
        self._chunks: OrderedDict[int, bytes] = OrderedDict()
        self._coming: dict[int, tuple[asyncio.Task[None], asyncio.Event]] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._chunks)

    async def get(self, index: int) -> bytes:
        """Return a chunk, from memory if it is there or on its way; raises like the fetch."""
        while (coming := self._coming.get(index)) is not None:
            await coming[1].wait()
        data = self._chunks.get(index)
        if data is None:
            data = await self._fetch(index)
        self._keep(index, data)
        return data

    def expect(self, ahead: range, *, touched: range) -> None:
        """Fetch chunks ahead; what is on its way and neither among them nor about to be read is given up."""
        for index, (task, _event) in tuple(self._coming.items()):
            if index not in ahead and index not in touched:
                task.cancel()
        for index in ahead:
            if index not in self._chunks and index not in self._coming and not self._scope.closed:
                self._start(index)

    async def close(self) -> None:
        """Let go of everything; nothing is on its way any more."""
        self._closed = True
        self._chunks.clear()
        tasks = [task for task, _event in self._coming.values()]
        for task in tasks:
            task.cancel()
        for task in tasks:
            await settle(task)

    def _start(self, index: int) -> None:
        arrived = asyncio.Event()
        task = self._scope.spawn(f"read chunk {index} ahead", self._fetch_ahead(index))
        self._coming[index] = task, arrived

        def on_done(_task: asyncio.Task[None]) -> None:
            del self._coming[index]
            arrived.set()

        task.add_done_callback(on_done)

    async def _fetch_ahead(self, index: int) -> None:
        try:
            self._keep(index, await self._fetch(index))
        except DfsError as error:
            logger.debug("chunk %d was not fetched ahead: %s", index, type(error).__name__)

    def _keep(self, index: int, data: bytes) -> None:
        if self._closed:
            return
        self._chunks[index] = data
        self._chunks.move_to_end(index)
        while len(self._chunks) > self._chunks_max:
            self._chunks.popitem(last=False)
