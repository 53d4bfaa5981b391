"""A bound on what peers may let us hold for them: replies that are made and not yet acknowledged.

Each peer has a bound of its own, and all of them share one budget, of which none may hold more than what all others
could still get. A call of a peer without room is not begun. While the budget is nearly used up, a peer that holds much
of it and takes hardly anything is found by `ReplyWatch`.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from dfs_sdk.rpc.base import nothing
from dfs_sdk.rpc.ports import SentPort

# Beside its bytes a reply under way costs about this much for what keeps track of it: 1.4 KiB measured for a small one.
REPLY_CHARGE = 1024
OVERDRAFT = 2
# Kept for peers that hold nothing: their next reply.
RESERVE_SHARE = 4
# Scarce is less than this fraction of the budget.
SCARCE_SHARE = 8
# While it is scarce, who holds more than so much takes this fraction of it in this time, or gives way.
HOARD_BYTES_MIN = 256 * 1024
HOARD_SECONDS = 15.0
HOARD_SHARE = 64
LOOKS_APART_MAX = 10.0

KeyT = TypeVar("KeyT")


class ReplyBudget:
    """What all peers together have not acknowledged, in bytes.

    Args:
        bytes_total: From so many on no large reply is made for anybody, and from twice as many on none at all.

    Attributes:
        used_bytes: Held at present; what was begun before may take it over the total.
        on_freed: Called whenever bytes come back.
        on_scarce: Called whenever bytes are taken and few are left.
    """

    __slots__ = ("_total", "on_freed", "on_scarce", "used_bytes")

    def __init__(self, bytes_total: int) -> None:
        self._total = bytes_total
        self.used_bytes = 0
        self.on_freed: Callable[[], None] = lambda: None
        self.on_scarce: Callable[[], None] = lambda: None

    @property
    def is_scarce(self) -> bool:
        """Whether little is left beside what is kept for peers that hold nothing."""
        return self._total - self.used_bytes - self._total // RESERVE_SHARE < self._total // SCARCE_SHARE

    @property
    def has_room(self) -> bool:
        """Whether small replies may be made: who holds back large ones leaves a part for these."""
        return self.used_bytes < OVERDRAFT * self._total

    def has_bulk_room(self, held: int) -> bool:
        """Say whether a large one may be made for who holds `held` bytes: as long as others could have as much."""
        spare = self._total - self.used_bytes
        return spare > 0 if held == 0 else held < spare - self._total // RESERVE_SHARE

    def take(self, size: int) -> None:
        """Count bytes."""
        self.used_bytes += size
        if self.is_scarce:
            self.on_scarce()

    def give(self, size: int) -> None:
        """Count bytes no more."""
        self.used_bytes -= size
        self.on_freed()


class UnackedBytes:
    """Counts the bytes of replies that one peer has not acknowledged, and lets those wait that would add to too many.

    Whoever has waited for room, whatever becomes of his reply, sees to it that the next one is woken.

    Args:
        bytes_max: From so many on, further messages wait; the one that reaches it may go over.
        budget: Shared by all peers.
    """

    __slots__ = ("_budget", "_bytes_max", "_made", "_sent", "_waiting")

    def __init__(self, bytes_max: int, budget: ReplyBudget) -> None:
        self._made = self._sent = 0
        self._bytes_max = bytes_max
        self._budget = budget
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def held_bytes(self) -> int:
        """What was made for the peer and not acknowledged, whether it was sent or waits for that."""
        return self._made + self._sent

    @property
    def has_room(self) -> bool:
        """Whether a message that is made may go out at once."""
        return self.held_bytes < self._bytes_max and not self._waiting

    def may_begin(self, bulk: bool) -> bool:  # noqa: FBT001 - handed on as a plain function
        """Say whether a further one may be made, a large one or any other."""
        return self.has_room and (self._budget.has_bulk_room(self.held_bytes) if bulk else self._budget.has_room)

    async def wait_to_begin(self) -> bool:
        """Wait until the peer has taken enough; say whether all peers together have, too."""
        await self.wait_for_room()
        return self._budget.has_room

    async def wait_for_room(self) -> None:
        """Wait while at least as many bytes are under way as may be."""
        while self._sent >= self._bytes_max:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter in self._waiting:
                    self._waiting.remove(waiter)
                self._wake()
                self._budget.on_freed()
                raise

    @contextmanager
    def made(self, size: int) -> Iterator[None]:
        """Count a message while it waits to be sent."""
        self._made += size
        self._budget.take(size)
        try:
            yield
        finally:
            self._made -= size
            self._budget.give(size)
            self._wake()

    def add(self, size: int, sent: SentPort, on_settled: Callable[[bool], None] = nothing) -> None:
        """Count a message until it is settled, and tell then whether it was taken."""
        size += REPLY_CHARGE
        self._sent += size
        self._budget.take(size)

        def on_done(acked: asyncio.Future[None]) -> None:
            self._sent -= size
            self._budget.give(size)
            self._wake()
            on_settled(not acked.cancelled() and acked.exception() is None)

        sent.acked.add_done_callback(on_done)

    def _wake(self) -> None:
        while self._waiting and self._sent < self._bytes_max:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return


class ReplyWatch(Generic[KeyT]):
    """Finds those who hold replies back from everybody, while memory for them is scarce; time is an argument."""

    __slots__ = ("_looked_at", "_marks")

    def __init__(self) -> None:
        self._marks: dict[KeyT, tuple[float, int]] = {}
        self._looked_at = -math.inf

    def find(self, holders: Iterable[tuple[KeyT, int, int]], now: float) -> list[KeyT]:
        """Return those who took too little since they were marked; call it every few seconds while memory is scarce.

        Where a call comes late this node stood still, and what the others took meanwhile is still to be read.

        Args:
            holders: Of each peer a key, the bytes it holds, and how many it has ever acknowledged.
            now: The instant in seconds.
        """
        marks, self._marks = self._marks, {}
        if now - self._looked_at > LOOKS_APART_MAX:
            marks = {}
        self._looked_at = now
        found: list[KeyT] = []
        for key, held, taken in holders:
            if held < HOARD_BYTES_MIN:
                continue
            at, taken_then = marks.get(key, (now, taken))
            if taken - taken_then >= held // HOARD_SHARE:
                at, taken_then = now, taken
            self._marks[key] = at, taken_then
            if now - at > HOARD_SECONDS:
                found.append(key)
        return found
