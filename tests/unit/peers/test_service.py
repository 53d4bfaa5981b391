"""Members of a network on virtual time: how they meet, what they tell of themselves, what they refuse."""

import asyncio
from dataclasses import replace

import pytest

from dfs_sdk.crypto.identity import Identity
from dfs_sdk.errors import PeerUnreachableError, RemoteError
from dfs_sdk.ids import Address
from dfs_sdk.peers.events import PeerJoined
from dfs_sdk.peers.liveness import PeerState
from dfs_sdk.peers.messages import DESC_DOMAIN, Offer, Ping, Pong, Rumour, SignedDesc, Sync, SyncReply, sign_desc
from dfs_sdk.rpc.base import Caller
from dfs_sdk.wire.codec import encode
from tests.fakes.descs import desc_of, identity_of
from tests.fakes.stories import states, tell_of_members
from tests.fakes.swarm import FakeSwarm, new_chunk


def test_joining_one_member_is_meeting_all():
    async def story(swarm: FakeSwarm) -> None:
        assert len({node.peers.view.digest for node in swarm.nodes}) == 1
        last = swarm.nodes[-1]
        assert len(last.peers.view.reachable()) == 19
        assert sorted(event.name for event in last.happened(PeerJoined)) == sorted(f"n{n}" for n in range(19))

    tell_of_members(story, count=20)


def test_members_that_nobody_introduced_meet_by_themselves():
    """Everybody only knows the first node, as after joins through one invite while gossip is slow."""

    async def story(swarm: FakeSwarm) -> None:
        lone = await swarm.add(join=False)
        other = await swarm.add(join=False)
        lone.rpc.book.learn(swarm.network.contact(other.node_id), None)
        await lone.rpc.connect(swarm.network.contact(other.node_id))
        await swarm.until(lambda: len(lone.peers.view) == 2 and len(other.peers.view) == 2)
        await lone.peers.join(swarm.network.contact(swarm.nodes[0].node_id))
        await swarm.until(lambda: all(len(node.peers.view) == 5 for node in swarm.nodes))

    tell_of_members(story, count=3)


def test_changed_description_reaches_everybody():
    async def story(swarm: FakeSwarm) -> None:
        seen: list[int] = []
        swarm.nodes[1].peers.on_change(lambda view: seen.append(view.version))
        node = swarm.nodes[0]
        node.peers.describe(used_bytes=500, capacity_bytes=2**31, name="new name")
        await swarm.until(
            lambda: all(other.peers.view.members[node.node_id].name == "new name" for other in swarm.nodes), timeout=10
        )
        desc = swarm.nodes[4].peers.view.members[node.node_id].desc
        assert (desc.used_bytes, desc.capacity_bytes, desc.weight_exponent) == (500, 2**31, 248)
        assert seen == sorted(set(seen)) != []

    tell_of_members(story, count=5)


def test_filling_store_is_announced_by_itself():
    async def story(swarm: FakeSwarm) -> None:
        node = await swarm.add(capacity_bytes=100_000)
        await node.store.put([new_chunk(1, size=50_000)])
        other = swarm.nodes[0]
        await swarm.until(lambda: other.peers.view.members[node.node_id].desc.used_bytes == 50_000, timeout=10)

    tell_of_members(story, count=3)


def test_wiped_store_shows_as_another_storage():
    async def story(swarm: FakeSwarm) -> None:
        node = swarm.nodes[1]
        before = swarm.nodes[0].peers.view.members[node.node_id].desc.storage_uuid
        await swarm.kill(node)
        again = await swarm.restart(node, wiped=True)
        await swarm.until(lambda: states(swarm, again) == {PeerState.ALIVE})
        assert swarm.nodes[0].peers.view.members[node.node_id].desc.storage_uuid != before

    tell_of_members(story, count=4)


def test_liar_with_a_forged_description_is_disconnected_and_believed_nothing():
    async def story(swarm: FakeSwarm) -> None:
        liar, honest = swarm.nodes[1], swarm.nodes[0]
        victim = desc_of(7)
        body = encode(victim)
        forged = SignedDesc(body=body, signature=liar.rpc.identity.signing.sign(DESC_DOMAIN + body))
        assert liar.node_id in honest.rpc.connected()
        with pytest.raises(PeerUnreachableError):
            await liar.rpc.call(honest.node_id, Offer(descs=(forged,)))
        assert victim.node_id not in honest.peers.view
        assert liar.node_id not in honest.rpc.connected()

    tell_of_members(story, count=3)


