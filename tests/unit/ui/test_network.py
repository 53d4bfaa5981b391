import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.ui import HeaderPanel, NetworkPanel, PeersPanel
from dfs_sdk.ui.header import lag_in_words
from dfs_sdk.ui.network import NEWS_SHOWN_MAX, PEERS_DRAWN_MAX
from dfs_sdk.ui.peers import MEMBERS_SHOWN_MAX
from dfs_sdk.ui.rtt import RTT_STEPS, RttSteps, rtt_step
from tests.fakes.node import FakeNode
from tests.fakes.rows import NOW, empty_snapshot, event_row, full_snapshot, peer_row


def test_this_node_comes_first(traffic):
    panel = PeersPanel(FakeNode(full_snapshot()))
    assert [member["state"] for member in panel.members] == ["this node", "suspect", "away"]
    assert panel.members[0]["rtt"] == "≤ 2 ms"
    assert panel.members[0]["fill"] == 0.01
    assert panel.summary == "2 peers: 0 here, 1 away, 1 suspect"
    panel.close()


def test_load_and_uptime_are_shown_without_flicker(traffic):
    rows = (
        peer_row(1, load=0, uptime=61.0),
        peer_row(2, load=3, uptime=61.4),
        peer_row(3, state="away", uptime=9_000.0),
        peer_row(4, uptime=math.nan),
    )
    panel = PeersPanel(FakeNode(empty_snapshot(peers=rows)))
    assert [member["load"] for member in panel.members] == ["", "3 requests", "", ""]
    assert [member["up_since"] for member in panel.members] == [NOW - 60, NOW - 60, 0, 0]
    panel.close()


def test_members_are_bounded_and_counted(traffic):
    rows = tuple(peer_row(0, name=f"n{n}", node_id=f"{n:064x}") for n in range(2_000))
    panel = PeersPanel(FakeNode(empty_snapshot(peers=rows)))
    assert (len(panel.members), panel.members_total) == (MEMBERS_SHOWN_MAX, 2_000)
    panel.close()


def test_news_is_newest_first_and_bounded(traffic):
    rows = tuple(event_row(text=f"event {n}") for n in range(1_000))
    panel = NetworkPanel(FakeNode(empty_snapshot(events=rows)))
    assert len(panel.news) == NEWS_SHOWN_MAX
    assert panel.news[0]["text"] == "event 999"
    panel.close()


def test_picture_draws_those_that_are_up_first_and_keeps_machines_together(traffic):
    away = [peer_row(0, name=f"a{n}", node_id=f"{n:064x}", state="away", host="aaaa") for n in range(100)]
    up = [peer_row(0, name=f"u{n}", node_id=f"{900 + n:064x}", host=("aaaa", "bbbb")[n % 2]) for n in range(10)]
    panel = NetworkPanel(FakeNode(empty_snapshot(peers=(peer_row(0, state="self"), *away, *up))))
    assert (len(panel.peers), panel.peers_total) == (PEERS_DRAWN_MAX, 110)
    assert sum(peer["state"] == "alive" for peer in panel.peers) == 10
    hosts = [peer["host"] for peer in panel.peers]
    assert hosts == sorted(hosts)
    assert "a0000" not in panel.peers[0]["about"]
    panel.close()


def test_picture_says_each_peer_in_words(traffic):
    panel = NetworkPanel(FakeNode(empty_snapshot(peers=(peer_row(1), peer_row(2, rtt=math.nan, address="", host="")))))
    assert panel.peers[1]["about"].startswith("node-1 (a1a1a1a1), alive, answers in ≤ 2 ms, at 127.0.0.1:4001, machine")
    assert panel.peers[0]["about"] == "node-2 (a2a2a2a2), alive"
    assert panel.peers[0]["rtt"] == 0.0
    panel.close()


@given(st.floats(min_value=0, max_value=5))
def test_round_trip_is_rounded_up_to_a_step(rtt: float):
    step = rtt_step(rtt, math.nan)
    assert step >= rtt
    assert step in RTT_STEPS


@given(st.sampled_from(RTT_STEPS), st.lists(st.floats(0.9, 1.1), min_size=2, max_size=20))
def test_wavering_time_does_not_flicker(base: float, factors: list[float]):
    steps, seen = RttSteps(), []
    for factor in factors:
        steps.follow([peer_row(1, rtt=base * factor)])
        seen.append(steps.seconds(peer_row(1).node_id))
    assert sum(later != sooner for sooner, later in itertools.pairwise(seen)) <= 1


@pytest.mark.parametrize("rtt", [math.nan, math.inf])
def test_unknown_time_stays_unknown(rtt: float):
    assert math.isnan(rtt_step(rtt, 0.01))
    assert RttSteps().words("nobody") == ""


@pytest.mark.parametrize(("lag", "shown"), [(0.0, ""), (0.4, ""), (math.nan, ""), (0.6, "1 s"), (3.04, "3 s")])
def test_held_loop_is_said_in_whole_seconds(lag: float, shown: str):
    assert (shown in lag_in_words(lag)) if shown else lag_in_words(lag) == ""


def test_header_says_state_and_health(traffic):
    panel = HeaderPanel(FakeNode(full_snapshot(lag=3.0)))
    assert panel.node["state"] == "in network"
    assert "every file survives" in panel.node["health"]
    assert "blocked for 3 s" in panel.node["lag"]
    panel.close()
