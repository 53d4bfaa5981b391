"""Transfers: what runs on a user's behalf, how far it is, and how to stop it.

A transfer runs as a task of the node, so that the one who awaits it, a panel that watches it and a button that cancels
it need not know each other. When it has ended, nothing of it runs any more.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextvars import ContextVar
from enum import Enum
from typing import Any, TypeVar

from dfs_sdk.errors import DfsError
from dfs_sdk.events import EventBus
from dfs_sdk.files.news import TransferEnded
from dfs_sdk.ids import NodeId
from dfs_sdk.runtime.door import Shown
from dfs_sdk.runtime.handlers import notify
from dfs_sdk.runtime.ports import Clock
from dfs_sdk.runtime.tasks import TaskScope, settle
from dfs_sdk.wire.text import safe_text

T = TypeVar("T")
RATE_WINDOW = 5.0
RATE_SAMPLES_MAX = 64
ERROR_LENGTH_MAX = 500
# Shorter than a connection that moves data at full speed remembers.
LAP_SECONDS = 30.0
NAME_LENGTH_MAX = 120

_current: ContextVar[Transfer | None] = ContextVar("current_transfer", default=None)


def current_transfer() -> Transfer | None:
    """The transfer that the running task works for, such as that which asks a source for its next bytes; else None."""
    return _current.get()


class Direction(Enum):
    """Which way the bytes go."""

    PUT = "put"
    GET = "get"


class TransferState(Enum):
    """How a transfer stands."""

    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Transfer(Shown):
    """One upload or download; `await` it for its result, `pause` and `resume` it, `cancel` it to stop it.

    Attributes:
        transfer_id: Small number, unique in this node's life.
        direction: Which way.
        name: The file's name, safe to show.
        started_at: On the monotonic clock.
        started_at_wall: In seconds since the epoch.
        ended_at: On the monotonic clock; infinity while it runs.
        ended_at_wall: In seconds since the epoch, as far from the begin as on the monotonic clock; NaN while it runs.
        bytes_done: Plain bytes finished.
        bytes_total: Plain bytes in all; None while unknown.
        sources: Peers involved so far.
        remains: What is left behind if it stops at this moment, in words.
        waiting: What it waits for, in words; empty while bytes arrive.
        patience: Seconds for which silent holders are asked again, as its user wants it; None as the settings say.
    """

    def __init__(
        self,
        *,
        transfer_id: int,
        direction: Direction,
        name: str,
        bytes_total: int | None,
        clock: Clock,
        progress: Callable[[Transfer], None] | None = None,
        on_lap: Callable[[Transfer], None] | None = None,
    ) -> None:
        self.transfer_id = transfer_id
        self.direction = direction
        self.name = safe_text(name, length_max=NAME_LENGTH_MAX)
        self.started_at = clock.monotonic()
        self.started_at_wall = clock.wall()
        self.ended_at = math.inf
        self.ended_at_wall = math.nan
        self.bytes_done = 0
        self.bytes_total = bytes_total
        self.sources: set[NodeId] = set()
        self.remains = ""
        self.waiting = ""
        self.patience: float | None = None
        self._clock = clock
        self._progress = progress
        self._on_lap = on_lap
        self._lap_at = self.started_at
        self._state = TransferState.RUNNING
        self._going = asyncio.Event()
        self._going.set()
        self._error = ""
        self._task: asyncio.Task[Any] | None = None
        self._outcome: Any = None
        self._failure: Exception | None = None
        self._samples: deque[tuple[float, int]] = deque([(self.started_at, 0)], maxlen=RATE_SAMPLES_MAX)

    @property
    def state(self) -> TransferState:
        """How it stands."""
        return TransferState.PAUSED if self.is_running and not self._going.is_set() else self._state

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet; a paused one has not."""
        return self._state is TransferState.RUNNING

    @property
    def error(self) -> str:
        """What went wrong, in words that are safe to show; empty while all is well."""
        return self._error

    @property
    def rate(self) -> float:
        """Bytes a second over the last seconds."""
        begin, done = self._samples[0]
        end = self._clock.monotonic() if self.is_running else self._samples[-1][0]
        return (self.bytes_done - done) / (end - begin) if end > begin else 0.0

    @property
    def eta(self) -> float:
        """Seconds to go; NaN while unknown, 0 when it has ended."""
        if not self.is_running:
            return 0.0
        if self.bytes_total is None or not self._going.is_set() or not (rate := self.rate):
            return math.nan
        return max(self.bytes_total - self.bytes_done, 0) / rate

    def advance(self, size: int) -> None:
        """Count bytes as finished and tell who watches."""
        self.bytes_done += size
        self.waiting = ""
        now = self._clock.monotonic()
        if now - self._samples[-1][0] >= RATE_WINDOW / RATE_SAMPLES_MAX:
            self._samples.append((now, self.bytes_done))
        while len(self._samples) > 2 and now - self._samples[0][0] > RATE_WINDOW:
            self._samples.popleft()
        if now - self._lap_at >= LAP_SECONDS:
            self._end_lap(now)
        self._tell()

    def wait_for(self, words: str) -> None:
        """Tell who watches what it waits for, until bytes arrive again."""
        self.waiting = words
        self._tell()

    def cancel(self) -> None:
        """Stop it; who awaits it gets `asyncio.CancelledError`. Harmless when it has ended."""
        if self._task is not None:
            self._task.cancel()

    def pause(self) -> None:
        """Begin no further chunk until `resume`; those on their way arrive. Harmless when it has ended."""
        if self.is_running and self._going.is_set():
            self._going.clear()
            self._tell()

    def resume(self) -> None:
        """Go on after `pause`."""
        if not self._going.is_set():
            self._samples = deque([(self._clock.monotonic(), self.bytes_done)], maxlen=RATE_SAMPLES_MAX)
            self._going.set()
            self._tell()

    async def turn(self) -> None:
        """Wait while it is paused: called by whoever does the work, before each piece of it."""
        await self._going.wait()

    def __await__(self) -> Generator[Any, None, Any]:
        return self._result().__await__()

    def __repr__(self) -> str:
        total = "?" if self.bytes_total is None else self.bytes_total
        return (
            f"Transfer({self.direction.value} {self.name!r}, {self._state.value}, {self.bytes_done} of {total} bytes)"
        )

    def start(self, scope: TaskScope, work: Callable[[Transfer], Coroutine[Any, Any, object]]) -> None:
        """Begin; called once, by `Transfers.run`."""
        self._task = scope.spawn(f"{self.direction.value} {self.transfer_id}", self._drive(work))

    async def stop(self) -> None:
        """Cancel it and wait until nothing of it runs."""
        if self._task is None:
            return
        self._task.cancel()
        await settle(self._task)
        if self.is_running:  # cancelled before its first step
            self._end(TransferState.CANCELLED, "cancelled")

    async def _result(self) -> Any:
        if self._task is not None:
            await asyncio.shield(self._task)
        if self._failure is not None:
            raise self._failure
        return self._outcome

    async def _drive(self, work: Callable[[Transfer], Coroutine[Any, Any, object]]) -> None:
        _current.set(self)
        try:
            self._outcome = await work(self)
        except asyncio.CancelledError:
            self._end(TransferState.CANCELLED, f"cancelled. {self.remains}".strip())
            raise
        except Exception as error:  # noqa: BLE001 - raised again for whoever awaits the transfer
            self._failure = error
            self._end(TransferState.FAILED, f"{_words(error)} {self.remains}".strip())
        else:
            self._end(TransferState.DONE, "")

    def _end(self, state: TransferState, error: str) -> None:
        self._state = state
        self.waiting = ""
        self._error = safe_text(error, length_max=ERROR_LENGTH_MAX)
        self.ended_at = self._clock.monotonic()
        self.ended_at_wall = self.started_at_wall + (self.ended_at - self.started_at)
        self._samples.append((self.ended_at, self.bytes_done))
        self._end_lap(self.ended_at)
        self._tell()

    def _end_lap(self, now: float) -> None:
        self._lap_at = now
        if self._on_lap is not None:
            self._on_lap(self)

    def _tell(self) -> None:
        if self._progress is not None:
            notify(self._progress, self, of=f"transfer {self.transfer_id}")


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, DfsError | OSError) and str(error) else type(error).__name__


