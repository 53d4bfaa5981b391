"""Memory to be lent out in views, whose pages nobody touches before they are used: a node that is idle holds few."""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO


class LentMemory(BytesIO):
    """Zeroed memory: `getbuffer` lends it to be written, `getvalue` gives it away; neither copies.

    Args:
        size_bytes: How much.

    Attributes:
        size_bytes: The same.
    """

    __slots__ = ("size_bytes",)

    def __init__(self, size_bytes: int) -> None:
        super().__init__(bytes(size_bytes))
        self.size_bytes = size_bytes

    @property
    def is_lent(self) -> bool:
        """Whether a view of it is left: CPython counts them and refuses even to be asked for another size."""
        try:
            self.truncate(self.size_bytes)
        except BufferError:
            return True
        return False

    def close(self) -> None:
        """Let go of it; what is still lent stays as it is."""
        # The collector closes it, too, maybe before the views it is found with: from Python 3.13 on each such error
        # would be printed where the user looks.
        with suppress(BufferError):
            super().close()


_LENT = type(LentMemory(1).getbuffer().obj)


def is_settled(view: memoryview) -> bool:
    """Say whether the bytes of a view stay as they are while anybody looks at them.

    They do in a `bytes` object, and in lent memory whose owner passes on views that are read-only once it is filled.
    """
    return type(view.obj) is bytes or (view.readonly and type(view.obj) is _LENT)
