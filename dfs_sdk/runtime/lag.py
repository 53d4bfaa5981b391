"""How long the loop was held: what a blocked cell looks like from inside.

A tick is asked for every 100 ms; the time by which it comes late is the time the loop did something else, in a notebook
mostly a synchronous cell.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

INTERVAL_SECONDS = 0.1
REPORT_SECONDS = 0.5
WINDOW_TICKS = 600  # one minute of ticks


class LagMeter:
    """Measures the lateness of its own ticks on the running loop.

    Args:
        on_lag: Called on the loop with the lateness in seconds, when it is above `report_seconds`.
        interval_seconds: Between two ticks, above 0.
        report_seconds: The lateness from which on it is worth telling.
    """

    def __init__(
        self,
        *,
        on_lag: Callable[[float], None],
        interval_seconds: float = INTERVAL_SECONDS,
        report_seconds: float = REPORT_SECONDS,
    ) -> None:
        self._on_lag = on_lag
        self._interval = interval_seconds
        self._report = report_seconds
        self._window: deque[float] = deque(maxlen=WINDOW_TICKS)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def max_seconds(self) -> float:
        """The worst lateness of the last 600 ticks; 0 before the first."""
        return max(self._window, default=0.0)

    def start(self) -> None:
        """Begin on the running loop; calling it again is harmless."""
        if self._timer is None:
            self._loop = asyncio.get_running_loop()
            self._schedule(self._loop)

    def stop(self) -> None:
        """End; no callback comes afterwards."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + self._interval
        self._timer = loop.call_at(due, self._tick, loop, due)

    def _tick(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        late = max(0.0, loop.time() - due)
        self._window.append(late)
        self._schedule(loop)
        if late > self._report:
            self._on_lag(late)
