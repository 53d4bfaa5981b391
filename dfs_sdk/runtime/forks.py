"""What must happen in a forked child: keys are wiped and sockets closed there, or two processes would share a counter.

Source: NIST SP 800-38D, section 8 (a GCM nonce must never repeat under one key).
"""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable
from types import MethodType
from typing import Any

logger = logging.getLogger(__name__)

# Owner and function apart: WeakMethod's own callbacks make noise when the interpreter is torn down.
_callbacks: dict[int, tuple[weakref.ref[Any], Callable[..., None] | None]] = {}
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

    if isinstance(callback, MethodType):
        _callbacks[key] = (weakref.ref(callback.__self__, forget), callback.__func__)
    else:
        _callbacks[key] = (weakref.ref(callback, forget), None)
    if not _state["registered"] and hasattr(os, "register_at_fork"):
        _state["registered"] = True
        os.register_at_fork(after_in_child=_run)
    return forget


def _run() -> None:
    for reference, function in tuple(_callbacks.values()):
        target = reference()
        if target is None:
            continue
        try:
            if function is None:
                target()
            else:
                function(target)
        except Exception:
            logger.exception("a callback in the forked child failed")
