"""Children of fork(): what they do to what they have inherited."""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import Callable

import pytest

can_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")


async def exit_code_of_child(deed: Callable[[], int]) -> int:
    """Fork, and let the child do one deed.

    Returns:
        What the deed returned, or 1 if it raised.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of fork() with threads: it is the point
        child = os.fork()
    if child == 0:
        code = 1
        try:
            code = deed()
        finally:
            os._exit(code)
    _, status = await asyncio.to_thread(os.waitpid, child, 0)
    return os.waitstatus_to_exitcode(status)
