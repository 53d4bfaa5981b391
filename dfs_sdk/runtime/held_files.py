"""Files that somebody else holds open: Windows then refuses to open, rename, replace or delete them for a moment.

Virus scanners and indexers look at what was just written, and a thread of ours may read what another one replaces. All
let go within milliseconds, so the call is made again; elsewhere such files are no obstacle, and a refusal is final.

Source: SQLite's `winRetryIoerr`, which does the same for the same reason.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

REFUSES_FOR_A_MOMENT = sys.platform == "win32"
PAUSES_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.6)
# ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION and ERROR_LOCK_VIOLATION
HELD_WINERRORS = frozenset((5, 32, 33))


def until_let_go(call: Callable[[], T]) -> T:
    """Make a call on a file, on Windows again as long as it is refused, for about a second. Blocks.

    Raises:
        PermissionError: It is still refused.
    """
    for pause in PAUSES_SECONDS if REFUSES_FOR_A_MOMENT else ():
        try:
            return call()
        except PermissionError:
            time.sleep(pause)
    return call()


def is_held(error: OSError) -> bool:
    """Say whether an error means that nothing happened to a file because somebody had it open; only Windows says so.

    Opening a file goes by the C library there, whose errors have no `winerror`.
    """
    winerror = getattr(error, "winerror", None)
    if winerror is None:
        return REFUSES_FOR_A_MOMENT and isinstance(error, PermissionError)
    return winerror in HELD_WINERRORS
