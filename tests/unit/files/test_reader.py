"""Reading ranges: a reader behaves like the bytes it stands for and fetches no chunk it does not need."""

from __future__ import annotations

import asyncio
import io
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfs_sdk.errors import ContentUnavailableError, NodeClosedError
from dfs_sdk.files.ahead import Ahead
from dfs_sdk.files.config import FilesConfig
from dfs_sdk.files.reader import Reader
from tests.fakes.filenodes import CHUNK, IMPATIENT, file_nodes, some
from tests.fakes.network import FakeNetwork
from tests.fakes.runtime import LoopClock, run_virtual

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(-1, 3 * CHUNK)),
        st.tuples(st.just("seek"), st.integers(-1000, 7 * CHUNK)),
        st.tuples(st.just("from here"), st.integers(-3 * CHUNK, 3 * CHUNK)),
        st.tuples(st.just("from end"), st.integers(-7 * CHUNK, 100)),
    ),
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([0, 1, 5000, CHUNK, 5 * CHUNK + 17]), STEPS)
def test_a_reader_reads_like_a_file(size: int, steps: list[tuple[str, int]]):
    async def main() -> None:
        async with FakeNetwork() as network:
            a, _b, _c, d = await file_nodes(network, 4, readers=1)
            file = await a.files.put(some(size), name="x", chunk_bytes=CHUNK)
            model = io.BytesIO(some(size))
            async with await d.files.open(file.link) as reader:
                assert reader.size == size
                for step, number in steps:
                    if step == "read":
                        assert await reader.read(number) == model.read(number)
                    else:
                        whence = {"seek": os.SEEK_SET, "from here": os.SEEK_CUR, "from end": os.SEEK_END}[step]
                        base = {os.SEEK_SET: 0, os.SEEK_CUR: model.tell(), os.SEEK_END: size}[whence]
                        if base + number < 0:
                            with pytest.raises(ValueError, match="cannot seek"):
                                await reader.seek(number, whence)
                        else:
                            assert await reader.seek(number, whence) == model.seek(base + number)
                    assert await reader.tell() == model.tell()

    asyncio.run(main())


def test_only_the_chunks_of_a_range_are_fetched():
    async def main(clock: LoopClock) -> None:  # in virtual time no source is slow enough for a second one to be asked
        async with FakeNetwork(clock=clock, latency=0.001) as network:
            a, _b, _c, d = await file_nodes(network, 4, readers=1)
            file = await a.files.put(some(20 * CHUNK), chunk_bytes=CHUNK)
            reader = await d.files.open(file.link)
            before = network.bytes
            assert await reader.read_at(3 * CHUNK + 5, 10) == some(20 * CHUNK)[3 * CHUNK + 5 : 3 * CHUNK + 15]
            assert CHUNK < network.bytes - before < CHUNK + 500
            before = network.bytes
            assert await reader.read_at(3 * CHUNK + 100, 10) == some(20 * CHUNK)[3 * CHUNK + 100 : 3 * CHUNK + 110]
            assert network.bytes == before
            await reader.read_at(7 * CHUNK - 1, 2)
            assert 2 * CHUNK < network.bytes - before < 2 * CHUNK + 1000

    run_virtual(main)


async def test_the_chunks_in_memory_are_bounded():
    async with FakeNetwork() as network:
        config = FilesConfig(reader_chunks_max=3, rounds=1)
        a, _b, _c, d = await file_nodes(network, 4, readers=1, config=config)
        file = await a.files.put(some(20 * CHUNK), chunk_bytes=CHUNK)
        reader = await d.files.open(file.link)
        assert await reader.read() == some(20 * CHUNK)
        assert len(reader._chunks) <= 3
        await reader.close()
        assert len(reader._chunks) == 0


async def settled(reader: Reader) -> None:
    """Let what is fetched ahead arrive."""
    while reader._chunks._coming:
        await asyncio.sleep(0)


async def test_one_who_reads_in_order_finds_the_next_chunks_here():
    async with FakeNetwork() as network:
        a, b, c, d = await file_nodes(network, 4, readers=1)
        file = await a.files.put(some(20 * CHUNK), chunk_bytes=CHUNK)
        async with await d.files.open(file.link) as reader:
            assert await reader.read(10) == some(10)
            assert not reader._chunks._coming, "a single read says nothing about the next"
            await reader.read(10)
            await settled(reader)
            await reader.read(CHUNK)
            await settled(reader)
            for node in (a, b, c):
                network.kill(node.node_id)
            assert await reader.read(2 * CHUNK) == some(20 * CHUNK)[CHUNK + 20 : 3 * CHUNK + 20]


