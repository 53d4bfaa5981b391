"""Memory for large things on their way, used again when nobody looks at it any more.

Messages that come in and chunks that are read from the disk land in it. Fresh memory has to be zeroed, and for large
ones to be asked of the kernel page by page: together that costs more than to decrypt what comes into it. So what was
lent is remembered, and lent again once no view of it is left. Nobody has to give anything back: CPython counts the
views of a `BytesIO` and refuses to resize it as long as there is one, so memory that anybody can still read or write is
never taken for free, however it was passed on.

Large memory is had untouched: its pages come one by one as bytes land in them, not all at the moment at which a message
begins, when the loop would stand still for them.

What was in the memory before is not cleared: only what was written anew is handed over.
"""

from __future__ import annotations

from collections import deque

from dfs_sdk.runtime.memory import LentMemory

MIB = 1024 * 1024

# Smaller ones come from the allocator's own free lists, without a call to the kernel.
KEPT_BYTES_MIN = 128 * 1024
KEPT_BYTES_MAX = 32 * MIB
# Messages with chunks differ by a few bytes; rounded up, they find each other's memory.
ROOM_STEP_BYTES = 64 * 1024
LOOKS_MAX = 16
IDLE_SECONDS = 10.0


class Buffers:
    """Memory for large messages.

    Args:
        bytes_max: The most that is remembered, lent or free; more than that is lent and forgotten.
    """

    __slots__ = ("_bytes_max", "_idle_since", "_kept", "_taken", "_taken_before", "kept_bytes")

    def __init__(self, bytes_max: int = KEPT_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._kept: deque[LentMemory] = deque()  # those lent longest ago first
        self.kept_bytes = 0
        self._taken = self._taken_before = 0
        self._idle_since = 0.0

    def take(self, size: int) -> memoryview:
        """Lend `size` bytes; they are free again when this view and all made of it are gone.

        They hold zeros or what an earlier message left there.
        """
        if size < KEPT_BYTES_MIN:
            return memoryview(bytearray(size))
        self._taken += 1
        room = -(-size // ROOM_STEP_BYTES) * ROOM_STEP_BYTES
        kept = self._kept
        for _ in range(min(len(kept), LOOKS_MAX)):
            kept.rotate(-1)
            if kept[-1].size_bytes == room and not kept[-1].is_lent:
                return kept[-1].getbuffer()[:size]
        memory = LentMemory(room)
        self._keep(memory)
        return memory.getbuffer()[:size]

    def rest(self, now: float) -> None:
        """Forget all memory when none was asked for in a while; called now and then."""
        if self._taken != self._taken_before or not self._kept:
            self._taken_before, self._idle_since = self._taken, now
        elif now - self._idle_since >= IDLE_SECONDS:
            self.clear()

    def clear(self) -> None:
        """Forget all memory; what is lent stays its holders'."""
        self._kept.clear()
        self.kept_bytes = 0

    def _keep(self, memory: LentMemory) -> None:
        while self._kept and self.kept_bytes + memory.size_bytes > self._bytes_max:
            self.kept_bytes -= self._kept.popleft().size_bytes
        if memory.size_bytes <= self._bytes_max:
            self._kept.append(memory)
            self.kept_bytes += memory.size_bytes
