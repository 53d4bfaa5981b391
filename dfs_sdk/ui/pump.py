"""Copies snapshots into panels: at most ten times a second, only on the node's home loop, and only what changed.

One pump serves one panel, or all panels of a dashboard, so that they share each snapshot. News of the node wakes it;
a slow heartbeat catches what changes without news. It never takes more than a tenth of the loop's time, nor more than
`BYTES_PER_SECOND_MAX` and its share of the messages (`ui.outlet`) of the connection to the browser: it just gets
slower, and each panel has its turn.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Protocol

from dfs_sdk.errors import DfsError
from dfs_sdk.events import Event
from dfs_sdk.node.snapshot import NodeSnapshot
from dfs_sdk.ui.face import NodeFace
from dfs_sdk.ui.outlet import outlet_of

logger = logging.getLogger(__name__)

INTERVAL_MIN = 0.1
HEARTBEAT_INTERVAL = 3.0
LIVELY_INTERVAL = 0.5
LOOP_SHARE_MAX = 0.1
BYTES_PER_SECOND_MAX = 1_000_000


class Pumped(Protocol):
    """What a pump fills."""

    @property
    def lively(self) -> bool:
        """Whether it shows something that moves without news, such as a countdown or a progress bar."""
        ...

    def refresh(self, snapshot: NodeSnapshot) -> int:
        """Show a snapshot; returns about how many bytes that sent."""
        ...


class Pump:
    """The one task that writes the traits of its panels.

    Args:
        node: Whose snapshots to show.
        interval: The least seconds between two writes.
        heartbeat: The most seconds between two looks at the node while there is no news and no panel is lively.
    """

    def __init__(
        self, node: NodeFace, *, interval: float = INTERVAL_MIN, heartbeat: float = HEARTBEAT_INTERVAL
    ) -> None:
        self._node = node
        self._interval = interval
        self._heartbeat = heartbeat
        self._outlet = outlet_of(node)
        self._panels: tuple[Pumped, ...] = ()
        self._task: Future[None] | None = None
        self._news: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def running(self) -> bool:
        """Whether its task runs."""
        return self._task is not None and not self._task.done()

    def attach(self, panel: Pumped) -> None:
        """Fill `panel`, too, and start if the node runs."""
        self._panels = (*self._panels, panel)
        self.start()

    def detach(self, panel: Pumped) -> None:
        """Fill `panel` no more; without panels the task ends."""
        self._panels = tuple(each for each in self._panels if each is not panel)
        if not self._panels and self._task is not None:
            self._task.cancel()
            self._task = None

    def start(self) -> bool:
        """Start the task unless it runs; from any thread. Returns False when the node cannot run it."""
        if self.running or not self._panels:
            return self.running
        self._task = submitted(self._node, self._run())
        return self._task is not None

    def wake(self) -> None:
        """Look at the node soon; from any thread."""
        loop, news = self._loop, self._news
        if loop is not None and news is not None:
            with suppress(RuntimeError):  # the loop was closed: nothing is left to look at
                loop.call_soon_threadsafe(news.set)

    async def _run(self) -> None:
        news = self._news = asyncio.Event()
        subscription = self._node.subscribe(Event, lambda _event: news.set())
        loop = self._loop = asyncio.get_running_loop()
        try:
            while self._panels:
                begun = loop.time()
                shown = len(self._panels)
                filled, size = self._fill(self._panels)
                spent = loop.time() - begun
                await asyncio.sleep(max(self._interval, spent / LOOP_SHARE_MAX, size / BYTES_PER_SECOND_MAX))
                if filled < shown:
                    await asyncio.sleep(self._outlet.wait())
                    continue
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._patience()):
                        await news.wait()
                news.clear()
        finally:
            subscription.cancel()
            self._news = self._loop = None
            self._outlet.flush()
            self._fill(self._panels, last=True)

    def _patience(self) -> float:
        return LIVELY_INTERVAL if any(panel.lively for panel in self._panels) else self._heartbeat

    def _fill(self, panels: tuple[Pumped, ...], *, last: bool = False) -> tuple[int, int]:
        """Fill panels while there is room for their messages; who had no turn is the first to have one the next time.

        Args:
            panels: In the order of their turns.
            last: The node ends: show how, room or not.

        Returns:
            How many had their turn, and about how many bytes that took.
        """
        try:
            snapshot = self._node.snapshot()
        except DfsError as error:
            logger.debug("no snapshot to show: %s", error)
            return len(panels), 0
        size = 0
        for place, panel in enumerate(panels):
            if not last and not self._outlet.room():
                self._panels = (*self._panels[place:], *self._panels[:place])
                return place, size
            try:
                size += panel.refresh(snapshot)
            except Exception:  # one panel's fault must not stop the others
                logger.exception("%r could not show the node", panel)
        return len(panels), size


def submitted(node: NodeFace, coroutine: Coroutine[Any, Any, None]) -> Future[None] | None:
    """Hand a coroutine to the node; None, and the coroutine is closed, when the node does not run."""
    try:
        return node.submit(coroutine)
    except (DfsError, RuntimeError) as error:
        coroutine.close()
        logger.debug("the node takes no work: %s", error)
        return None
