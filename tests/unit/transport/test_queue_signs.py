"""Signs of a queue: what overflows one, what jitter and chance may do, and what a flow that has few packets sees."""

from __future__ import annotations

import random

import pytest

from dfs_sdk.transport.queue_signs import ORDERED_ROUNDS, STANDING_ROUNDS, QueueSigns

SHORTEST = 0.05


def end(signs: QueueSigns, *rtts: float, lost: int = 0, sent: int = 100) -> bool:
    """A round with these round trips, in packets of one byte."""
    for rtt in rtts:
        signs.on_rtt(rtt)
    return signs.end_round(shortest=SHORTEST, lost_bytes=lost, sent_bytes=sent)


def test_loss_without_delay_is_the_paths_own():
    signs = QueueSigns()
    assert not any(end(signs, 0.05, 0.052, lost=20) for _ in range(50))
    assert not signs.is_long


def test_a_shallow_queue_shows_on_average_and_overflows_with_more_than_chance_loses():
    signs = QueueSigns()
    assert not end(signs, 0.05, 0.08, 0.08, lost=2)
    assert end(signs, 0.05, 0.08, 0.08, lost=3)
    assert not signs.is_long, "one packet came through at once"


def test_a_standing_queue_overflows_with_any_loss_however_many_packets_were_sent():
    signs = QueueSigns()
    lost = [end(signs, 0.09, 0.1, lost=1, sent=1000) for _ in range(STANDING_ROUNDS + 2)]
    assert lost == [False] * (STANDING_ROUNDS - 1) + [True] * 3
    assert signs.is_long
    assert not end(signs, 0.09, 0.1, lost=0)
    assert not end(signs, 0.051, 0.1, lost=1, sent=1000), "it has drained"
    assert not end(signs, 0.09, 0.1, lost=1, sent=1000), "and stands anew"


def test_where_packets_overtake_each_other_delay_on_average_is_no_queue():
    signs = QueueSigns()
    assert signs.is_ordered
    signs.on_late()
    late = [(end(signs, 0.05, 0.09, lost=10), signs.is_ordered) for _ in range(ORDERED_ROUNDS + 2)]
    assert late == [(False, False)] * (ORDERED_ROUNDS + 1) + [(True, True)]


@pytest.mark.parametrize("packets", [4, 16, 64])
@pytest.mark.parametrize("jitter", [0.01, 0.03, 0.05])
def test_jitter_and_chance_are_no_overflow(jitter: float, packets: int):
    dice = random.Random(1)
    signs, overflows = QueueSigns(), 0
    for _ in range(1000):
        signs.on_late()
        rtts = [SHORTEST + dice.uniform(0, jitter) + dice.uniform(0, jitter) for _ in range(packets)]
        overflows += end(signs, *rtts, lost=sum(dice.random() < 0.01 for _ in range(packets)), sent=packets)
    assert overflows <= 10


def test_a_round_without_samples_says_nothing():
    signs = QueueSigns()
    assert not end(signs, lost=50)
    assert not signs.is_long
