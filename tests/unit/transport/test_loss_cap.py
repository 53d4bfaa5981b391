"""The cap on the window after overflows: down by a ratio, up by packets, back as late as TCP."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.transport.loss_cap import BACKOFF, RENO_STEP, ROOM_RATIO, LossCap

PACKET = 1000
MOST = 1e7


def overflown(packets: int, *, shared: bool = True, most: float = MOST) -> LossCap:
    cap = LossCap(most)
    lower(cap, packets, shared=shared)
    return cap


def lower(
    cap: LossCap, packets: int, *, round_number: int = 1, shared: bool = True, ordered: bool = True, now: float = 0.0
) -> None:
    cap.lower(
        packets * PACKET,
        packet_bytes=PACKET,
        shared=shared,
        ordered=ordered,
        floor_bytes=4 * PACKET,
        round_number=round_number,
        now=now,
    )


def test_nothing_is_capped_before_an_overflow():
    cap = LossCap(MOST)
    cap.on_round(PACKET, 1.0)
    assert cap.window_bytes == MOST


def test_overflow_takes_a_ratio_of_what_was_under_way():
    assert overflown(100).window_bytes == pytest.approx(BACKOFF * 100 * PACKET)


def test_floor_holds():
    assert overflown(4).window_bytes == 4 * PACKET


def test_losses_of_the_next_round_are_of_the_same_overflow():
    cap = overflown(100)
    for round_number, factor in ((1, 1), (2, 1), (3, BACKOFF)):
        lower(cap, 70, round_number=round_number)
        assert cap.window_bytes == pytest.approx(BACKOFF * 100 * PACKET * factor)


@pytest.mark.parametrize(("packets", "rtt"), [(1000, 0.01), (400, 0.1)])
def test_large_window_is_back_after_the_time_of_cubic(packets, rtt):
    """RFC 9438 section 4.2: after the cube root of (peak · 0.3 / 0.4) seconds, and slowest just before."""
    cap, now = overflown(packets, most=1e9), 0.0
    back_after = (packets * (1 - BACKOFF) / 0.4) ** (1 / 3)
    reno_after = packets * (1 - BACKOFF) / RENO_STEP * rtt
    while cap.window_bytes < packets * PACKET * 0.999:
        now += rtt
        cap.on_round(PACKET, now)
    assert now == pytest.approx(min(back_after, reno_after), rel=0.15)


@pytest.mark.parametrize(
    ("packets", "ordered", "back_to"),
    [(900, True, ROOM_RATIO * 900), (1000, True, 1000), (1100, True, 1100), (900, False, 900)],
)
def test_flow_that_had_less_than_at_the_overflow_before_comes_back_to_less_unless_it_may_be_jitter(
    packets, ordered, back_to
):
    """RFC 9438 section 4.7."""
    cap = overflown(1000, most=1e9)
    cap.on_round(PACKET, 100.0)
    lower(cap, packets, round_number=3, ordered=ordered, now=100.0)
    assert cap.window_bytes == pytest.approx(BACKOFF * packets * PACKET)
    cap.on_round(PACKET, 100.0 + (back_to * (1 - BACKOFF) / 0.4) ** (1 / 3))
    assert cap.window_bytes == pytest.approx(back_to * PACKET)


def test_heavy_loss_without_a_queue_is_forgotten_within_some_ten_rounds():
    cap = overflown(100, shared=False)
    assert cap.window_bytes == pytest.approx(BACKOFF * 100 * PACKET)
    for number in range(12):
        cap.on_round(PACKET, 0.05 * number)
    assert cap.window_bytes > 100 * PACKET


@given(
    peak=st.integers(4, 20_000),
    rtts=st.lists(st.floats(0.0001, 2), min_size=1, max_size=60),
    shared=st.booleans(),
)
def test_cap_never_falls_without_loss_and_never_exceeds_its_bound(peak, rtts, shared):
    cap, now = overflown(peak, shared=shared), 0.0
    for rtt in rtts:
        now += rtt
        before = cap.window_bytes
        cap.on_round(PACKET, now)
        assert before <= cap.window_bytes <= MOST
