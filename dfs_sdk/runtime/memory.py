"""Memory to be lent out in views, whose pages nobody touches before they are used: a node that is idle holds few."""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO


class LentMemory(BytesIO):
    """Zeroed memory: `getbuffer` lends it to be written, `getvalue` gives it away; neither copies.

    Args:
        size_bytes: How much.
    """

    __slots__ = ()

    def __init__(self, size_bytes: int) -> None:
        super().__init__(bytes(size_bytes))

    def close(self) -> None:
        """Let go of it; what is still lent stays as it is."""
        # The collector closes it, too, maybe before the views it is found with: from Python 3.13 on each such error
        # would be printed where the user looks.
        with suppress(BufferError):
            super().close()
