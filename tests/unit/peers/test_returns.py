"""Members that go and come back on virtual time: farewells, restarts, what is written down for them."""

import asyncio
from dataclasses import replace

from dfs_sdk.peers.config import PeersConfig
from dfs_sdk.peers.events import PeerJoined, PeerLeft
from dfs_sdk.peers.liveness import PeerState
from dfs_sdk.peers.messages import sign_desc
from dfs_sdk.peers.saved import KIND
from dfs_sdk.wire.codec import encode
from tests.fakes.descs import desc_of, identity_of
from tests.fakes.stories import states, tell_of_members
from tests.fakes.swarm import FakeSwarm


def test_farewell_reaches_everybody_at_once():
    async def story(swarm: FakeSwarm) -> None:
        leaver = swarm.nodes[2]
        await leaver.peers.leave()
        for node in swarm.nodes:
            if node is not leaver:
                assert leaver.node_id not in node.peers.view
                assert [event.node_id for event in node.happened(PeerLeft)] == [leaver.node_id]
        await asyncio.sleep(30)
        assert all(leaver.node_id not in node.peers.view for node in swarm.nodes if node is not leaver)

    tell_of_members(story, count=6)


def test_member_that_left_may_come_back_under_its_name():
    async def story(swarm: FakeSwarm) -> None:
        leaver = swarm.nodes[2]
        await leaver.peers.leave()
        await swarm.kill(leaver)
        again = await swarm.restart(leaver)
        await swarm.until(lambda: states(swarm, again) == {PeerState.ALIVE})
        assert [event.name for event in swarm.nodes[0].happened(PeerJoined)].count(leaver.name) == 1
        assert len([e for e in swarm.nodes[0].happened(PeerJoined) if e.node_id == again.node_id]) == 2

    tell_of_members(story, count=4)


def test_node_that_left_may_join_again_without_a_restart():
    async def story(swarm: FakeSwarm) -> None:
        leaver = swarm.nodes[2]
        await leaver.peers.leave()
        assert states(swarm, leaver) == {PeerState.GONE}
        await swarm.join(leaver)
        await swarm.until(lambda: states(swarm, leaver) == {PeerState.ALIVE}, timeout=5)

    tell_of_members(story, count=4)


def test_restarted_node_finds_the_network_without_being_told():
    async def story(swarm: FakeSwarm) -> None:
        node = swarm.nodes[3]
        await node.peers.remember()
        assert len(await node.store.list_documents(KIND)) == 5
        await swarm.kill(node)
        await swarm.kill(swarm.nodes[0])
        await swarm.until(lambda: states(swarm, node) == {PeerState.GONE})
        again = await swarm.add(identity=node.rpc.identity, store=node.store, join=False)
        assert await again.peers.rejoin() >= 1
        await swarm.until(lambda: len(again.peers.view.reachable()) == 4)
        assert swarm.nodes[0].node_id in again.peers.view, "it may hold our chunks and come back"

    tell_of_members(story, count=6)


def test_damaged_saved_peer_is_dropped():
    async def story(swarm: FakeSwarm) -> None:
        node = swarm.nodes[0]
        await node.store.put_document(KIND, b"x" * 32, b"nonsense")
        foreign = sign_desc(desc_of(5), identity_of(5))
        await node.store.put_document(KIND, b"y" * 32, encode(foreign))
        assert await node.peers.rejoin() == 0
        assert await node.store.list_documents(KIND) == []

    tell_of_members(story, count=1)


def test_first_others_are_written_down_at_once():
    async def story(swarm: FakeSwarm) -> None:
        # Long before the first turn of saving: who is killed now must not come back as a stranger to its own network.
        first = swarm.nodes[0]
        await first.peers.remember()
        other = await swarm.add()
        await swarm.until(lambda: len(first.peers.view) == 2)
        await asyncio.sleep(0.1)
        assert [key for key, _ in await first.store.list_documents(KIND)] == [other.node_id]

    tell_of_members(story, count=1, config=replace(PeersConfig.quick(), persist_interval=3600.0))


def test_nobody_is_written_down_before_the_network_is():
    async def story(swarm: FakeSwarm) -> None:
        first, second = swarm.nodes
        await first.peers.save()
        assert await first.store.list_documents(KIND) == []
        await first.peers.remember()
        assert [key for key, _ in await first.store.list_documents(KIND)] == [second.node_id]

    tell_of_members(story, count=2)


def test_peers_of_an_earlier_life_outlast_a_turn_of_saving_while_they_are_looked_for():
    async def story(swarm: FakeSwarm) -> None:
        node, other = swarm.nodes
        await node.peers.remember()
        for each in (node, other):
            await swarm.kill(each)
        again = await swarm.add(identity=node.rpc.identity, store=node.store, join=False)
        await again.peers.remember()
        looking = asyncio.get_running_loop().create_task(again.peers.rejoin())
        await asyncio.sleep(0)
        await again.peers.save()
        assert not looking.done()
        assert [key for key, _ in await again.store.list_documents(KIND)] == [other.node_id]
        assert await looking == 0
        assert other.node_id in again.peers.view

    tell_of_members(story, count=2)


def test_rejoin_of_a_fresh_node_finds_nobody():
    async def story(swarm: FakeSwarm) -> None:
        assert await swarm.nodes[0].peers.rejoin() == 0

    tell_of_members(story, count=1)
