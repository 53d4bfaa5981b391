"""Members that lie: rumours, floods of descriptions, members who do not exist, lists that never end."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import count

import pytest

from dfs_sdk.errors import ProtocolError
from dfs_sdk.ids import NodeId
from dfs_sdk.peers.config import PeersConfig
from dfs_sdk.peers.liveness import PeerState
from dfs_sdk.peers.membership import DESCS_BURST, Membership
from dfs_sdk.peers.messages import NodeStatus, Ping, Rumour, SignedDesc, Sync, SyncReply, sign_desc
from dfs_sdk.rpc.base import Caller
from tests.fakes.descs import desc_of, identity_of
from tests.fakes.network import FakeNetwork
from tests.fakes.runtime import LoopClock, run_virtual
from tests.fakes.stories import tell_of_members
from tests.fakes.swarm import FakeSwarm

WALL = 1_700_000_000.0


def membership_of(*, others: int, config: PeersConfig | None = None) -> Membership:
    membership = Membership(identity=identity_of(0), desc=desc_of(0), config=config or PeersConfig(), now=0)
    for number in range(1, others + 1):
        membership.take(signed(number), 0, WALL)
    return membership


def signed(number: int, **changes: object) -> SignedDesc:
    return sign_desc(desc_of(number, **changes), identity_of(number))


def id_of(number: int) -> NodeId:
    return identity_of(number).node_id


def rumour(about: int) -> Rumour:
    return Rumour(node_id=id_of(about), incarnation=1)


def states(membership: Membership, now: float) -> set[PeerState]:
    membership.review(now, WALL + now)
    return {member.state for member in membership.view(now).members.values()}


def test_rumours_alone_make_nobody_suspect_and_look_like_no_partition():
    """P-PEER-18: one member accuses all others without end; those who answered us are there for all we know."""
    membership = membership_of(others=20)
    for now in range(600):
        for about in range(2, 21):
            membership.hear(rumour(about), id_of(1), now, WALL + now)
        assert states(membership, now) == {PeerState.ALIVE}
        assert not membership.liveness.frozen(now)


def test_whoever_accuses_without_end_has_the_accused_probed_now_and_then():
    membership = membership_of(others=3)
    probes = 0
    for tenths in range(600):
        if membership.hear(rumour(2), id_of(1), tenths / 10, WALL):
            membership.liveness.looked_into(id_of(2), tenths / 10)
            probes += 1
    assert probes == 12, "once in five probe intervals"
    membership.liveness.heard(id_of(2), 60)
    assert membership.hear(rumour(2), id_of(1), 65, WALL), "also when it answered meanwhile"


def test_rumours_take_half_of_the_probes_and_none_of_our_own_turns():
    """P-PEER-18: whom there was no slot for is looked into at the next rumour, and at our own turn."""

    async def story(swarm: FakeSwarm) -> None:
        node, liar, *silent = swarm.nodes
        for other in silent:
            await swarm.kill(other)
        await swarm.until(lambda: node.peers._slots._free == 8)
        membership, now = node.peers._membership, swarm.network.clock.monotonic()
        rumours = [Rumour(node_id=each.node_id, incarnation=2**62) for each in silent]
        node.peers._desk.take(liar.node_id, (), rumours)
        due = [membership.hear(each, liar.node_id, now, WALL) for each in rumours]
        assert due == [False] * 4 + [True] * 4

        assert [node.peers._begin_probe(each.node_id) for each in silent] == [True] * 4 + [False] * 4
        order = node.peers._prober._round = [each.node_id for each in silent]
        await node.peers.turn()
        assert len(order) == 8, "a turn without a slot loses nobody"

    # Our own turns come when the story says so.
    tell_of_members(story, count=10, config=replace(PeersConfig.quick(), probe_interval=60.0))


def test_rumours_shorten_a_suspicion_of_our_own():
    config = PeersConfig(suspicion_min=0)
    for accusers, lasts in ((0, 8), (3, 4)):
        membership = membership_of(others=8, config=config)
        for by in range(2, 2 + accusers):
            membership.hear(rumour(1), id_of(by), 0, WALL)
        membership.suspect(id_of(1), 0, WALL, helpers_answered=True)
        assert PeerState.SUSPECT in states(membership, lasts - 0.1)
        assert PeerState.AWAY in states(membership, lasts + 0.1)


def test_a_stranger_has_us_describe_ourselves_anew_for_nothing():
    membership = membership_of(others=1)
    before = membership.desc
    membership.hear(Rumour(node_id=membership.me, incarnation=2**62), id_of(9), 5, WALL)
    assert membership.desc == before


def test_a_member_that_describes_itself_without_end_is_heard_once_in_a_probe_interval():
    """P-PEER-31: each description is drawn and passed on by everybody."""
    membership = membership_of(others=2)
    version = membership.version
    for incarnation in range(2, 1002):
        membership.take(signed(1, incarnation=incarnation), 10, WALL)
    assert membership.version == version + DESCS_BURST
    assert membership.take(signed(2, incarnation=2), 10, WALL) is not None, "others are heard"
    assert membership.take(signed(1, incarnation=2001, status=NodeStatus.LEFT), 11, WALL) is not None


def test_forged_descriptions_use_up_nothing_of_the_member_they_speak_of():
    """P-PEER-31: were it otherwise, a stranger could keep a member from being heard here, for one forgery a second."""
    membership = membership_of(others=1)
    for incarnation in range(2, 2 + 2 * DESCS_BURST):
        forged = SignedDesc(body=signed(1, incarnation=incarnation).body, signature=bytes(64))
        with pytest.raises(ProtocolError):
            membership.take(forged, 10, WALL, sender=id_of(9))
    for incarnation in range(2, 1 + DESCS_BURST):
        assert membership.take(signed(1, incarnation=incarnation), 10, WALL, sender=id_of(1)) is not None
    farewell = signed(1, incarnation=1 + DESCS_BURST, status=NodeStatus.LEFT)
    assert membership.take(farewell, 10, WALL, sender=id_of(1)) is not None


def test_made_up_members_keep_nobody_out_who_speaks_for_itself():
    """P-PEER-8: a list that is full of members whom nobody ever heard has room for one who is there."""
    membership = membership_of(others=0, config=PeersConfig(members_max=4))
    membership.take(signed(1), 0, WALL, sender=id_of(1))
    for made_up in (2, 3):
        membership.take(signed(made_up), made_up, WALL, sender=id_of(1))
    assert membership.take(signed(4), 4, WALL, sender=id_of(1)) is None, "by hearsay"
    assert membership.take(signed(4), 5, WALL, sender=id_of(4)) is not None
    assert membership.get(id_of(2)) is None, "known for longest without a word"
    assert membership.take(signed(5), 6, WALL, sender=id_of(5)) is not None
    assert membership.take(signed(6), 7, WALL, sender=id_of(6)) is None, "who spoke stays"
    assert {1, 4, 5} == {number for number in range(1, 7) if membership.get(id_of(number)) is not None}


def test_made_up_members_push_none_who_spoke_out_of_what_is_remembered():
    """P-PEER-26: they were all introduced later than the ones who are there were heard."""
    membership = membership_of(others=0)
    for number in (1, 2, 3):
        membership.take(signed(number), number, WALL, sender=id_of(number))
    for made_up in range(4, 30):
        membership.take(signed(made_up), 100 + made_up, WALL, sender=id_of(1))
    kept = [track.node_id for track in membership.liveness.last_heard(4)]
    assert kept == [id_of(3), id_of(2), id_of(1), id_of(29)]


def test_news_is_not_used_up_by_one_that_asks_without_end():
    """P-PEER-9: a member that probes out of its turn, and a stranger, get an answer without news."""
    membership = membership_of(others=9)
    assert membership.answer(id_of(10), 0) == ((), ())
    told = [len(membership.answer(id_of(1), 1 + n / 1000)[0]) for n in range(400)]
    assert (told[0], sum(told)) == (9, 9)
    assert len(membership.answer(id_of(2), 1.5)[0]) == 9
    assert len(membership.answer(id_of(1), 1.6)[0]) == 9


def test_a_suspected_member_is_told_so_however_often_it_asks():
    membership = membership_of(others=3)
    membership.suspect(id_of(1), 0, WALL, helpers_answered=True)
    for now in (1, 1.1, 1.2):
        assert rumour(1) in membership.answer(id_of(1), now)[1]


@pytest.mark.parametrize("seed", [1, 2])
def test_a_list_that_never_ends_is_left_and_what_it_held_is_taken(seed: int):
    """P-PEER-22: each page comes in time and holds one more member that nobody ever met."""

    async def main(clock: LoopClock) -> None:
        async with FakeNetwork(seed, clock=clock, latency=0.001) as network:
            swarm = FakeSwarm(network=network)
            node = await swarm.add()
            dawdler = network.rpc(identity_of(1))
            pages = count(2)

            async def answer(_caller: Caller, _request: Sync, _body: memoryview) -> SyncReply:
                await asyncio.sleep(0.4)
                return SyncReply(digest=bytes(16), descs=(signed(next(pages)),), more=True)

            dawdler.serve(Sync, answer)
            dawdler.serve(Ping, lambda *_: asyncio.sleep(60))
            node.rpc.book.learn(network.contact(dawdler.node_id), None)
            began = clock.monotonic()
            await node.peers._sync(dawdler.node_id)
            assert clock.monotonic() - began <= PeersConfig.quick().sync_interval + 0.1
            assert id_of(3) in node.peers._membership

    run_virtual(main)
