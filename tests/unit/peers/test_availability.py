"""Odds of return and availability."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.peers.availability import NO_HISTORY, DownHistory, availability, p_return, return_share

histories = st.builds(
    DownHistory,
    returns=st.integers(0, 10_000),
    losses=st.integers(0, 100),
    down_seconds=st.floats(0, 1e8),
    known_seconds=st.floats(0, 1e9),
)
silences = st.floats(-10, 1e9)


def test_unknown_peer_returns_nine_times_in_ten():
    assert return_share(NO_HISTORY) == pytest.approx(0.9)
    assert p_return(0, down_time_mean=1800) == pytest.approx(0.9)


def test_odds_follow_bayes_rule():
    survival = math.exp(-1)
    assert p_return(1800, down_time_mean=1800) == pytest.approx(0.9 * survival / (0.9 * survival + 0.1))


def test_a_default_peer_is_gone_after_three_and_a_half_hours_and_not_after_three():
    assert p_return(3.0 * 3600, down_time_mean=1800) > 0.01
    assert p_return(3.5 * 3600, down_time_mean=1800) < 0.01


@given(silences, st.floats(0, 1e6), histories, st.floats(0.01, 1e6))
def test_odds_are_probabilities_that_fall_with_the_silence(
    silence: float, more: float, history: DownHistory, mean: float
):
    now, later = (p_return(t, history, down_time_mean=mean) for t in (silence, silence + more))
    assert 0 <= later <= now <= 1


@given(histories)
def test_returns_raise_the_odds_and_losses_lower_them(history: DownHistory):
    assert return_share(history.returned(5)) > return_share(history) > return_share(history.lost())


@given(histories, st.floats(0, 1e8))
def test_availability_is_a_share(history: DownHistory, silent: float):
    assert 0 <= availability(history, silent_seconds=silent) <= 1


def test_availability_starts_at_the_prior_and_ends_at_what_was_measured():
    assert availability(NO_HISTORY) == pytest.approx(0.9)
    half = DownHistory(known_seconds=1e8, down_seconds=5e7, returns=10)
    assert availability(half) == pytest.approx(0.5, abs=1e-3)
    assert availability(DownHistory(known_seconds=1e8)) > 0.999
