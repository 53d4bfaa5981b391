"""One chunk from several sources: ask the best, hedge when it is slow, go on to the next when it fails.

A source that is slower than most gets company early, within a small budget; one that is silent gets company in any
case. The first intact answer wins and the others are cancelled, waited for and gone when `run` returns. A source that
sent other bytes is asked a second time, to check, only when no other source is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from dfs_sdk.errors import NodeClosedError
from dfs_sdk.ids import NodeId
from dfs_sdk.runtime.tasks import TaskScope, settle

T = TypeVar("T")


class Miss(Enum):
    """Why a source gave nothing; one that sent other bytes and was not yet told so may be honest."""

    NOT_HELD = "has it not"
    UNCHECKED = "sent other bytes"
    DAMAGED = "sent damaged bytes"
    REFUSED = "refused"
    UNREACHABLE = "gave no answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """When further sources are asked, in seconds.

    Attributes:
        hedge_after: A second source, if the budget allows.
        failover_after: The next source whatever the budget; counted from the latest start.
        parallel_max: Sources asked at one time.
    """

    hedge_after: float
    failover_after: float
    parallel_max: int


class Race(Generic[T]):
    """The attempts to get one chunk.

    Attributes:
        misses: Of the sources that gave nothing: why.
        winner: Who gave the chunk.
        unchecked: Sources that sent other bytes and were not told so.

    Args:
        sources: Whom to ask, each once.
        choose: Picks the next of those left.
        attempt: Asks one source, to check if the second argument says so; returns what came of its verified bytes or
            why there are none, and raises only what ends the race.
        may_hedge: Spends one hedge of the budget.
        pace: When to ask a further source.
        scope: The parent of the attempts.
    """

    def __init__(
        self,
        sources: Sequence[NodeId],
        *,
        choose: Callable[[Sequence[NodeId]], NodeId],
        attempt: Callable[[NodeId, bool], Awaitable[T | Miss]],
        may_hedge: Callable[[], bool],
        pace: Pace,
        scope: TaskScope,
    ) -> None:
        self.misses: dict[NodeId, Miss] = {}
        self.winner: NodeId | None = None
        self.unchecked: list[NodeId] = []
        self._left = list(dict.fromkeys(sources))
        self._choose = choose
        self._attempt = attempt
        self._may_hedge = may_hedge
        self._pace = pace
        self._scope = scope
        self._running: dict[NodeId, asyncio.Task[None]] = {}
        self._results: asyncio.Queue[tuple[NodeId, T | Miss | BaseException]] = asyncio.Queue()
        self._hedged = False

    async def run(self) -> T | Miss:
        """Return what came of the chunk, `winner` says from whom; or a miss when no source gave it, see `misses`."""
        try:
            self._start_next()
            while self._running:
                result = await self._next_result()
                if result is None:
                    self._start_company()
                    continue
                source, outcome = result
                del self._running[source]
                if isinstance(outcome, BaseException):
                    raise outcome
                if not isinstance(outcome, Miss):
                    self.winner = source
                    return outcome
                self.misses[source] = outcome
                if outcome is Miss.UNCHECKED:
                    self.unchecked.append(source)
                if not self._running:
                    self._start_next()
            return Miss.NOT_HELD
        finally:
            await self._stop()

    def _start_next(self) -> None:
        check = not self._left
        candidates = self._left or self.unchecked
        if candidates:
            source = self._choose(candidates)
            candidates.remove(source)
            self._running[source] = self._scope.spawn(f"fetch from {source.short}", self._ask(source, check=check))

    def _start_company(self) -> None:
        if len(self._running) == 1 and not self._hedged:
            self._hedged = True
            if not self._may_hedge():
                return
        self._start_next()

    async def _ask(self, source: NodeId, *, check: bool) -> None:
        outcome: T | Miss | BaseException
        try:
            outcome = await self._attempt(source, check)
        except asyncio.CancelledError:
            # Either the race is over and nobody looks, or the node is closing under a caller that must not wait on.
            self._results.put_nowait((source, NodeClosedError("the node was closed while it fetched a chunk")))
            raise
        except Exception as error:  # noqa: BLE001 - handed to the waiting caller, which raises it
            outcome = error
        self._results.put_nowait((source, outcome))

    async def _next_result(self) -> tuple[NodeId, T | Miss | BaseException] | None:
        try:
            async with asyncio.timeout(self._patience()):
                return await self._results.get()
        except TimeoutError:
            return None

    def _patience(self) -> float | None:
        if not (self._left or self.unchecked) or len(self._running) >= self._pace.parallel_max:
            return None
        if self._hedged or len(self._running) > 1:
            return self._pace.failover_after
        return self._pace.hedge_after

    async def _stop(self) -> None:
        for task in self._running.values():
            task.cancel()
        for task in self._running.values():
            await settle(task)
