"""What a plan contains: rules P-REPL-10 to P-REPL-18, invariants I4, I5, I8, I10, I12."""

import dataclasses
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfs_sdk.ids import ChunkId, NetworkId, NodeId
from dfs_sdk.peers.liveness import PeerState
from dfs_sdk.peers.view import View
from dfs_sdk.replication.config import ReplicationConfig
from dfs_sdk.replication.messages import HeldChunk
from dfs_sdk.replication.placement import Placement
from dfs_sdk.replication.planner import Action, Copy, Observation, Pull, Push, Reclassify, Trim, Wait, plan
from dfs_sdk.replication.policy import HolderOdds, avail, loss
from dfs_sdk.runtime.system import SeededRng
from dfs_sdk.store.base import Role
from tests.fakes.descs import desc_of, view_of

CONFIG = ReplicationConfig(cells=64)
NETWORK = NetworkId(bytes(32))
CELL = 9
NOW = 10_000.0
DESCS = [desc_of(n) for n in range(10)]
ORDER = Placement(NETWORK, view_of(DESCS), CONFIG).order(CELL)


def chunk(number: int = 1, *, role: Role = Role.PRIMARY, replicas: int = 3) -> HeldChunk:
    return HeldChunk(
        chunk_id=ChunkId(number.to_bytes(32, "big")), cell=CELL, role=role, replicas=replicas, size=10, removal_hash=b""
    )


def observe(
    rank: int,
    holders: Sequence[int],
    *,
    states: dict[int, PeerState] | None = None,
    odds: dict[int, float] | None = None,
    partitioned: bool = False,
    leaving: bool = False,
    fill: float = 0.0,
    avoid: Sequence[int] = (),
    members: int = 10,
    held: HeldChunk | None = None,
    **copy: object,
) -> Observation:
    """What the node of a rank sees: other holders, states and odds are given by rank, too."""
    view = view_of(
        [desc for desc in DESCS if desc.node_id in ORDER[:members]],
        me=ORDER[rank],
        states={ORDER[at]: state for at, state in (states or {}).items()},
        odds={ORDER[at]: p for at, p in (odds or {}).items()},
        partitioned=partitioned,
    )
    known = Copy(chunk=held or chunk(), holders=tuple(ORDER[at] for at in holders), **copy)  # type: ignore[arg-type]
    return Observation(
        now=NOW,
        me=view.me,
        view=view,
        placement=Placement(NETWORK, view, CONFIG),
        copies=[known],
        fill=fill,
        avoid=[ORDER[at] for at in avoid],
        leaving=leaving,
    )


def planned(observation: Observation) -> list[Action]:
    return plan(observation, CONFIG, SeededRng(1))


def targets(observation: Observation) -> list[NodeId]:
    return [action.target for action in planned(observation) if isinstance(action, Push)]


def test_enough_copies_need_nothing():
    assert planned(observe(0, [1, 2])) == []


def test_missing_copies_go_to_the_next_in_order():
    assert targets(observe(0, [1])) == [ORDER[2]]
    assert targets(observe(0, [])) == [ORDER[1], ORDER[2]]


@pytest.mark.parametrize("state", [PeerState.LAGGING, PeerState.BUSY, PeerState.SUSPECT])
def test_short_silence_and_busy_times_cause_no_push(state: PeerState):
    """I8."""
    assert planned(observe(0, [1, 2], states={1: state, 2: state})) == []


def test_absence_counts_until_the_odds_of_return_fall_below_one_half():
    away = {2: PeerState.AWAY}
    assert planned(observe(0, [1, 2], states=away, odds={2: 0.5})) == []
    assert targets(observe(0, [1, 2], states=away, odds={2: 0.49})) == [ORDER[3]]


def test_lost_holder_is_replaced():
    assert targets(observe(0, [1, 2], states={2: PeerState.GONE})) == [ORDER[3]]


def test_stand_in_for_a_silent_chosen_one_is_surplus():
    observation = observe(0, [1], states={2: PeerState.AWAY}, odds={2: 0.3})
    (push,) = [action for action in planned(observation) if isinstance(action, Push)]
    assert (push.target, push.role) == (ORDER[3], Role.SURPLUS)
    gone = observe(0, [1], states={2: PeerState.GONE})
    (push,) = [action for action in planned(gone) if isinstance(action, Push)]
    assert (push.target, push.role) == (ORDER[3], Role.PRIMARY)


