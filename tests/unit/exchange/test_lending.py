"""What is kept in memory for others: how much, how long, and until when (P-EXC-14)."""

from __future__ import annotations

from dfs_sdk.exchange.lending import KEPT_SECONDS, Lending, LentChunk
from dfs_sdk.ids import ChunkId
from tests.fakes.runtime import FakeClock


def chunk_id(number: int) -> ChunkId:
    return ChunkId(number.to_bytes(32))


def lent(size: int) -> LentChunk:
    return LentChunk(data=bytes(size), cell=1, removal_hash=b"", replicas=3)


def lending(bytes_max: int) -> tuple[Lending, FakeClock, list[int]]:
    clock, kept = FakeClock(), list[int]()
    return Lending(bytes_max, clock.monotonic, on_kept=lambda: kept.append(1)), clock, kept


def test_those_asked_for_longest_ago_make_way():
    told, _, kept = lending(300)
    for number in range(3):
        told.keep(chunk_id(number), lent(100))
    assert told.get(chunk_id(0)) is not None
    told.keep(chunk_id(3), lent(150))
    assert [told.get(chunk_id(number)) is not None for number in range(4)] == [True, False, False, True]
    assert told.kept_bytes == 250
    assert len(kept) == 4


def test_one_chunk_is_kept_once():
    told, _, _ = lending(300)
    for size in (100, 200):
        told.keep(chunk_id(1), lent(size))
    assert told.kept_bytes == 200


def test_what_is_too_large_is_not_kept_and_pushes_nothing_out():
    told, _, kept = lending(300)
    told.keep(chunk_id(1), lent(200))
    told.keep(chunk_id(2), lent(301))
    assert told.get(chunk_id(1)) is not None
    assert told.get(chunk_id(2)) is None
    assert len(kept) == 1


def test_what_nobody_asks_for_goes():
    told, clock, _ = lending(300)
    told.keep(chunk_id(1), lent(100))
    told.keep(chunk_id(2), lent(100))
    clock.advance(KEPT_SECONDS - 1)
    assert told.get(chunk_id(2)) is not None
    clock.advance(2)
    told.expire()
    assert told.kept_bytes == 100
    assert told.get(chunk_id(1)) is None
    clock.advance(KEPT_SECONDS)
    assert told.get(chunk_id(2)) is None
    assert told.kept_bytes == 0


def test_who_lends_nothing_takes_no_part():
    told, _, kept = lending(0)
    assert not told.takes_part
    told.keep(chunk_id(1), lent(1))
    assert told.kept_bytes == 0
    assert kept == []
