"""P-CHAT-3 to P-CHAT-5: each post once, each sender in order, whatever the network does."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.chat.clock import AHEAD_SECONDS_MAX, HybridClock, stamp_at
from dfs_sdk.chat.messages import HOLES_MAX, Head, Post
from dfs_sdk.chat.room import Conversation, Entry
from dfs_sdk.crypto.identity import Identity

ALICE = Identity.from_bytes(bytes(range(64))).public
BOB = Identity.from_bytes(bytes(range(64, 128))).public
ME = Identity.from_bytes(bytes(range(128, 192))).public


def conversation(**bounds: int) -> Conversation:
    defaults = {"history_length_max": 100, "streams_max": 8, "pending_length_max": 16}
    return Conversation(me=ME.node_id, **{**defaults, **bounds})


def receive(room: Conversation, arrived: Post, *, now: float = 0.0, now_wall: float = 1000.0, patient: bool = True):
    entries = room.offer([arrived], now=now, now_wall=now_wall, patient=patient)
    room.commit(entries, now=now)
    return entries


def end_waits(room: Conversation, *, now: float, gap_timeout: float = 10.0):
    entries = room.overdue(now=now, now_wall=1000.0 + now, gap_timeout=gap_timeout)
    room.commit(entries, now=now)
    return entries


def missing(room: Conversation, heads, limit: int, **stretch):
    return room.missing_from(heads, limit=limit, bytes_max=100_000, **stretch)


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
        shown += receive(room, post(sequence), now=0.0, now_wall=1000.0)
    assert texts(shown) == [f"message {sequence}" for sequence in range(1, 11)]
    assert texts(room) == texts(shown)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 6)), max_size=40))
def test_streams_do_not_hold_each_other_back(arrivals):
    room = conversation()
    got: dict[bool, set[int]] = {True: set(), False: set()}
    for alice, sequence in arrivals:
        receive(room, post(sequence, sender=ALICE if alice else BOB), now=0.0, now_wall=1000.0)
        got[alice].add(sequence)
    for alice, sender in ((True, ALICE), (False, BOB)):
        whole = next(length for length in range(8) if length + 1 not in got[alice])
        assert room.next_sequence(sender.node_id, 1) == whole + 1


def test_a_gap_is_skipped_after_its_time_and_a_straggler_still_finds_its_place():
    room = conversation()
    receive(room, post(1))
    assert receive(room, post(3)) == []
    assert end_waits(room, now=9.0) == []
    assert texts(end_waits(room, now=10.0)) == ["message 3"]
    assert not room.has(post(2))
    assert texts(receive(room, post(2), now=11.0)) == ["message 2"]
    assert texts(room) == ["message 1", "message 2", "message 3"]
    assert receive(room, post(2), now=12.0) == []


def test_an_offer_that_was_never_committed_is_made_again():
    room = conversation()
    first = room.offer([post(1)], now=0.0, now_wall=1000.0)
    assert texts(first) == ["message 1"]
    assert len(room) == 0
    assert not room.has(post(1))
    assert texts(receive(room, post(2))) == ["message 1", "message 2"]
    room = conversation()
    room.offer([post(1)], now=0.0, now_wall=1000.0)
    assert texts(end_waits(room, now=10.0)) == ["message 1"]


@given(st.permutations(range(1, 11)), st.integers(1, 10), st.booleans())
def test_posts_offered_together_end_as_those_offered_one_by_one(order, batch, patient):
    together, alone = conversation(), conversation()
    for at in range(0, 10, batch):
        posts = [post(sequence) for sequence in order[at : at + batch]]
        entries = together.offer([*posts, *posts], now=0.0, now_wall=1000.0, patient=patient)
        assert len({each.post.sequence for each in entries}) == len(entries)
        together.commit(entries)
        for each in posts:
            receive(alone, each, patient=patient)
    assert texts(together) == texts(alone) == [f"message {sequence}" for sequence in range(1, 11)]


def test_a_source_that_would_have_the_missing_ones_is_not_waited_for():
    room = conversation()
    assert texts(receive(room, post(5), patient=False)) == ["message 5"]
    assert texts(receive(room, post(4))) == ["message 4"]
    assert texts(room) == ["message 4", "message 5"]


def test_posts_held_back_are_bounded_and_the_missing_one_always_fits():
    room = conversation(pending_length_max=4)
    for sequence in range(2, 100):
        receive(room, post(sequence))
    assert texts(receive(room, post(1))) == [f"message {sequence}" for sequence in range(1, 5)]


def test_holes_are_bounded_however_far_a_stream_jumps():
    room = conversation()
    receive(room, post(2**48 - 1), patient=False)
    (head,), _ = room.heads(limit=8)
    assert len(head.holes) == HOLES_MAX
    assert receive(room, post(5)) == []
    assert room.has(post(5)), "given up for good"


def test_of_too_many_streams_the_one_silent_for_longest_goes_but_never_ours():
    room = conversation(streams_max=3)
    receive(room, post(1, sender=ME))
    for stream in range(5):
        receive(room, post(1, stream=stream))
    assert [(each.post.sender == ME.node_id, each.post.stream) for each in room] == [(False, 3), (False, 4), (True, 1)]
    assert sorted(each.post.stream for each in room.trim()) == [0, 1, 2]


def test_history_drops_its_oldest_first_but_keeps_the_newest_of_each_stream():
    room = conversation(history_length_max=3)
    receive(room, post(1, sender=BOB, wall=900.0))
    for sequence in range(1, 6):
        receive(room, post(sequence))
    assert texts(room.trim()) == ["message 1", "message 2", "message 3"]
    assert [(each.post.sender, each.post.sequence) for each in room] == [
        (BOB.node_id, 1), (ALICE.node_id, 4), (ALICE.node_id, 5),
    ]  # fmt: skip
    assert room.next_sequence(ALICE.node_id, 1) == 6
    assert room.next_sequence(BOB.node_id, 1) == 2


def test_history_can_be_cut_to_a_size():
    room = conversation()
    for sequence in range(1, 11):
        receive(room, post(sequence, text="x" * 1000))
    room.trim(size_bytes_max=5 * post(1, text="x" * 1000).size_bytes)
    assert [each.post.sequence for each in room] == [6, 7, 8, 9, 10]
    assert room.size_bytes == sum(each.post.size_bytes for each in room)


def test_what_was_trimmed_is_not_missed_after_a_restart():
    room = conversation()
    for sequence in (501, 502, 504):
        room.restore(Entry(post=post(sequence), received_at_wall=1000.0))
    (head,), _ = room.heads(limit=8)
    assert (head.sequence, head.holes) == (504, (503,))


def test_a_stamp_from_the_future_sorts_as_a_minute_ahead():
    room = conversation()
    receive(room, replace(post(1), stamp=stamp_at(1e9)))
    later = 1000.0 + AHEAD_SECONDS_MAX + 1
    receive(room, post(1, sender=BOB, wall=later), now=61.0, now_wall=later)
    assert [entry.post.sender for entry in room] == [ALICE.node_id, BOB.node_id]


@given(st.permutations(range(1, 9)), st.lists(st.integers(0, 2**62), min_size=8, max_size=8), st.booleans())
def test_a_sender_is_shown_in_order_whatever_its_clock_says(order, stamps, patient):
    room = conversation()
    for sequence in order:
        receive(room, replace(post(sequence), stamp=stamps[sequence - 1]), patient=patient)
    assert [each.post.sequence for each in room] == list(range(1, 9))


def test_comparison_finds_what_the_other_side_lacks():
    room = conversation()
    for sequence in range(1, 8):
        receive(room, post(sequence))
    heads = (Head(sender=ALICE.node_id, stream=1, sequence=3),)
    assert [found.sequence for found in missing(room, heads, 2)] == [4, 5]
    assert [found.sequence for found in missing(room, (), 8)] == [1, 2, 3, 4, 5, 6, 7]
    assert missing(room, room.heads(limit=256)[0], 8) == []
    holes = (Head(sender=ALICE.node_id, stream=1, sequence=7, holes=(2, 5)),)
    assert [found.sequence for found in missing(room, holes, 8)] == [2, 5]


def test_a_message_never_takes_more_than_its_bytes():
    room = conversation()
    for sequence in range(1, 8):
        receive(room, post(sequence, text="x" * 1000))
    assert len(room.missing_from((), limit=8, bytes_max=3 * post(1, text="x" * 1000).size_bytes)) == 3


@given(st.integers(1, 12), st.integers(1, 30))
def test_stretches_cover_every_stream_exactly_once(limit, count):
    room, asker = conversation(streams_max=64), conversation(streams_max=64)
    for stream in range(count):
        receive(room, post(1, sender=ALICE if stream % 2 else BOB, stream=stream))
    seen, after = [], b""
    while True:
        heads, until = room.heads(after=after, limit=limit)
        seen += heads
        for found in missing(room, asker.heads(after=after, until=until, limit=64)[0], 64, after=after, until=until):
            receive(asker, found)
        if not until:
            break
        after = until
    assert len(seen) == len({head.key for head in seen}) == count
    assert len(asker) == count


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
