"""A chunk that many want at one time: whom to give it, whom to put off, and who may give it in our place. Pure.

A holder that gave a chunk to everybody at once would give it slowly to all, and nobody could pass it on before the end.
So it gives it to a few readers at a time. Those that asked while others did are asked to keep it for a while, and once
they have it they are named to whoever is put off: the number of those who give grows with the number of those who want.

Source: Stavrou, Rubenstein and Sahu, "A Lightweight, Robust P2P System to Handle Flash Crowds" (2004), for peers that
wanted something shortly before as its next sources.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from dfs_sdk.ids import ChunkId, NodeId

# Smaller chunks are given faster than anybody could be sent elsewhere.
SHARED_BYTES_MIN = 64 * 1024
GIVEN_AT_ONCE_MAX = 3
# Beside so many other readers a chunk is given only if nobody else could.
READERS_AT_ONCE_MAX = 3
# A gift that takes longer than twice the usual, within these bounds in seconds, stands in nobody's way.
COUNTED_MIN = 3.0
COUNTED_MAX = 10.0
# Nor do further ones of that chunk to the same reader, for a while.
SLOW_SECONDS = 30.0
SLOW_MAX = 64
LENDERS_MAX = 16
NAMED_MAX = 4
CHUNKS_MAX = 512
# Two readers want a chunk at one time if they ask within so many seconds.
CROWD_SECONDS = 10.0
LEND_SECONDS = 30.0
WAIT_MIN = 0.02
WAIT_MAX = 2.0
GIVING_TIME_UNKNOWN = 0.2
GIVING_TIME_WEIGHT = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class PutOff:
    """What a reader is told in the place of a chunk.

    Attributes:
        seconds: After so long it may ask again.
        others: Who may give the chunk meanwhile.
    """

    seconds: float
    others: tuple[NodeId, ...]


@dataclass(slots=True)
class _Lender:
    until: float
    named: int = 0


@dataclass(slots=True)
class _Chunk:
    """What is known of one chunk.

    Attributes:
        gifts: How many are under way to each reader that counts.
        slow: Readers that took too long, and until when they count no more.
        reader: Who asked last.
        asked_at: When.
        other_asked_at: When somebody else asked last.
        lenders: Who was asked to keep it and has it.
    """

    gifts: Counter[NodeId] = field(default_factory=Counter)
    slow: dict[NodeId, float] = field(default_factory=dict)
    reader: NodeId | None = None
    asked_at: float = -math.inf
    other_asked_at: float = -math.inf
    lenders: dict[NodeId, _Lender] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True, eq=False)
class Gift:
    """A chunk on its way to a reader.

    Attributes:
        demand: Whose it is.
        chunk: What is known of the chunk.
        reader: Who asked.
        keep: Whether the reader is asked to keep the chunk for others.
        started_at: When it was begun.
    """

    demand: Demand
    chunk: _Chunk
    reader: NodeId
    keep: bool
    started_at: float

    def end(self, *, taken: bool) -> None:
        """Say whether the reader took it; to be called once."""
        self.demand.on_end(self, taken=taken)


class Demand:
    """Who is given which chunk just now, and who was asked to keep it for others.

    Args:
        now: Tells the time in seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._chunks: OrderedDict[ChunkId, _Chunk] = OrderedDict()
        self._counted: dict[Gift, None] = {}  # in the order in which they were begun
        self._gifts_to: Counter[NodeId] = Counter()
        self._giving_time = GIVING_TIME_UNKNOWN

    def __len__(self) -> int:
        return len(self._chunks)

    def put_off(self, chunk_id: ChunkId, reader: NodeId) -> PutOff | None:
        """Say that a reader has to wait or to ask others, or None: give it the chunk."""
        chunk = self._chunks.get(chunk_id)
        if chunk is None:
            return None
        self._forget_slow()
        is_free = _but(chunk.gifts, reader) < GIVEN_AT_ONCE_MAX
        if is_free and (_but(self._gifts_to, reader) < READERS_AT_ONCE_MAX or not self._has_lender(chunk, reader)):
            return None
        self._note(chunk, reader)
        return PutOff(seconds=min(max(self._giving_time / 2, WAIT_MIN), WAIT_MAX), others=self._name(chunk, but=reader))

    def give(self, chunk_id: ChunkId, reader: NodeId, *, keeps: bool) -> Gift:
        """Begin to give a chunk to a reader; end it in any case.

        Args:
            chunk_id: The chunk.
            reader: Who asked.
            keeps: Whether it may be asked to keep the chunk for others.
        """
        self._forget_slow()
        now, chunk = self._now(), self._chunk(chunk_id)
        keep = self._note(chunk, reader) and keeps
        gift = Gift(demand=self, chunk=chunk, reader=reader, keep=keep, started_at=now)
        if chunk.slow.get(reader, now) <= now:
            chunk.slow.pop(reader, None)
            chunk.gifts[reader] += 1
            self._gifts_to[reader] += 1
            self._counted[gift] = None
        return gift

    def on_end(self, gift: Gift, *, taken: bool) -> None:
        """Take in that a gift ended."""
        self._stop_counting(gift)
        if not taken:
            return
        now = self._now()
        self._giving_time += GIVING_TIME_WEIGHT * (now - gift.started_at - self._giving_time)
        lenders = gift.chunk.lenders
        if gift.keep:
            lenders[gift.reader] = _Lender(until=now + LEND_SECONDS)
            if len(lenders) > LENDERS_MAX:
                del lenders[next(iter(lenders))]

    def _forget_slow(self) -> None:
        """Let gifts that take long stand in nobody's way, nor the next ones to those readers."""
        now = self._now()
        oldest = now - min(max(2 * self._giving_time, COUNTED_MIN), COUNTED_MAX)
        while self._counted and (gift := next(iter(self._counted))).started_at < oldest:
            self._stop_counting(gift)
            slow = gift.chunk.slow
            slow[gift.reader] = now + SLOW_SECONDS
            if len(slow) > SLOW_MAX:
                del slow[next(iter(slow))]

    def _stop_counting(self, gift: Gift) -> None:
        if gift in self._counted:
            del self._counted[gift]
            for gifts in (gift.chunk.gifts, self._gifts_to):
                gifts[gift.reader] -= 1
                if not gifts[gift.reader]:
                    del gifts[gift.reader]

    def _note(self, chunk: _Chunk, reader: NodeId) -> bool:
        """Note that somebody asks; says whether somebody else did shortly before."""
        now = self._now()
        if chunk.reader != reader:
            chunk.other_asked_at = chunk.asked_at
        chunk.reader, chunk.asked_at = reader, now
        return now - chunk.other_asked_at < CROWD_SECONDS

    def _has_lender(self, chunk: _Chunk, reader: NodeId) -> bool:
        now = self._now()
        return any(lender.until >= now and node_id != reader for node_id, lender in chunk.lenders.items())

    def _name(self, chunk: _Chunk, *, but: NodeId) -> tuple[NodeId, ...]:
        """Name those who may give a chunk, the least named first."""
        now = self._now()
        chunk.lenders = {node_id: lender for node_id, lender in chunk.lenders.items() if lender.until >= now}
        others = [node_id for node_id in chunk.lenders if node_id != but]
        named = tuple(sorted(others, key=lambda node_id: chunk.lenders[node_id].named)[:NAMED_MAX])
        for node_id in named:
            chunk.lenders[node_id].named += 1
        return named

    def _chunk(self, chunk_id: ChunkId) -> _Chunk:
        chunk = self._chunks.get(chunk_id)
        if chunk is None:
            chunk = self._chunks[chunk_id] = _Chunk()
            if len(self._chunks) > CHUNKS_MAX:
                self._chunks.popitem(last=False)
        self._chunks.move_to_end(chunk_id)
        return chunk


def _but(gifts: Counter[NodeId], reader: NodeId) -> int:
    """Count the readers other than one."""
    return len(gifts) - (reader in gifts)
