"""A bound on what one peer may let us hold for it: bytes sent and not yet acknowledged."""

from __future__ import annotations

import asyncio
from collections import deque

from dfs_sdk.rpc.ports import SentPort


class UnackedBytes:
    """Counts the bytes a peer has not acknowledged, and lets those wait who would add to too many.

    Args:
        bytes_max: From so many on, further messages wait; the one that reaches it may go over.
    """

    __slots__ = ("_bytes", "_bytes_max", "_waiting")

    def __init__(self, bytes_max: int) -> None:
        self._bytes = 0
        self._bytes_max = bytes_max
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def has_room(self) -> bool:
        """Whether a message may go out at once."""
        return self._bytes < self._bytes_max and not self._waiting

    async def wait_for_room(self) -> None:
        """Wait while at least as many bytes are under way as may be."""
        while self._bytes >= self._bytes_max:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                # Whoever was woken and does not go on passes the room on.
                if waiter.done() and not waiter.cancelled():
                    self._wake()
                raise

    def add(self, size: int, sent: SentPort) -> None:
        """Count a message until it is settled."""
        self._bytes += size

        def on_done(_acked: asyncio.Future[None]) -> None:
            self._bytes -= size
            self._wake()

        sent.acked.add_done_callback(on_done)
        self._wake()

    def _wake(self) -> None:
        while self._waiting and self._bytes < self._bytes_max:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