def test_later_holders_wait_for_earlier_ones():
    (wait,) = planned(observe(1, [0], short_since=NOW))
    assert isinstance(wait, Wait)
    assert wait.until == NOW + CONFIG.stagger
    assert targets(observe(1, [0], short_since=NOW - CONFIG.stagger)) == [ORDER[2]]


def test_rank_counts_only_holders_that_answer():
    assert targets(observe(1, [0], states={0: PeerState.AWAY}, odds={0: 0.4}, short_since=NOW)) == [ORDER[2], ORDER[3]]


def test_claim_of_another_holder_is_waited_for():
    (wait,) = planned(observe(0, [1], claimed_until=NOW + 7))
    assert isinstance(wait, Wait)
    assert wait.until == NOW + 7
    assert targets(observe(0, [1], claimed_until=NOW - 1)) == [ORDER[2]]


def test_peer_that_refused_is_passed_over():
    assert targets(observe(0, [1], avoid=[2])) == [ORDER[3]]


def test_small_network_asks_for_no_more_than_there_are():
    assert planned(observe(0, [1], members=2)) == []
    assert targets(observe(0, [], members=2)) == [ORDER[1]]
    assert planned(observe(0, [], members=1)) == []


def test_last_answering_copy_is_urgent_and_comes_first():
    away = {"states": {1: PeerState.AWAY}, "odds": {1: 0.4}}
    safe = observe(0, [1, 2], **away)  # type: ignore[arg-type]
    alone = observe(0, [1], held=chunk(2), **away)  # type: ignore[arg-type]
    both = dataclasses.replace(alone, copies=[*safe.copies, *alone.copies])
    pushes = [action for action in planned(both) if isinstance(action, Push)]
    assert pushes[0].chunk.chunk_id == chunk(2).chunk_id
    assert [push.urgent for push in pushes] == [True, True, False]
    assert "silent: n" in pushes[0].reason


def test_partition_stops_all_but_urgent_repair():
    gone = {2: PeerState.GONE}
    assert planned(observe(0, [1, 2], states=gone, partitioned=True)) == []
    alone = {1: PeerState.GONE, 2: PeerState.GONE}
    assert targets(observe(0, [1, 2], states=alone, partitioned=True)) == [ORDER[3], ORDER[4]]


def test_leaving_node_hands_over_what_would_be_missing():
    assert targets(observe(0, [1, 2], leaving=True)) == [ORDER[3]]
    assert planned(observe(0, [1, 2, 3], leaving=True)) == []
    (push,) = [a for a in planned(observe(2, [0, 1], leaving=True)) if isinstance(a, Push)]
    assert "leaves" in push.reason


def test_role_follows_the_order():
    (action,) = planned(observe(1, [0, 2], held=chunk(role=Role.SURPLUS)))
    assert action == Reclassify(
        chunk=chunk(role=Role.SURPLUS), role=Role.PRIMARY, reason="this node is one of the chosen ones by now"
    )
    assert planned(observe(3, [0, 1, 2])) == [], "weights drift, data should not"
    assert planned(observe(4, [0, 1, 2])) == []
    (action,) = planned(observe(5, [0, 1, 2]))
    assert isinstance(action, Reclassify)
    assert action.role is Role.SURPLUS


def spare(**changes: object) -> Observation:
    known = {"confirmed": tuple(ORDER[:3]), "spare_since": NOW - CONFIG.surplus_keep, **changes}
    return observe(4, [0, 1, 2], held=chunk(role=Role.SURPLUS), **known)  # type: ignore[arg-type]


def test_surplus_goes_when_all_chosen_ones_confirmed_for_long():
    (trim,) = planned(spare())
    assert isinstance(trim, Trim)
    assert set(trim.relying_on) == set(ORDER[:3])


@pytest.mark.parametrize(
    "changes",
    [
        {"confirmed": tuple(ORDER[:2])},
        {"spare_since": NOW},
        {"spare_since": None},
        {"pinned": True},
        {"partitioned": True},
        {"states": {0: PeerState.SUSPECT}},
        {"states": {0: PeerState.BUSY}},
    ],
    ids=["two confirmed", "just now", "never spare", "pinned", "partition", "one silent", "one busy"],
)
def test_surplus_stays_as_long_as_there_is_a_doubt(changes: dict[str, object]):
    """I4."""
    assert planned(spare(**changes)) == []


