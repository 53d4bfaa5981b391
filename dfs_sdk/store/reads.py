"""Reading small chunks: those that are asked for while a worker reads go together in its next turn.

A call of a worker thread costs several times what reading 4 KiB from the page cache does, so a thousand of them at one
time would be a thousand calls. One that is asked for alone is read at once. Large chunks are read on their own: several
threads wait for the disk then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from dfs_sdk.ids import ChunkId
from dfs_sdk.runtime.ports import Buffer
from dfs_sdk.store.guard import DiskGuard
from dfs_sdk.store.operations import Operations

# What a chunk may measure to be read with others, and how many are read in one turn: 2 MiB of them in all, which takes
# about as long as one large chunk.
SHARED_BYTES_MAX = 64 * 1024
TURN_LENGTH_MAX = 32

# An error is handed over as a result: one that a cancelled caller never looks at must not be reported as lost.
_Wanted = tuple[ChunkId, asyncio.Future[Buffer | Exception]]


class SharedReads:
    """Reads chunks in turns, one turn at a time.

    The callers' own bounds bound how many wait: each is awaited by one.

    Args:
        load: Reads and verifies one chunk; blocks.
        guard: Runs it in a thread.
        operations: The parent of the turns; it waits for them when the store closes.
    """

    def __init__(self, load: Callable[[ChunkId], Buffer], guard: DiskGuard, operations: Operations) -> None:
        self._load = load
        self._guard = guard
        self._operations = operations
        self._waiting: list[_Wanted] = []
        self._is_reading = False

    async def read(self, chunk_id: ChunkId) -> Buffer:
        """Read one chunk; a cancelled caller waits for nothing.

        Raises:
            NodeClosedError: The store was closed meanwhile.
            FileNotFoundError, CorruptContentError: As `load` says.
            StoreError: The disk cannot be read.
        """
        if not self._is_reading:
            self._operations.start("read", self._take_turns())
            self._is_reading = True
        outcome: asyncio.Future[Buffer | Exception] = asyncio.get_running_loop().create_future()
        self._waiting.append((chunk_id, outcome))
        result = await outcome
        if isinstance(result, Exception):
            raise result
        return result

    async def _take_turns(self) -> None:
        try:
            while self._waiting:
                turn, self._waiting = self._waiting[:TURN_LENGTH_MAX], self._waiting[TURN_LENGTH_MAX:]
                await self._take_turn([wanted for wanted in turn if not wanted[1].done()])
        finally:
            self._is_reading = False
            for _, outcome in self._waiting:  # none, unless this very task was cancelled
                outcome.cancel()

    async def _take_turn(self, turn: list[_Wanted]) -> None:
        results: Sequence[Buffer | Exception]
        try:
            results = await self._guard.read_each(self._load, [chunk_id for chunk_id, _ in turn])
        except Exception as error:  # noqa: BLE001 - each caller gets it
            results = [error] * len(turn)
        for (_, outcome), result in zip(turn, results, strict=True):
            if not outcome.done():
                outcome.set_result(result)
