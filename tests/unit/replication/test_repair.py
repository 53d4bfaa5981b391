"""Copies in a network on virtual time: lost and repaired, and when they are not."""

import asyncio
from dataclasses import replace

import pytest

from dfs_sdk.errors import QuotaExceededError
from dfs_sdk.exchange.tombstones import removal_hash
from dfs_sdk.peers.config import PeersConfig
from dfs_sdk.peers.liveness import PeerState
from dfs_sdk.replication.config import ReplicationConfig
from dfs_sdk.replication.events import RepairFinished, RepairStarted
from dfs_sdk.replication.messages import HeldChunk
from dfs_sdk.replication.planner import Pull, Push
from dfs_sdk.replication.policy import Policy
from dfs_sdk.replication.repairer import PULL_MISSES_MAX
from dfs_sdk.store.base import CHUNK_BYTES_MAX, NewChunk, Role
from dfs_sdk.transport.priority import Priority
from tests.fakes.stories import QUICK, holder_of, pushes, put, tell
from tests.fakes.swarm import FakeSwarm, SwarmNode, new_chunk

# Losing and repairing


@pytest.mark.parametrize("replicas", [2, 3, 4])
def test_any_number_of_lost_holders_but_the_last_is_repaired(replicas: int):
    async def story(swarm: FakeSwarm) -> None:
        ids = await put(swarm, 10, policy=Policy(replicas=replicas))
        victims = (
            swarm.holders(ids[0])[1:] if swarm.nodes[0] in swarm.holders(ids[0])[:1] else swarm.holders(ids[0])[:-1]
        )
        assert len(victims) == replicas - 1
        for victim in victims:
            await swarm.kill(victim)
        await swarm.until(lambda: all(swarm.copies(chunk_id) >= replicas for chunk_id in ids), timeout=30)
        for chunk_id in ids:
            assert await swarm.holders(chunk_id)[0].store.get(chunk_id)

    tell(story, count=9)


def test_repair_moves_its_copies_at_the_priority_that_gives_way_to_all_others():
    async def story(swarm: FakeSwarm) -> None:
        ids = await put(swarm, 10)
        moved = swarm.network.bytes_by_priority
        before = moved.copy()
        await swarm.kill(holder_of(swarm, ids[0]))
        await swarm.until(lambda: all(swarm.copies(chunk_id) >= 3 for chunk_id in ids), timeout=30)
        assert moved[Priority.BACKGROUND] - before[Priority.BACKGROUND] >= 1000
        assert moved[Priority.TRANSFER] == before[Priority.TRANSFER]

    tell(story, count=8)


def test_two_of_eight_killed_together_are_repaired_within_ten_seconds():
    async def story(swarm: FakeSwarm) -> None:
        ids = await put(swarm, 40)
        lost = sum(len(node.store) for node in (swarm.nodes[2], swarm.nodes[6]))
        for victim in (swarm.nodes[2], swarm.nodes[6]):
            await swarm.kill(victim)
        assert await swarm.until(lambda: all(swarm.copies(chunk_id) >= 3 for chunk_id in ids)) < 10
        await asyncio.sleep(10)
        assert pushes(swarm) <= 1.1 * lost, "nothing is copied twice"
        for event in [event for node in swarm.nodes for event in node.happened(RepairFinished)]:
            assert event.error == ""
            assert "copies are known" in event.reason

    tell(story, count=8)


def test_repair_goes_on_until_the_network_is_smaller_than_the_policy():
    async def story(swarm: FakeSwarm) -> None:
        ids = await put(swarm, 12)
        for victim in swarm.nodes[5:1:-1]:
            await swarm.kill(victim)
            left = len(swarm.living())
            await swarm.until(
                lambda left=left: all(
                    swarm.copies(chunk_id) == min(3, left) or swarm.copies(chunk_id) > 3 for chunk_id in ids
                )
            )
        assert [swarm.copies(chunk_id) for chunk_id in ids] == [2] * 12
        await swarm.add()
        await swarm.until(lambda: all(swarm.copies(chunk_id) == 3 for chunk_id in ids))

    tell(story, count=6)


def test_silence_of_25_seconds_moves_no_byte():
    """I8, with the settings of a real network."""

    async def story(swarm: FakeSwarm) -> None:
        ids = await put(swarm, 10)
        blocked = [holder_of(swarm, chunk_id) for chunk_id in ids[:2]]
        for node in blocked:
            swarm.network.kill(node.node_id, silent=True)
        await asyncio.sleep(25)
        for node in blocked:
            swarm.network.revive(node.node_id)
        await asyncio.sleep(80)
        assert pushes(swarm) == 0

    tell(story, count=8, config=ReplicationConfig(), peers=PeersConfig())