def test_introducing_somebody_else_as_oneself_is_refused():
    async def story(swarm: FakeSwarm) -> None:
        honest = swarm.nodes[0]
        stranger = swarm.network.rpc(Identity.generate(swarm.network.runtimes[honest.node_id].entropy))
        stranger.book.learn(swarm.network.contact(honest.node_id), None)
        me = sign_desc(desc_of(9), identity_of(9))
        with pytest.raises(RemoteError):
            await stranger.call(honest.node_id, Sync(digest=bytes(16), me=me))
        assert stranger.node_id not in honest.peers.view

    tell_of_members(story, count=2)


def test_malformed_summary_is_refused():
    async def story(swarm: FakeSwarm) -> None:
        a, b = swarm.nodes
        me = a.peers._membership.signed
        for body in (b"x", bytes(80), bytes(40) * 2):
            with pytest.raises(RemoteError):
                await a.rpc.call(b.node_id, Sync(digest=bytes(16), me=me), body=body)
        assert isinstance((await a.rpc.call(b.node_id, Ping())).reply, Pong)

    tell_of_members(story, count=2)


def test_list_of_many_members_travels_in_pages():
    async def story(swarm: FakeSwarm) -> None:
        node = swarm.nodes[0]
        now, wall = swarm.network.clock.monotonic(), swarm.network.clock.wall()
        for number in range(100, 160):
            node.peers._membership.take(sign_desc(desc_of(number), identity_of(number)), now, wall)
        newcomer = await swarm.add()
        assert len(newcomer.peers.view) == 63

    tell_of_members(story, count=2)


def test_offer_is_answered_with_the_number_of_descriptions_that_were_news():
    async def story(swarm: FakeSwarm) -> None:
        a, b = swarm.nodes
        news = [sign_desc(desc_of(number), identity_of(number)) for number in (7, 8)]
        known = b.peers.description[0]
        counts = [
            (await a.rpc.call(b.node_id, Offer(descs=tuple(descs)))).reply.count
            for descs in ([known, *news], news, [known])
        ]
        assert counts == [2, 0, 0]

    tell_of_members(story, count=2)


def test_list_that_goes_on_without_news_is_not_asked_for_again():
    async def story(swarm: FakeSwarm) -> None:
        asker, liar = swarm.nodes
        asked = 0

        def answer(_caller: Caller, _request: Sync, _body: memoryview) -> SyncReply:
            nonlocal asked
            asked += 1
            # It accuses the asker each time, who then describes itself anew: that is no news of the liar's.
            accused = Rumour(node_id=asker.node_id, incarnation=asker.peers.description[1].incarnation)
            return SyncReply(digest=bytes(16), descs=(liar.peers.description[0],), more=True, rumours=(accused,))

        liar.peers._syncer.answer = answer  # type: ignore[method-assign]
        await asker.peers._syncer.sync(liar.node_id, full=True)
        assert asked == 1

    tell_of_members(story, count=2)


def test_moved_address_is_announced():
    async def story(swarm: FakeSwarm) -> None:
        node = swarm.nodes[0]
        moved = Address("10.9.9.9", 4001)
        contact = node.rpc.local_contact()
        node.rpc.local_contact = lambda: replace(contact, addresses=(moved,))  # type: ignore[method-assign]
        await swarm.until(
            lambda: swarm.nodes[1].peers.view.members[node.node_id].desc.contact.addresses == (moved,), timeout=10
        )

    tell_of_members(story, count=3)


def test_same_seed_tells_the_same_story():
    """I12 of the replication rules, for what happens among members."""
    traces: list[list[str]] = []

    async def story(swarm: FakeSwarm) -> None:
        await swarm.kill(swarm.nodes[2])
        await asyncio.sleep(20)
        traces.append([f"{event.at_wall:.6f} {event.text}" for node in swarm.nodes for event in node.events.log()])

    for _ in range(2):
        tell_of_members(story, count=6, seed=7)
    assert traces[0] == traces[1] != []
