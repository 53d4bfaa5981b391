"""One chunk from several sources: ask the best, hedge when it is slow, go on to the next when it fails.

A source that is slower than most gets company early, within a small budget; one that delivers nothing gets company in
any case. The first intact answer wins and the others are cancelled, waited for and gone when `run` returns.

A source that sent other bytes is asked a second time, to check, only when no other source is left. One that puts us off
is asked again when it said, unless another one gives the chunk meanwhile; after some seconds we are put off no more.
Those whom it names are asked when nobody else is left, and never keep it from being asked again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Generic, TypeVar

from dfs_sdk.errors import NodeClosedError
from dfs_sdk.exchange.demand import PutOff
from dfs_sdk.ids import NodeId
from dfs_sdk.runtime.tasks import TaskScope, settle

T = TypeVar("T")

SOURCES_MAX = 64
# A source that puts us off is asked again after ever longer pauses, and may do so for so many seconds in all.
PATIENCE_SECONDS = 20.0
# So long one that was only named may deliver at its pace before others are asked as well.
NAMED_SECONDS_MAX = 10.0
PAUSE_FIRST = 0.05
PAUSE_FACTOR = 1.5
PAUSE_MAX = 2.0


class Miss(Enum):
    """Why a source gave nothing; one that sent other bytes and was not yet told so may be honest."""

    NOT_HELD = "has it not"
    UNCHECKED = "sent other bytes"
    DAMAGED = "sent damaged bytes"
    REFUSED = "refused"
    UNREACHABLE = "gave no answer"


class Manner(Enum):
    """How a source is asked: so that it may put us off, so that it may not, or to hold its bytes against the id."""

    PATIENT = auto()
    FIRM = auto()
    TO_CHECK = auto()


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
        attempt: Asks one source in a manner; returns what came of its verified bytes or why there are none, and raises
            only what ends the race.
        may_hedge: Spends one hedge of the budget.
        advances: Says whether a source that was asked has delivered since this was last asked.
        pace: When to ask a further source.
        scope: The parent of the attempts.
    """

    def __init__(
        self,
        sources: Sequence[NodeId],
        *,
        choose: Callable[[Sequence[NodeId]], NodeId],
        attempt: Callable[[NodeId, Manner], Awaitable[T | Miss | PutOff]],
        may_hedge: Callable[[], bool],
        advances: Callable[[NodeId], bool],
        pace: Pace,
        scope: TaskScope,
    ) -> None:
        self.misses: dict[NodeId, Miss] = {}
        self.winner: NodeId | None = None
        self.unchecked: list[NodeId] = []
        self._left = list(dict.fromkeys(sources))
        self._known = set(self._left)
        self._choose = choose
        self._attempt = attempt
        self._may_hedge = may_hedge
        self._advances = advances
        self._pace = pace
        self._scope = scope
        self._loop = asyncio.get_running_loop()
        self._running: dict[NodeId, asyncio.Task[None]] = {}
        self._results: asyncio.Queue[tuple[NodeId, T | Miss | PutOff | BaseException]] = asyncio.Queue()
        self._hedged = False
        # Who may be asked again at which instant of the loop, how often each has put us off, and until when they may.
        self._later: dict[NodeId, float] = {}
        self._times_put_off: Counter[NodeId] = Counter()
        self._impatient_at: float | None = None
        self._named: set[NodeId] = set()
        self._begun_at: dict[NodeId, float] = {}

    def put_off(self, source: NodeId, outcome: PutOff) -> None:
        """Note that a source is to be asked later, and that it named others: those come after all that are left."""
        now = self._loop.time()
        if self._impatient_at is None:
            self._impatient_at = now + PATIENCE_SECONDS
        pause = min(PAUSE_FIRST * PAUSE_FACTOR ** self._times_put_off[source], PAUSE_MAX)
        self._times_put_off[source] += 1
        if source in self._left:
            self._left.remove(source)
        self._later[source] = now + min(max(outcome.seconds, pause), PAUSE_MAX)
        for other in outcome.others:
            if other not in self._known and len(self._known) < SOURCES_MAX:
                self._known.add(other)
                self._named.add(other)
                self._left.append(other)

    async def run(self) -> T | Miss:
        """Return what came of the chunk, `winner` says from whom; or a miss when no source gave it, see `misses`."""
        try:
            self._start_next()
            while self._running or self._later:
                result = await self._next_result()
                if result is None:
                    self._start_company()
                    continue
                source, outcome = result
                del self._running[source]
                if isinstance(outcome, BaseException):
                    raise outcome
                if isinstance(outcome, PutOff):
                    self.put_off(source, outcome)
                elif isinstance(outcome, Miss):
                    self.misses[source] = outcome
                    if outcome is Miss.UNCHECKED:
                        self.unchecked.append(source)
                else:
                    self.winner = source
                    return outcome
                if not self._running:
                    self._start_next()
            return Miss.NOT_HELD
        finally:
            await self._stop()

    def _start_next(self) -> None:
        source = self._next_source()
        if source is not None:
            self._begun_at[source] = self._loop.time()
            self._running[source] = self._scope.spawn(
                f"fetch from {source.short}", self._ask(source, self._manner(source))
            )

    def _next_source(self) -> NodeId | None:
        """Take whom to ask next; while others are asked, who put us off goes ahead of those whom it named."""
        now = self._loop.time()
        due = [source for source, at in self._later.items() if at <= now]
        again = due if self._running else []
        candidates = again or self._unasked() or due or ([] if self._later else self.unchecked)
        if not candidates:
            return None
        source = self._choose(candidates)
        if source in self._later:
            del self._later[source]
        else:
            (self._left if source in self._left else self.unchecked).remove(source)
        return source

    def _unasked(self) -> list[NodeId]:
        """List who was not asked yet; those that others named leave one place to who named them."""
        if len(self._running) < self._pace.parallel_max - 1 or not self._later:
            return self._left
        return [source for source in self._left if source not in self._named]

    def _manner(self, source: NodeId) -> Manner:
        if source in self.misses:
            return Manner.TO_CHECK
        is_patient = self._impatient_at is None or self._loop.time() < self._impatient_at
        return Manner.PATIENT if is_patient else Manner.FIRM

    def _is_late(self, source: NodeId) -> bool:
        """Say whether one that was only named keeps us from its betters, however much it delivers."""
        return source in self._named and self._loop.time() - self._begun_at[source] >= NAMED_SECONDS_MAX

    def _start_company(self) -> None:
        if len(self._running) == 1 and not self._hedged and not self._later:
            self._hedged = True
            if not self._may_hedge():
                return
        elif [source for source in self._running if self._advances(source) and not self._is_late(source)]:
            # A list: each of them notes that it was looked at.
            return
        self._start_next()

    async def _ask(self, source: NodeId, manner: Manner) -> None:
        outcome: T | Miss | PutOff | BaseException
        try:
            outcome = await self._attempt(source, manner)
        except asyncio.CancelledError:
            # Either the race is over and nobody looks, or the node is closing under a caller that must not wait on.
            self._results.put_nowait((source, NodeClosedError("the node was closed while it fetched a chunk")))
            raise
        except Exception as error:  # noqa: BLE001 - handed to the waiting caller, which raises it
            outcome = error
        self._results.put_nowait((source, outcome))

    async def _next_result(self) -> tuple[NodeId, T | Miss | PutOff | BaseException] | None:
        try:
            async with asyncio.timeout(self._patience()):
                return await self._results.get()
        except TimeoutError:
            return None

    def _patience(self) -> float | None:
        """Return for how long to wait for an answer before somebody else is asked."""
        pace, wait = self._pace, None
        if self._later:
            wait = max(min(self._later.values()) - self._loop.time(), 0.0)
        if not self._running:
            return wait
        if len(self._running) >= pace.parallel_max or not (self._left or self._later or self.unchecked):
            return None
        if wait is not None:
            return min(max(wait, pace.hedge_after), pace.failover_after)
        return pace.failover_after if self._hedged or len(self._running) > 1 else pace.hedge_after

    async def _stop(self) -> None:
        for task in self._running.values():
            task.cancel()
        for task in self._running.values():
            await settle(task)
