"""Memory that large chunks are read into: lent again while they are read, forgotten a while after."""

from __future__ import annotations

import asyncio

from dfs_sdk.runtime.buffers import IDLE_SECONDS, Buffers
from dfs_sdk.runtime.ports import Clock


class ReadMemory:
    """The memory of one open store; used on its loop.

    Args:
        clock: Says how long none was needed.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._memory = Buffers()
        self._resting: asyncio.TimerHandle | None = None

    @property
    def kept_bytes(self) -> int:
        """How much is remembered, lent or free."""
        return self._memory.kept_bytes

    @property
    def is_watched(self) -> bool:
        """Whether a timer is set, which forgets what is not needed."""
        return self._resting is not None

    def take(self, size: int) -> memoryview:
        """Lend `size` bytes: see `Buffers.take`."""
        if self._resting is None:
            self._rest_later()
        return self._memory.take(size)

    def clear(self) -> None:
        """Forget all of it, and leave no timer."""
        self._memory.clear()
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None

    def _rest(self) -> None:
        self._resting = None
        self._memory.rest(self._clock.monotonic())
        if self._memory.kept_bytes:
            self._rest_later()

    def _rest_later(self) -> None:
        self._resting = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._rest)
