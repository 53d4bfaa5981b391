"""Noticing from another thread that an event loop stands still: what a long synchronous cell does to its kernel's.

The loop leaves a mark four times a second. A thread looks at it and, once the mark is too old, calls whoever watches,
and again in intervals until the loop turns. Code that keeps Python's global lock stops the thread, too.

Only the loop of the main thread is watched: that is where cells and scripts run. A loop elsewhere has its thread to
itself.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

MARK_SECONDS = 0.25
JOIN_SECONDS = 2.0


class ThreadStandstills:
    """Watches loops of this process, each with a thread of its own."""

    __slots__ = ()

    def watch(self, tell: Callable[[], None], *, after: float, every: float) -> Callable[[], None]:
        """Begin to watch the running loop, if it is that of the main thread: see `Standstills.watch`."""
        if threading.current_thread() is not threading.main_thread():
            return _nothing
        return _Watch(tell, after=after, every=every).stop


def _nothing() -> None:
    """Nothing is watched here."""


class _Watch:
    """One loop and the thread that looks at it."""

    def __init__(self, tell: Callable[[], None], *, after: float, every: float) -> None:
        self._tell = tell
        self._after = after
        self._every = every
        self._loop = asyncio.get_running_loop()
        self._marked_at = time.monotonic()
        self._timer = self._loop.call_later(MARK_SECONDS, self._mark)
        self._ended = threading.Event()
        self._telling = threading.Lock()
        self._thread = threading.Thread(target=self._main, name="dfs-standstill", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; `tell` neither runs nor is called afterwards."""
        self._timer.cancel()
        self._ended.set()
        with self._telling:
            pass  # whoever is telling finishes first
        self._thread.join(JOIN_SECONDS)

    def _mark(self) -> None:
        self._marked_at = time.monotonic()
        self._timer = self._loop.call_later(MARK_SECONDS, self._mark)

    def _main(self) -> None:
        due = self._after
        while not self._ended.wait(MARK_SECONDS) and not self._loop.is_closed():
            still = time.monotonic() - self._marked_at
            if still < self._after:
                due = self._after
            elif still >= due:
                due = still + self._every
                self._tell_once()

    def _tell_once(self) -> None:
        with self._telling:
            if self._ended.is_set():
                return
            try:
                self._tell()
            except Exception:
                logger.exception("could not say that the loop stands still")
