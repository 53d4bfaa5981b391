"""Fixtures for everybody: what a test may not leave behind."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import AsyncIterator

import psutil
import pytest
from hypothesis import settings

OURS = "dfs"

# The gate draws the same examples for the same code, so that it says one thing of one commit; every run by hand
# explores new ones.
settings.register_profile("gate", derandomize=True, print_blob=True)
if os.environ.get("CI"):
    settings.load_profile("gate")


@pytest.fixture
async def nothing_left() -> AsyncIterator[None]:
    """Fail if the test leaves a task, a thread, a socket or a timer of ours behind."""
    process = psutil.Process()
    threads = {thread.ident for thread in threading.enumerate()}
    sockets = {(item.fd, item.laddr) for item in process.net_connections(kind="inet")}
    yield
    await asyncio.sleep(0)
    gc.collect()
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert [task.get_name() for task in tasks if not task.done()] == []
    left = [thread.name for thread in threading.enumerate() if thread.ident not in threads]
    assert [name for name in left if name.startswith(OURS)] == []
    assert {(item.fd, item.laddr) for item in process.net_connections(kind="inet")} <= sockets
    loop = asyncio.get_running_loop()
    timers = [handle for handle in getattr(loop, "_scheduled", ()) if not handle.cancelled()]
    assert [repr(handle) for handle in timers if "dfs_sdk" in repr(handle)] == []
