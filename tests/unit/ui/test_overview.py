import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.ui import HeaderPanel, OverviewPanel
from dfs_sdk.ui.header import lag_in_words
from dfs_sdk.ui.overview import MEMBERS_SHOWN_MAX, NEWS_SHOWN_MAX, RTT_STEPS, rtt_step
from tests.fakes.node import FakeNode
from tests.fakes.rows import empty_snapshot, event_row, full_snapshot, peer_row


def test_this_node_comes_first(traffic):
    panel = OverviewPanel(FakeNode(full_snapshot()))
    assert [member["state"] for member in panel.members] == ["this node", "suspect", "away"]
    assert panel.members[0]["rtt"] == "≤ 2 ms"
    assert panel.members[0]["fill"] == 0.01
    panel.close()


def test_news_is_newest_first_and_bounded(traffic):
    rows = tuple(event_row(text=f"event {n}") for n in range(1_000))
    panel = OverviewPanel(FakeNode(empty_snapshot(events=rows)))
    assert len(panel.news) == NEWS_SHOWN_MAX
    assert panel.news[0]["text"] == "event 999"
    panel.close()


def test_members_are_bounded_and_counted(traffic):
    rows = tuple(peer_row(0, name=f"n{n}", node_id=f"{n:064x}") for n in range(500))
    panel = OverviewPanel(FakeNode(empty_snapshot(peers=rows)))
    assert (len(panel.members), panel.members_total) == (MEMBERS_SHOWN_MAX, 500)
    panel.close()


@given(st.floats(min_value=0, max_value=5))
def test_round_trip_is_rounded_up_to_a_step(rtt: float):
    step = rtt_step(rtt, math.nan)
    assert step >= rtt
    assert step in RTT_STEPS


@given(st.sampled_from(RTT_STEPS), st.lists(st.floats(0.9, 1.1), min_size=2, max_size=20))
def test_wavering_time_does_not_flicker(base: float, factors: list[float]):
    shown, changes = math.nan, 0
    for factor in factors:
        step = rtt_step(base * factor, shown)
        changes += step != shown
        shown = step
    assert changes <= 2


@pytest.mark.parametrize("rtt", [math.nan, math.inf])
def test_unknown_time_stays_unknown(rtt: float):
    assert math.isnan(rtt_step(rtt, 0.01))


@pytest.mark.parametrize(("lag", "shown"), [(0.0, ""), (0.4, ""), (math.nan, ""), (0.6, "1 s"), (3.04, "3 s")])
def test_held_loop_is_said_in_whole_seconds(lag: float, shown: str):
    assert (shown in lag_in_words(lag)) if shown else lag_in_words(lag) == ""


def test_header_says_state_and_health(traffic):
    panel = HeaderPanel(FakeNode(full_snapshot(lag=3.0)))
    assert panel.node["state"] == "in network"
    assert "every file survives" in panel.node["health"]
    assert "blocked for 3 s" in panel.node["lag"]
    panel.close()