class Transfers:
    """Starts transfers and remembers the latest ones.

    Args:
        scope: The parent of their tasks.
        clock: For rates.
        events: Where failures are announced.
        finished_max: Finished transfers remembered.
        numbers: Their ids, each taken once.
    """

    def __init__(
        self, *, scope: TaskScope, clock: Clock, events: EventBus, finished_max: int, numbers: Iterator[int]
    ) -> None:
        self._scope = scope
        self._clock = clock
        self._events = events
        self._finished_max = finished_max
        self._numbers = numbers
        self._lap_handlers: list[Callable[[Transfer], None]] = []
        self._all: dict[int, Transfer] = {}

    def listed(self) -> list[Transfer]:
        """List running and remembered transfers, oldest first."""
        return list(self._all.values())

    def on_lap(self, handler: Callable[[Transfer], None]) -> None:
        """Call `handler` with each transfer at the instant of its end, however it ends, and every half minute before.

        The latter only while bytes arrive.
        """
        self._lap_handlers.append(handler)

    async def run(
        self,
        direction: Direction,
        name: str,
        work: Callable[[Transfer], Coroutine[Any, Any, T]],
        *,
        bytes_total: int | None,
        progress: Callable[[Transfer], None] | None,
    ) -> T:
        """Run `work` as a transfer and return its result; cancelling the caller cancels it and waits for its end."""
        transfer = Transfer(
            transfer_id=next(self._numbers),
            direction=direction,
            name=name,
            bytes_total=bytes_total,
            clock=self._clock,
            progress=progress,
            on_lap=self._end_lap,
        )
        self._all[transfer.transfer_id] = transfer
        transfer.start(self._scope, work)
        try:
            result: T = await transfer
        except BaseException:
            await transfer.stop()
            self._announce(transfer)
            raise
        finally:
            self._forget_oldest()
        return result

    def _end_lap(self, transfer: Transfer) -> None:
        for handler in self._lap_handlers:
            notify(handler, transfer, of=f"transfer {transfer.transfer_id}")

    def _announce(self, transfer: Transfer) -> None:
        self._events.publish(
            TransferEnded(
                at_wall=self._clock.wall(),
                transfer_id=transfer.transfer_id,
                name=transfer.name,
                reason=transfer.error or transfer.state.value,
            )
        )

    def _forget_oldest(self) -> None:
        finished = [number for number, transfer in self._all.items() if not transfer.is_running]
        for number in finished[: max(len(finished) - self._finished_max, 0)]:
            del self._all[number]