def test_announced_busy_nodes_move_no_byte():
    """I8 and C10 in small: six of eight are busy for three minutes."""

    async def story(swarm: FakeSwarm) -> None:
        await put(swarm, 10)
        for node in swarm.nodes[2:]:
            await node.peers.busy(180)
        for node in swarm.nodes[2:]:
            swarm.network.kill(node.node_id, silent=True)
        await asyncio.sleep(170)
        assert pushes(swarm) == 0
        assert {member.state for member in swarm.nodes[0].peers.view.members.values()} == {
            PeerState.ALIVE,
            PeerState.BUSY,
        }

    tell(story, count=8, config=ReplicationConfig(), peers=PeersConfig())


def test_absence_of_ten_minutes_moves_no_byte():
    async def story(swarm: FakeSwarm) -> None:
        ids = await put(swarm, 10)
        swarm.network.kill(holder_of(swarm, ids[0]).node_id, silent=True)
        await asyncio.sleep(600)
        assert pushes(swarm) == 0

    tell(story, count=6, config=ReplicationConfig(), peers=PeersConfig(probe_interval=5.0))


def test_node_that_returns_with_its_store_is_sent_nothing():
    """I10, after it was long gone and replaced."""

    async def story(swarm: FakeSwarm) -> None:
        ids = await put(swarm, 20)
        victim = swarm.nodes[3]
        await swarm.kill(victim)
        await swarm.until(lambda: all(swarm.copies(chunk_id) >= 3 for chunk_id in ids))
        before = pushes(swarm)
        again = await swarm.restart(victim)
        await swarm.settle()
        await asyncio.sleep(20)
        assert pushes(swarm) == before
        assert len(again.store) > 0

    tell(story, count=8)


def test_holder_restarted_during_anothers_absence_repairs_nothing():
    """I10: what it cannot ask it presumes, as placement tells."""

    async def story(swarm: FakeSwarm) -> None:
        ids = await put(swarm, 10)
        absent = holder_of(swarm, ids[0])
        restarted = next(node for node in swarm.holders(ids[0]) if node not in (absent, swarm.nodes[0]))
        await restarted.peers.remember()
        swarm.network.kill(absent.node_id, silent=True)
        await swarm.kill(restarted)
        again = await swarm.restart(restarted)
        await again.peers.rejoin()
        await asyncio.sleep(160)
        assert pushes(swarm) == 0

    tell(story, count=6, config=ReplicationConfig(), peers=PeersConfig())


def test_wiped_storage_counts_as_lost():
    async def story(swarm: FakeSwarm) -> None:
        ids = await put(swarm, 20)
        victim = swarm.nodes[4]
        had = [chunk_id for chunk_id in ids if victim in swarm.holders(chunk_id)]
        assert had
        await swarm.kill(victim)
        again = await swarm.restart(victim, wiped=True)
        await swarm.until(lambda: all(swarm.copies(chunk_id) >= 3 for chunk_id in had))
        assert all(chunk_id in again.store for chunk_id in had), "it is one of the chosen again"

    tell(story, count=6)


def test_damaged_copy_is_fetched_again_by_a_check():
    async def story(swarm: FakeSwarm) -> None:
        ids = await put(swarm, 5)
        node = holder_of(swarm, ids[0])
        node.store._data[ids[0]] = b"rotten"
        report = await node.replication.check(read_data=True)
        assert report.corrupt == (ids[0],)
        info = node.store.info(ids[0])
        assert info is not None
        assert (info.role, info.replicas) == (Role.PRIMARY, 3)
        assert await node.store.get(ids[0]) == new_chunk(0).data

    tell(story, count=6)


def test_removed_chunk_stays_removed_when_an_absent_holder_returns():
    async def story(swarm: FakeSwarm) -> None:
        key = b"k" * 32
        chunk = replace(new_chunk(1), removal_hash=removal_hash(key))
        spread = await swarm.nodes[0].replication.spread(chunk, policy=Policy())
        await spread.complete
        await asyncio.sleep(5)
        absent = holder_of(swarm, chunk.chunk_id)
        await swarm.kill(absent)
        await swarm.until(lambda: swarm.copies(chunk.chunk_id) == 3)
        for node in swarm.living():
            await swarm.nodes[0].exchange.remove(node.node_id, [chunk.chunk_id], key)
        assert swarm.copies(chunk.chunk_id) == 0
        await swarm.restart(absent)
        await swarm.settle()
        await swarm.until(lambda: swarm.copies(chunk.chunk_id) == 0, timeout=30)
        await asyncio.sleep(20)
        assert swarm.copies(chunk.chunk_id) == 0

    tell(story, count=6)


