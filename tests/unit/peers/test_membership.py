"""Which description counts, what is passed on, what a view shows: rules P-PEER-3 to P-PEER-9."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfs_sdk.errors import ProtocolError
from dfs_sdk.ids import NodeId
from dfs_sdk.peers.config import PeersConfig
from dfs_sdk.peers.gossip import Gossip
from dfs_sdk.peers.liveness import PeerState
from dfs_sdk.peers.membership import Membership
from dfs_sdk.peers.messages import DESC_DOMAIN, NodeStatus, Rumour, SignedDesc, sign_desc
from dfs_sdk.peers.view import View
from dfs_sdk.wire.codec import encode
from tests.fakes.descs import desc_of, identity_of, view_of

WALL = 1_700_000_000.0


def membership_of(me: int = 0, others: int = 0, config: PeersConfig | None = None) -> Membership:
    membership = Membership(identity=identity_of(me), desc=desc_of(me), config=config or PeersConfig(), now=0)
    for number in range(1, others + 1):
        membership.take(signed(number), 0, WALL)
    return membership


def signed(number: int, **changes: object) -> SignedDesc:
    return sign_desc(desc_of(number, **changes), identity_of(number))


def id_of(number: int) -> NodeId:
    return identity_of(number).node_id


def test_higher_incarnation_wins_in_any_order():
    for order in ((1, 2, 3), (3, 2, 1), (2, 3, 1)):
        membership = membership_of()
        for incarnation in order:
            membership.take(signed(1, incarnation=incarnation, name=f"v{incarnation}"), 0, WALL)
        known = membership.get(id_of(1))
        assert known is not None
        assert known.name == "v3"


def test_second_description_of_one_incarnation_is_ignored():
    membership = membership_of(others=1)
    assert membership.take(signed(1, name="other"), 0, WALL) is None
    known = membership.get(id_of(1))
    assert known is not None
    assert known.name == "n1"


def test_forged_description_raises_and_changes_nothing():
    membership = membership_of(others=1)
    body = encode(desc_of(1, incarnation=9))
    with pytest.raises(ProtocolError):
        membership.take(SignedDesc(body=body, signature=identity_of(2).signing.sign(DESC_DOMAIN + body)), 0, WALL)
    known = membership.get(id_of(1))
    assert known is not None
    assert known.incarnation == 1


def test_accusation_is_refuted_with_a_higher_incarnation():
    membership = membership_of(others=2)
    before = membership.desc.incarnation
    membership.hear(Rumour(node_id=membership.me, incarnation=before), id_of(1), 5, WALL)
    assert membership.desc.incarnation > before
    assert membership.signed in membership.news()[0]


def test_endless_accusations_cost_one_description_a_turn():
    membership = membership_of(others=1)
    for _ in range(100):
        membership.hear(Rumour(node_id=membership.me, incarnation=2**63 - 1), id_of(1), 5, WALL)
    incarnations = membership.desc.incarnation
    membership.hear(Rumour(node_id=membership.me, incarnation=2**63 - 1), id_of(1), 5.5, WALL)
    assert membership.desc.incarnation == incarnations


def test_rumour_of_a_stranger_or_about_an_older_incarnation_is_ignored():
    membership = membership_of(others=2)
    assert not membership.hear(Rumour(node_id=id_of(1), incarnation=1), id_of(9), 0, WALL)
    membership.take(signed(1, incarnation=5), 0, WALL)
    assert not membership.hear(Rumour(node_id=id_of(1), incarnation=4), id_of(2), 0, WALL)
    assert membership.hear(Rumour(node_id=id_of(1), incarnation=5), id_of(2), 0, WALL)


def test_newer_description_ends_a_suspicion():
    membership = membership_of(others=2)
    membership.suspect(id_of(1), 0, WALL, helpers_answered=True)
    membership.review(0, WALL)
    assert membership.view(0).members[id_of(1)].state is PeerState.SUSPECT
    membership.take(signed(1, incarnation=2), 1, WALL)
    membership.review(1, WALL)
    assert membership.view(1).members[id_of(1)].state is PeerState.ALIVE


def test_own_description_of_an_earlier_life_is_outdone():
    membership = membership_of()
    membership.take(signed(0, incarnation=2**50), 0, WALL)
    assert membership.desc.incarnation > 2**50


def test_forged_description_of_ourselves_moves_nothing():
    membership = membership_of()
    body = encode(desc_of(0, incarnation=2**62))
    with pytest.raises(ProtocolError):
        membership.take(SignedDesc(body=body, signature=bytes(64)), 0, WALL)
    assert membership.desc.incarnation < 2**62


def test_farewell_removes_from_the_view_and_no_old_description_brings_back():
    membership = membership_of(others=1)
    membership.take(signed(1, incarnation=3, status=NodeStatus.LEFT), 0, WALL)
    membership.review(0, WALL)
    assert id_of(1) not in membership.view(0)
    membership.take(signed(1, incarnation=2), 0, WALL)
    assert id_of(1) not in membership.view(0)
    membership.take(signed(1, incarnation=4), 0, WALL)
    membership.review(0, WALL)
    assert id_of(1) in membership.view(0)


def test_suspected_member_hears_so_in_the_next_message_to_it():
    membership = membership_of(others=3)
    membership.suspect(id_of(2), 0, WALL, helpers_answered=True)
    for _ in range(50):
        membership.news()
    assert membership.news(id_of(2))[1] == (Rumour(node_id=id_of(2), incarnation=1),)
    assert membership.news(id_of(1))[1] == ()


def test_list_is_bounded_and_room_is_made_from_those_gone_first():
    membership = membership_of(others=3, config=PeersConfig(members_max=4))
    assert membership.take(signed(4), 0, WALL) is None
    assert len(membership) == 4
    membership.take(signed(2, incarnation=2, status=NodeStatus.LEFT), 0, WALL)
    membership.review(0, WALL)
    assert membership.take(signed(4), 0, WALL) is not None
    assert membership.get(id_of(2)) is None


def test_gone_member_is_not_passed_on_and_forgotten_at_last():
    config = PeersConfig(down_time_mean=1, forget_after=1000)
    membership = membership_of(others=5, config=config)
    membership.suspect(id_of(1), 0, WALL, helpers_answered=True)
    membership.review(100, WALL)
    assert membership.summary(100)[id_of(1)] == (1, True)
    assert membership.view(100).members[id_of(1)].p_return == 0
    membership.review(1200, WALL)
    assert membership.get(id_of(1)) is None


def test_digest_depends_on_members_and_incarnations_only():
    a, b = membership_of(0, 3), membership_of(0, 3)
    assert a.digest(0) == b.digest(0)
    a.suspect(id_of(1), 0, WALL, helpers_answered=True)
    a.review(0, WALL)
    assert a.digest(0) == b.digest(0)
    b.take(signed(2, incarnation=2), 0, WALL)
    assert a.digest(0) != b.digest(0)


def test_equal_lists_give_equal_view_digests_on_all_nodes():
    """I1: what placement depends on is equal wherever the members are."""
    descs = [desc_of(n) for n in range(5)]
    views = [view_of(descs, me=desc.node_id) for desc in descs]
    assert len({view.digest for view in views}) == 1
    gone = view_of(descs, states={descs[1].node_id: PeerState.GONE})
    silent = view_of(descs, states={descs[1].node_id: PeerState.SUSPECT})
    assert gone.digest != views[0].digest == silent.digest


def test_view_answers_who_is_reachable_and_who_is_called_what():
    descs = [desc_of(n) for n in range(4)]
    lagging, busy = descs[1].node_id, descs[2].node_id
    view = view_of(descs, states={lagging: PeerState.LAGGING, busy: PeerState.BUSY})
    assert view.reachable() == sorted([lagging, descs[3].node_id])
    assert view.is_reachable(view.me)
    assert not view.is_reachable(busy)
    assert [member.node_id for member in view.by_name("n3")] == [descs[3].node_id]
    assert [member.node_id for member in view.by_name(busy.hex()[:8])] == [busy]
    assert view.by_name("nobody") == []
    assert view.name(NodeId(bytes(32))) == "00000000"
    assert view.odds(NodeId(bytes(32))) == 0


def test_hostile_name_is_made_visible():
    view = view_of([desc_of(0, name="evil\x1b[2J\u202e")])
    assert not any(char in view.name(view.me) for char in "\x1b\u202e")


def test_view_cannot_be_changed():
    view = view_of([desc_of(0)])
    with pytest.raises(TypeError):
        view.members[view.me] = None  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        view.version = 2  # type: ignore[misc]


def test_gossip_tells_the_least_told_first_and_ends():
    gossip: Gossip[int] = Gossip(scale=4)
    for number in range(20):
        gossip.add(id_of(number), number)
    told = [item for _ in range(200) for item in gossip.take(8, members=98)]
    assert {told.count(number) for number in range(20)} == {8}, "4 log10(100) times each"
    assert len(gossip) == 0


@given(st.lists(st.integers(0, 12), max_size=30), st.integers(1, 16))
@settings(max_examples=50)
def test_gossip_never_exceeds_its_count_and_keeps_one_item_a_member(numbers: list[int], count: int):
    gossip: Gossip[int] = Gossip(scale=4)
    for at, number in enumerate(numbers):
        gossip.add(id_of(number), at)
    assert len(gossip) == len(set(numbers))
    assert len(gossip.take(count, members=10)) <= count


@given(st.permutations([(n, i) for n in (1, 2, 3) for i in (1, 2)]))
@settings(max_examples=40)
def test_members_converge_whatever_the_order_of_news(news: list[tuple[int, int]]):
    membership = membership_of()
    for number, incarnation in news:
        membership.take(signed(number, incarnation=incarnation), 0, WALL)
    view: View = membership.view(0)
    assert [member.desc.incarnation for i, member in view.members.items() if i != view.me] == [2, 2, 2]
