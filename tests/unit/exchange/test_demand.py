"""Whom a holder gives a chunk that many want: P-EXC-13, P-EXC-14."""

from __future__ import annotations

from dfs_sdk.exchange.demand import (
    CHUNKS_MAX,
    COUNTED_MAX,
    COUNTED_MIN,
    CROWD_SECONDS,
    GIVEN_AT_ONCE_MAX,
    LEND_SECONDS,
    LENDERS_MAX,
    NAMED_MAX,
    READERS_AT_ONCE_MAX,
    SLOW_MAX,
    SLOW_SECONDS,
    WAIT_MAX,
    WAIT_MIN,
    Demand,
    Gift,
    PutOff,
)
from dfs_sdk.ids import ChunkId, NodeId
from tests.fakes.runtime import FakeClock

CHUNK = ChunkId(b"c" * 32)


def node(number: int) -> NodeId:
    return NodeId(number.to_bytes(32))


def chunk(number: int) -> ChunkId:
    return ChunkId(number.to_bytes(32))


def demand() -> tuple[Demand, FakeClock]:
    clock = FakeClock()
    return Demand(clock.monotonic), clock


def give_some(told: Demand, count: int, *, first: int = 0) -> list[Gift]:
    return [told.give(CHUNK, node(first + number), keeps=True) for number in range(count)]


def test_a_few_are_given_a_chunk_at_one_time_and_others_are_put_off():
    told, _ = demand()
    gifts = give_some(told, GIVEN_AT_ONCE_MAX - 1)
    assert told.put_off(CHUNK, node(50)) is None
    gifts += give_some(told, 1, first=50)
    assert told.put_off(CHUNK, node(51)) == PutOff(seconds=0.1, others=())
    assert told.put_off(chunk(1), node(51)) is None, "another chunk"
    gifts[0].end(taken=True)
    assert told.put_off(CHUNK, node(51)) is None


def test_only_who_asks_while_others_do_is_asked_to_keep_it():
    told, clock = demand()
    assert not told.give(CHUNK, node(1), keeps=True).keep
    assert not told.give(CHUNK, node(1), keeps=True).keep, "the same reader once more"
    assert told.give(CHUNK, node(2), keeps=True).keep
    assert not told.give(CHUNK, node(3), keeps=False).keep
    assert told.give(CHUNK, node(2), keeps=True).keep, "others asked shortly before"
    clock.advance(CROWD_SECONDS + 1)
    assert not told.give(CHUNK, node(4), keeps=True).keep


def test_who_is_put_off_hears_of_those_who_have_it_by_now_the_least_named_first():
    told, _ = demand()
    first = give_some(told, 1 + NAMED_MAX + 1)
    assert told.put_off(CHUNK, node(50)).others == (), "nobody has it yet"
    for gift in first:
        gift.end(taken=True)
    give_some(told, GIVEN_AT_ONCE_MAX, first=20)
    assert told.put_off(CHUNK, node(50)).others == tuple(map(node, range(1, 1 + NAMED_MAX)))
    again = told.put_off(CHUNK, node(51)).others
    assert again[0] == node(1 + NAMED_MAX)
    assert len(again) == NAMED_MAX
    assert node(2) not in told.put_off(CHUNK, node(2)).others, "nobody is sent to himself"


def test_a_gift_that_failed_makes_nobody_a_lender():
    told, _ = demand()
    gifts = give_some(told, 3)
    gifts[1].end(taken=False)
    gifts[2].end(taken=True)
    give_some(told, GIVEN_AT_ONCE_MAX, first=20)
    assert told.put_off(CHUNK, node(50)).others == (node(2),)


def test_lenders_are_forgotten_whether_or_not_anybody_asks_them():
    told, clock = demand()
    for gift in give_some(told, 2):
        gift.end(taken=True)
    clock.advance(LEND_SECONDS - 1)
    give_some(told, GIVEN_AT_ONCE_MAX, first=20)
    assert told.put_off(CHUNK, node(50)).others == (node(1),)
    clock.advance(2)
    assert told.put_off(CHUNK, node(50)).others == ()