def test_full_store_lets_surplus_go_at_once():
    assert isinstance(planned(spare(spare_since=NOW, fill=0.81))[0], Trim)


def offer(rank: int, holders: Sequence[int], **changes: object) -> Observation:
    base = observe(rank, [], **changes)  # type: ignore[arg-type]
    return dataclasses.replace(
        base, copies=[], offered={chunk().chunk_id: (chunk(), tuple(ORDER[at] for at in holders))}
    )


def test_newcomer_among_the_chosen_fetches_its_copy():
    (pull,) = planned(offer(1, [0, 2, 3]))
    assert isinstance(pull, Pull)
    assert set(pull.sources) == {ORDER[0], ORDER[2], ORDER[3]}


@pytest.mark.parametrize(
    ("rank", "holders", "changes"),
    [
        (3, [0, 1, 2], {}),
        (1, [0], {}),
        (1, [0, 2, 3], {"fill": 0.95}),
        (1, [0, 2, 3], {"partitioned": True}),
        (1, [0, 2, 3], {"states": {0: PeerState.BUSY, 2: PeerState.BUSY, 3: PeerState.BUSY}}),
    ],
    ids=["not chosen", "lost copies are pushed", "full", "partition", "nobody answers"],
)
def test_nothing_is_fetched_without_need(rank: int, holders: list[int], changes: dict[str, object]):
    assert planned(offer(rank, holders, **changes)) == []


member_states = st.dictionaries(st.integers(0, 9), st.sampled_from(PeerState), max_size=10)
member_odds = st.dictionaries(st.integers(0, 9), st.floats(0, 1), max_size=10)


def odds_of(view: View, nodes: Sequence[NodeId]) -> list[HolderOdds]:
    members = [view.members[node] for node in nodes]
    return [HolderOdds(availability=member.availability, p_return=member.p_return) for member in members]


@given(
    rank=st.integers(0, 9),
    holders=st.sets(st.integers(0, 9)),
    states=member_states,
    odds=member_odds,
    replicas=st.integers(1, 8),
    role=st.sampled_from([Role.PRIMARY, Role.SURPLUS]),
    fill=st.floats(0, 1),
    leaving=st.booleans(),
    partitioned=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_plans_are_sound_whatever_is_observed(
    rank: int,
    holders: set[int],
    states: dict[int, PeerState],
    odds: dict[int, float],
    replicas: int,
    role: Role,
    fill: float,
    leaving: bool,
    partitioned: bool,
):
    states.pop(rank, None)
    away = {at: p for at, p in odds.items() if states.get(at) is PeerState.AWAY}
    others = sorted(holders - {rank})
    observation = observe(
        rank,
        others,
        states=states,
        odds=away,
        held=chunk(role=role, replicas=replicas),
        fill=fill,
        leaving=leaving,
        partitioned=partitioned,
        confirmed=tuple(ORDER[at] for at in others),
        short_since=NOW - 1000,
        spare_since=NOW - 10_000,
    )
    view, actions = observation.view, planned(observation)
    assert actions == planned(observation), "I12: the same observation and seed give the same plan"
    pushes = [action for action in actions if isinstance(action, Push)]
    targets = [push.target for push in pushes]
    held = {observation.me, *(ORDER[at] for at in others)}
    assert len(set(targets)) == len(targets), "I3"
    assert not held & set(targets), "I3 and I10: who has a copy gets none"
    assert all(view.is_reachable(target) for target in targets)
    counted = [node for node in held if view.odds(node) >= 0.5]
    if len(counted) >= replicas + leaving:
        assert not pushes, "I8: what counts as a copy is not replaced"
    before, after = odds_of(view, sorted(held)), odds_of(view, [*sorted(held), *targets])
    assert avail(after) >= avail(before) - 1e-12, "I5"
    assert loss(after, horizon=3600) <= loss(before, horizon=3600) + 1e-12, "I5"
    for trim in (action for action in actions if isinstance(action, Trim)):
        assert len(set(trim.relying_on) - {observation.me}) >= replicas, "I4"
        assert all(view.is_reachable(node) and node in held for node in trim.relying_on), "I4"
        assert not pushes
