"""How urgent a message is: the order in which a connection spends its window."""

from __future__ import annotations

from enum import IntEnum


class Priority(IntEnum):
    """Lower values go first, strictly; a value in use is never given another meaning."""

    CONTROL = 0
    INTERACTIVE = 1
    TRANSFER = 2
    BACKGROUND = 3
