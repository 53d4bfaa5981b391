"""Holders whose bytes are others, by rot or on purpose: found out, told, remembered: P-EXC-4, P-EXC-8, P-EXC-9."""

from __future__ import annotations

import asyncio

import pytest

from dfs_sdk.errors import ContentNotFoundError, CorruptContentError
from dfs_sdk.exchange import NotHeldError
from dfs_sdk.exchange.fetching import CHECKS_MAX
from dfs_sdk.ids import ChunkId
from tests.fakes.holders import HolderNode, chunk_of, give, holder_nodes, spoil, tell_of_holders
from tests.fakes.network import FakeNetwork


@pytest.mark.parametrize("lie", [b"", b"wrong", b"truf", b"truth+", b"trut"])
async def test_a_lying_source_is_passed_over_and_remembered(network: FakeNetwork, lie: bytes):
    """A24."""
    a, liar, honest = await holder_nodes(network, 3)
    chunk = chunk_of(b"truth")
    for holder in (liar, honest):
        await give(chunk, holder)
    spoil(liar, chunk.chunk_id, lie)
    for _ in range(8):
        assert await a.exchange.fetch(chunk.chunk_id, [liar.node_id, honest.node_id]) == b"truth"
    assert a.exchange.load(liar.node_id).faults <= 1.0
    assert a.exchange.load(honest.node_id).faults == 0.0


async def test_a_liar_is_scored_behind_the_honest(network: FakeNetwork):
    a, liar, honest = await holder_nodes(network, 3)
    chunk = chunk_of(b"truth")
    await give(chunk, liar)
    spoil(liar, chunk.chunk_id, b"lie")
    with pytest.raises(CorruptContentError):
        await a.exchange.fetch(chunk.chunk_id, [liar.node_id])
    await give(chunk, honest)
    sent = network.messages
    assert await a.exchange.fetch(chunk.chunk_id, [liar.node_id, honest.node_id]) == b"truth"
    assert network.messages == sent + 2
    assert a.exchange.load(liar.node_id).faults == 1.0


async def test_a_holder_that_is_told_of_damage_puts_its_copy_aside(network: FakeNetwork):
    """P-EXC-4."""
    a, rotten, honest = await holder_nodes(network, 3)
    chunk = chunk_of(b"truth")
    await give(chunk, rotten, honest)
    rotten.store._data[chunk.chunk_id] = b"flips"
    with pytest.raises(NotHeldError, match="has it not"):
        await a.exchange.fetch(chunk.chunk_id, [rotten.node_id])
    assert chunk.chunk_id not in rotten.store
    assert await a.exchange.fetch(chunk.chunk_id, [rotten.node_id, honest.node_id]) == b"truth"


def lie_until_checked(node: HolderNode) -> None:
    """Let a holder give other bytes unless it is asked to check."""
    original = node.store.get

    async def get(asked: ChunkId, *, verify: bool = True) -> bytes:
        return await original(asked) if verify else b"other"

    node.store.get = get  # type: ignore[method-assign]


async def test_a_source_whose_second_bytes_are_right_gave_wrong_ones_all_the_same(network: FakeNetwork):
    a, odd = await holder_nodes(network, 2)
    chunk = chunk_of(b"truth")
    await give(chunk, odd)
    lie_until_checked(odd)
    assert await a.exchange.fetch(chunk.chunk_id, [odd.node_id]) == b"truth"
    assert a.exchange.load(odd.node_id).faults == 1.0
    assert a.exchange.in_flight_bytes == 0


@pytest.mark.parametrize("then", ["says that it has nothing", "is silent"])
def test_a_liar_is_remembered_whatever_it_says_when_it_is_asked_again(then: str):
    async def story(network: FakeNetwork) -> None:
        a, liar, honest = await holder_nodes(network, 3)
        chunk = chunk_of(b"truth")
        await give(chunk, liar, honest)
        lies = 0

        async def get(asked: ChunkId, *, verify: bool = True) -> bytes:
            nonlocal lies
            if not verify:
                lies += 1
                return b"other"
            if then == "is silent":
                await asyncio.sleep(1000)
            raise ContentNotFoundError(asked.short)

        liar.store.get = get  # type: ignore[method-assign]
        begun = network.clock.monotonic()
        for _ in range(20):
            assert await a.exchange.fetch(chunk.chunk_id, [liar.node_id, honest.node_id]) == b"truth"
        assert lies == 1
        assert a.exchange.load(liar.node_id).faults == pytest.approx(1.0, abs=0.1)
        assert network.clock.monotonic() - begun < 1, "a second question held up what another source gives"

    tell_of_holders(story)


