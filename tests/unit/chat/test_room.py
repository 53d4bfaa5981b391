"""P-CHAT-3 to P-CHAT-5: each post once, each sender in order, whatever the network does."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.chat.clock import AHEAD_SECONDS_MAX, HybridClock, stamp_at
from dfs_sdk.chat.messages import Head, Post
from dfs_sdk.chat.room import Conversation
from dfs_sdk.crypto.identity import Identity

ALICE = Identity.from_bytes(bytes(range(64))).public
BOB = Identity.from_bytes(bytes(range(64, 128))).public


def conversation(**bounds: int) -> Conversation:
    defaults = {"history_length_max": 100, "streams_max": 8, "pending_length_max": 16}
    return Conversation(**{**defaults, **bounds})


def post(sequence: int, *, sender=ALICE, stream: int = 1, wall: float = 1000.0, text: str | None = None) -> Post:
    return Post(
        ed=sender.ed,
        x=sender.x,
        sender_name="somebody",
        recipient=None,
        stream=stream,
        sequence=sequence,
        stamp=stamp_at(wall) + sequence,
        sent_at_wall=wall,
        text=text or f"message {sequence}",
    )


def texts(entries) -> list[str]:
    return [entry.post.text for entry in entries]


@given(st.permutations(range(1, 11)), st.lists(st.integers(1, 10), max_size=10))
def test_every_order_of_arrival_shows_each_post_once_and_in_order(order, again):
    room = conversation()
    shown = []
    for sequence in [*order, *again]:
        shown += room.receive(post(sequence), now=0.0, now_wall=1000.0)
    assert texts(shown) == [f"message {sequence}" for sequence in range(1, 11)]
    assert texts(room) == texts(shown)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 6)), max_size=40))
def test_streams_do_not_hold_each_other_back(arrivals):
    room = conversation()
    got: dict[bool, set[int]] = {True: set(), False: set()}
    for alice, sequence in arrivals:
        room.receive(post(sequence, sender=ALICE if alice else BOB), now=0.0, now_wall=1000.0)
        got[alice].add(sequence)
    for alice, sender in ((True, ALICE), (False, BOB)):
        whole = next(length for length in range(8) if length + 1 not in got[alice])
        assert room.next_sequence(sender.node_id, 1) == whole + 1


def test_a_gap_is_skipped_after_its_time():
    room = conversation()
    assert room.receive(post(3), now=0.0, now_wall=1000.0) == []
    assert room.has_gaps()
    assert room.skip_gaps(now=9.0, now_wall=1009.0, gap_timeout=10.0) == []
    assert texts(room.skip_gaps(now=10.0, now_wall=1010.0, gap_timeout=10.0)) == ["message 3"]
    assert room.receive(post(2), now=11.0, now_wall=1011.0) == []


def test_posts_held_back_are_bounded():
    room = conversation(pending_length_max=4)
    for sequence in range(10, 100):
        room.receive(post(sequence), now=0.0, now_wall=1000.0)
    assert len(room.skip_gaps(now=99.0, now_wall=1099.0, gap_timeout=10.0)) == 4


def test_streams_are_bounded():
    room = conversation(streams_max=2)
    for stream in range(5):
        room.receive(post(1, stream=stream), now=0.0, now_wall=1000.0)
    assert len(room) == 2


def test_history_drops_its_oldest_first():
    room = conversation(history_length_max=3)
    for sequence in range(1, 6):
        room.receive(post(sequence), now=0.0, now_wall=1000.0)
    assert texts(room.trim()) == ["message 1", "message 2"]
    assert texts(room) == ["message 3", "message 4", "message 5"]
    assert room.next_sequence(ALICE.node_id, 1) == 6


def test_a_stamp_from_the_future_sorts_as_a_minute_ahead():
    room = conversation()
    room.receive(replace(post(1), stamp=stamp_at(1e9)), now=0.0, now_wall=1000.0)
    later = 1000.0 + AHEAD_SECONDS_MAX + 1
    room.receive(post(1, sender=BOB, wall=later), now=61.0, now_wall=later)
    assert [entry.post.sender for entry in room] == [ALICE.node_id, BOB.node_id]


def test_comparison_finds_what_the_other_side_lacks():
    room = conversation()
    for sequence in range(1, 8):
        room.receive(post(sequence), now=0.0, now_wall=1000.0)
    heads = (Head(sender=ALICE.node_id, stream=1, sequence=3),)
    assert [found.sequence for found in room.missing_from(heads, 2)] == [4, 5]
    assert [found.sequence for found in room.missing_from((), 8)] == [1, 2, 3, 4, 5, 6, 7]
    assert room.missing_from(room.heads(256), 8) == []


@given(st.lists(st.floats(0, 1e9), min_size=1))
def test_our_stamps_grow_whatever_the_wall_clock_does(walls):
    clock = HybridClock()
    stamps = [clock.next(wall) for wall in walls]
    assert stamps == sorted(set(stamps))


def test_a_clock_far_ahead_is_not_followed():
    clock = HybridClock()
    clock.seen(stamp_at(1e9), wall=1000.0)
    assert clock.next(1000.0) == stamp_at(1000.0)
    clock.seen(stamp_at(1030.0), wall=1000.0)
    assert clock.next(1000.0) > stamp_at(1030.0)
