"""Waiting for a coroutine on the very loop that runs the caller: the notebook's blocking calls.

The loop is made re-entrant by nest-asyncio2 on the first such call, not before: applying it costs a third of the small
UDP calls a loop can make. The original nest_asyncio loses cells on ipykernel 7 and is only warned about here.

Ctrl-C cancels the awaited task through the loop, as `asyncio.Runner` does: raised at any bytecode, KeyboardInterrupt
would end whichever background task happened to run. A second Ctrl-C is raised at once.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import warnings
from collections.abc import Sized
from types import FrameType
from typing import Any, TypeVar, cast

from dfs_sdk.errors import DeadlineError, NodeClosedError, SyncCallError

T = TypeVar("T")

UNWIND_SECONDS = 5.0
OLD_NESTING_REMEDY = (
    "nest_asyncio 1.6.0 is active in this kernel and loses cells on ipykernel 7: remove nest_asyncio.apply(), "
    "restart the kernel and use nest-asyncio2 where you need it (dfs_sdk applies it by itself)"
)

_state = {"warned": False}


def run_nested(loop: asyncio.AbstractEventLoop, task: asyncio.Task[T], timeout: float | None) -> T:
    """Drive `loop` until `task` is done; the caller is on the loop's thread, the loop running or not.

    Args:
        loop: The loop of `task`.
        task: What to wait for; always done when this returns or raises, unless it resists cancellation.
        timeout: Seconds after which the task is cancelled; None waits for ever.

    Raises:
        DeadlineError: The time is over.
        KeyboardInterrupt: Ctrl-C was pressed.
        NodeClosedError: The task was cancelled by somebody else, or the loop was stopped.
        SyncCallError: This kind of loop cannot be nested.
    """
    handles = 0
    if loop.is_running():
        _make_reentrant(loop)
        handles = len(_ready_handles(loop))
    try:
        with _Interrupts(loop, task), _Deadline(loop, task, timeout):
            return loop.run_until_complete(task)
    except asyncio.CancelledError:
        raise NodeClosedError("the call was cancelled: its node was closed") from None
    except RuntimeError as error:
        if task.done():
            raise
        _unwind(loop, task)
        raise NodeClosedError("the loop was stopped while the call ran") from error
    except BaseException:
        if not task.done():
            _unwind(loop, task)
        raise
    finally:
        _refill(loop, handles)


def warn_about_old_nesting() -> None:
    """Warn once when the original nest_asyncio has patched a kernel that loses cells by it."""
    if _state["warned"] or not hasattr(asyncio, "_nest_patched") or hasattr(asyncio, "_nest_asyncio2"):
        return
    ipykernel = sys.modules.get("ipykernel")
    if ipykernel is not None and getattr(ipykernel, "version_info", (0,))[0] >= 7:
        _state["warned"] = True
        warnings.warn(OLD_NESTING_REMEDY, RuntimeWarning, stacklevel=3)


def _make_reentrant(loop: asyncio.AbstractEventLoop) -> None:
    if hasattr(loop, "_nest_patched"):
        warn_about_old_nesting()
        return
    import nest_asyncio2

    try:
        nest_asyncio2.apply(loop)
    except ValueError as error:
        raise SyncCallError(
            f"{type(loop).__name__} cannot run a blocking call inside itself: write `await` there"
        ) from error


def _ready_handles(loop: asyncio.AbstractEventLoop) -> Sized:
    return cast("Sized", getattr(loop, "_ready", ()))


def _refill(loop: asyncio.AbstractEventLoop, count: int) -> None:
    """Give the turn of the loop below us as many ready handles as there were before.

    When the loop was made re-entrant in this very turn, it is still CPython's own `_run_once`: it counts the ready
    handles beforehand and pops that many, and the nested turns have run some of them. An empty queue would end the loop
    and the kernel with it (seen with ipykernel 6.31: "IndexError: pop from an empty deque").
    """
    if not loop.is_closed():
        for _ in range(count - len(_ready_handles(loop))):
            loop.call_soon(_nothing)


def _nothing() -> None:
    """Fill a place in the queue."""


def _unwind(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
    """Cancel `task` and give it a bounded time to clean up."""
    task.cancel()
    if loop.is_closed():
        return

    async def end() -> None:
        await asyncio.wait({task}, timeout=UNWIND_SECONDS)

    ending = end()
    try:
        loop.run_until_complete(ending)
    except RuntimeError:  # stopped again: the loop is on its way out and ends its tasks itself
        ending.close()


class _Deadline:
    """Cancels `task` after `timeout` seconds and says so."""

    def __init__(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any], timeout: float | None) -> None:
        self._task = task
        self._timeout = timeout
        self._expired = False
        self._timer = loop.call_later(timeout, self._expire) if timeout is not None else None

    def __enter__(self) -> None:
        """The clock runs already."""

    def __exit__(self, kind: type[BaseException] | None, *_exc: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._expired and kind is asyncio.CancelledError:
            raise DeadlineError(f"not finished after {self._timeout} s: try again, or give it more time") from None

    def _expire(self) -> None:
        self._expired = self._task.cancel()


class _Interrupts:
    """Turns the first SIGINT inside the block into a cancellation of `task`; only on the main thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
        self._loop = loop
        self._task = task
        self._seen = False
        self._before: Any = None

    def __enter__(self) -> None:
        """Take the place of the present handler, unless SIGINT is ignored."""
        if threading.current_thread() is threading.main_thread():
            before = signal.getsignal(signal.SIGINT)
            if before is not None and before is not signal.SIG_IGN:
                self._before = before
                signal.signal(signal.SIGINT, self._on_signal)

    def __exit__(self, *_exc: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
        if self._seen:
            raise KeyboardInterrupt from None

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._seen:
            raise KeyboardInterrupt
        self._seen = True
        self._loop.call_soon_threadsafe(self._task.cancel)
