"""How many copies and the odds they give."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.errors import ConfigError
from dfs_sdk.replication.bucket import TokenBucket
from dfs_sdk.replication.config import MIB, ReplicationConfig
from dfs_sdk.replication.policy import HOUR, HolderOdds, Policy, avail, endangerment, loss

odds = st.builds(HolderOdds, availability=st.floats(0, 1), p_return=st.floats(0, 1), lifetime=st.floats(60, 1e9))


def test_write_quorum_is_two_or_less():
    assert Policy().write_quorum == 2
    assert Policy(replicas=1).write_quorum == 1
    assert Policy(replicas=5, quorum=4).write_quorum == 4
    assert Policy(quorum=0).write_quorum == 0


@pytest.mark.parametrize("fields", [{"replicas": 0}, {"replicas": 33}, {"quorum": -1}, {"replicas": 2, "quorum": 3}])
def test_impossible_policy_is_refused_in_words(fields: dict[str, int]):
    with pytest.raises(ConfigError, match="give"):
        Policy(**fields)


def test_three_holders_up_nine_times_in_ten_give_three_nines():
    assert avail([HolderOdds(availability=0.9, p_return=1.0)] * 3) == pytest.approx(0.999)
    assert avail([]) == 0
    assert loss([], horizon=HOUR) == 1


def test_loss_is_that_of_the_formula():
    holder = HolderOdds(availability=0.9, p_return=0.5, lifetime=48 * HOUR)
    assert loss([holder] * 2, horizon=48 * HOUR) == pytest.approx((1 - 0.5 * math.exp(-1)) ** 2)


@given(st.lists(odds, max_size=6), odds)
def test_further_holder_never_lowers_avail_nor_raises_loss(holders: list[HolderOdds], more: HolderOdds):
    """I5."""
    assert avail([*holders, more]) >= avail(holders) - 1e-12
    assert loss([*holders, more], horizon=HOUR) <= loss(holders, horizon=HOUR) + 1e-12
    assert endangerment([*holders, more], horizon=HOUR) <= endangerment(holders, horizon=HOUR) + 1e-6


def test_fewer_and_more_silent_holders_are_more_endangered():
    up, away = HolderOdds(availability=0.9, p_return=1), HolderOdds(availability=0.9, p_return=0.5)
    ranking = [[up] * 3, [up, up, away], [up, up], [up, away], [up], [away], []]
    values = [endangerment(holders, horizon=48 * HOUR) for holders in ranking]
    assert values == sorted(values)


@given(st.lists(st.tuples(st.floats(0, 10), st.integers(0, 5 * MIB)), max_size=50))
def test_bucket_never_lets_more_through_than_rate_and_burst(takes: list[tuple[float, int]]):
    """I6: whatever is sent by time t is within burst + rate * t."""
    rate, burst = 1.0 * MIB, 8.0 * MIB
    bucket = TokenBucket(rate=rate, burst=burst, now=0)
    now, sent = 0.0, 0
    for passed, size in takes:
        now += passed
        now += bucket.take(size, now)
        sent += size
        assert sent <= burst + rate * now + 1


def test_bucket_fills_while_it_is_quiet():
    bucket = TokenBucket(rate=10, burst=100, now=0)
    assert bucket.take(100, 0) == 0
    assert bucket.take(10, 0) == pytest.approx(1)
    assert bucket.take(90, 1000) == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"cells": 1}, {"cells": 70_000}, {"replicas": 0}, {"fill_max": 0}, {"odds_min": 1.5}, {"repair_interval": 0},
        {"rank_slack": -1}, {"repair_burst_bytes": 10}, {"stagger": -1},
    ],
)  # fmt: skip
def test_unusable_setting_is_refused(fields: dict[str, float]):
    with pytest.raises(ConfigError):
        ReplicationConfig(**fields)  # type: ignore[arg-type]
