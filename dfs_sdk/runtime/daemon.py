"""What the homes on a thread of their own share: the thread, whether it is to end, and waiting until it has.

`homes.ThreadHome` runs one loop on it, `driven.DrivenHome` a whole world.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from abc import abstractmethod
from collections.abc import Coroutine
from typing import Any, TypeVar

from dfs_sdk.runtime.home import Home

T = TypeVar("T")

JOIN_SECONDS = 5.0


class DaemonHome(Home):
    """A home on a daemon thread of its own, which lives from `_launch` until what `_main` does has ended.

    Args:
        name: The thread's.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopped: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._stopping = False

    @property
    def thread_id(self) -> int:
        """The identifier of the thread; 0 while there is none."""
        return (self._thread.ident or 0) if self._thread is not None else 0

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """See `Home.run`; when the coroutine closed this home, the thread has ended on return."""
        try:
            return await super().run(coroutine)
        finally:
            if self._stopping and not self.on_thread:
                await self._ended()

    @abstractmethod
    def _main(self) -> None:
        """Live on the thread until the home is closed; sets `_stopped` last."""

    def _launch(self) -> None:
        """Start the thread where there is none; the guard is held."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._main, name=self._name, daemon=True)
            self._thread.start()
            self._arm_exit()

    async def _ended(self) -> None:
        await asyncio.shield(asyncio.wrap_future(self._stopped))
        self._join()

    def _join(self) -> None:
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(JOIN_SECONDS)
