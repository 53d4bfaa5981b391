"""States of members: rules P-PEER-10 to P-PEER-18."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfs_sdk.ids import NodeId
from dfs_sdk.peers.config import PeersConfig
from dfs_sdk.peers.liveness import ILL_HEALTH_MAX, Liveness, PeerState
from dfs_sdk.peers.messages import NodeStatus

WALL = 1_700_000_000.0
IDS = [NodeId(bytes([n]) * 32) for n in range(40)]
A, B, C, D = IDS[:4]
CONFIG = PeersConfig()


def liveness_of(count: int = 4, config: PeersConfig = CONFIG) -> Liveness:
    liveness = Liveness(config)
    for node_id in IDS[:count]:
        liveness.watch(node_id, status=NodeStatus.ALIVE, busy_until_wall=0, now=0, wall=WALL)
    return liveness


def state(liveness: Liveness, node_id: NodeId, now: float) -> PeerState:
    liveness.review(now, WALL + now)
    track = liveness.get(node_id)
    assert track is not None
    return track.state


def silence(liveness: Liveness, node_id: NodeId, now: float) -> None:
    liveness.missed(node_id, now, WALL + now)
    liveness.suspect(node_id, now, WALL + now)


def test_life_of_a_silent_member_from_alive_to_gone():
    liveness = liveness_of()
    assert state(liveness, A, 1) is PeerState.ALIVE
    liveness.missed(A, 2, WALL + 2)
    assert state(liveness, A, 2) is PeerState.LAGGING
    liveness.suspect(A, 4, WALL + 4)
    assert state(liveness, A, 4) is PeerState.SUSPECT
    assert state(liveness, A, 33) is PeerState.SUSPECT
    assert state(liveness, A, 35) is PeerState.AWAY
    assert state(liveness, A, 3 * 3600) is PeerState.AWAY
    assert state(liveness, A, 3.5 * 3600) is PeerState.GONE
    assert state(liveness, B, 3.5 * 3600) is PeerState.ALIVE


@pytest.mark.parametrize("silent_for", [1, 29, 40, 3600, 10 * 3600])
def test_any_word_makes_a_member_alive_again(silent_for: float):
    liveness = liveness_of()
    silence(liveness, A, 0)
    state(liveness, A, silent_for)
    liveness.heard(A, silent_for)
    assert state(liveness, A, silent_for) is PeerState.ALIVE
    assert liveness.odds(A, silent_for) == 1


def test_silence_below_thirty_seconds_never_counts_against_a_member():
    """I8 of the replication rules rests on it."""
    liveness = liveness_of()
    silence(liveness, A, 0)
    for by in (B, C, D):
        liveness.accused(A, by, 0, WALL)
    assert state(liveness, A, 29.9) is PeerState.SUSPECT
    assert liveness.odds(A, 29.9) == 1


def test_ended_silences_are_learned_from():
    liveness = liveness_of()
    silence(liveness, A, 0)
    state(liveness, A, 100)
    liveness.heard(A, 120)
    track = liveness.get(A)
    assert track is not None
    assert (track.history.returns, track.history.down_seconds) == (1, 120)


def test_busy_member_is_not_suspected_until_its_lease_and_grace_are_over():
    liveness = liveness_of()
    liveness.describe(A, status=NodeStatus.BUSY, busy_until_wall=WALL + 100, now=0, wall=WALL)
    assert state(liveness, A, 1) is PeerState.BUSY
    silence(liveness, A, 50)
    liveness.accused(A, B, 50, WALL + 50)
    assert state(liveness, A, 50) is PeerState.BUSY
    silence(liveness, A, 159)
    assert state(liveness, A, 159) is PeerState.ALIVE
    silence(liveness, A, 161)
    assert state(liveness, A, 161) is PeerState.SUSPECT


def test_endless_busy_lease_is_cut():
    liveness = liveness_of()
    liveness.describe(A, status=NodeStatus.BUSY, busy_until_wall=1e10, now=0, wall=WALL)
    later = CONFIG.busy_max + CONFIG.busy_grace + 1
    silence(liveness, A, later)
    assert state(liveness, A, later) is PeerState.SUSPECT


def test_farewell_is_final_until_a_newer_description():
    liveness = liveness_of()
    liveness.describe(A, status=NodeStatus.LEFT, busy_until_wall=0, now=1, wall=WALL)
    assert state(liveness, A, 1) is PeerState.GONE
    assert liveness.odds(A, 1) == 0
    liveness.heard(A, 2)
    assert state(liveness, A, 2) is PeerState.GONE
    liveness.describe(A, status=NodeStatus.ALIVE, busy_until_wall=0, now=3, wall=WALL)
    assert state(liveness, A, 3) is PeerState.ALIVE


def test_confirmations_shorten_a_suspicion_and_ill_health_lengthens_it():
    liveness = liveness_of(config=PeersConfig(suspicion_min=0))
    alone = liveness.suspicion_seconds(0)
    assert liveness.suspicion_seconds(1) < alone
    assert liveness.suspicion_seconds(3) == pytest.approx(alone / CONFIG.suspicion_slack)
    assert liveness.suspicion_seconds(99) == liveness.suspicion_seconds(3)
    for _ in range(20):
        liveness.suspect(A, 0, WALL, helpers_answered=False)
    assert liveness.ill_health == ILL_HEALTH_MAX
    assert liveness.suspicion_seconds(0) == pytest.approx(alone * (1 + ILL_HEALTH_MAX))
    liveness.heard(B, 1)
    assert liveness.ill_health == ILL_HEALTH_MAX - 1


def test_one_accuser_counts_once():
    liveness = liveness_of(config=PeersConfig(suspicion_min=0))
    assert liveness.accused(A, B, 0, WALL)
    liveness.looked_into(A, 0)
    for _ in range(10):
        assert not liveness.accused(A, B, 0, WALL)
    track = liveness.get(A)
    assert track is not None
    assert list(track.accusers) == [B]


def test_own_sleep_clears_suspicions_and_does_not_age_those_who_are_away():
    liveness = liveness_of()
    silence(liveness, A, 0)
    assert state(liveness, A, 40) is PeerState.AWAY
    silence(liveness, B, 41)
    odds = liveness.odds(A, 41)
    liveness.forgive(36_000, 36_041)
    assert liveness.odds(A, 36_041) == pytest.approx(odds)
    assert state(liveness, A, 36_041) is PeerState.AWAY
    assert state(liveness, B, 36_041) is PeerState.ALIVE


def test_two_of_eight_lost_together_are_gone_in_time():
    liveness = liveness_of(8, PeersConfig.quick())
    for node_id in (A, B):
        silence(liveness, node_id, 1)
    changes, silent = liveness.review(7, WALL + 7)
    assert silent == 0
    assert {change.node_id for change in changes if change.after is PeerState.GONE} == {A, B}


@pytest.mark.parametrize(("members", "lost", "frozen"), [(8, 3, False), (8, 4, True), (40, 4, False), (40, 5, True)])
def test_many_silent_at_once_look_like_a_partition(members: int, lost: int, frozen: bool):
    liveness = liveness_of(members)
    for node_id in IDS[:lost]:
        silence(liveness, node_id, 10)
    _, silent = liveness.review(20, WALL)
    assert (silent == lost) is frozen
    assert liveness.frozen(20) is frozen
    _, again = liveness.review(21, WALL)
    assert again == 0, "said once"


def test_nobody_is_gone_while_a_partition_is_suspected():
    config = PeersConfig(down_time_mean=1.0, partition_freeze=600)
    liveness = liveness_of(8, config)
    for node_id in IDS[:5]:
        silence(liveness, node_id, 10)
    liveness.review(20, WALL)
    assert state(liveness, A, 60) is PeerState.AWAY
    assert state(liveness, A, 600) is PeerState.AWAY
    assert state(liveness, A, 60 + 611) is PeerState.GONE


steps = st.lists(
    st.tuples(
        st.sampled_from(["heard", "missed", "suspect", "accused", "busy", "alive", "left", "forgive", "review"]),
        st.integers(0, 5),
        st.floats(0, 4000),
    ),
    max_size=60,
)


@given(steps)
@settings(max_examples=200)
def test_states_and_odds_stay_sound_whatever_happens(story: list[tuple[str, int, float]]):
    liveness = liveness_of(6)
    now = 0.0
    for what, who, passed in story:
        now += passed
        node_id, wall = IDS[who], WALL + now
        match what:
            case "heard":
                liveness.heard(node_id, now)
            case "missed":
                liveness.missed(node_id, now, wall)
            case "suspect":
                liveness.suspect(node_id, now, wall)
            case "accused":
                liveness.accused(node_id, IDS[who - 1], now, wall)
            case "busy":
                liveness.describe(node_id, status=NodeStatus.BUSY, busy_until_wall=wall + 60, now=now, wall=wall)
            case "alive":
                liveness.describe(node_id, status=NodeStatus.ALIVE, busy_until_wall=0, now=now, wall=wall)
            case "left":
                liveness.describe(node_id, status=NodeStatus.LEFT, busy_until_wall=0, now=now, wall=wall)
            case "forgive":
                liveness.forgive(passed, now)
        before = {track.node_id: track.state for track in liveness}
        changes, _ = liveness.review(now, wall)
        for change in changes:
            assert before[change.node_id] is change.before is not change.after
        for track in liveness:
            odds = liveness.odds(track.node_id, now)
            assert 0 <= odds <= 1
            assert (odds == 0) == (track.state is PeerState.GONE)
            assert track.state in (PeerState.AWAY, PeerState.GONE) or odds == 1
            assert math.isfinite(track.silent_seconds(now))
            assert 0 <= liveness.availability(track.node_id, now) <= 1
        assert liveness.review(now, wall)[0] == [], "a second look at the same moment changes nothing"
