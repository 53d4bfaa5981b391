"""Putting and getting between nodes: what was put comes back, or an error; never other bytes: P-FILE-6, P-FILE-7."""

from __future__ import annotations

import asyncio
import io
from array import array
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from dfs_sdk.errors import (
    ConfigError,
    ContentNotFoundError,
    ContentUnavailableError,
    CorruptContentError,
    LinkError,
    TooFewReplicasError,
)
from dfs_sdk.files.chunker import INLINE_BYTES_MAX
from dfs_sdk.files.config import FilesConfig
from dfs_sdk.files.link import Link, LinkKind
from dfs_sdk.files.manifest import seal_manifest
from dfs_sdk.files.news import FileFetched, FileStored, TransferEnded
from dfs_sdk.files.seal import FileKeys
from dfs_sdk.files.transfers import Transfer
from dfs_sdk.ids import ChunkId
from dfs_sdk.replication.policy import Policy
from tests.fakes.filenodes import CHUNK, chunks_of, file_nodes, some
from tests.fakes.holders import chunk_of, spoil
from tests.fakes.network import FakeNetwork
from tests.fakes.runtime import LoopClock, run_virtual

KIB = 1024


@pytest.fixture
async def network() -> AsyncIterator[FakeNetwork]:
    async with FakeNetwork() as network:
        yield network
        assert network.errors == []