def test_a_holder_is_told_of_damage_though_another_one_gave_the_chunk():
    async def story(network: FakeNetwork) -> None:
        a, rotten, honest = await holder_nodes(network, 3)
        chunk = chunk_of(b"truth")
        await give(chunk, rotten, honest)
        rotten.store._data[chunk.chunk_id] = b"flips"
        assert await a.exchange.fetch(chunk.chunk_id, [rotten.node_id, honest.node_id]) == b"truth"
        await asyncio.sleep(1)
        assert chunk.chunk_id not in rotten.store
        assert a.exchange.load(rotten.node_id).faults == pytest.approx(1.0, abs=0.1)

    tell_of_holders(story)


@pytest.mark.parametrize("others", [0, 1, 3])
async def test_where_no_other_source_gives_it_the_second_answer_counts(network: FakeNetwork, others: int):
    a, odd, *without = await holder_nodes(network, 2 + others)
    chunk = chunk_of(b"truth")
    await give(chunk, odd)
    lie_until_checked(odd)
    assert await a.exchange.fetch(chunk.chunk_id, [odd.node_id, *(node.node_id for node in without)]) == b"truth"
    odd.store._data[chunk.chunk_id] = b"flips"
    with pytest.raises(NotHeldError, match="has it not"):
        await a.exchange.fetch(chunk.chunk_id, [odd.node_id, *(node.node_id for node in without)])


def test_a_liar_that_is_silent_afterwards_keeps_few_questions_open():
    async def story(network: FakeNetwork) -> None:
        a, liar, honest = await holder_nodes(network, 3)
        chunks = [chunk_of(b"truth %d" % number) for number in range(3 * CHECKS_MAX)]
        for chunk in chunks:
            await give(chunk, liar, honest)

        async def get(_asked: ChunkId, *, verify: bool = True) -> bytes:
            if verify:
                await asyncio.sleep(1000)
            return b"other"

        liar.store.get = get  # type: ignore[method-assign]
        sources = [liar.node_id, honest.node_id]
        fetches = [a.exchange.fetch(chunk.chunk_id, sources, size_max=len(chunk.data)) for chunk in chunks]
        assert await asyncio.gather(*fetches) == [chunk.data for chunk in chunks]
        assert a.exchange.load(liar.node_id).inflight == CHECKS_MAX
        await asyncio.sleep(100)
        assert a.exchange.load(liar.node_id).inflight == 0
        assert len(a.scope) == 1  # the expiry of tombstones

    tell_of_holders(story)


async def test_when_all_holders_lie_nothing_wrong_is_returned(network: FakeNetwork):
    a, b, c, without = await holder_nodes(network, 4)
    chunk = chunk_of(b"truth")
    for holder in (b, c):
        await give(chunk, holder)
        spoil(holder, chunk.chunk_id, b"lie")
    with pytest.raises(CorruptContentError, match="damaged"):
        await a.exchange.fetch(chunk.chunk_id, [b.node_id, c.node_id, without.node_id])


async def test_a_damaged_local_copy_is_replaced(network: FakeNetwork):
    a, b = await holder_nodes(network, 2)
    chunk = chunk_of(b"truth", cell=5)
    await give(chunk, a)
    await give(chunk, b)
    await a.store.set_pinned([chunk.chunk_id], True)
    a.store._data[chunk.chunk_id] = b"flipped"
    assert await a.exchange.fetch(chunk.chunk_id, [b.node_id]) == b"truth"
    assert await a.store.get(chunk.chunk_id) == b"truth"
    info = a.store.info(chunk.chunk_id)
    assert info is not None
    assert (info.pinned, info.cell) == (True, 5)
