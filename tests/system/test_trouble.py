"""Trouble in the middle of things, over real sockets and disks: the node lives on and other data stays whole."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from dfs_sdk import Node, Swarm
from dfs_sdk.errors import (
    ContentNotFoundError,
    ContentUnavailableError,
    CorruptContentError,
    JoinTimeoutError,
    LinkError,
    MessageTooLargeError,
    QuotaExceededError,
    StoreError,
    TooFewReplicasError,
)
from dfs_sdk.ids import ChunkId
from dfs_sdk.sim.swarm import hurried
from tests.fakes.members import make

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("nothing_left")]

MIB = 1024 * 1024


def store_of(node: Node):
    return node._engine.foundation.store


def lie(node: Node) -> None:
    """Let a node serve other bytes than those it was given, and say that all is well."""
    get = store_of(node).get

    async def get_other_bytes(chunk_id: ChunkId, *, verify: bool = True) -> bytes:
        data = await get(chunk_id, verify=verify)
        return bytes([data[0] ^ 1]) + data[1:]

    store_of(node).get = get_other_bytes


def hold(node: Node, begun: asyncio.Event, until: asyncio.Event) -> None:
    """Let a node give nothing more from one event until another: who is quick would be done before."""
    get = store_of(node).get

    async def held_get(chunk_id: ChunkId, *, verify: bool = True) -> bytes:
        if begun.is_set():
            await until.wait()
        return await get(chunk_id, verify=verify)

    store_of(node).get = held_get


async def assert_works(writer: Node, reader: Node) -> None:
    """Say that two nodes are alive: they can still store, read and talk."""
    file = await writer.put(b"alive" * 20_000, name="alive.bin")
    assert await reader.get(file.link) == b"alive" * 20_000


async def test_holders_that_die_in_the_middle_of_a_download_are_replaced():
    content, other = os.urandom(48 * MIB), os.urandom(200_000)
    async with Swarm(6, replicas=3) as swarm:
        file = await swarm[0].put(content, name="large.bin")
        small = await swarm[0].put(other, name="small.bin")
        begun, buried = asyncio.Event(), asyncio.Event()
        reader = swarm[0]
        for node in swarm.nodes:
            hold(node, begun, buried)
        holders = {row.holder for row in reader.snapshot().chunks if row.file == "large.bin"} - {"n0"}
        victims = [index for index, node in enumerate(swarm.nodes) if node.name in sorted(holders)[:2]]
        got = asyncio.create_task(swarm[0].get(file.link, progress=lambda _transfer: begun.set()))
        await begun.wait()
        for index in victims:
            await swarm.kill(index)
        assert not got.done(), "they died too late to matter"
        buried.set()
        assert await got == content
        left = [node for index, node in enumerate(swarm.nodes) if index not in victims]
        assert await left[-1].get(small.link) == other
        await assert_works(left[0], left[1])


async def test_a_holder_that_lies_changes_nothing_and_loses_its_good_name():
    content = os.urandom(6 * MIB)
    async with Swarm(5, replicas=3) as swarm:
        file = await swarm[0].put(content, name="a.bin", chunk_size=256 * 1024)
        chunks = {row.holder for row in swarm[0].snapshot().chunks}
        liar = next(node for node in swarm.nodes[1:] if node.name in chunks)
        lie(liar)
        reader = next(node for node in reversed(swarm.nodes) if node is not liar)
        faults = 0
        async with asyncio.timeout(60):
            while not faults:  # whom it asks of several holders is left to chance
                for info in list(store_of(reader).chunks()):
                    await store_of(reader).delete([info.chunk_id])
                assert await reader.get(file.link) == content
                faults = reader._running.exchange.load(liar.node_id).faults
        await assert_works(reader, swarm[0])


async def test_when_every_holder_lies_the_error_says_so_and_other_files_are_whole():
    async with Swarm(4, replicas=2) as swarm:
        file = await swarm[0].put(os.urandom(500_000), name="a.bin")
        held = {info.chunk_id for node in swarm.nodes for info in store_of(node).chunks()}
        small = await swarm[0].put(b"inline", name="b.txt")
        chunk_ids = held - {file.link.manifest_id}
        for node in swarm.nodes:
            get = store_of(node).get

            async def get_other_bytes(chunk_id: ChunkId, get=get, *, verify: bool = True) -> bytes:
                data = await get(chunk_id, verify=verify)
                return bytes([data[0] ^ 1]) + data[1:] if chunk_id in chunk_ids else data

            store_of(node).get = get_other_bytes
        reader = swarm[3]
        await store_of(reader).delete(list(held))
        with pytest.raises((CorruptContentError, ContentUnavailableError)):
            await reader.get(file.link)
        assert await reader.get(small.link) == b"inline"
        await assert_works(reader, swarm[0])


async def test_a_download_to_a_disk_that_fills_up_says_so_and_goes_on_when_there_is_room(small_disk: Path):
    content = os.urandom(6 * MIB)
    async with Swarm(3, replicas=2) as swarm:
        file = await swarm[0].put(content, name="a.bin", chunk_size=256 * 1024)
        filler = small_disk / "filler"

        def fill(_transfer: object) -> None:
            if not filler.exists():
                with filler.open("wb", buffering=0) as out:
                    out.write(bytes(5 * MIB))

        with pytest.raises(StoreError, match="no room"):
            await swarm[2].get(file.link, small_disk / "copy.bin", progress=fill)
        assert not (small_disk / "copy.bin").exists()
        filler.unlink()
        assert (await swarm[2].get(file.link, small_disk / "copy.bin")).read_bytes() == content
        assert os.listdir(small_disk) == ["copy.bin"]
        await assert_works(swarm[2], swarm[0])


async def test_a_node_whose_disk_is_full_refuses_and_keeps_what_it_promised(small_disk: Path):
    kept, other = os.urandom(2 * MIB), os.urandom(200_000)
    folder = small_disk / "store"
    settings = hurried()
    settings = replace(settings, store=replace(settings.store, free_bytes_min=0, reserve_bytes=256 * 1024))
    async with make("ada", store=folder, config=settings) as ada:
        file = await ada.put(kept, name="kept.bin", quorum=0)
        with pytest.raises(QuotaExceededError, match="full"):
            await ada.put(os.urandom(20 * MIB), name="huge.bin", quorum=0)
        assert ada.running
        assert await ada.get(file.link) == kept
        async with make("bob") as bob:
            await bob.join(str(ada.address))
            theirs = await bob.put(other, name="small.bin", quorum=0)
            assert await ada.get(theirs.link) == other
            await bob.abort()
    async with make("ada", store=folder, config=settings) as again:
        assert await again.get(file.link) == kept


async def test_a_crashed_member_that_comes_back_with_its_store_is_used_again_within_seconds(tmp_path: Path):
    content = os.urandom(300_000)
    async with make("ada") as ada, make("bob") as bob:
        await bob.join(str(ada.address))
        cyd = await make("cyd", store=tmp_path / "cyd").start()
        await cyd.join(str(ada.address))
        file = await cyd.put(content, name="only-at-cyd.bin", quorum=0, replicas=1)
        await cyd.abort()
        async with make("cyd", store=tmp_path / "cyd") as again:
            async with asyncio.timeout(15):
                while True:
                    try:
                        assert await ada.get(file.link) == content
                        break
                    except (ContentUnavailableError, ContentNotFoundError):
                        await asyncio.sleep(0.1)
            assert again.running
        await bob.abort()


async def test_every_kind_of_bad_input_leaves_the_node_alive_and_its_data_whole():
    content = os.urandom(300_000)
    async with make("ada") as ada, make("bob") as bob, make("cyd", passphrase="right") as cyd:
        await bob.join(str(ada.address))
        file = await ada.put(content, name="kept.bin", quorum=1)
        flipped = type(file.link.manifest_id)(bytes(byte ^ 1 for byte in file.link.manifest_id))
        private = await cyd.put(b"z" * 100_000, name="z.bin", quorum=0)
        for wanted, attempt in (
            (JoinTimeoutError, lambda: make_join(cyd)),
            (LinkError, lambda: ada.get("dfs:nonsense")),
            (LinkError, lambda: ada.get(private.link)),
            ((ContentNotFoundError, ContentUnavailableError), lambda: ada.get(replace(file.link, manifest_id=flipped))),
            (FileNotFoundError, lambda: ada.put("/no/such/file")),
            (TooFewReplicasError, lambda: ada.put(b"x" * 100_000, name="many.bin", quorum=3)),
            (MessageTooLargeError, lambda: ada.chat.send("x" * (10 * MIB))),
        ):
            with pytest.raises(wanted):
                await attempt()
            assert ada.running
            assert bob.running
        assert await bob.get(file.link) == content
        assert [row.name for row in ada.snapshot().files] == ["kept.bin"]
        await bob.abort()


async def make_join(private: Node) -> None:
    """Try to enter a private network with a wrong passphrase."""
    async with make("eve") as eve:
        await eve.join(str(private.address), passphrase="wrong", timeout=1)
