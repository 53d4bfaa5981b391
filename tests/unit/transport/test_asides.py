"""What is said beside the packets of a session: sealed, at most once, bounded, and of no consequence to the packets."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfs_sdk.errors import ForkedNodeError
from dfs_sdk.transport.asides import BURST_MAX, CONTENT_BYTES_MAX
from dfs_sdk.transport.config import TransportConfig
from dfs_sdk.transport.notices import AsideArrived
from dfs_sdk.transport.outbox import SendState
from dfs_sdk.transport.packet import ASIDE_BYTES_MAX, DATA_BYTES_MIN, DATA_HEADER, Kind
from tests.fakes.pair import Pair, Peer


def connected() -> Pair:
    pair = Pair()
    pair.connect()
    return pair


def heard(peer: Peer) -> list[bytes]:
    return [notice.content for notice in peer.notices if isinstance(notice, AsideArrived)]


def carry(pair: Pair, *datagrams: bytes, seconds: float = 0.0) -> list[bytes]:
    """Put datagrams of the left one on the wire, one after the other; returns all that the right one has heard."""
    for datagram in datagrams:
        pair.inject(pair.left.address, pair.right.address, datagram)
        pair.run_for(0.01 + seconds)
    return heard(pair.right)


def test_what_is_said_aside_arrives_while_the_speaker_stands_still():
    """P-PKT-6."""
    pair = connected()
    pair.left.asleep = True
    assert carry(pair, pair.left.session.asides.seal(b"busy")) == [b"busy"]


def test_both_ends_speak_under_keys_of_their_own():
    """P-KEY-6."""
    pair = connected()
    left, right = pair.left.session.asides, pair.right.session.asides
    mine, theirs = left.seal(b"same words"), right.seal(b"same words")
    assert mine[:1] == theirs[:1] == bytes([Kind.ASIDE])
    assert mine[DATA_HEADER.size :] != theirs[DATA_HEADER.size :]
    pair.inject(pair.right.address, pair.left.address, theirs)
    assert carry(pair, mine) == [b"same words"]
    assert heard(pair.left) == [b"same words"]


def test_no_number_is_used_twice_whatever_threads_seal_one_after_the_other():
    """P-KEY-6."""
    asides = connected().left.session.asides
    sealed: list[bytes] = []
    for _ in range(4):
        thread = threading.Thread(target=lambda: sealed.extend(asides.seal(b"again") for _ in range(50)))
        thread.start()
        thread.join()
    assert [DATA_HEADER.unpack_from(one)[2] for one in sealed] == list(range(200))


def test_repeated_and_older_ones_are_dropped():
    """P-PKT-6."""
    pair = connected()
    first, second = (pair.left.session.asides.seal(word) for word in (b"first", b"second"))
    assert carry(pair, second, second, first) == [b"second"]
    assert pair.right.endpoint.counters["aside dropped"] == 2


def test_one_too_many_is_dropped_and_a_second_later_there_is_room_for_another():
    """P-PKT-6."""
    pair = connected()
    flood = [pair.left.session.asides.seal(b"%d" % number) for number in range(50)]
    assert len(carry(pair, *flood)) == BURST_MAX
    pair.run_for(1.0)
    assert carry(pair, pair.left.session.asides.seal(b"later"))[-1] == b"later"


def test_asides_keep_a_session_that_says_nothing_else():
    """P-PKT-6: its loop stands still, but somebody speaks for it."""
    pair = Pair(config=TransportConfig(idle_timeout=60.0))
    pair.connect()
    pair.left.asleep = True
    for _ in range(20):
        carry(pair, pair.left.session.asides.seal(b"busy"), seconds=10.0)
    assert pair.right.closed == []
    pair.left.asleep = False
    pair.run_for(10.0)
    message = pair.left.send(b"back")
    pair.run_until(lambda: message.state is SendState.ACKED)
    assert pair.right.messages == [b"back"]


def test_asides_change_nothing_about_the_packets():
    pair = connected()
    pair.run_for(1.0)
    before = pair.left.session.statistics, pair.left.session.sender.keys.next_number
    carry(pair, pair.left.session.asides.seal(b"busy"))
    assert (pair.left.session.statistics, pair.left.session.sender.keys.next_number) == before
    message = pair.left.send(b"as ever")
    pair.run_until(lambda: message.state is SendState.ACKED)
    assert pair.right.messages == [b"as ever"]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_anywhere_is_noticed(place: int, change: int):
    pair = connected()
    sealed = bytearray(pair.left.session.asides.seal(b"x" * 300))
    sealed[place % len(sealed)] ^= change
    assert carry(pair, bytes(sealed)) == []
    assert carry(pair, pair.left.session.asides.seal(b"true")) == [b"true"], "a forgery may not shut the true one out"


@settings(max_examples=20, deadline=None)
@given(st.lists(st.binary(max_size=1500), max_size=10))
def test_any_bytes_are_dropped_in_silence(rests: list[bytes]):
    """P-PKT-5."""
    pair = connected()
    kind, index = bytes([Kind.ASIDE]), pair.right.session.local_index.to_bytes(4, "big")
    assert carry(pair, *(head + rest for rest in rests for head in (kind, kind + index))) == []
    assert pair.right.session.is_open
    assert pair.right.closed == []


def test_sizes_are_bounded_on_both_sides():
    """P-PKT-6."""
    pair = connected()
    asides = pair.left.session.asides
    assert len(asides.seal(b"x" * CONTENT_BYTES_MAX)) == ASIDE_BYTES_MAX
    for wrong in (b"", b"x" * (CONTENT_BYTES_MAX + 1)):
        with pytest.raises(ValueError, match="an aside has 1 to"):
            asides.seal(wrong)
    short = asides.seal(b"x")
    assert len(short) == DATA_BYTES_MIN
    assert carry(pair, short[:-1]) == []


def test_who_has_no_session_is_not_heard():
    pair = connected()
    sealed = pair.left.session.asides.seal(b"busy")
    pair.right.endpoint.close_session(pair.right.session, "over")
    assert carry(pair, sealed) == []


def test_a_forked_child_has_no_keys_for_it():
    """P-KEY-5."""
    pair = connected()
    left, right = pair.left.session, pair.right.session
    sealed = left.asides.seal(b"busy")
    left.wipe()
    right.wipe()
    with pytest.raises(ForkedNodeError):
        left.asides.seal(b"busy")
    assert right.asides.open(memoryview(sealed), pair.now) is None
