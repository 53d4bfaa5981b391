"""How long a download waits for silent holders: it says so soon, and gives up when its user wants it to.

A holder that is silent may be gone, or its notebook busy with one long cell: only who waits knows what that is worth.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from dfs_sdk.errors import ConfigError, DeadlineError
from dfs_sdk.files.transfers import Transfer, TransferState
from dfs_sdk.runtime.ports import Clock
from dfs_sdk.runtime.tasks import run_all, within

T = TypeVar("T")

SILENCE_TOLD = 3.0
LOOK_INTERVAL = 1.0
_GUESS = "its holders may be blocked, slow or gone"


def validate_timeout(timeout: float | None) -> None:
    """Check how long a user wants to wait.

    Raises:
        ConfigError: It is not above 0.
    """
    if timeout is not None and not timeout > 0:
        raise ConfigError(f"timeout is {timeout}: give seconds above 0, or None to wait while holders may be blocked")


async def found_within(work: Coroutine[Any, Any, T], timeout: float | None) -> T:
    """Wait for what comes before a download has begun: its list of chunks.

    Raises:
        DeadlineError: It took longer.
    """
    return await within(
        timeout,
        work,
        otherwise=lambda: DeadlineError(
            f"nobody gave this file's list of chunks within {timeout:g} s: its holders may be blocked or gone; "
            "try again later, or give a longer timeout"
        ),
    )


async def patiently(work: Coroutine[Any, Any, T], transfer: Transfer, clock: Clock, *, timeout: float | None) -> T:
    """Run a download, tell in `transfer.waiting` when nothing arrives, and give up after `timeout` seconds of that.

    Holders that are silent are asked again until then.

    Raises:
        DeadlineError: No chunk arrived for so long; the work was cancelled and has ended.
        Exception: Whatever `work` raises.
    """
    transfer.patience = timeout
    ended, results = asyncio.Event(), list[T]()

    async def act() -> None:
        try:
            results.append(await work)
        finally:
            ended.set()

    await run_all(act(), _watch(ended, transfer, clock, timeout))
    return results[0]


async def _watch(ended: asyncio.Event, transfer: Transfer, clock: Clock, timeout: float | None) -> None:
    seen, since = transfer.bytes_done, clock.monotonic()
    interval = LOOK_INTERVAL if timeout is None else min(LOOK_INTERVAL, timeout)
    while not ended.is_set():
        try:
            async with asyncio.timeout(interval):
                await ended.wait()
        except TimeoutError:
            pass
        # What has all arrived is on its way to the disk; what is paused is not waited for.
        held_up = transfer.state is TransferState.PAUSED or transfer.bytes_done == transfer.bytes_total
        if held_up or transfer.bytes_done != seen:
            seen, since = transfer.bytes_done, clock.monotonic()
        silent = clock.monotonic() - since
        if timeout is not None and silent >= timeout:
            raise DeadlineError(f"no chunk of {transfer.name} arrived for {silent:.0f} s: {_GUESS}; try again later")
        if silent >= SILENCE_TOLD:
            transfer.wait_for(f"no chunk arrived for {silent:.0f} s: {_GUESS}")