def test_slow_readers_do_not_hold_up_others_for_long():
    """A13: three readers that take nothing would keep a chunk from everybody."""
    told, clock = demand()
    slow = give_some(told, GIVEN_AT_ONCE_MAX)
    assert told.put_off(CHUNK, node(50)) is not None
    clock.advance(COUNTED_MIN + 0.1)
    assert told.put_off(CHUNK, node(50)) is None
    told.give(CHUNK, node(50), keeps=True)
    for gift in slow:
        gift.end(taken=False)
    assert told.put_off(CHUNK, node(51)) is None, "none of them was counted twice"


def test_a_slow_reader_that_asks_again_and_again_holds_up_nobody():
    """A13: three calls renewed every three seconds put everybody else off for ever."""
    told, clock = demand()
    for _ in range(GIVEN_AT_ONCE_MAX + 2):
        told.give(CHUNK, node(1), keeps=True)
    assert told.put_off(CHUNK, node(50)) is None, "it is one reader, whatever it asks for"
    give_some(told, GIVEN_AT_ONCE_MAX, first=1)
    assert told.put_off(CHUNK, node(50)) is not None
    clock.advance(COUNTED_MIN + 0.1)
    assert told.put_off(CHUNK, node(50)) is None
    give_some(told, GIVEN_AT_ONCE_MAX, first=1)
    assert told.put_off(CHUNK, node(50)) is None, "they were slow a moment ago"
    clock.advance(SLOW_SECONDS)
    give_some(told, GIVEN_AT_ONCE_MAX, first=1)
    assert told.put_off(CHUNK, node(50)) is not None


def test_slow_readers_that_are_remembered_are_bounded():
    told, clock = demand()
    give_some(told, 2 * SLOW_MAX)
    clock.advance(COUNTED_MAX + 1)
    told.put_off(CHUNK, node(500))
    assert len(told._chunks[CHUNK].slow) == SLOW_MAX


def test_what_usually_takes_long_counts_longer():
    told, clock = demand()
    for _ in range(50):
        gift = told.give(CHUNK, node(1), keeps=True)
        clock.advance(COUNTED_MIN)
        gift.end(taken=True)
    give_some(told, GIVEN_AT_ONCE_MAX)
    clock.advance(1.9 * COUNTED_MIN)
    assert told.put_off(CHUNK, node(50)) is not None
    clock.advance(0.2 * COUNTED_MIN)
    assert told.put_off(CHUNK, node(50)) is None


def test_a_busy_holder_names_others_where_there_are_some():
    told, _ = demand()
    for gift in give_some(told, 2):
        gift.end(taken=True)
    for number in range(READERS_AT_ONCE_MAX):
        assert told.put_off(CHUNK, node(50)) is None
        told.give(chunk(number), node(60 + number), keeps=True)
    assert told.put_off(CHUNK, node(50)).others == (node(1),)
    assert told.put_off(CHUNK, node(1)) is None, "nobody else could give it to this one"
    assert told.put_off(chunk(0), node(50)) is None, "nor that one to anybody"


def test_a_reader_of_many_chunks_is_no_crowd():
    told, _ = demand()
    for number in range(100):
        assert told.put_off(chunk(number), node(1)) is None
        assert not told.give(chunk(number), node(1), keeps=True).keep


def test_the_wait_follows_how_long_giving_takes_within_bounds():
    told, clock = demand()
    for _ in range(50):
        told.give(CHUNK, node(1), keeps=True).end(taken=True)
    give_some(told, GIVEN_AT_ONCE_MAX)
    assert told.put_off(CHUNK, node(50)).seconds == WAIT_MIN
    for _ in range(50):
        gift = told.give(CHUNK, node(1), keeps=True)
        clock.advance(100)
        gift.end(taken=True)
    give_some(told, GIVEN_AT_ONCE_MAX)
    assert told.put_off(CHUNK, node(50)).seconds == WAIT_MAX


def test_what_is_remembered_is_bounded():
    told, _ = demand()
    open_gifts = [told.give(chunk(number), node(1), keeps=True) for number in range(CHUNKS_MAX + 10)]
    assert len(told) == CHUNKS_MAX
    for gift in open_gifts:
        gift.end(taken=True)
    assert not told._counted
    for gift in give_some(told, LENDERS_MAX + 10):
        gift.end(taken=True)
    assert len(told._chunks[CHUNK].lenders) == LENDERS_MAX
