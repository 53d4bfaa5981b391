"""LEDBAT by itself: what it takes for a queue, how it gives way, when it rests."""

from __future__ import annotations

import pytest

from dfs_sdk.transport.congestion import Delivery
from dfs_sdk.transport.ledbat import BASE_HISTORY, BASE_INTERVAL, Ledbat, QueueDelay

PACKET = 1200
BASE = 0.1


def feed(ledbat: Ledbat, now: float, *, rtt: float = BASE, acked: int = PACKET, lost: int = 0) -> None:
    """Tell of packets that arrived while the window was full."""
    ledbat.on_delivery(
        Delivery(
            now=now,
            acked_bytes=acked,
            lost_bytes=lost,
            in_flight_bytes=ledbat.window_bytes - acked,
            delivered_bytes=0,
            prior_delivered_bytes=0,
            rate=None,
            app_limited=False,
            rtt=rtt,
        )
    )


def grown(packets: int = 100) -> tuple[Ledbat, float]:
    """One that has opened its window to so many packets and sees no queue."""
    ledbat, now = Ledbat(PACKET), 0.0
    while ledbat.window_bytes < packets * PACKET:
        now += BASE
        feed(ledbat, now, acked=ledbat.window_bytes)
    return ledbat, now


def test_queue_is_what_all_of_the_latest_samples_have_above_the_base():
    delay = QueueDelay()
    for step, rtt in enumerate([0.1, 0.15, 0.16, 0.15, 0.2]):
        delay.update(rtt, now=step)
    assert delay.value == pytest.approx(0.05)
    delay.update(0.1, now=9)
    assert delay.value == 0


def test_base_is_forgotten_after_ten_minutes():
    delay = QueueDelay()
    delay.update(0.05, now=0)
    for minute in range(1, BASE_HISTORY + 1):
        assert delay.base == 0.05
        delay.update(0.2, now=minute * BASE_INTERVAL)
    assert delay.base == 0.2


@pytest.mark.parametrize(("base", "target"), [(0.001, 0.005), (0.05, 0.025), (0.1, 0.05), (0.5, 0.06)])
def test_target_is_half_the_base_within_bounds(base, target):
    ledbat = Ledbat(PACKET)
    feed(ledbat, 0.0, rtt=base)
    assert ledbat.target == pytest.approx(target)


def test_window_opens_by_a_quarter_a_round_trip_at_first():
    ledbat = Ledbat(PACKET)
    before = ledbat.window_bytes
    feed(ledbat, BASE, acked=before)
    assert ledbat.window_bytes == pytest.approx(1.25 * before)


def test_a_queue_above_the_target_shrinks_the_window_by_at_most_half_once_a_round_trip():
    ledbat, now = grown()
    before = ledbat.window_bytes
    for step in range(20):
        feed(ledbat, now + BASE + 0.001 * step, rtt=BASE + 1.0)
    assert 0.5 * before <= ledbat.window_bytes < 0.75 * before


def test_a_slight_excess_shrinks_it_slightly():
    ledbat, now = grown()
    before = ledbat.window_bytes
    for step in range(4):
        feed(ledbat, now + 0.2 + 0.001 * step, rtt=BASE + 1.1 * ledbat.target)
    assert 0.85 * before < ledbat.window_bytes < before


def test_loss_halves_the_window_once_a_round_trip():
    ledbat, now = grown()
    before = ledbat.window_bytes
    for step in range(5):
        feed(ledbat, now + BASE + 0.001 * step, lost=PACKET)
    assert ledbat.window_bytes == pytest.approx(0.5 * before, rel=0.05)


def test_window_never_falls_below_two_packets():
    ledbat, now = grown()
    for step in range(100):
        feed(ledbat, now + step, lost=PACKET, rtt=BASE + 1)
    assert ledbat.window_bytes >= 2 * PACKET


def test_it_rests_soon_after_the_start_and_comes_back_to_what_it_had():
    ledbat, now = grown(50)
    states = []
    for _ in range(60):
        queue = ledbat.target * 0.8 if ledbat.window_bytes > 60 * PACKET else 0.0
        now += BASE
        feed(ledbat, now, rtt=BASE + queue, acked=ledbat.window_bytes)
        states.append((ledbat.state, ledbat.window_bytes))
    first = next(index for index, (state, _) in enumerate(states) if state == "pause")
    assert states[first][1] == 2 * PACKET
    assert any(state == "steady" and window > 40 * PACKET for state, window in states[first:])


def test_a_window_that_is_not_used_does_not_grow():
    ledbat, now = grown()
    before = ledbat.window_bytes
    for step in range(50):
        ledbat.on_delivery(
            Delivery(
                now=now + step,
                acked_bytes=PACKET,
                lost_bytes=0,
                in_flight_bytes=0,
                delivered_bytes=0,
                prior_delivered_bytes=0,
                rate=None,
                app_limited=True,
                rtt=BASE,
            )
        )
    assert ledbat.window_bytes <= before
