"""What must happen in a forked child: keys are wiped and sockets closed there, or two processes would share a counter.

Source: NIST SP 800-38D, section 8 (a GCM nonce must never repeat under one key).
"""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable

logger = logging.getLogger(__name__)

_Reference = weakref.ref[Callable[[], None]]

_callbacks: dict[int, _Reference] = {}
_state = {"registered": False, "next": 0}


def on_fork_in_child(callback: Callable[[], None]) -> Callable[[], None]:
    """Call `callback` first thing in every forked child, as long as its owner lives; it is held weakly.

    Args:
        callback: A bound method, or a function that something else keeps; it must not wait, lock or touch the loop.

    Returns:
        A function that takes it back. Where the system cannot fork, nothing is ever called.
    """
    key = _state["next"]
    _state["next"] += 1

    def forget(_reference: object = None) -> None:
        _callbacks.pop(key, None)

    bound = hasattr(callback, "__self__")
    _callbacks[key] = weakref.WeakMethod(callback, forget) if bound else weakref.ref(callback, forget)
    if not _state["registered"] and hasattr(os, "register_at_fork"):
        _state["registered"] = True
        os.register_at_fork(after_in_child=_run)
    return forget


def _run() -> None:
    for reference in tuple(_callbacks.values()):
        callback = reference()
        if callback is not None:
            try:
                callback()
            except Exception:
                logger.exception("a callback in the forked child failed")