@pytest.mark.parametrize(
    "size", [0, 1, INLINE_BYTES_MAX, INLINE_BYTES_MAX + 1, CHUNK - 1, CHUNK, CHUNK + 1, 10 * CHUNK, 10 * CHUNK + 1]
)
async def test_what_was_put_comes_back(network: FakeNetwork, size: int):
    a, _b, _c, reader = await file_nodes(network, 4, readers=1)
    file = await a.files.put(some(size), name="data.csv", chunk_bytes=CHUNK)
    assert (file.size, file.name, file.origin, file.owned) == (size, "data.csv", "put", True)
    assert file.chunk_count == (0 if size <= INLINE_BYTES_MAX else -(-size // CHUNK))
    assert await reader.files.get(file.link) == some(size)
    assert [known.name for known in await reader.files.ls()] == ["data.csv"]
    assert [event.size for event in a.happened(FileStored)] == [size]
    assert [event.size for event in reader.happened(FileFetched)] == [size]


async def pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        await asyncio.sleep(0)
        yield data[at : at + size]


@pytest.mark.parametrize("kind", ["bytes", "bytearray", "memoryview", "path", "text path", "file object", "stream"])
async def test_every_kind_of_source_is_stored(network: FakeNetwork, tmp_path: Path, kind: str):
    a, _b, _c, reader = await file_nodes(network, 4, readers=1)
    data = some(100_000)
    path = tmp_path / "Grüße 数据.bin"
    path.write_bytes(data)
    with path.open("rb") as opened:
        source = {
            "bytes": data,
            "bytearray": bytearray(data),
            "memoryview": memoryview(data),
            "path": path,
            "text path": str(path),
            "file object": opened,
            "stream": pieces(data, 777),
        }[kind]
        file = await a.files.put(source, chunk_bytes=CHUNK)
    assert await reader.files.get(file.link) == data
    assert file.name == (path.name if kind in ("path", "text path", "file object") else "untitled")


async def test_arrays_are_stored_as_their_bytes(network: FakeNetwork):
    a, _b, _c, reader = await file_nodes(network, 4, readers=1)
    numbers = array("d", range(5000))
    file = await a.files.put(memoryview(numbers), chunk_bytes=CHUNK)
    assert await reader.files.get(file.link) == numbers.tobytes()
    with pytest.raises(ConfigError, match="contiguous"):
        await a.files.put(memoryview(b"abcdef")[::2])


async def test_an_empty_stream_is_an_empty_file(network: FakeNetwork):
    a, _b, _c, reader = await file_nodes(network, 4, readers=1)
    file = await a.files.put(pieces(b"", 1), name="empty")
    assert await reader.files.get(file.link) == b""


@pytest.mark.parametrize(
    ("source", "error"),
    [(42, ConfigError), (io.StringIO("text"), ConfigError), ("/nowhere/at/all", FileNotFoundError), ("/", OSError)],
)
async def test_what_cannot_be_put_says_so(network: FakeNetwork, source: object, error: type[Exception]):
    a, *_ = await file_nodes(network, 3)
    with pytest.raises(error):
        await a.files.put(source)  # type: ignore[arg-type]
    assert await a.files.ls() == []


async def test_a_stream_of_text_is_refused_in_words(network: FakeNetwork):
    async def text() -> AsyncIterator[str]:
        yield "not bytes"

    a, *_ = await file_nodes(network, 3)
    with pytest.raises(ConfigError, match="must give bytes"):
        await a.files.put(text())  # type: ignore[arg-type]


async def test_an_error_of_the_source_reaches_the_user_and_the_source_is_closed(network: FakeNetwork):
    closed: list[bool] = []

    async def breaks() -> AsyncIterator[bytes]:
        try:
            yield some(3 * CHUNK)
            raise ZeroDivisionError("the user's own")
        finally:
            closed.append(True)

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield some(CHUNK)
        finally:
            closed.append(True)

    a, b, *_ = await file_nodes(network, 3)
    with pytest.raises(ZeroDivisionError):
        await a.files.put(breaks(), chunk_bytes=CHUNK)
    network.kill(b.node_id)
    with pytest.raises(TooFewReplicasError):
        await a.files.put(endless(), chunk_bytes=CHUNK)
    assert closed == [True, True]
    assert await a.files.ls() == []


async def test_nothing_of_content_or_name_is_on_foreign_disks(network: FakeNetwork):
    a, b, c, _ = await file_nodes(network, 4)
    canary = b"CANARY-CONTENT-" * 3000
    await a.files.put(canary, name="CANARY-NAME", chunk_bytes=CHUNK)
    await a.files.put(b"CANARY-CONTENT", name="CANARY-NAME")
    for holder in (b, c):
        assert len(holder.store) > 0
        for info in holder.store.chunks():
            assert b"CANARY" not in bytes(await holder.store.get(info.chunk_id))


async def test_the_same_content_twice_shares_nothing(network: FakeNetwork):
    a, _b, _ = await file_nodes(network, 3)
    one, two = [await a.files.put(some(100_000), chunk_bytes=CHUNK) for _ in range(2)]
    assert one.link.key != two.link.key
    assert not set(await chunks_of(a, one.link)) & set(await chunks_of(a, two.link))


def test_one_lying_holder_changes_nothing():
    """A24: mutated ciphertext at a holder; another source is used."""

    async def main(clock: LoopClock) -> None:  # in virtual time no holder is quicker than the liar
        async with FakeNetwork(clock=clock, latency=0.01) as network:
            a, b, _c, reader = await file_nodes(network, 4, readers=1)
            data = some(10 * CHUNK)
            file = await a.files.put(data, chunk_bytes=CHUNK)
            for chunk_id in (file.link.manifest_id, *await chunks_of(a, file.link)):
                sealed = await b.store.get(chunk_id)
                spoil(b.base, chunk_id, bytes([sealed[0] ^ 1]) + sealed[1:])
            assert await reader.files.get(file.link) == data
            assert reader.base.exchange.load(b.node_id).faults > 0

    run_virtual(main)


async def test_when_all_holders_lie_the_error_says_corrupt(network: FakeNetwork):
    a, b, c, reader = await file_nodes(network, 4, readers=1)
    file = await a.files.put(some(3 * CHUNK), chunk_bytes=CHUNK)
    victim = (await chunks_of(a, file.link))[1]
    for holder in (b, c):
        spoil(holder.base, victim, b"lie")
    with pytest.raises(CorruptContentError):
        await reader.files.get(file.link)
    (transfer,) = reader.files.transfers
    assert transfer.state.value == "failed"
    assert "intact" in transfer.error
    assert len(reader.happened(TransferEnded)) == 1


async def test_a_chunk_without_a_holder_is_unavailable(network: FakeNetwork):
    a, b, c, reader = await file_nodes(network, 4, readers=1)
    file = await a.files.put(some(3 * CHUNK), chunk_bytes=CHUNK)
    victim = (await chunks_of(a, file.link))[2]
    for holder in (b, c):
        await holder.store.delete([victim])
    with pytest.raises(ContentUnavailableError):
        await reader.files.get(file.link)


async def test_dead_holders_make_it_unavailable_and_their_return_readable(network: FakeNetwork):
    a, b, c, reader = await file_nodes(network, 4, readers=1)
    policy = Policy(replicas=2)
    file = await a.files.put(some(3 * CHUNK), chunk_bytes=CHUNK, policy=policy)
    for dead in (a, b, c):
        network.kill(dead.node_id)
    with pytest.raises(ContentUnavailableError):
        await reader.files.get(file.link)
    network.revive(c.node_id)
    assert await reader.files.get(file.link) == some(3 * CHUNK)


async def test_a_link_nobody_knows_is_not_found(network: FakeNetwork):
    a, *_ = await file_nodes(network, 3)
    file = await a.files.put(some(10), name="x")
    unknown = Link(
        kind=LinkKind.READ, network_tag=file.link.network_tag, manifest_id=ChunkId(b"u" * 32), key=file.link.key
    )
    with pytest.raises(ContentNotFoundError, match="no node"):
        await a.files.get(unknown)


async def test_a_link_of_another_network_is_told_from_a_missing_file(network: FakeNetwork):
    a, *_ = await file_nodes(network, 3)
    file = await a.files.put(some(10), name="x")
    foreign = Link(kind=LinkKind.READ, network_tag=b"\0\0\0\0", manifest_id=file.link.manifest_id, key=file.link.key)
    with pytest.raises(LinkError, match="another network"):
        await a.files.get(foreign)


async def test_a_wrong_key_and_a_verify_link_do_not_read(network: FakeNetwork):
    a, *_ = await file_nodes(network, 3)
    file = await a.files.put(some(10), name="x")
    wrong = Link(
        kind=LinkKind.READ, network_tag=file.link.network_tag, manifest_id=file.link.manifest_id, key=b"w" * 32
    )
    with pytest.raises(LinkError, match="does not open"):
        await a.files.get(wrong)
    with pytest.raises(LinkError, match="only verifies"):
        await a.files.get(file.link.verify())


async def test_a_chunk_under_the_right_id_of_another_file_does_not_open(network: FakeNetwork):
    """A manifest that names foreign chunks, made by a hostile owner, raises instead of giving bytes."""
    a, *_ = await file_nodes(network, 3)
    file = await a.files.put(some(2 * CHUNK), chunk_bytes=CHUNK)
    opened, _ = await a.files._finder.open(file.link)
    sealed = await a.base.exchange.fetch(opened.manifest.chunk_ids[0], a.replication.others)
    with pytest.raises(CorruptContentError):
        opened.decrypt(1, sealed)


async def test_a_manifest_that_swaps_two_chunks_gives_nothing(network: FakeNetwork, tmp_path: Path):
    """No hash of the whole file is needed for that: a chunk opens as the one of its index only."""
    a, *_ = await file_nodes(network, 3)
    file = await a.files.put(some(3 * CHUNK), chunk_bytes=CHUNK)
    opened, _ = await a.files._finder.open(file.link)
    first, second, third = opened.manifest.chunk_ids
    keys, salts = opened.keys, opened.contents.salts
    sealed = seal_manifest(
        keys,
        replace(opened.manifest, chunk_ids=(second, first, third)),
        replace(opened.contents, salts=(salts[1], salts[0], salts[2])),
    )
    await a.store.put([chunk_of(sealed)])
    link = replace(file.link, manifest_id=chunk_of(sealed).chunk_id)
    with pytest.raises(CorruptContentError, match="not what the file's manifest says"):
        await a.files.get(link)
    with pytest.raises(CorruptContentError, match="not what the file's manifest says"):
        await a.files.get(link, tmp_path / "x")
    assert not (tmp_path / "x").exists()


async def test_too_few_peers_are_named_and_quorum_zero_keeps_it_here(network: FakeNetwork):
    (alone,) = await file_nodes(network, 1)
    with pytest.raises(TooFewReplicasError, match="quorum=0"):
        await alone.files.put(some(3 * CHUNK), chunk_bytes=CHUNK)
    assert await alone.files.ls() == []
    file = await alone.files.put(some(3 * CHUNK), chunk_bytes=CHUNK, policy=Policy(quorum=0))
    assert await alone.files.get(file.link) == some(3 * CHUNK)
    assert (await alone.files.stat(file)).health.value == "only here"


async def test_the_manifest_is_spread_last(network: FakeNetwork):
    a, _b, _c, _reader = await file_nodes(network, 4, readers=1)
    order: list[ChunkId] = []
    original = a.replication.spread

    async def spread(chunk: object, *, policy: Policy) -> object:
        order.append(chunk.chunk_id)  # type: ignore[attr-defined]
        return await original(chunk, policy=policy)  # type: ignore[arg-type]

    a.replication.spread = spread  # type: ignore[method-assign, assignment]
    file = await a.files.put(some(5 * CHUNK), chunk_bytes=CHUNK)
    assert order[-1] == file.link.manifest_id
    assert set(order[:-1]) == set(await chunks_of(a, file.link))


async def test_progress_counts_up_to_the_size(network: FakeNetwork):
    a, _b, _c, reader = await file_nodes(network, 4, readers=1)
    seen: list[tuple[int, int | None, str]] = []

    def watch(transfer: Transfer) -> None:
        seen.append((transfer.bytes_done, transfer.bytes_total, transfer.state.value))

    file = await a.files.put(some(5 * CHUNK), chunk_bytes=CHUNK, progress=watch)
    assert seen[-1] == (5 * CHUNK, 5 * CHUNK, "done")
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
    seen.clear()
    await reader.files.get(file.link, progress=watch)
    assert seen[-1] == (5 * CHUNK, 5 * CHUNK, "done")
    assert {transfer.direction.value for transfer in a.files.transfers} == {"put"}
    assert reader.files.transfers[0].sources <= set(reader.replication.others)
    assert len(reader.files.transfers[0].sources) >= 1
    assert [transfer.sources for transfer in a.files.transfers] == [set(a.replication.others) - {reader.node_id}]


async def test_a_failing_progress_handler_does_not_stop_the_transfer(network: FakeNetwork):
    def broken(_transfer: Transfer) -> None:
        raise RuntimeError("the panel is gone")

    a, *_ = await file_nodes(network, 3)
    assert (await a.files.put(some(10), progress=broken)).size == 10


async def test_a_large_file_is_not_returned_as_bytes(network: FakeNetwork, tmp_path: Path):
    config = FilesConfig(bytes_result_max=1000, rounds=1)
    a, _b, _c, reader = await file_nodes(network, 4, readers=1, config=config)
    file = await a.files.put(some(5 * CHUNK), chunk_bytes=CHUNK)
    with pytest.raises(ConfigError, match="destination"):
        await reader.files.get(file.link)
    assert await reader.files.get(file.link, tmp_path / "x") == tmp_path / "x"


async def test_names_too_long_are_refused_and_broken_ones_stored(network: FakeNetwork):
    a, *_ = await file_nodes(network, 3)
    with pytest.raises(ConfigError, match="1024"):
        await a.files.put(b"x", name="ü" * 600)
    assert (await a.files.put(b"x", name="lone \udc80")).name == "lone ?"


async def test_memory_of_an_upload_is_bounded(network: FakeNetwork):
    """Chunks that wait for their quorum never exceed the window, whatever the source gives."""
    config = FilesConfig(upload_bytes_max=4 * 1024 * KIB, tail_bytes_max=4 * 1024 * KIB, rounds=1)
    a, *_ = await file_nodes(network, 3, config=config)
    waiting = peak = 0
    original = a.replication.spread

    async def spread(chunk: object, *, policy: Policy) -> object:
        nonlocal waiting, peak
        waiting += len(chunk.data)  # type: ignore[attr-defined]
        peak = max(peak, waiting)
        for _ in range(5):
            await asyncio.sleep(0)
        waiting -= len(chunk.data)  # type: ignore[attr-defined]
        return await original(chunk, policy=policy)  # type: ignore[arg-type]

    a.replication.spread = spread  # type: ignore[method-assign, assignment]
    await a.files.put(pieces(some(12 * 1024 * KIB), 500_000), chunk_bytes=256 * KIB)
    assert 0 < peak <= 4 * 1024 * KIB + 16 * 1024


async def test_secrets_never_show(network: FakeNetwork, caplog: pytest.LogCaptureFixture):
    """A26: keys and links are in no repr, event or log line."""
    caplog.set_level("DEBUG")
    a, b, _c, reader = await file_nodes(network, 4, readers=1)
    file = await a.files.put(some(3 * CHUNK), name="x", chunk_bytes=CHUNK)
    await reader.files.get(file.link)
    network.kill(b.node_id)
    with pytest.raises(TooFewReplicasError):
        await a.files.put(some(3 * CHUNK), policy=Policy(replicas=3, quorum=3))
    entry = a.files._catalog.entry(file.link.manifest_id)
    shown = "".join(
        [repr(file), str(file), repr(entry), repr(await a.files.stat(file)), repr(a.files.transfers), caplog.text]
        + [repr(event) + event.text for node in (a, reader) for event in node.events.log()]
        + [repr(FileKeys(file.link.key)), repr(a.files._catalog), repr(a.files.places())]
    )
    for secret in (file.link.key, entry.record.removal_key):
        assert secret.hex() not in shown
        assert repr(secret)[2:20] not in shown
    assert str(file.link) not in shown
    assert str(file.link)[8:40] not in shown
