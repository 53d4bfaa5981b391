"""The rules of choosing a source."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.exchange.scheduler import HedgeBudget, Latencies, PeerLoad, choose_source, clip, score
from dfs_sdk.ids import NodeId
from dfs_sdk.runtime.system import SeededRng

PEERS = [NodeId(bytes([number]) * 32) for number in range(6)]


def test_a_longer_queue_scores_worse():
    assert score(PeerLoad(queue=5)) > score(PeerLoad(queue=1))
    assert score(PeerLoad(inflight=5)) > score(PeerLoad(inflight=1))


def test_a_far_idle_peer_loses_to_a_near_one_until_that_is_busy():
    near, far = PeerLoad(rtt=0.001, service_time=0.01), PeerLoad(rtt=0.1, service_time=0.01)
    assert score(near) < score(far)
    busy = PeerLoad(rtt=0.001, service_time=0.01, queue=20)
    assert score(busy) > score(far)


def test_a_liar_scores_behind_everybody():
    assert score(PeerLoad(faults=1.0)) > score(PeerLoad(queue=100, rtt=1.0))


def test_the_better_of_the_two_drawn_is_taken():
    loads = {PEERS[0]: PeerLoad(queue=50), PEERS[1]: PeerLoad()}
    rng = SeededRng(1)
    drawn = {choose_source(PEERS[:2], loads.__getitem__, rng, window=3) for _ in range(20)}
    assert drawn == {PEERS[1]}


def test_on_a_long_path_who_is_connected_is_asked_before_who_must_be_dialled_first():
    """A stranger once counted as 50 ms away: whoever was 300 ms from everybody dialled ever new holders."""
    rng = SeededRng(5)
    loads = {PEERS[0]: PeerLoad(), PEERS[1]: PeerLoad(rtt=0.3)}
    assert {choose_source(PEERS[:2], loads.__getitem__, rng, window=3) for _ in range(20)} == {PEERS[1]}
    loads[PEERS[1]] = PeerLoad(rtt=0.3, queue=100)
    assert choose_source(PEERS[:2], loads.__getitem__, rng, window=3) == PEERS[0]


def test_on_a_short_path_a_stranger_counts_as_farther_than_who_is_connected():
    loads = {PEERS[0]: PeerLoad(), PEERS[1]: PeerLoad(rtt=0.001, queue=5)}
    assert choose_source(PEERS[:2], loads.__getitem__, SeededRng(6), window=3) == PEERS[1]
    loads[PEERS[1]] = PeerLoad(rtt=0.001, queue=20)
    assert choose_source(PEERS[:2], loads.__getitem__, SeededRng(6), window=3) == PEERS[0]


def test_draws_come_from_the_window_and_never_take_its_worst():
    loads = {peer: PeerLoad(queue=index) for index, peer in enumerate(PEERS)}
    rng = SeededRng(2)
    drawn = {choose_source(PEERS, loads.__getitem__, rng, window=3) for _ in range(200)}
    assert drawn == {PEERS[0], PEERS[1]}


def test_a_liar_at_the_front_does_not_fill_the_window():
    loads = {peer: PeerLoad(faults=1.0 if peer in PEERS[:3] else 0.0) for peer in PEERS}
    rng = SeededRng(3)
    assert not {choose_source(PEERS, loads.__getitem__, rng, window=3) for _ in range(50)} & set(PEERS[:3])


def test_only_liars_left_are_still_asked():
    assert choose_source(PEERS[:1], lambda _peer: PeerLoad(faults=9.0), SeededRng(4), window=3) == PEERS[0]


def test_p95_of_many_is_near_the_top_and_none_of_nothing():
    latencies = Latencies()
    assert latencies.p95() is None
    for milliseconds in range(1, 101):
        latencies.note(milliseconds / 1000)
    assert latencies.p95() == 0.095


def test_old_latencies_are_forgotten():
    latencies = Latencies()
    for _ in range(200):
        latencies.note(9.0)
    for _ in range(128):
        latencies.note(0.1)
    assert latencies.p95() == 0.1


@given(st.floats(0, 1), st.lists(st.booleans(), max_size=400))
def test_hedges_stay_within_their_share(ratio: float, steps: list[bool]):
    budget = HedgeBudget(ratio)
    requests = hedges = 0
    for is_request in steps:
        if is_request:
            requests += 1
            budget.note_request()
        else:
            hedges += budget.take()
    assert hedges <= 1 + ratio * requests + 1e-6


def test_clip_bounds_both_ends():
    assert [clip(value, 1.0, 2.0) for value in (0.0, 1.5, 9.0)] == [1.0, 1.5, 2.0]
