"""What members think of each other on virtual time: death, silence, announced pauses, partitions, sleep."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from dfs_sdk.errors import ConfigError, DeadlineError
from dfs_sdk.ids import NodeId
from dfs_sdk.peers.config import PeersConfig
from dfs_sdk.peers.events import PartitionSuspected, PeerStateChanged
from dfs_sdk.peers.liveness import PeerState
from dfs_sdk.peers.messages import ProbeFor
from dfs_sdk.peers.standstill import Spokesman
from dfs_sdk.transport.asides import Whisper
from tests.fakes.stories import states, tell_of_members
from tests.fakes.swarm import FakeSwarm, SwarmNode


def test_killed_node_of_eight_is_gone_everywhere_within_eight_seconds():
    async def story(swarm: FakeSwarm) -> None:
        victim = swarm.nodes[3]
        await swarm.kill(victim)
        assert await swarm.until(lambda: states(swarm, victim) == {PeerState.GONE}) < 8
        after = [event.after for event in swarm.nodes[0].happened(PeerStateChanged) if event.node_id == victim.node_id]
        assert after[-3:] == [PeerState.SUSPECT, PeerState.AWAY, PeerState.GONE]

    tell_of_members(story, count=8)


def test_nobody_is_accused_in_a_quiet_network():
    async def story(swarm: FakeSwarm) -> None:
        await asyncio.sleep(120)
        for node in swarm.nodes:
            assert node.happened(PeerStateChanged) == []

    tell_of_members(story, count=5, config=PeersConfig())


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

    tell_of_members(story, count=6, config=PeersConfig())


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

    tell_of_members(story, count=5, config=PeersConfig())


def test_busy_lease_that_runs_out_is_taken_back_by_its_owner():
    async def story(swarm: FakeSwarm) -> None:
        await swarm.nodes[0].peers.busy(5)
        await asyncio.sleep(8)
        assert states(swarm, swarm.nodes[0]) == {PeerState.ALIVE}

    tell_of_members(story, count=3)


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

    tell_of_members(story, count=2)


def test_member_whose_connection_ended_is_looked_after_at_once():
    async def story(swarm: FakeSwarm) -> None:
        victim = swarm.nodes[1]
        await asyncio.sleep(10)
        assert victim.node_id in swarm.nodes[0].rpc.connected()
        swarm.network.kill(victim.node_id)
        await asyncio.sleep(0.1)
        assert swarm.nodes[0].peers.view.members[victim.node_id].state is not PeerState.ALIVE

    tell_of_members(story, count=4, config=PeersConfig(probe_interval=4.0))


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

    tell_of_members(story, count=8, config=config)


def test_members_lost_in_a_long_partition_find_each_other_again():
    async def story(swarm: FakeSwarm) -> None:
        some, others = swarm.nodes[:3], swarm.nodes[3:]
        swarm.network.partition([n.node_id for n in some], [n.node_id for n in others], silent=True)
        await swarm.until(lambda: all(len(node.peers.view.reachable()) == 2 for node in some), timeout=60)
        await asyncio.sleep(20)
        assert states(swarm, swarm.nodes[0]) >= {PeerState.GONE}
        swarm.network.heal()
        await swarm.until(lambda: all(len(node.peers.view.reachable()) == 5 for node in swarm.nodes), timeout=60)

    tell_of_members(story, count=6)


def test_asymmetric_trouble_is_no_death_while_others_reach_the_member():
    async def story(swarm: FakeSwarm) -> None:
        a, b = swarm.nodes[:2]
        swarm.network.partition([a.node_id], [b.node_id], silent=True)
        await asyncio.sleep(30)
        assert a.peers.view.members[b.node_id].state in (PeerState.ALIVE, PeerState.LAGGING)
        assert states(swarm, b) <= {PeerState.ALIVE, PeerState.LAGGING}

    tell_of_members(story, count=6)


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

    tell_of_members(story, count=4, config=PeersConfig())


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

    tell_of_members(story, count=3)


def test_wall_clock_far_ahead_of_the_monotonic_one_counts_as_sleep():
    async def story(swarm: FakeSwarm) -> None:
        node, other = swarm.nodes[0], swarm.nodes[1].node_id
        now, wall = swarm.network.clock.monotonic(), swarm.network.clock.wall()
        node.peers._membership.suspect(other, now, wall, helpers_answered=True)
        node.peers._turn_at = (now, wall - 3600)
        await node.peers.turn()
        assert node.peers.view.members[other].state is PeerState.ALIVE

    tell_of_members(story, count=4, config=PeersConfig())


def test_probe_in_anothers_stead_reaches_members_only():
    async def story(swarm: FakeSwarm) -> None:
        asker, helper, target = swarm.nodes[:3]
        answer = await asker.rpc.call(helper.node_id, ProbeFor(node_id=target.node_id))
        assert answer.reply.answered
        answer = await asker.rpc.call(helper.node_id, ProbeFor(node_id=helper.node_id))
        assert answer.reply.answered
        answer = await asker.rpc.call(helper.node_id, ProbeFor(node_id=NodeId(bytes(32))))
        assert not answer.reply.answered

    tell_of_members(story, count=3)
