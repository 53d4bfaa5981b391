"""People who come and go: what is drawn has the shape it says it has."""

import itertools
import math
import statistics

import pytest

from dfs_sdk.errors import ConfigError
from dfs_sdk.runtime.system import SeededRng
from dfs_sdk.sim.churn import DAY, HOUR, Churn, Classroom, Weibull
from dfs_sdk.sim.presets import NETS, find_net
from dfs_sdk.sim.scenario import ActKind, Strike, Timeline

HOSTS = [f"n{number}" for number in range(12)]


def until(timeline: Timeline, seconds: float, *, seed: int = 1, hosts: list[str] = HOSTS) -> list[Strike]:
    return list(itertools.takewhile(lambda strike: strike.at < seconds, timeline.strikes(hosts, SeededRng(seed))))


@pytest.mark.parametrize("shape", [0.5, 1.0, 2.0])
def test_weibull_has_its_median_and_its_tail(shape: float):
    rng, drawn = SeededRng(1), []
    drawn = sorted(Weibull(median=1000.0, shape=shape).draw(rng) for _ in range(20_000))
    assert statistics.median(drawn) == pytest.approx(1000.0, rel=0.05)
    # By its definition a share of exp(-ln 2 * 3**shape) is longer than three medians.
    longer = sum(value > 3000 for value in drawn) / len(drawn)
    assert longer == pytest.approx(math.exp(-math.log(2) * 3**shape), abs=0.02)


def test_impossible_distribution_is_refused():
    with pytest.raises(ConfigError):
        Weibull(median=0)


def test_churn_leaves_and_returns_without_overlap():
    churn = Churn(session=Weibull(median=600), absence=Weibull(median=300))
    for host in HOSTS[1:]:
        mine = [strike for strike in until(churn, DAY) if strike.hosts == (host,)]
        assert len(mine) > 10
        for one, next_one in itertools.pairwise(mine):
            assert one.seconds is not None
            assert one.at + one.seconds < next_one.at
    assert all(strike.hosts != ("n0",) for strike in until(churn, DAY))


def test_one_more_host_changes_nothing_of_the_others():
    for net in NETS.values():
        fewer = until(net.timeline, DAY, hosts=HOSTS[:-1])
        more = [strike for strike in until(net.timeline, DAY) if strike.hosts != (HOSTS[-1],)]
        assert fewer == more


def test_class_sleeps_at_night_and_the_teacher_does_not():
    asleep_at_three = 0
    for strike in until(Classroom(always_on_ratio=0.0), 2 * DAY):
        assert strike.hosts != ("n0",)
        three = 18 * HOUR  # three in the morning, from nine on
        if strike.kind is ActKind.SLEEP and strike.at < three < strike.at + (strike.seconds or 0):
            asleep_at_three += 1
    assert asleep_at_three == len(HOSTS) - 1


def test_class_begins_with_everybody_present():
    hosts = [f"n{number}" for number in range(50)]
    for begins, lecture_ends in ((9 * HOUR, 10.5 * HOUR), (8 * HOUR, 10.5 * HOUR), (11.5 * HOUR, 12.5 * HOUR)):
        drawn = until(Classroom(begins=begins), lecture_ends - begins, hosts=hosts)
        assert [strike for strike in drawn if strike.kind is ActKind.SLEEP] == []
        assert {ActKind.FREEZE, ActKind.CRASH} == {strike.kind for strike in drawn}


def test_kernels_block_and_restart_only_while_the_lid_is_open():
    for host in HOSTS[1:]:
        closed_until = 0.0
        for strike in until(Classroom(), 3 * DAY):
            if strike.hosts == (host,):
                assert strike.at >= closed_until - 1e-6
                if strike.kind is ActKind.SLEEP:
                    closed_until = strike.at + (strike.seconds or 0)


def test_every_preset_draws_in_order_and_repeatably():
    for name in NETS:
        one, again = until(find_net(name).timeline, DAY), until(find_net(name).timeline, DAY)
        assert one == again
        assert [strike.at for strike in one] == sorted(strike.at for strike in one)


def test_unknown_net_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="classroom-day"):
        find_net("moon-base")