async def test_reading_ahead_is_bounded_and_ends_with_the_reader():
    async with FakeNetwork() as network:
        config = FilesConfig(reader_chunks_max=4, rounds=1)
        a, _b, _c, d = await file_nodes(network, 4, readers=1, config=config)
        file = await a.files.put(some(40 * CHUNK), chunk_bytes=CHUNK)
        reader = await d.files.open(file.link)
        for turn in range(12):
            assert await reader.read(CHUNK) == some(40 * CHUNK)[turn * CHUNK : (turn + 1) * CHUNK]
            assert len(reader._chunks._coming) <= 3
        await reader.seek(30 * CHUNK)
        await reader.read(10)
        assert {index for index, (task, _) in reader._chunks._coming.items() if not task.cancelling()} == set()
        await reader.read(10)
        assert reader._chunks._coming
        await reader.close()
        assert not reader._chunks._coming
        assert len(reader._chunks) == 0


async def test_nothing_is_fetched_ahead_where_that_is_switched_off():
    async with FakeNetwork() as network:
        config = FilesConfig(read_ahead_bytes_max=0)
        a, _b, _c, d = await file_nodes(network, 4, readers=1, config=config)
        file = await a.files.put(some(20 * CHUNK), chunk_bytes=CHUNK)
        async with await d.files.open(file.link) as reader:
            for _ in range(5):
                await reader.read(CHUNK)
                assert not reader._chunks._coming


async def test_a_chunk_that_could_not_be_fetched_ahead_is_asked_for_again():
    async with FakeNetwork() as network:
        a, b, c, d = await file_nodes(network, 4, readers=1, config=IMPATIENT)
        file = await a.files.put(some(20 * CHUNK), chunk_bytes=CHUNK)
        async with await d.files.open(file.link) as reader:
            await reader.read(CHUNK // 2)
            for node in (a, b, c):
                network.kill(node.node_id)
            assert await reader.read(10) == some(CHUNK)[CHUNK // 2 : CHUNK // 2 + 10]
            await settled(reader)
            assert len(reader._chunks) == 1
            for node in (a, b, c):
                network.revive(node.node_id)
            assert await reader.read(CHUNK) == some(20 * CHUNK)[CHUNK // 2 + 10 : 3 * CHUNK // 2 + 10]


@given(st.lists(st.integers(1, 5 * CHUNK), min_size=1, max_size=30), st.integers(0, 7))
def test_the_window_doubles_in_order_stays_in_the_file_and_within_its_bound(sizes: list[int], chunks_max: int):
    ahead, start, count = Ahead(100, chunks_max), 0, 0
    for size in sizes:
        end = min(start + size, 100 * CHUNK)
        last = (end - 1) // CHUNK
        wanted = ahead.note(start, end, last)
        count = 0 if start == 0 else min(max(1, 2 * count), chunks_max)
        assert list(wanted) == [index for index in range(last + 1, last + 1 + count) if index < 100]
        start = end
        if end == 100 * CHUNK:
            break


async def test_a_failed_read_leaves_the_position():
    async with FakeNetwork() as network:
        a, b, c, d = await file_nodes(network, 4, readers=1)
        file = await a.files.put(some(5 * CHUNK), chunk_bytes=CHUNK)
        reader = await d.files.open(file.link)
        await reader.seek(CHUNK)
        for node in (a, b, c):
            network.kill(node.node_id)
        with pytest.raises(ContentUnavailableError):
            await reader.read(10)
        assert await reader.tell() == CHUNK
        network.revive(b.node_id)
        assert await reader.read(10) == some(5 * CHUNK)[CHUNK : CHUNK + 10]


async def test_a_closed_reader_says_so():
    async with FakeNetwork() as network:
        a, *_ = await file_nodes(network, 3)
        file = await a.files.put(b"x", name="a\x1bb")
        reader = await a.files.open(file.link)
        assert repr(reader) == "Reader('a␛b', at 0 of 1)"
        await reader.close()
        await reader.close()
        assert reader.closed
        for call in (reader.read(), reader.seek(0), reader.tell(), reader.read_at(0, 1)):
            with pytest.raises(NodeClosedError, match="closed"):
                await call


@pytest.mark.parametrize(("offset", "size"), [(-1, 5), (0, -5)])
async def test_negative_ranges_are_refused(offset: int, size: int):
    async with FakeNetwork() as network:
        a, *_ = await file_nodes(network, 3, config=IMPATIENT)
        reader = await a.files.open((await a.files.put(b"x")).link)
        with pytest.raises(ValueError, match="cannot read"):
            await reader.read_at(offset, size)
