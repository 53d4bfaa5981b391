"""Interrupted puts go on where they stopped; cancellation at any await leaves nothing running: P-FILE-8."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dfs_sdk.errors import TooFewReplicasError
from dfs_sdk.files.config import FilesConfig
from dfs_sdk.files.drafts import DRAFT_KIND, PLACED_KIND
from dfs_sdk.files.news import TransferEnded
from dfs_sdk.replication.policy import Policy
from dfs_sdk.store import Role
from tests.fakes.filenodes import CHUNK, FileNode, file_nodes, some
from tests.fakes.holders import chunk_of
from tests.fakes.network import FakeNetwork


@pytest.fixture
async def network() -> AsyncIterator[FakeNetwork]:
    async with FakeNetwork() as network:
        yield network
        assert network.errors == []


def fail_after(node: FileNode, spreads: int) -> None:
    """Let the network of a node end after so many chunks."""
    original, left = node.replication.spread, spreads

    async def spread(chunk: Any, *, policy: Policy) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise TooFewReplicasError("0 of 2 required peers confirmed a copy")
        return await original(chunk, policy=policy)

    node.replication.spread = spread  # type: ignore[method-assign]


def heal(node: FileNode) -> None:
    del node.replication.__dict__["spread"]


async def test_an_interrupted_put_of_a_path_goes_on(network: FakeNetwork, tmp_path: Path):
    a, _b, _c, reader = await file_nodes(network, 4, readers=1)
    path = tmp_path / "data.bin"
    path.write_bytes(some(40 * CHUNK))
    fail_after(a, 25)
    with pytest.raises(TooFewReplicasError):
        await a.files.put(path, chunk_bytes=CHUNK)
    (transfer,) = a.files.transfers
    assert "put the same file again" in transfer.error
    heal(a)
    a.replication.spreads = 0
    file = await a.files.put(path, chunk_bytes=CHUNK)
    assert a.replication.spreads <= 41 - 25 + 16  # the rest, and what was under way
    assert a.replication.spreads < 41
    assert await reader.files.get(file.link) == some(40 * CHUNK)
    assert await a.store.list_documents(DRAFT_KIND) == []
    assert await a.store.list_documents(PLACED_KIND) == []


async def test_chunks_whose_holders_are_gone_are_sent_again(network: FakeNetwork, tmp_path: Path):
    a, b, c, reader = await file_nodes(network, 4, readers=1)
    path = tmp_path / "data.bin"
    path.write_bytes(some(40 * CHUNK))
    fail_after(a, 30)
    with pytest.raises(TooFewReplicasError):
        await a.files.put(path, chunk_bytes=CHUNK)
    for holder in (b, c):
        await holder.store.delete([info.chunk_id for info in holder.store.chunks()])
    heal(a)
    a.replication.spreads = 0
    file = await a.files.put(path, chunk_bytes=CHUNK)
    assert a.replication.spreads == 41
    assert await reader.files.get(file.link) == some(40 * CHUNK)


async def test_our_own_copy_does_not_count_when_going_on(network: FakeNetwork, tmp_path: Path):
    a, b, c, _ = await file_nodes(network, 4, readers=1)
    path = tmp_path / "data.bin"
    path.write_bytes(some(40 * CHUNK))
    fail_after(a, 30)
    with pytest.raises(TooFewReplicasError):
        await a.files.put(path, chunk_bytes=CHUNK)
    for info in list(b.store.chunks()):
        chunk = chunk_of(await b.store.get(info.chunk_id))
        await a.store.put([chunk])
        await c.store.delete([info.chunk_id])
    heal(a)
    a.replication.spreads = 0
    await a.files.put(path, chunk_bytes=CHUNK)
    assert a.replication.spreads == 41
    assert len(c.store) == 41


async def test_cache_copies_do_not_count_when_going_on(network: FakeNetwork, tmp_path: Path):
    a, b, c, _ = await file_nodes(network, 4, readers=1)
    path = tmp_path / "data.bin"
    path.write_bytes(some(40 * CHUNK))
    fail_after(a, 30)
    with pytest.raises(TooFewReplicasError):
        await a.files.put(path, chunk_bytes=CHUNK)
    for info in list(c.store.chunks()):
        chunk = chunk_of(await c.store.get(info.chunk_id), role=Role.CACHE, removal_hash=info.removal_hash)
        await c.store.delete([info.chunk_id])
        await c.store.put([chunk])
    heal(a)
    await a.files.put(path, chunk_bytes=CHUNK)
    assert {info.role for node in (b, c) for info in node.store.chunks()} == {Role.PRIMARY}


async def test_a_path_that_changed_meanwhile_starts_over(network: FakeNetwork, tmp_path: Path):
    a, _b, _c, reader = await file_nodes(network, 4, readers=1)
    path = tmp_path / "data.bin"
    path.write_bytes(some(40 * CHUNK))
    fail_after(a, 30)
    with pytest.raises(TooFewReplicasError):
        await a.files.put(path, chunk_bytes=CHUNK)
    path.write_bytes(some(40 * CHUNK, seed=2))
    os.utime(path, ns=(1, 1))
    heal(a)
    a.replication.spreads = 0
    file = await a.files.put(path, chunk_bytes=CHUNK)
    assert a.replication.spreads == 41
    assert await reader.files.get(file.link) == some(40 * CHUNK, seed=2)


async def test_content_that_changed_unnoticed_still_gives_the_content_that_was_read(
    network: FakeNetwork, tmp_path: Path
):
    """Same size and time, other bytes: nothing of the two contents is mixed."""
    a, _b, _c, reader = await file_nodes(network, 4, readers=1)
    path = tmp_path / "data.bin"
    path.write_bytes(some(40 * CHUNK))
    os.utime(path, ns=(1, 1))
    fail_after(a, 30)
    with pytest.raises(TooFewReplicasError):
        await a.files.put(path, chunk_bytes=CHUNK)
    changed = bytearray(some(40 * CHUNK))
    changed[3 * CHUNK] ^= 1
    path.write_bytes(bytes(changed))
    os.utime(path, ns=(1, 1))
    heal(a)
    file = await a.files.put(path, chunk_bytes=CHUNK)
    assert await reader.files.get(file.link) == bytes(changed)


async def test_what_a_given_up_put_of_bytes_left_on_peers_is_removed(network: FakeNetwork):
    a, b, c, _ = await file_nodes(network, 4, readers=1)
    fail_after(a, 5)
    with pytest.raises(TooFewReplicasError):
        await a.files.put(some(40 * CHUNK), chunk_bytes=CHUNK)
    heal(a)
    for _ in range(200):
        await asyncio.sleep(0)
    assert len(b.store) == len(c.store) == 0
    assert await a.store.list_documents(DRAFT_KIND) == []


async def test_old_drafts_are_cleaned_up_with_what_they_left(network: FakeNetwork, tmp_path: Path):
    config = FilesConfig(draft_seconds=100.0, rounds=1)
    a, b, _c, _ = await file_nodes(network, 4, readers=1, config=config)
    path = tmp_path / "data.bin"
    path.write_bytes(some(40 * CHUNK))
    fail_after(a, 25)
    with pytest.raises(TooFewReplicasError):
        await a.files.put(path, chunk_bytes=CHUNK)
    assert len(b.store) > 0
    await a.files._uploads.clean_up()
    assert len(await a.store.list_documents(DRAFT_KIND)) == 1
    network.clock.advance(101)
    await a.files._uploads.clean_up()
    assert await a.store.list_documents(DRAFT_KIND) == []
    assert await a.store.list_documents(PLACED_KIND) == []
    assert len(b.store) == 0


async def test_drafts_are_bounded(network: FakeNetwork, tmp_path: Path):
    config = FilesConfig(drafts_max=3, rounds=1)
    a, *_ = await file_nodes(network, 4, readers=1, config=config)
    fail_after(a, 0)
    for number in range(6):
        path = tmp_path / f"{number}"
        path.write_bytes(some(2 * CHUNK))
        with pytest.raises(TooFewReplicasError):
            await a.files.put(path, chunk_bytes=CHUNK)
    assert len(await a.store.list_documents(DRAFT_KIND)) == 3


Action = Callable[[FileNode, FileNode, Path], Awaitable[object]]


async def put_path(a: FileNode, _reader: FileNode, folder: Path) -> object:
    return await a.files.put(folder / "source", chunk_bytes=CHUNK)


async def put_stream(a: FileNode, _reader: FileNode, _folder: Path) -> object:
    async def stream() -> AsyncIterator[bytes]:
        for _ in range(4):
            await asyncio.sleep(0)
            yield some(CHUNK)

    return await a.files.put(stream(), chunk_bytes=CHUNK)


async def get_path(_a: FileNode, reader: FileNode, folder: Path) -> object:
    (file,) = await _a.files.ls()
    return await reader.files.get(file.link, folder / "target")


async def get_bytes(_a: FileNode, reader: FileNode, _folder: Path) -> object:
    (file,) = await _a.files.ls()
    return await reader.files.get(file.link)


async def pin(_a: FileNode, reader: FileNode, _folder: Path) -> object:
    (file,) = await _a.files.ls()
    return await reader.files.pin(file.link)


async def read_range(_a: FileNode, reader: FileNode, _folder: Path) -> object:
    (file,) = await _a.files.ls()
    async with await reader.files.open(file.link) as opened:
        return await opened.read_at(100, 3 * CHUNK)


@pytest.mark.parametrize("action", [put_path, put_stream, get_path, get_bytes, pin, read_range])
async def test_cancelling_at_every_await_leaves_nothing_running(action: Action, tmp_path: Path):
    """Reliability row 9: no task, budget or open file survives, and the next attempt succeeds."""
    (tmp_path / "source").write_bytes(some(4 * CHUNK))
    steps, finished = 0, False
    while not finished:
        finished = await cancel_at(action, steps, tmp_path)
        steps = steps + 1 if steps < 40 else int(steps * 1.15) + 1
    assert steps > 5


async def cancel_at(action: Action, steps: int, folder: Path) -> bool:
    async with FakeNetwork() as network:
        a, b, c, reader = await file_nodes(network, 4, readers=1)
        if action not in (put_path, put_stream):
            await a.files.put(some(4 * CHUNK), name="x", chunk_bytes=CHUNK)
        for _ in range(20):
            await asyncio.sleep(0)
        nodes = (a, b, c, reader)
        quiet = [len(node.base.scope) for node in nodes]
        descriptors = len(os.listdir("/proc/self/fd"))
        task = asyncio.ensure_future(action(a, reader, folder))
        for _ in range(steps):
            await asyncio.sleep(0)
        finished = task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert not any(transfer.is_running for node in nodes for transfer in node.files.transfers)
        assert len(os.listdir("/proc/self/fd")) == descriptors
        assert [node.base.exchange.in_flight_bytes for node in nodes] == [0] * 4
        for _ in range(100):  # cleaning up on peers, and handlers that hear of the cancellation
            await asyncio.sleep(0)
        assert [len(node.base.scope) for node in nodes] == quiet
        (folder / "target").unlink(missing_ok=True)
        await action(a, reader, folder)
        (folder / "target").unlink(missing_ok=True)
        assert os.listdir(folder) == ["source"]
        assert network.errors == []
        return finished


async def test_a_button_can_cancel_and_the_transfer_says_what_remains(network: FakeNetwork, tmp_path: Path):
    a, *_ = await file_nodes(network, 4, readers=1)
    path = tmp_path / "data.bin"
    path.write_bytes(some(40 * CHUNK))

    def stop(transfer: Any) -> None:
        if transfer.bytes_done >= 5 * CHUNK:
            transfer.cancel()

    with pytest.raises(asyncio.CancelledError):
        await a.files.put(path, chunk_bytes=CHUNK, progress=stop)
    (transfer,) = a.files.transfers
    assert transfer.state.value == "cancelled"
    assert "cancelled" in transfer.error
    assert "put the same file again" in transfer.error
    assert [event.reason for event in a.happened(TransferEnded)] == [transfer.error]


async def test_copies_that_follow_stop_with_a_cancelled_put_and_go_on_after_a_finished_one(
    network: FakeNetwork, tmp_path: Path
):
    a, *_ = await file_nodes(network, 4, readers=1)
    original, tails = a.replication.spread, []

    async def spread(chunk: Any, *, policy: Policy) -> Any:
        placed = await original(chunk, policy=policy)
        tails.append(asyncio.get_running_loop().create_future())
        return replace(placed, complete=tails[-1])

    a.replication.spread = spread  # type: ignore[method-assign]
    path = tmp_path / "data.bin"
    path.write_bytes(some(10 * CHUNK))

    def stop(transfer: Any) -> None:
        if transfer.bytes_done >= 5 * CHUNK:
            transfer.cancel()

    with pytest.raises(asyncio.CancelledError):
        await a.files.put(path, chunk_bytes=CHUNK, progress=stop)
    assert len(tails) >= 5
    assert all(tail.cancelled() for tail in tails)
    tails.clear()
    file = await a.files.put(path, chunk_bytes=CHUNK)
    await asyncio.sleep(0)
    assert not any(tail.done() for tail in tails)
    for tail in tails:
        tail.set_result([])
    await asyncio.sleep(0)
    assert file.chunk_count == 10


async def test_closing_stops_what_runs(network: FakeNetwork):
    a, *_ = await file_nodes(network, 4, readers=1)
    blocked = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield some(CHUNK)
        await blocked.wait()

    task = asyncio.ensure_future(a.files.put(endless(), chunk_bytes=CHUNK))
    for _ in range(50):
        await asyncio.sleep(0)
    await a.files.close()
    assert not any(transfer.is_running for transfer in a.files.transfers)
    with pytest.raises(asyncio.CancelledError):
        await task
