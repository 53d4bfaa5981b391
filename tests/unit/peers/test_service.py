"""Members of a network on virtual time: joining, silence, partitions, sleep, farewells, restarts."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from dfs_sdk.crypto.identity import Identity
from dfs_sdk.errors import ConfigError, DeadlineError, PeerUnreachableError, RemoteError
from dfs_sdk.ids import Address, NodeId
from dfs_sdk.peers.config import PeersConfig
from dfs_sdk.peers.events import PartitionSuspected, PeerJoined, PeerLeft, PeerStateChanged
from dfs_sdk.peers.liveness import PeerState
from dfs_sdk.peers.messages import DESC_DOMAIN, Offer, Ping, Pong, ProbeFor, SignedDesc, Sync, sign_desc
from dfs_sdk.peers.saved import KIND
from dfs_sdk.peers.standstill import Spokesman
from dfs_sdk.transport.asides import Whisper
from dfs_sdk.wire.codec import encode
from tests.fakes.descs import desc_of, identity_of
from tests.fakes.network import FakeNetwork
from tests.fakes.runtime import LoopClock, run_virtual
from tests.fakes.swarm import FakeSwarm, SwarmNode

Story = Callable[[FakeSwarm], Coroutine[Any, Any, None]]


def tell(story: Story, *, count: int, config: PeersConfig | None = None, seed: int = 1, latency: float = 0.001) -> None:
    """Run a story with a swarm whose members have met; no task may have failed in the end."""

    async def main(clock: LoopClock) -> None:
        async with FakeNetwork(seed, clock=clock, latency=latency) as network:
            swarm = FakeSwarm(network=network, peers_config=config or PeersConfig.quick())
            for _ in range(count):
                await swarm.add()
            await swarm.until(lambda: all(len(node.peers.view) == count for node in swarm.nodes))
            await story(swarm)
            # A call given up tells the peer so; in a cut network that cannot arrive.
            assert [error for error in network.errors if not error[0].endswith("/cancel")] == []

    run_virtual(main)


def states(swarm: FakeSwarm, of: SwarmNode) -> set[PeerState]:
    """What the living others think of a node."""
    views = [node.peers.view for node in swarm.living() if node is not of]
    return {member.state if (member := view.get(of.node_id)) else PeerState.GONE for view in views}


class Mouth:
    """What a node says aside arrives at one other at once."""

    def __init__(self, speaker: SwarmNode, listener: SwarmNode) -> None:
        self.on_aside: Callable[[NodeId, bytes], None] = lambda *_: None
        self._whisper: Whisper = lambda content: listener.peers._on_aside(speaker.node_id, content)

    def whispers(self, _count: int) -> tuple[Whisper, ...]:
        return (self._whisper,)


def test_two_that_stood_still_together_take_each_other_for_alive_again():
    """P-PEER-29: two nodes of one kernel. Each holds the other for busy at first, and nobody probes the busy."""

    async def story(swarm: FakeSwarm) -> None:
        one, other = swarm.nodes
        spokesmen = [
            Spokesman(
                membership=speaker.peers._membership,
                asides=Mouth(speaker, listener),
                clock=swarm.network.clock,
                config=PeersConfig(),
                back=speaker.peers._be_back,
            )
            for speaker, listener in ((one, other), (other, one))
        ]
        for spokesman in spokesmen:
            spokesman.rehearse()
            spokesman.speak()
        for spokesman in spokesmen:
            spokesman._on_turn()
        assert states(swarm, one) == states(swarm, other) == {PeerState.BUSY}
        await asyncio.sleep(1.0)
        assert states(swarm, one) == states(swarm, other) == {PeerState.ALIVE}

    tell(story, count=2)


def test_joining_one_member_is_meeting_all():
    async def story(swarm: FakeSwarm) -> None:
        assert len({node.peers.view.digest for node in swarm.nodes}) == 1
        last = swarm.nodes[-1]
        assert len(last.peers.view.reachable()) == 19
        assert sorted(event.name for event in last.happened(PeerJoined)) == sorted(f"n{n}" for n in range(19))

    tell(story, count=20)


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

    tell(story, count=3)


def test_killed_node_of_eight_is_gone_everywhere_within_eight_seconds():
    async def story(swarm: FakeSwarm) -> None:
        victim = swarm.nodes[3]
        await swarm.kill(victim)
        assert await swarm.until(lambda: states(swarm, victim) == {PeerState.GONE}) < 8
        after = [event.after for event in swarm.nodes[0].happened(PeerStateChanged) if event.node_id == victim.node_id]
        assert after[-3:] == [PeerState.SUSPECT, PeerState.AWAY, PeerState.GONE]

    tell(story, count=8)


def test_nobody_is_accused_in_a_quiet_network():
    async def story(swarm: FakeSwarm) -> None:
        await asyncio.sleep(120)
        for node in swarm.nodes:
            assert node.happened(PeerStateChanged) == []

    tell(story, count=5, config=PeersConfig())


def test_kernel_blocked_for_25_seconds_is_suspected_at_most():
    """I8: reads avoid it, nothing is away."""

    async def story(swarm: FakeSwarm) -> None:
        blocked = swarm.nodes[2]
        swarm.network.kill(blocked.node_id, silent=True)
        await asyncio.sleep(25)
        assert states(swarm, blocked) <= {PeerState.ALIVE, PeerState.LAGGING, PeerState.SUSPECT}
        assert all(node.peers.view.odds(blocked.node_id) == 1 for node in swarm.living())
        swarm.network.revive(blocked.node_id)
        await swarm.until(lambda: states(swarm, blocked) == {PeerState.ALIVE}, timeout=15)

    tell(story, count=6, config=PeersConfig())


def test_announced_busy_time_is_no_silence():
    async def story(swarm: FakeSwarm) -> None:
        busy = swarm.nodes[1]
        await busy.peers.busy(120)
        assert states(swarm, busy) == {PeerState.BUSY}
        assert not any(node.peers.view.is_reachable(busy.node_id) for node in swarm.nodes if node is not busy)
        swarm.network.kill(busy.node_id, silent=True)
        await asyncio.sleep(110)
        assert states(swarm, busy) == {PeerState.BUSY}
        swarm.network.revive(busy.node_id)
        await busy.peers.ready()
        await swarm.until(lambda: states(swarm, busy) == {PeerState.ALIVE}, timeout=15)
        for seconds in (0, -1, 1e9):
            with pytest.raises(ConfigError):
                await busy.peers.busy(seconds)

    tell(story, count=5, config=PeersConfig())


def test_busy_lease_that_runs_out_is_taken_back_by_its_owner():
    async def story(swarm: FakeSwarm) -> None:
        await swarm.nodes[0].peers.busy(5)
        await asyncio.sleep(8)
        assert states(swarm, swarm.nodes[0]) == {PeerState.ALIVE}

    tell(story, count=3)


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

    tell(story, count=6)


def test_member_that_left_may_come_back_under_its_name():
    async def story(swarm: FakeSwarm) -> None:
        leaver = swarm.nodes[2]
        await leaver.peers.leave()
        await swarm.kill(leaver)
        again = await swarm.restart(leaver)
        await swarm.until(lambda: states(swarm, again) == {PeerState.ALIVE})
        assert [event.name for event in swarm.nodes[0].happened(PeerJoined)].count(leaver.name) == 1
        assert len([e for e in swarm.nodes[0].happened(PeerJoined) if e.node_id == again.node_id]) == 2

    tell(story, count=4)


def test_node_that_left_may_join_again_without_a_restart():
    async def story(swarm: FakeSwarm) -> None:
        leaver = swarm.nodes[2]
        await leaver.peers.leave()
        assert states(swarm, leaver) == {PeerState.GONE}
        await swarm.join(leaver)
        await swarm.until(lambda: states(swarm, leaver) == {PeerState.ALIVE}, timeout=5)

    tell(story, count=4)


def test_member_whose_connection_ended_is_looked_after_at_once():
    async def story(swarm: FakeSwarm) -> None:
        victim = swarm.nodes[1]
        await asyncio.sleep(10)
        assert victim.node_id in swarm.nodes[0].rpc.connected()
        swarm.network.kill(victim.node_id)
        await asyncio.sleep(0.1)
        assert swarm.nodes[0].peers.view.members[victim.node_id].state is not PeerState.ALIVE

    tell(story, count=4, config=PeersConfig(probe_interval=4.0))


def test_partition_freezes_verdicts_and_heals_by_itself():
    config = replace(PeersConfig.quick(), partition_freeze=30.0)

    async def story(swarm: FakeSwarm) -> None:
        some, others = swarm.nodes[:2], swarm.nodes[2:]
        swarm.network.partition([n.node_id for n in some], [n.node_id for n in others], silent=True)
        await asyncio.sleep(15)
        for node in some:
            assert node.happened(PartitionSuspected), "six of eight silent: we are the ones cut off"
            assert node.peers.view.partitioned
            assert PeerState.GONE not in {member.state for member in node.peers.view.members.values()}
        swarm.network.heal()
        await swarm.until(lambda: all(len(node.peers.view.reachable()) == 7 for node in swarm.nodes))
        # The freeze ends even though nothing else changes, and a view says so.
        await asyncio.sleep(60)
        versions = [node.peers.view.version for node in swarm.nodes]
        assert not any(node.peers.view.partitioned for node in swarm.nodes)
        await asyncio.sleep(60)
        assert [node.peers.view.version for node in swarm.nodes] == versions, "what ends the freeze is time alone"

    tell(story, count=8, config=config)


def test_members_lost_in_a_long_partition_find_each_other_again():
    async def story(swarm: FakeSwarm) -> None:
        some, others = swarm.nodes[:3], swarm.nodes[3:]
        swarm.network.partition([n.node_id for n in some], [n.node_id for n in others], silent=True)
        await swarm.until(lambda: all(len(node.peers.view.reachable()) == 2 for node in some), timeout=60)
        await asyncio.sleep(20)
        assert states(swarm, swarm.nodes[0]) >= {PeerState.GONE}
        swarm.network.heal()
        await swarm.until(lambda: all(len(node.peers.view.reachable()) == 5 for node in swarm.nodes), timeout=60)

    tell(story, count=6)


def test_asymmetric_trouble_is_no_death_while_others_reach_the_member():
    async def story(swarm: FakeSwarm) -> None:
        a, b = swarm.nodes[:2]
        swarm.network.partition([a.node_id], [b.node_id], silent=True)
        await asyncio.sleep(30)
        assert a.peers.view.members[b.node_id].state in (PeerState.ALIVE, PeerState.LAGGING)
        assert states(swarm, b) <= {PeerState.ALIVE, PeerState.LAGGING}

    tell(story, count=6)


def test_node_that_slept_accuses_nobody():
    async def story(swarm: FakeSwarm) -> None:
        sleeper = swarm.nodes[0]
        liveness = sleeper.peers._membership.liveness
        other = swarm.nodes[1].node_id
        # What the probes of a node that wakes up look like: unanswered, long ago.
        liveness.missed(other, swarm.network.clock.monotonic() - 100, swarm.network.clock.wall())
        liveness.suspect(other, swarm.network.clock.monotonic() - 100, swarm.network.clock.wall())
        sleeper.peers._turn_at = (swarm.network.clock.monotonic() - 100, swarm.network.clock.wall() - 100)
        await sleeper.peers.turn()
        assert sleeper.peers.view.members[other].state is PeerState.ALIVE

    tell(story, count=4, config=PeersConfig())


@pytest.mark.parametrize("set_back", [0.0, 3600.0])
def test_probe_during_which_this_node_slept_proves_nothing_whatever_the_wall_clock_says(set_back: float):
    async def story(swarm: FakeSwarm) -> None:
        node, other = swarm.nodes[0], swarm.nodes[1].node_id

        async def wake_late(*_args: object, **_options: object) -> None:
            await asyncio.sleep(60)
            swarm.network.clock.jump_wall(-set_back)
            raise DeadlineError("no answer")

        call, node.rpc.call = node.rpc.call, wake_late  # type: ignore[assignment, method-assign]
        assert not await node.peers._prober.probe(other)
        node.rpc.call = call  # type: ignore[method-assign]
        assert node.peers.view.members[other].state is PeerState.ALIVE
        assert not [event for event in node.happened(PeerStateChanged) if event.after is not PeerState.ALIVE]

    tell(story, count=3)


def test_wall_clock_far_ahead_of_the_monotonic_one_counts_as_sleep():
    async def story(swarm: FakeSwarm) -> None:
        node, other = swarm.nodes[0], swarm.nodes[1].node_id
        now, wall = swarm.network.clock.monotonic(), swarm.network.clock.wall()
        node.peers._membership.suspect(other, now, wall, helpers_answered=True)
        node.peers._turn_at = (now, wall - 3600)
        await node.peers.turn()
        assert node.peers.view.members[other].state is PeerState.ALIVE

    tell(story, count=4, config=PeersConfig())


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

    tell(story, count=6)


def test_damaged_saved_peer_is_dropped():
    async def story(swarm: FakeSwarm) -> None:
        node = swarm.nodes[0]
        await node.store.put_document(KIND, b"x" * 32, b"nonsense")
        foreign = sign_desc(desc_of(5), identity_of(5))
        await node.store.put_document(KIND, b"y" * 32, encode(foreign))
        assert await node.peers.rejoin() == 0
        assert await node.store.list_documents(KIND) == []

    tell(story, count=1)


def test_first_others_are_written_down_at_once():
    async def story(swarm: FakeSwarm) -> None:
        # Long before the first turn of saving: who is killed now must not come back as a stranger to its own network.
        first = swarm.nodes[0]
        await first.peers.remember()
        other = await swarm.add()
        await swarm.until(lambda: len(first.peers.view) == 2)
        await asyncio.sleep(0.1)
        assert [key for key, _ in await first.store.list_documents(KIND)] == [other.node_id]

    tell(story, count=1, config=replace(PeersConfig.quick(), persist_interval=3600.0))


def test_nobody_is_written_down_before_the_network_is():
    async def story(swarm: FakeSwarm) -> None:
        first, second = swarm.nodes
        await first.peers.save()
        assert await first.store.list_documents(KIND) == []
        await first.peers.remember()
        assert [key for key, _ in await first.store.list_documents(KIND)] == [second.node_id]

    tell(story, count=2)


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

    tell(story, count=2)


def test_rejoin_of_a_fresh_node_finds_nobody():
    async def story(swarm: FakeSwarm) -> None:
        assert await swarm.nodes[0].peers.rejoin() == 0

    tell(story, count=1)


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

    tell(story, count=5)


def test_filling_store_is_announced_by_itself():
    async def story(swarm: FakeSwarm) -> None:
        from tests.fakes.swarm import new_chunk

        node = await swarm.add(capacity_bytes=100_000)
        await node.store.put([new_chunk(1, size=50_000)])
        other = swarm.nodes[0]
        await swarm.until(lambda: other.peers.view.members[node.node_id].desc.used_bytes == 50_000, timeout=10)

    tell(story, count=3)


def test_wiped_store_shows_as_another_storage():
    async def story(swarm: FakeSwarm) -> None:
        node = swarm.nodes[1]
        before = swarm.nodes[0].peers.view.members[node.node_id].desc.storage_uuid
        await swarm.kill(node)
        again = await swarm.restart(node, wiped=True)
        await swarm.until(lambda: states(swarm, again) == {PeerState.ALIVE})
        assert swarm.nodes[0].peers.view.members[node.node_id].desc.storage_uuid != before

    tell(story, count=4)


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

    tell(story, count=3)


def test_probe_in_anothers_stead_reaches_members_only():
    async def story(swarm: FakeSwarm) -> None:
        asker, helper, target = swarm.nodes[:3]
        answer = await asker.rpc.call(helper.node_id, ProbeFor(node_id=target.node_id))
        assert answer.reply.answered
        answer = await asker.rpc.call(helper.node_id, ProbeFor(node_id=helper.node_id))
        assert answer.reply.answered
        answer = await asker.rpc.call(helper.node_id, ProbeFor(node_id=NodeId(bytes(32))))
        assert not answer.reply.answered

    tell(story, count=3)


def test_introducing_somebody_else_as_oneself_is_refused():
    async def story(swarm: FakeSwarm) -> None:
        honest = swarm.nodes[0]
        stranger = swarm.network.rpc(Identity.generate(swarm.network.runtimes[honest.node_id].entropy))
        stranger.book.learn(swarm.network.contact(honest.node_id), None)
        me = sign_desc(desc_of(9), identity_of(9))
        with pytest.raises(RemoteError):
            await stranger.call(honest.node_id, Sync(digest=bytes(16), me=me))
        assert stranger.node_id not in honest.peers.view

    tell(story, count=2)


def test_malformed_summary_is_refused():
    async def story(swarm: FakeSwarm) -> None:
        a, b = swarm.nodes
        me = a.peers._membership.signed
        for body in (b"x", bytes(80), bytes(40) * 2):
            with pytest.raises(RemoteError):
                await a.rpc.call(b.node_id, Sync(digest=bytes(16), me=me), body=body)
        assert isinstance((await a.rpc.call(b.node_id, Ping())).reply, Pong)

    tell(story, count=2)


def test_list_of_many_members_travels_in_pages():
    async def story(swarm: FakeSwarm) -> None:
        node = swarm.nodes[0]
        now, wall = swarm.network.clock.monotonic(), swarm.network.clock.wall()
        for number in range(100, 160):
            node.peers._membership.take(sign_desc(desc_of(number), identity_of(number)), now, wall)
        newcomer = await swarm.add()
        assert len(newcomer.peers.view) == 63

    tell(story, count=2)


def test_moved_address_is_announced():
    async def story(swarm: FakeSwarm) -> None:
        node = swarm.nodes[0]
        moved = Address("10.9.9.9", 4001)
        contact = node.rpc.local_contact()
        node.rpc.local_contact = lambda: replace(contact, addresses=(moved,))  # type: ignore[method-assign]
        await swarm.until(
            lambda: swarm.nodes[1].peers.view.members[node.node_id].desc.contact.addresses == (moved,), timeout=10
        )

    tell(story, count=3)


def test_same_seed_tells_the_same_story():
    """I12 of the replication rules, for what happens among members."""
    traces: list[list[str]] = []

    async def story(swarm: FakeSwarm) -> None:
        await swarm.kill(swarm.nodes[2])
        await asyncio.sleep(20)
        traces.append([f"{event.at_wall:.6f} {event.text}" for node in swarm.nodes for event in node.events.log()])

    for _ in range(2):
        tell(story, count=6, seed=7)
    assert traces[0] == traces[1] != []
