"""A crowd changes what a member list costs, never what it says: beside a node that was told everything one by one."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfs_sdk.errors import ConfigError
from dfs_sdk.ids import Address, NodeId
from dfs_sdk.peers.config import PeersConfig
from dfs_sdk.peers.crowd import Crowd, KnownMembers
from dfs_sdk.peers.membership import Membership
from dfs_sdk.peers.messages import NodeStatus, Rumour, sign_desc
from dfs_sdk.rpc.addressbook import AddressBook
from tests.fakes.descs import desc_of, identity_of

WALL = 1_700_000_000.0
COUNT = 6
PORT = 4001
STRANGER = COUNT
CONFIG = PeersConfig(forget_after=5000.0)


def id_of(number: int) -> NodeId:
    return identity_of(number).node_id


def signed(number: int, **changes: object):
    return sign_desc(desc_of(number, **changes), identity_of(number))


def crowd_of(count: int = COUNT) -> Crowd:
    return Crowd((signed(number), desc_of(number)) for number in range(count))


def member_of_crowd(crowd: Crowd, number: int = 0) -> Membership:
    membership = Membership(identity=identity_of(number), desc=desc_of(number), config=CONFIG, now=0)
    membership.know(crowd, 0)
    return membership


def told_one_by_one() -> Membership:
    membership = Membership(identity=identity_of(0), desc=desc_of(0), config=CONFIG, now=0)
    for number in sorted(range(1, COUNT), key=id_of):
        membership.take(signed(number), 0, WALL)
    while membership.news() != ((), ()):
        pass
    membership.review(0, WALL)
    return membership


def act(membership: Membership, deed: tuple[str, int, int], now: float) -> object:
    what, who, other = deed
    wall = WALL + now
    match what:
        case "described":
            return membership.take(signed(who, incarnation=int(now) + 2, name=f"at {now}"), now, wall)
        case "left":
            status = NodeStatus.LEFT
            return membership.take(signed(who, incarnation=int(now) + 2, status=status), now, wall)
        case "heard":
            return membership.heard(id_of(who), now)
        case "missed":
            return membership.liveness.missed(id_of(who), now, wall)
        case "suspected":
            membership.liveness.missed(id_of(who), now, wall)
            return membership.suspect(id_of(who), now, wall, helpers_answered=True)
        case "accused":
            incarnation = desc.incarnation if (desc := membership.get(id_of(who))) else 1
            is_due = membership.hear(Rumour(node_id=id_of(who), incarnation=incarnation), id_of(other), now, wall)
            if is_due:
                membership.liveness.looked_into(id_of(who), now)
            return is_due
        case "slept":
            return membership.liveness.forgive(10.0, now)
        case _:
            return membership.review(now, wall)


def said(membership: Membership, now: float) -> dict[str, object]:
    view = membership.view(now)
    return {
        "length": len(membership),
        "ids": sorted(membership.ids()),
        "descriptions": {desc.node_id: desc for desc in membership},
        "reachable": sorted(membership.reachable()),
        "summary": membership.summary(now),
        "digest": membership.digest(now),
        "view": dict(view.members),
        "partitioned": view.partitioned,
        "last heard": [(track.node_id, track.last_heard) for track in membership.liveness.last_heard(4)],
        "watched": len(membership.liveness),
        "suspicion": membership.liveness.suspicion_seconds(1),
        "strangers": [number for number in range(STRANGER + 1) if id_of(number) not in membership],
    }


DEEDS = st.tuples(
    st.sampled_from(["described", "left", "heard", "missed", "suspected", "accused", "slept", "reviewed"]),
    st.integers(0, STRANGER),
    st.integers(1, COUNT - 1),
)


@given(deeds=st.lists(st.tuples(DEEDS, st.sampled_from([0.5, 40.0, 4000.0, 20_000.0])), max_size=12))
@settings(max_examples=150)
def test_member_of_a_crowd_says_what_one_says_who_was_told_everything(deeds):
    crowd = crowd_of()
    # One that hears nothing draws the pictures of each instant before the other does, who takes them from it.
    beside, shared = (member_of_crowd(crowd, number) for number in (1, 0))
    told, now = told_one_by_one(), 0.0
    assert said(shared, now) == said(told, now)
    for deed, pause in deeds:
        now += pause
        beside.view(now)
        assert act(shared, deed, now) == act(told, deed, now)
        assert act(shared, ("reviewed", 0, 0), now) == act(told, ("reviewed", 0, 0), now)
        assert said(shared, now) == said(told, now)


def test_members_of_a_crowd_share_their_table_and_one_who_learns_more_does_not_tell_the_others():
    crowd = crowd_of()
    first, second = KnownMembers(id_of(0)), KnownMembers(id_of(1))
    for known in (first, second):
        known.adopt(crowd)
    assert first.get(id_of(2)) is second.get(id_of(2))
    first[id_of(2)] = (signed(2, incarnation=9), desc_of(2, incarnation=9))
    first.drop(id_of(3))
    assert second[id_of(2)][1].incarnation == 1
    assert id_of(3) in second
    assert id_of(3) not in first


def test_members_of_a_crowd_share_the_pictures_of_those_they_never_heard_of():
    crowd = crowd_of()
    first, second = (member_of_crowd(crowd, number) for number in (0, 1))
    second.take(signed(2, incarnation=9, name="again"), 0, WALL)
    second.liveness.missed(id_of(3), 0, WALL)
    views = first.view(5.0), second.view(5.0)
    pairs = [tuple(view.members[id_of(number)] for view in views) for number in range(2, COUNT)]
    assert [mine is yours for mine, yours in pairs] == [False, False, True, True]
    assert [member.name for member in pairs[0]] == ["n2", "again"]


def test_crowd_that_is_more_than_a_node_may_know_is_refused():
    config = PeersConfig(members_max=COUNT - 1)
    membership = Membership(identity=identity_of(0), desc=desc_of(0), config=config, now=0)
    with pytest.raises(ConfigError):
        membership.know(crowd_of(), 0)


def test_crowd_has_no_room_for_somebody_who_has_left():
    with pytest.raises(ValueError, match="up and idle"):
        Crowd([(signed(1, status=NodeStatus.LEFT), desc_of(1, status=NodeStatus.LEFT))])


@given(st.lists(st.tuples(st.sampled_from(["learn", "confirm", "forget", "list"]), st.integers(0, COUNT)), max_size=10))
def test_book_with_a_crowd_knows_what_one_knows_that_learned_it(deeds):
    crowd = {
        id_of(n): replace(desc_of(n).contact, addresses=(Address(f"10.0.0.{n}", PORT), Address("127.0.0.1", PORT)))
        for n in range(COUNT)
    }
    own = Address("127.0.0.1", PORT)
    books = [AddressBook(id_of(0), own_addresses=lambda: (own,)) for _ in range(2)]
    books[0].acquaint(crowd)
    for contact in crowd.values():
        books[1].learn(contact, None)
    for deed, number in deeds:
        answers = []
        for book in books:
            match deed:
                case "learn":
                    moved = replace(desc_of(number).contact, addresses=(Address("10.0.1.1", PORT),))
                    answers.append(book.learn(moved, Address("10.0.0.9", PORT), first_hand=True))
                case "confirm":
                    answers.append(book.confirm(identity_of(number).public, Address("10.0.0.9", 4000 + number)))
                case "forget":
                    answers.append(book.forget(id_of(number)))
                case _:
                    answers.append((len(book), sorted(book)))
        assert answers[0] == answers[1]
        for other in range(1, COUNT + 1):
            assert books[0].contact(id_of(other)) == books[1].contact(id_of(other))
            assert (id_of(other) in books[0]) == (id_of(other) in books[1])
