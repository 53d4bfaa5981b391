"""An event loop whose clock jumps to the next timer: minutes pass at once, in the right order, without a sleep."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs on virtual seconds; files and sockets work, but nobody waits for them while a timer is due."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        select = self._selector.select

        def jump(timeout: float | None) -> Any:
            if timeout is not None and timeout > 0 and self._scheduled:
                self._now = max(self._now, self._scheduled[0]._when)
                timeout = 0
            return select(timeout)

        self._selector.select = jump

    def time(self) -> float:
        return self._now


def run_virtual(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a fresh virtual loop."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coroutine)


async def turns(count: int = 3, *, seconds: float = 3.2) -> None:
    """Let virtual time pass, so that whatever wakes every three seconds had its turns."""
    for _ in range(count):
        await asyncio.sleep(seconds)
