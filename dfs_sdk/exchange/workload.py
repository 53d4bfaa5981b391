"""How busy this node is with others' chunks, as it tells them: what waits or is on its way, and how long one takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dfs_sdk.exchange.messages import HolderLoad
from dfs_sdk.runtime.ports import Clock

SERVICE_TIME_WEIGHT = 0.1
QUEUE_SHOWN_MAX = 2**16 - 1
SERVICE_TIME_SHOWN_MAX = 3600.0


class Workload:
    """Counts and times the calls for chunks.

    Args:
        clock: Times them.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._queue = 0
        self._service_time = 0.0

    @property
    def load(self) -> HolderLoad:
        """What others are told."""
        return HolderLoad(
            queue=min(self._queue, QUEUE_SHOWN_MAX), service_time=min(self._service_time, SERVICE_TIME_SHOWN_MAX)
        )

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count and time the work of one call, done inside the block."""
        started_at = self._clock.monotonic()
        self._queue += 1
        try:
            yield
        finally:
            self._queue -= 1
            elapsed = self._clock.monotonic() - started_at
            self._service_time += SERVICE_TIME_WEIGHT * (elapsed - self._service_time)

    def send(self) -> None:
        """Count a chunk that is on its way to who asked."""
        self._queue += 1

    def sent(self) -> None:
        """Count it no longer."""
        self._queue -= 1
