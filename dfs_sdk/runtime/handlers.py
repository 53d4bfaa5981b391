"""Handlers that others registered: called so that a mistake of theirs does not end what they are told of."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVarTuple

logger = logging.getLogger(__name__)

Ts = TypeVarTuple("Ts")


def notify(handler: Callable[[*Ts], object], *news: *Ts, of: str) -> None:
    """Call a handler; what it raises is logged.

    Args:
        handler: Whom to tell.
        news: What.
        of: What this is news of, for the log.
    """
    try:
        handler(*news)
    except Exception:
        logger.exception("a handler of %s failed", of)
