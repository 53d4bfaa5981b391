"""Copies in a network on virtual time: handed over, trimmed, and agreed on between their holders."""

import asyncio
from dataclasses import replace

import pytest

from dfs_sdk.errors import DeadlineError, RemoteError
from dfs_sdk.ids import ChunkId
from dfs_sdk.replication.events import CopyTrimmed
from dfs_sdk.replication.messages import ListCells, Promise, RepairClaim, Survey, Surveyed
from dfs_sdk.runtime.tasks import run_all
from dfs_sdk.store.base import Role
from tests.fakes.stories import QUICK, pushes, put, tell
from tests.fakes.swarm import FakeSwarm, new_chunk

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


def test_what_all_peers_together_claim_is_bounded_and_the_first_ones_leave_room():
    """P-REPL-22: each of a liar's identities may claim as much as the largest store holds."""

    async def story(swarm: FakeSwarm) -> None:
        honest, *liars = swarm.nodes
        claims, counts = honest.replication._claims, []
        for number, liar in enumerate(liars):
            cells = range(10 * number, 10 * number + 10)
            chunks = [replace(new_chunk(n, size=40), cell=n % 10 + cells[0], role=Role.PRIMARY) for n in range(200)]
            await liar.store.put(chunks[: 200 - 40 * number])
            await asyncio.sleep(1)
            for cell in cells:  # little by little, as the cells of interest change
                assert await honest.replication._surveyor.survey(liar.node_id, [cell])
            counts.append(claims.count(liar.node_id))
        assert len(claims) == sum(counts) <= 200
        assert 80 <= counts[0] <= 100, "half of all there is"
        assert 40 <= counts[1] <= 60, "half of what that left"

    tell(story, count=4, config=replace(QUICK, repair_interval=1000.0, claims_max=200))


def test_what_a_peer_deleted_is_believed_however_full_the_claims_are():
    """P-REPL-22: else copies that nobody has any more count as there, and nobody repairs them."""

    async def story(swarm: FakeSwarm) -> None:
        honest, *others = swarm.nodes
        claims, survey = honest.replication._claims, honest.replication._surveyor.survey
        chunks = [replace(new_chunk(n, size=40), cell=n % 10, role=Role.PRIMARY) for n in range(95)]
        for other, some in zip(others, (chunks, chunks[:45], chunks[:28]), strict=True):
            await other.store.put(some)
            await asyncio.sleep(1)
            assert await survey(other.node_id, range(10))
            assert claims.count(other.node_id) == len(some)
        first = others[0]
        # Nine cells lose nearly all, and one grows by more than there is room for.
        await first.store.delete([chunk.chunk_id for chunk in chunks[10:] if chunk.cell])
        more = [replace(new_chunk(n, size=40), cell=0, role=Role.PRIMARY) for n in range(1000, 1200)]
        await first.store.put(more)
        await asyncio.sleep(1)
        assert await survey(first.node_id, range(10))
        assert [claims.count(first.node_id, [cell]) for cell in range(10)] == [10] + [1] * 9
        await first.store.delete([chunk.chunk_id for chunk in (chunks[0], *more)])
        await asyncio.sleep(1)
        assert await survey(first.node_id, range(10))
        assert claims.count(first.node_id) == len(first.store) == 18

    tell(story, count=4, config=replace(QUICK, repair_interval=1000.0, claims_max=200))


def test_claims_of_peers_asked_at_one_time_are_bounded_too():
    """P-REPL-22: a round asks eight at a time."""

    async def story(swarm: FakeSwarm) -> None:
        asker, *others = swarm.nodes
        for other in others:
            await other.store.put([replace(new_chunk(n, size=40), cell=n % 10, role=Role.PRIMARY) for n in range(95)])
        await asyncio.sleep(1)
        surveys = (asker.replication._surveyor.survey(other.node_id, range(10)) for other in others)
        assert all(await run_all(*surveys))
        claims = asker.replication._claims
        counts = [claims.count(other.node_id) for other in others]
        assert len(claims) == sum(counts) <= 200
        assert max(counts) == 95, "who is read first finds room"

    tell(story, count=9, config=replace(QUICK, repair_interval=1000.0, claims_max=200))


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
