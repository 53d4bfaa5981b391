"""Copies in a network on virtual time: placed, lost, repaired, handed over, trimmed."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

import pytest

from dfs_sdk.errors import DeadlineError, RemoteError, TooFewReplicasError
from dfs_sdk.exchange.tombstones import removal_hash
from dfs_sdk.ids import ChunkId
from dfs_sdk.peers.config import PeersConfig
from dfs_sdk.peers.liveness import PeerState
from dfs_sdk.replication.config import ReplicationConfig
from dfs_sdk.replication.events import CopyFetched, CopyTrimmed, RepairFinished, RepairStarted
from dfs_sdk.replication.messages import HeldChunk, ListCells, Promise, RepairClaim, Survey, Surveyed
from dfs_sdk.replication.planner import Pull, Push
from dfs_sdk.replication.policy import Policy
from dfs_sdk.store.base import NewChunk, Role
from dfs_sdk.transport.priority import Priority
from tests.fakes.network import FakeNetwork
from tests.fakes.runtime import LoopClock, run_virtual
from tests.fakes.swarm import FakeSwarm, SwarmNode, new_chunk

Story = Callable[[FakeSwarm], Coroutine[Any, Any, None]]
QUICK = ReplicationConfig.quick()


def tell(
    story: Story,
    *,
    count: int,
    config: ReplicationConfig = QUICK,
    peers: PeersConfig | None = None,
    seed: int = 1,
    hosts: Callable[[int], int] | None = None,
) -> None:
    """Run a story with a swarm that has settled; no task may have failed in the end."""

    async def main(clock: LoopClock) -> None:
        async with FakeNetwork(seed, clock=clock, latency=0.001) as network:
            swarm = FakeSwarm(network=network, config=config, peers_config=peers or PeersConfig.quick())
            for number in range(count):
                await swarm.add(host=hosts(number) if hosts else None)
            await swarm.settle()
            await story(swarm)
            assert [error for error in network.errors if not error[0].endswith("/cancel")] == []

    run_virtual(main)


async def put(swarm: FakeSwarm, count: int, *, writer: int = 0, policy: Policy | None = None) -> list[ChunkId]:
    """Spread chunks and let their last copies arrive and settle."""
    chunks = [new_chunk(number) for number in range(count)]
    for chunk in chunks:
        spread = await swarm.nodes[writer].replication.spread(chunk, policy=policy or Policy())
        await spread.complete
    await asyncio.sleep(swarm.config.settle_time + min(2 * swarm.config.repair_interval, 5.0))
    return [chunk.chunk_id for chunk in chunks]


def pushes(swarm: FakeSwarm) -> int:
    return sum(len(node.happened(RepairStarted)) + len(node.happened(CopyFetched)) for node in swarm.nodes)


def holder_of(swarm: FakeSwarm, chunk_id: ChunkId, *, not_first: bool = True) -> SwarmNode:
    return next(node for node in swarm.holders(chunk_id) if not (not_first and node is swarm.nodes[0]))


# Placing


def test_copies_lie_on_the_chosen_members_and_cost_nothing_afterwards():
    async def story(swarm: FakeSwarm) -> None:
        ids = await put(swarm, 20)
        await asyncio.sleep(8)
        assert pushes(swarm) == 0
        for chunk_id in ids:
            holders = swarm.holders(chunk_id)
            info = holders[0].store.info(chunk_id)
            assert info is not None
            chosen = swarm.nodes[5].replication.placement.members(info.cell, 3)
            assert sorted(node.node_id for node in holders) == sorted(chosen)
            for node in holders:
                info = node.store.info(chunk_id)
                assert info is not None
                assert (info.role, info.replicas) == (Role.PRIMARY, 3)

    tell(story, count=8)


def test_spread_returns_at_the_quorum_and_completes_by_itself():
    async def story(swarm: FakeSwarm) -> None:
        spread = await swarm.nodes[0].replication.spread(new_chunk(1), policy=Policy(replicas=5, quorum=2))
        others = [receipt for receipt in spread.holders if receipt.peer != swarm.nodes[0].node_id]
        assert len(others) >= 2
        receipts = await spread.complete
        assert len(receipts) == 5 == swarm.copies(spread.chunk_id)
        assert spread.wanted == 5

    tell(story, count=8)


def test_next_in_order_stands_in_for_one_that_does_not_answer():
    async def story(swarm: FakeSwarm) -> None:
        writer = swarm.nodes[0]
        placement = writer.replication.placement
        chunk = next(
            c for c in map(new_chunk, range(99))
            if writer.node_id not in placement.members(placement.choose_cell(c.chunk_id, 3), 3)
        )  # fmt: skip
        cell = placement.choose_cell(chunk.chunk_id, 3)
        dead = placement.members(cell, 3)[1]
        swarm.network.kill(dead, silent=True)
        spread = await writer.replication.spread(chunk, policy=Policy())
        receipts = await spread.complete
        assert len(receipts) == 3
        assert dead not in {receipt.peer for receipt in receipts}
        assert sorted(receipt.role.name for receipt in receipts) == ["PRIMARY", "PRIMARY", "SURPLUS"]

    tell(story, count=8)


def test_a_cancelled_spread_asks_nobody_else():
    async def story(swarm: FakeSwarm) -> None:
        writer, chunk = swarm.nodes[0], new_chunk(1)
        placement = writer.replication.placement
        chosen = placement.members(placement.choose_cell(chunk.chunk_id, 3), 3)
        dead = next(node_id for node_id in chosen if node_id != writer.node_id)
        asyncio.get_running_loop().call_later(0.0005, lambda: swarm.network.kill(dead, silent=True))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await writer.replication.spread(chunk, policy=Policy(replicas=3, quorum=3))
        copies = swarm.copies(chunk.chunk_id)
        assert 0 < copies < 3
        await asyncio.sleep(2 * swarm.config.push_timeout)
        assert swarm.copies(chunk.chunk_id) == copies

    tell(story, count=8, config=replace(QUICK, repair_interval=1000.0, settle_time=1000.0))


def test_a_holder_that_vanishes_in_the_middle_of_a_push_is_stood_in_for_long_before_the_push_times_out():
    async def story(swarm: FakeSwarm) -> None:
        writer, chunk = swarm.nodes[0], new_chunk(1)
        placement = writer.replication.placement
        chosen = placement.members(placement.choose_cell(chunk.chunk_id, 3), 3)
        dead = next(node_id for node_id in chosen if node_id != writer.node_id)
        began = swarm.network.clock.monotonic()
        # Every push takes a few milliseconds: this one is on its way when its receiver vanishes.
        asyncio.get_running_loop().call_later(0.0005, lambda: swarm.network.kill(dead, silent=True))
        spread = await writer.replication.spread(chunk, policy=Policy(replicas=3, quorum=3))
        assert dead not in {receipt.peer for receipt in spread.holders}
        assert swarm.network.clock.monotonic() - began < 0.5 * swarm.config.push_timeout

    tell(story, count=8)


def test_a_slow_holder_that_is_there_is_waited_for_and_nobody_stands_in():
    async def story(swarm: FakeSwarm) -> None:
        writer, chunk = swarm.nodes[0], new_chunk(1)
        for node in swarm.nodes[1:]:
            put = node.store.put

            async def put_slowly(chunks: Sequence[NewChunk], put: Any = put) -> None:
                await asyncio.sleep(0.8 * swarm.config.push_timeout)
                await put(chunks)

            node.store.put = put_slowly  # type: ignore[method-assign]
        spread = await writer.replication.spread(chunk, policy=Policy(replicas=3, quorum=2))
        assert len(await spread.complete) == 3 == swarm.copies(chunk.chunk_id)

    tell(story, count=8)


@pytest.mark.parametrize(("count", "words"), [(1, "of 0 other members 0"), (2, "of 1 other members 1")])
def test_too_few_peers_are_told_in_numbers(count: int, words: str):
    async def story(swarm: FakeSwarm) -> None:
        with pytest.raises(TooFewReplicasError, match=words) as refused:
            await swarm.nodes[0].replication.spread(new_chunk(1), policy=Policy())
        assert "quorum=0" in str(refused.value)
        assert ("quorum=1" in str(refused.value)) is (count == 2)
        assert "0 of 2 required" in str(refused.value)
        assert all(len(node.store) == 0 for node in swarm.nodes), "refused before a byte was sent"

    tell(story, count=count)


def test_too_few_confirmations_are_told_after_everybody_was_asked():
    async def story(swarm: FakeSwarm) -> None:
        for node in swarm.nodes[1:3]:
            swarm.network.kill(node.node_id, silent=True)
        with pytest.raises(TooFewReplicasError, match="1 of 2 required"):
            await swarm.nodes[0].replication.spread(new_chunk(1), policy=Policy())

    tell(story, count=4)


def test_quorum_of_one_is_enough_for_two_nodes():
    async def story(swarm: FakeSwarm) -> None:
        ids = await put(swarm, 3, policy=Policy(quorum=1))
        assert [swarm.copies(chunk_id) for chunk_id in ids] == [2, 2, 2]
        assert [node.replication.short_count for node in swarm.nodes] == [3, 3], "under target"

    tell(story, count=2)


def test_file_kept_here_spreads_as_peers_join():
    async def story(swarm: FakeSwarm) -> None:
        ids = await put(swarm, 5, policy=Policy(quorum=0))
        assert [swarm.copies(chunk_id) for chunk_id in ids] == [1] * 5
        await swarm.add()
        await swarm.until(lambda: all(swarm.copies(chunk_id) == 2 for chunk_id in ids))
        await swarm.add()
        await swarm.until(lambda: all(swarm.copies(chunk_id) == 3 for chunk_id in ids))
        await asyncio.sleep(10)
        assert [node.replication.short_count for node in swarm.nodes] == [0, 0, 0]

    tell(story, count=1)


def test_quorum_zero_keeps_a_copy_here_even_where_others_are_chosen():
    async def story(swarm: FakeSwarm) -> None:
        for number in range(8):
            spread = await swarm.nodes[0].replication.spread(new_chunk(number), policy=Policy(quorum=0))
            assert spread.chunk_id in swarm.nodes[0].store
            await spread.complete
            assert swarm.copies(spread.chunk_id) >= 3

    tell(story, count=8)


def test_receipts_come_from_two_machines_where_there_are_two():
    async def story(swarm: FakeSwarm) -> None:
        hosts = {node.node_id: node.peers.view.members[node.node_id].desc.host for node in swarm.nodes}
        for number in range(20):
            spread = await swarm.nodes[0].replication.spread(new_chunk(number), policy=Policy())
            peers = [receipt.peer for receipt in spread.holders if receipt.peer != swarm.nodes[0].node_id]
            assert len({hosts[peer] for peer in peers}) >= 2
            await spread.complete

    tell(story, count=7, hosts=lambda number: number // 4)


def test_cancelled_spread_leaves_nothing_running():
    async def story(swarm: FakeSwarm) -> None:
        for steps in range(12):
            task = asyncio.ensure_future(swarm.nodes[0].replication.spread(new_chunk(steps), policy=Policy()))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.sleep(0.1)
            assert not [task for task in asyncio.all_tasks() if "spread" in task.get_name()]

    tell(story, count=4, config=replace(QUICK, repair_interval=1000.0))


# Finding


def test_chunks_are_located_by_asking():
    async def story(swarm: FakeSwarm) -> None:
        ids = await put(swarm, 10)
        for asker in (swarm.nodes[0], swarm.nodes[7]):
            found = await asker.replication.locate([*ids, ChunkId(bytes(32))])
            for chunk_id in ids:
                assert {h.holder for h in found[chunk_id]} == {n.node_id for n in swarm.holders(chunk_id)}
                assert all(h.role is Role.PRIMARY for h in found[chunk_id])
                assert all(h.confirmed_at_wall == swarm.network.clock.wall() for h in found[chunk_id][-1:])
            assert found[ChunkId(bytes(32))] == []

    tell(story, count=8)


def test_candidates_begin_with_the_holders_that_answer():
    async def story(swarm: FakeSwarm) -> None:
        (chunk_id,) = await put(swarm, 1)
        asker = next(node for node in swarm.nodes if node not in swarm.holders(chunk_id))
        info = swarm.holders(chunk_id)[0].store.info(chunk_id)
        assert info is not None
        candidates = asker.replication.candidates(chunk_id, info.cell)
        assert set(candidates[:3]) == {node.node_id for node in swarm.holders(chunk_id)}
        assert len(candidates) == 7, "a tiny network is asked as a whole"
        assert set(asker.replication.candidates(chunk_id)) == set(candidates)
        assert info.cell in asker.replication.cells_of(chunk_id)
        why = asker.replication.why(chunk_id, info.cell, candidates[0])
        assert "one of the 3 chosen" in why
        victim = swarm.holders(chunk_id)[0]
        await swarm.kill(victim)
        await swarm.until(lambda: not asker.peers.view.is_reachable(victim.node_id))
        assert asker.replication.candidates(chunk_id, info.cell)[-1] == victim.node_id

    tell(story, count=8)


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
        await restarted.peers.save()
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


# Coming and going


def test_leaving_node_hands_over_first():
    async def story(swarm: FakeSwarm) -> None:
        ids = await put(swarm, 20)
        leaver = swarm.nodes[2]
        had = [chunk_id for chunk_id in ids if chunk_id in leaver.store]
        handed = await leaver.replication.hand_over()
        assert handed == len(had) > 0
        await leaver.peers.leave()
        await swarm.kill(leaver)
        assert all(swarm.copies(chunk_id) >= 3 for chunk_id in ids), "not one copy short at any moment"
        before = pushes(swarm)
        await asyncio.sleep(30)
        assert pushes(swarm) == before

    tell(story, count=7)


def test_node_that_holds_nothing_leaves_without_asking_around():
    async def story(swarm: FakeSwarm) -> None:
        await swarm.nodes[0].store.put([replace(new_chunk(1), role=Role.CACHE)])
        before = swarm.network.messages
        assert await swarm.nodes[0].replication.hand_over() == 0
        assert swarm.network.messages == before

    tell(story, count=3)


def test_hand_over_that_cannot_finish_says_so():
    config = replace(QUICK, push_timeout=5.0)

    async def story(swarm: FakeSwarm) -> None:
        await put(swarm, 5)
        leaver = swarm.nodes[2]

        async def never(*_args: object, **_options: object) -> None:
            await asyncio.sleep(1000)

        leaver.exchange.push = never  # type: ignore[assignment, method-assign]
        with pytest.raises(DeadlineError, match="0 copies"):
            await leaver.replication.hand_over(timeout=3)

    tell(story, count=5, config=config)


def test_newcomer_fetches_what_belongs_to_it_and_nobody_drops_below_the_policy():
    async def story(swarm: FakeSwarm) -> None:
        ids = await put(swarm, 40)
        newcomer = await swarm.add()
        placement = newcomer.replication.placement
        due = []
        for chunk_id in ids:
            info = swarm.holders(chunk_id)[0].store.info(chunk_id)
            assert info is not None
            if newcomer.node_id in placement.members(info.cell, 3):
                due.append(chunk_id)
        assert due
        await swarm.until(lambda: all(chunk_id in newcomer.store for chunk_id in due))
        await asyncio.sleep(10)
        assert len(newcomer.store) == len(due), "no more than its share moves"
        assert pushes(swarm) == len(due)
        assert all(swarm.copies(chunk_id) >= 3 for chunk_id in ids)

    tell(story, count=6)


def test_surplus_copies_go_in_the_end_and_never_too_many():
    """I4: make before break, watched at every tenth of a second."""
    config = replace(QUICK, surplus_keep=5.0, rank_slack=0)

    async def story(swarm: FakeSwarm) -> None:
        ids = await put(swarm, 20)
        victim = swarm.nodes[3]
        await swarm.kill(victim)
        await swarm.until(lambda: all(swarm.copies(chunk_id) >= 3 for chunk_id in ids))
        again = await swarm.restart(victim)
        await swarm.settle()
        assert any(swarm.copies(chunk_id) > 3 for chunk_id in ids)

        def trimmed() -> bool:
            assert all(swarm.copies(chunk_id) >= 3 for chunk_id in ids)
            return all(swarm.copies(chunk_id) == 3 for chunk_id in ids)

        await swarm.until(trimmed)
        assert sum(len(node.happened(CopyTrimmed)) for node in swarm.nodes) > 0
        assert len(again.store) > 0

    tell(story, count=7, config=config)


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


def test_fresh_chunk_is_left_to_its_writer():
    async def story(swarm: FakeSwarm) -> None:
        a = swarm.nodes[0]
        await a.store.put([replace(new_chunk(1), cell=7, role=Role.PRIMARY)])
        assert await a.replication.round() == 0
        await asyncio.sleep(QUICK.settle_time + 5 * QUICK.stagger)
        assert await a.replication.round() == 2
        assert swarm.copies(new_chunk(1).chunk_id) == 3

    tell(story, count=4, config=replace(QUICK, repair_interval=1000.0))


# Words between holders


def test_two_holders_never_drop_relying_on_each_other():
    async def story(swarm: FakeSwarm) -> None:
        a, b = swarm.nodes[:2]
        chunk = replace(new_chunk(1), cell=7)
        for node in (a, b):
            await node.store.put([chunk])
        keepers = [node.replication._keeper for node in (a, b)]
        both = await asyncio.gather(
            keepers[0].drop([chunk.chunk_id], [b.node_id]), keepers[1].drop([chunk.chunk_id], [a.node_id])
        )
        assert sum(map(len, both)) <= 1
        assert swarm.copies(chunk.chunk_id) >= 1

    tell(story, count=2, config=replace(QUICK, repair_interval=1000.0))


def test_promised_copy_is_kept_until_the_promise_ends():
    async def story(swarm: FakeSwarm) -> None:
        a, b = swarm.nodes[:2]
        chunk = replace(new_chunk(1), cell=7)
        for node in (a, b):
            await node.store.put([chunk])
        answer = await a.rpc.call(b.node_id, Promise(chunk_ids=(chunk.chunk_id, ChunkId(bytes(32)))))
        assert answer.reply.kept == (chunk.chunk_id,)
        assert await b.replication._keeper.drop([chunk.chunk_id], [a.node_id]) == []
        await asyncio.sleep(QUICK.promise_time + 1)
        assert await b.replication._keeper.drop([chunk.chunk_id], [a.node_id]) == [chunk.chunk_id]

    tell(story, count=2, config=replace(QUICK, repair_interval=1000.0))


def test_copy_is_kept_when_nobody_or_not_all_promise():
    async def story(swarm: FakeSwarm) -> None:
        a, b, c = swarm.nodes
        chunk = replace(new_chunk(1), cell=7)
        for node in (a, b):
            await node.store.put([chunk])
        keeper = a.replication._keeper
        assert await keeper.drop([chunk.chunk_id], []) == []
        assert await keeper.drop([chunk.chunk_id], [b.node_id, c.node_id]) == []
        swarm.network.kill(b.node_id, silent=True)
        assert await keeper.drop([chunk.chunk_id], [b.node_id]) == []
        assert chunk.chunk_id in a.store

    tell(story, count=3, config=replace(QUICK, repair_interval=1000.0))


def test_cache_copy_is_no_promise():
    """I11."""

    async def story(swarm: FakeSwarm) -> None:
        a, b = swarm.nodes[:2]
        await b.store.put([replace(new_chunk(1), role=Role.CACHE)])
        answer = await a.rpc.call(b.node_id, Promise(chunk_ids=(new_chunk(1).chunk_id,)))
        assert answer.reply.kept == ()

    tell(story, count=2)


def test_endless_claims_do_not_stop_repair():
    async def story(swarm: FakeSwarm) -> None:
        a, b = swarm.nodes[:2]
        chunk = replace(new_chunk(1), cell=7)
        await a.store.put([chunk])
        for _ in range(9):
            await b.rpc.call(a.node_id, RepairClaim(chunk_ids=(chunk.chunk_id,)))
            last = swarm.network.clock.monotonic()
            await asyncio.sleep(1)
        until = a.replication._keeper.claimed_until(chunk.chunk_id)
        assert until < last + QUICK.claim_ttl
        a.replication._keeper.settle(chunk.chunk_id)
        assert a.replication._keeper.claimed_until(chunk.chunk_id) == float("-inf")

    tell(story, count=2, config=replace(QUICK, repair_interval=1000.0))


def test_survey_lists_many_chunks_in_pages():
    async def story(swarm: FakeSwarm) -> None:
        a, b = swarm.nodes
        chunks = [replace(new_chunk(n, size=40), cell=7 if n % 2 else 8, role=Role.PRIMARY) for n in range(2300)]
        await a.store.put(chunks)
        await asyncio.sleep(1)
        assert await b.replication._surveyor.survey(a.node_id, [7, 8, 9])
        claims = b.replication._claims
        assert len(claims.chunks_of_others(7)) + len(claims.chunks_of_others(8)) == 2300
        before = swarm.network.bytes
        assert await b.replication._surveyor.survey(a.node_id, [7, 8, 9])
        assert swarm.network.bytes - before < 500, "nothing changed, nothing is listed"

    tell(story, count=2, config=replace(QUICK, repair_interval=1000.0))


def test_unsound_survey_and_unknown_cells_are_refused():
    async def story(swarm: FakeSwarm) -> None:
        honest, liar = swarm.nodes[:2]

        async def lie(*_args: object) -> tuple[Surveyed, bytes]:
            return Surveyed(digest=b"x" * 16), b"rubbish"

        liar.rpc._router._routes.pop(Survey.tag)
        liar.rpc.serve(Survey, lie)
        assert not await honest.replication._surveyor.survey(liar.node_id, range(4096))
        await honest.replication.round()
        with pytest.raises((RemoteError, ValueError)):
            await honest.rpc.call(liar.node_id, ListCells(cells=(70_000,)))

    tell(story, count=3)


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


def test_spread_decides_cell_role_and_count_itself():
    async def story(swarm: FakeSwarm) -> None:
        chunk: NewChunk = replace(new_chunk(1), cell=4000, role=Role.CACHE, replicas=9)
        spread = await swarm.nodes[0].replication.spread(chunk, policy=Policy(replicas=2))
        await spread.complete
        for node in swarm.holders(chunk.chunk_id):
            info = node.store.info(chunk.chunk_id)
            assert info is not None
            assert (info.cell, info.role, info.replicas) == (spread.cell, Role.PRIMARY, 2)
        assert spread.cell in swarm.nodes[0].replication.cells_of(chunk.chunk_id)

    tell(story, count=4)
