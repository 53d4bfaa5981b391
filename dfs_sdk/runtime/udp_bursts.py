"""Gathers datagrams of one source and one size before they are handed over: the memory they are read into.

Handling costs a burst far more than reading it does, and a burst of many datagrams hardly more than one of few. Both
backends read into a gatherer as long as something waits, and flush it before they return to the loop.

A datagram that does not go with those before it ends their burst, so a flood of foreign ones would cut every burst to
pieces. Therefore the owner may judge such a datagram first; what is foreign is forgotten, and the burst goes on.
"""

from __future__ import annotations

from collections.abc import Callable

from dfs_sdk.runtime.memory import LentMemory
from dfs_sdk.runtime.ports import ForeignTest
from dfs_sdk.runtime.udp_addressing import SocketAddress

BATCH_BYTES_ROOM = 128 * 1024  # one batch is at most 64 KiB; twice that shows a truncation for certain
GATHERED_BYTES_MAX = 5 * BATCH_BYTES_ROOM


class BurstGatherer:
    """Datagrams that were read and not yet handed over, end to end in one buffer.

    Attributes:
        room: Where to read next: at least `BATCH_BYTES_ROOM` bytes.
    """

    __slots__ = ("_begin", "_end", "_hand_over", "_is_foreign", "_segment_bytes", "_source", "_view", "room")

    def __init__(
        self, hand_over: Callable[[memoryview, int, SocketAddress], None], is_foreign: ForeignTest | None = None
    ) -> None:
        """Start empty.

        Args:
            hand_over: Called with each burst, the size of its datagrams but the last, and its source. It must not
                raise; the burst is lent.
            is_foreign: Judges single datagrams that would end a burst or begin one; None to gather all.
        """
        self._hand_over = hand_over
        self._is_foreign = is_foreign
        self._view = LentMemory(GATHERED_BYTES_MAX).getbuffer()
        self.room = self._view
        self._begin = self._end = self._segment_bytes = 0
        self._source: SocketAddress = ("", 0)

    def add(self, size: int, segment_bytes: int, source: SocketAddress) -> None:
        """Take what was read into the room.

        Args:
            size: Bytes read, at least 1.
            segment_bytes: Size of each datagram but the last.
            source: Where they came from.
        """
        end = self._end
        gathered = end - self._begin
        # Only the last datagram of a burst may be shorter than the others.
        alike = segment_bytes == self._segment_bytes or size == segment_bytes < self._segment_bytes
        if not gathered or not alike or gathered % self._segment_bytes or source != self._source:
            # A batch of several is not judged: the kernel may have put a foreign one in front of ours.
            single = size == segment_bytes
            if single and self._is_foreign is not None and self._is_foreign(self.room[:size]):
                return
            if gathered:
                self._hand_over(self._view[self._begin : end], self._segment_bytes, self._source)
            self._begin, self._segment_bytes, self._source = end, segment_bytes, source
        self._end = end + size
        self.room = self._view[self._end :]
        if len(self.room) < BATCH_BYTES_ROOM:
            self.flush()

    def flush(self) -> None:
        """Hand over what is there."""
        begin, end = self._begin, self._end
        self._begin = self._end = 0
        self.room = self._view
        if begin < end:
            self._hand_over(self._view[begin:end], self._segment_bytes, self._source)