def test_repair_stays_within_its_rate():
    """I6: 40 chunks of 100 kB at 200 kB/s after a burst of 5 MiB take their time."""
    config = replace(QUICK, repair_bytes_per_second=200_000.0, repair_burst_bytes=5 * 2**20)

    async def story(swarm: FakeSwarm) -> None:
        chunks = [new_chunk(number, size=1_000_000) for number in range(12)]
        for chunk in chunks:
            await (await swarm.nodes[0].replication.spread(chunk, policy=Policy(replicas=2, quorum=1))).complete
        await asyncio.sleep(5)
        source, victim = swarm.nodes[0], swarm.nodes[1]
        started = swarm.network.clock.monotonic()
        await swarm.kill(victim)
        await swarm.add()
        await swarm.until(lambda: all(swarm.copies(chunk.chunk_id) == 2 for chunk in chunks), timeout=120)
        seconds = swarm.network.clock.monotonic() - started
        # One copy left: urgent, at twice the rate.
        assert seconds >= (12_000_000 - 2 * 5 * 2**20) / 400_000
        assert len(source.happened(RepairStarted)) == 12

    tell(story, count=2, config=config)


# Carrying out


def push_of(chunk: NewChunk, target: SwarmNode) -> Push:
    held = HeldChunk(
        chunk_id=chunk.chunk_id, cell=7, role=Role.PRIMARY, replicas=3, size=len(chunk.data), removal_hash=b""
    )
    return Push(chunk=held, target=target.node_id, role=Role.PRIMARY, urgency=0, urgent=False, reason="test")


def test_target_that_has_the_chunk_already_is_sent_nothing():
    """I10: even if no survey told us."""

    async def story(swarm: FakeSwarm) -> None:
        a, b = swarm.nodes
        chunk = replace(new_chunk(1, size=50_000), cell=7, role=Role.PRIMARY)
        for node in (a, b):
            await node.store.put([chunk])
        before = swarm.network.bytes
        assert await a.replication._repairer.apply([push_of(chunk, b)]) == 0
        assert swarm.network.bytes - before < 1000
        assert a.happened(RepairStarted) == []
        assert a.replication._claims.holders(7, chunk.chunk_id) == [b.node_id]

    tell(story, count=2, config=replace(QUICK, repair_interval=1000.0))


def test_target_that_refuses_is_left_alone_for_a_while():
    async def story(swarm: FakeSwarm) -> None:
        a = swarm.nodes[0]
        full = await swarm.add(capacity_bytes=10_000)
        chunk = replace(new_chunk(1, size=50_000), cell=7, role=Role.PRIMARY)
        await a.store.put([chunk])
        assert await a.replication._repairer.apply([push_of(chunk, full)]) == 0
        (finished,) = a.happened(RepairFinished)
        assert finished.error
        assert full.node_id in a.replication._repairer.avoided()
        await asyncio.sleep(QUICK.refusal_pause + 0.1)
        assert a.replication._repairer.avoided() == frozenset()

    tell(story, count=1, config=replace(QUICK, repair_interval=1000.0))


def test_removed_chunk_is_not_fetched():
    async def story(swarm: FakeSwarm) -> None:
        a, b = swarm.nodes
        key = b"k" * 32
        chunk = replace(new_chunk(1), cell=7, role=Role.PRIMARY, removal_hash=removal_hash(key))
        await b.store.put([chunk])
        await a.exchange.remove(a.node_id, [chunk.chunk_id], key)
        pull = Pull(chunk=push_of(chunk, b).chunk, sources=(b.node_id,), reason="test")
        assert await a.replication._repairer.apply([pull]) == 0
        assert chunk.chunk_id not in a.store

    tell(story, count=2, config=replace(QUICK, repair_interval=1000.0))


