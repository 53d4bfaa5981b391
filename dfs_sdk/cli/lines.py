"""Lines from stdin, awaited.

A terminal cannot be awaited on every system, so a thread reads. It is a daemon of our own instead of one of asyncio's
workers: those are waited for at the end, and Ctrl-C would hang until somebody pressed Enter.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import suppress

logger = logging.getLogger(__name__)

LINES_MAX = 1_000


async def stdin_lines() -> AsyncIterator[str]:
    """Iterate over the lines of stdin without their ends, until it is closed (Ctrl-D)."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str | None] = asyncio.Queue()
    room = threading.Semaphore(LINES_MAX)

    def read() -> None:
        with suppress(RuntimeError):  # the loop was closed meanwhile
            try:
                for line in sys.stdin:
                    room.acquire()
                    loop.call_soon_threadsafe(lines.put_nowait, line)
            except (OSError, ValueError) as error:  # the terminal is gone, or what comes from it is no text
                logger.warning("no more can be read from the terminal: %s", error)
            finally:
                loop.call_soon_threadsafe(lines.put_nowait, None)

    threading.Thread(target=read, name="dfs-stdin", daemon=True).start()
    while (line := await lines.get()) is not None:
        room.release()
        yield line.rstrip("\r\n")
