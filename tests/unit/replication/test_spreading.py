"""Copies in a network on virtual time: placed by their writer, and found again."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from dfs_sdk.errors import TooFewReplicasError
from dfs_sdk.ids import ChunkId, NodeId
from dfs_sdk.replication.policy import Policy
from dfs_sdk.store.base import NewChunk, Role
from tests.fakes.stories import QUICK, pushes, put, tell
from tests.fakes.swarm import FakeSwarm, SwarmNode, new_chunk


def chosen_other(writer: SwarmNode, chunk: NewChunk) -> NodeId:
    """The first of the nodes chosen for three copies that is not the writer."""
    placement = writer.replication.placement
    chosen = placement.members(placement.choose_cell(chunk.chunk_id, 3), 3)
    return next(node_id for node_id in chosen if node_id != writer.node_id)


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
        dead = chosen_other(writer, chunk)
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
        dead = chosen_other(writer, chunk)
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


def test_where_the_cell_is_not_known_candidates_of_both_come_by_turns():
    async def story(swarm: FakeSwarm) -> None:
        replication = swarm.nodes[0].replication
        for chunk_id in (ChunkId(bytes((number,)) * 32) for number in range(5)):
            first, second = (replication.placement.order(cell) for cell in replication.cells_of(chunk_id))
            by_turns = [peer for pair in zip(first, second, strict=True) for peer in pair]
            assert replication.candidates(chunk_id) == [
                peer for peer in dict.fromkeys(by_turns) if peer != swarm.nodes[0].node_id
            ]

    tell(story, count=8)


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
