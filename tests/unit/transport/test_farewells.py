"""P-SES-2: the end of a session reaches the peer over a bad path, and two that have ended do not keep talking."""

from __future__ import annotations

import pytest

from dfs_sdk.ids import Address
from dfs_sdk.transport.config import TransportConfig
from tests.fakes.air import Air, two
from tests.fakes.pair import Pair
from tests.fakes.runtime import run_virtual

DRAIN = TransportConfig().close_drain


@pytest.fixture
def pair():
    pair = Pair()
    pair.connect()
    pair.run_for(1)
    pair.record = True
    return pair


def test_end_is_confirmed_in_two_packets(pair):
    pair.left.endpoint.close()
    assert not pair.left.endpoint.owes_farewells(pair.now)
    pair.run_for(pair.wire.delay)
    assert pair.left.endpoint.owes_farewells(pair.now)
    pair.run_for(60)
    assert not pair.left.endpoint.owes_farewells(pair.now)
    assert len(pair.right.closed) == 1
    assert len(pair.sent) == 2


def test_two_that_end_at_once_fall_silent(pair):
    pair.left.endpoint.close()
    pair.right.endpoint.close()
    pair.run_for(60)
    assert not pair.left.endpoint.owes_farewells(pair.now)
    assert not pair.right.endpoint.owes_farewells(pair.now)
    assert len(pair.sent) == 2


@pytest.mark.parametrize("lost", ["farewell", "answer"])
def test_what_was_lost_is_told_again(pair, lost):
    loser = pair.left.address if lost == "farewell" else pair.right.address
    pair.filter = lambda source, _destination, _data: source != loser
    pair.left.endpoint.close()
    pair.run_for(0.1)
    assert pair.left.endpoint.owes_farewells(pair.now)
    pair.filter = lambda *_: True
    pair.left.endpoint.repeat_farewells(pair.now)
    pair.run_for(0.1)
    assert not pair.left.endpoint.owes_farewells(pair.now)
    assert len(pair.right.closed) == 1
    assert len(pair.sent) == (4 if lost == "answer" else 3)


def test_farewells_to_a_dead_peer_are_bounded(pair):
    pair.filter = lambda *_: False
    pair.left.endpoint.close()
    pair.run_for(0.1)
    for _ in range(100):
        pair.left.endpoint.repeat_farewells(pair.now)
        pair.run_for(0.1)
    assert len(pair.sent) == 9
    assert not pair.left.endpoint.owes_farewells(pair.now)


def test_dead_peer_of_a_session_that_ended_long_ago_is_not_waited_for(pair):
    pair.filter = lambda *_: False
    pair.left.endpoint.close_session(pair.left.session, "enough")
    pair.run_for(31)
    assert not pair.left.endpoint.owes_farewells(pair.now)


def test_forged_answer_settles_nothing(pair):
    pair.filter = lambda source, destination, data: source == pair.left.address
    pair.left.endpoint.close()
    pair.run_for(1)
    answer = next(data for source, _, data in pair.sent if source == pair.right.address)
    forged = answer[:-1] + bytes([answer[-1] ^ 1])
    pair.inject(pair.right.address, pair.left.address, forged)
    pair.run_for(0.005)
    assert pair.left.endpoint.owes_farewells(pair.now)
    pair.inject(pair.right.address, pair.left.address, answer)
    pair.run_for(0.005)
    assert not pair.left.endpoint.owes_farewells(pair.now)


def test_answer_under_the_next_key_counts(pair):
    pair.filter = lambda source, *_: source == pair.left.address
    keys = pair.right.session.sender.keys
    keys.on_acked(0)
    assert keys.change_if_due(pair.now, interval=0, packets=1)
    pair.filter = lambda *_: True
    pair.left.endpoint.close()
    pair.run_for(1)
    assert not pair.left.endpoint.owes_farewells(pair.now)


def test_closing_takes_a_round_trip_when_the_peer_is_there():
    async def main(clock):
        left, right, reasons = await two(clock, Air())
        began = clock.monotonic()
        await left.close()
        assert clock.monotonic() - began < 0.02
        assert "the node left" in reasons[0]
        await right.close()

    run_virtual(main)


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_closing_over_a_path_that_loses_its_first_words_still_tells_the_peer(lost):
    async def main(clock):
        air = Air()
        left, right, reasons = await two(clock, air)
        heard = 0

        def passes(source: Address) -> bool:
            nonlocal heard
            heard += source == here
            return source != here or heard > lost

        here, air.passes = left.local_address, passes
        began = clock.monotonic()
        await left.close()
        assert clock.monotonic() - began < DRAIN
        assert len(reasons) == 1
        await right.close()

    run_virtual(main)


def test_closing_waits_for_a_dead_peer_no_longer_than_the_drain_time():
    async def main(clock):
        air = Air()
        left, right, _ = await two(clock, air)
        right.abort()
        began = clock.monotonic()
        await left.close()
        assert DRAIN * 0.9 < clock.monotonic() - began < DRAIN * 1.1

    run_virtual(main)