def test_offers_of_one_who_does_not_have_them_use_up_no_rate():
    """A lister of thousands of chunks that are not there would keep repair waiting for as many bytes."""

    async def story(swarm: FakeSwarm) -> None:
        a, b = swarm.nodes
        offered = [replace(push_of(new_chunk(n), b).chunk, size=CHUNK_BYTES_MAX) for n in range(100)]
        pulls = [Pull(chunk=chunk, sources=(b.node_id,), reason="test") for chunk in offered]
        began = swarm.network.clock.monotonic()
        assert await a.replication._repairer.apply(pulls) == 0
        assert swarm.network.clock.monotonic() - began < 10

    tell(story, count=2, config=replace(QUICK, repair_interval=1000.0, repair_bytes_per_second=float(CHUNK_BYTES_MAX)))


def test_damaged_chunk_does_not_end_the_pulls_of_its_source():
    async def story(swarm: FakeSwarm) -> None:
        a, b = swarm.nodes
        repairer = a.replication._repairer
        chunks = [replace(new_chunk(n), cell=7, role=Role.PRIMARY) for n in range(30)]
        await b.store.put(chunks[6:])
        pulls = [Pull(chunk=push_of(chunk, b).chunk, sources=(b.node_id,), reason="test") for chunk in chunks]
        # A round moves some of them only: those that fail come first in each.
        for at in range(6, 30, 6):
            assert await repairer.apply([*pulls[:2], *pulls[at : at + 6]]) == 6
        assert repairer.avoided() == frozenset()

    tell(story, count=2, config=replace(QUICK, repair_interval=1000.0))


def test_source_that_never_gives_is_avoided_though_it_offers_little_in_each_round():
    async def story(swarm: FakeSwarm) -> None:
        a, b = swarm.nodes
        repairer, missed = a.replication._repairer, 0
        while not repairer.avoided():
            pull = Pull(chunk=push_of(new_chunk(missed), b).chunk, sources=(b.node_id,), reason="test")
            assert await repairer.apply([pull]) == 0
            missed += 1
            assert missed <= PULL_MISSES_MAX
        assert repairer.avoided() == {b.node_id}

    tell(story, count=2, config=replace(QUICK, repair_interval=1000.0))


@pytest.mark.parametrize("error", [QuotaExceededError("full"), OSError(5, "Input/output error")])
def test_own_store_that_refuses_is_no_fault_of_the_source(error: Exception):
    async def story(swarm: FakeSwarm) -> None:
        a, b = swarm.nodes
        repairer, works, refused = a.replication._repairer, a.store.put, 0
        chunks = [replace(new_chunk(n), cell=7, role=Role.PRIMARY) for n in range(30)]
        await b.store.put(chunks)
        pulls = [Pull(chunk=push_of(chunk, b).chunk, sources=(b.node_id,), reason="test") for chunk in chunks]

        async def fails(*_args: object, **_options: object) -> None:
            nonlocal refused
            refused += 1
            raise error

        a.store.put = fails  # type: ignore[method-assign]
        assert await repairer.apply(pulls) == 0
        assert repairer.avoided() == frozenset()
        assert refused < PULL_MISSES_MAX + QUICK.repair_parallel, "nothing is fetched that cannot be kept"
        a.store.put = works  # type: ignore[method-assign]
        await asyncio.sleep(QUICK.refusal_pause + 0.1)
        assert await repairer.apply(pulls) == 30

    tell(story, count=2, config=replace(QUICK, repair_interval=1000.0))


def test_fresh_chunk_is_left_to_its_writer():
    async def story(swarm: FakeSwarm) -> None:
        a = swarm.nodes[0]
        await a.store.put([replace(new_chunk(1), cell=7, role=Role.PRIMARY)])
        assert await a.replication.round() == 0
        await asyncio.sleep(QUICK.settle_time + 5 * QUICK.stagger)
        assert await a.replication.round() == 2
        assert swarm.copies(new_chunk(1).chunk_id) == 3

    tell(story, count=4, config=replace(QUICK, repair_interval=1000.0))


def test_same_seed_repairs_in_the_same_order():
    """I12."""
    traces: list[list[str]] = []

    async def story(swarm: FakeSwarm) -> None:
        await put(swarm, 15)
        await swarm.kill(swarm.nodes[2])
        await asyncio.sleep(20)
        traces.append([f"{event.at_wall:.6f} {event.text}" for node in swarm.nodes for event in node.events.log()])

    for _ in range(2):
        tell(story, count=6, seed=5)
    assert traces[0] == traces[1]
    assert any("copying chunk" in line for line in traces[0])
