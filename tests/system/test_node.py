"""The journeys of a user with whole nodes on real sockets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dfs_sdk import Swarm
from dfs_sdk.chat.news import ChatReceived
from dfs_sdk.dht.messages import RecordKind
from dfs_sdk.errors import (
    ContentNotFoundError,
    ContentUnavailableError,
)
from tests.fakes.members import make, network, until

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("nothing_left")]

MIB = 1024 * 1024


async def test_a_file_put_on_one_node_is_read_on_another():
    content = os.urandom(3 * MIB + 17)
    async with network("ada", "bob", "cyd", "dan") as (ada, bob, *_rest):
        file = await ada.put(content, name="data.bin")
        assert await bob.get(str(file.link)) == content
        assert {row.role for row in ada.snapshot().chunks} <= {"primary", "surplus"}
        await until(lambda: ada.snapshot().files[0].health == "healthy")  # the third copy follows in the background
        assert all(row.size > 0 for row in ada.snapshot().chunks)


async def test_newcomer_and_members_learn_each_other_from_one_address():
    async with network("ada", "bob", "cyd", "dan", "eve") as nodes:
        await until(lambda: all(len(node.snapshot().peers) == 5 for node in nodes))
        names = {row.name for row in nodes[-1].snapshot().peers}
        assert names == {"ada", "bob", "cyd", "dan", "eve"}


async def test_an_invite_opens_a_private_network_to_those_with_the_passphrase():
    ada, bob = make("ada", passphrase="open sesame"), make("bob")
    async with ada, bob:
        report = await bob.join(ada.invite(), passphrase="open sesame")
        assert report.peers == 1
        assert bob.snapshot().private


async def test_killing_all_holders_but_one_loses_nothing_and_the_copies_come_back():
    content = os.urandom(MIB)
    async with Swarm(6, replicas=3) as swarm:
        file = await swarm[0].put(content, name="precious.bin")
        holders = {row.holder for row in swarm[0].snapshot().chunks if row.chunk == 0} - {"n0"}
        for index, node in enumerate(swarm.nodes):
            if node.name in sorted(holders)[:2]:
                await swarm.kill(index)
        reader = next(node for node in swarm.nodes if node.running and node.name != "n0")
        assert await reader.get(file.link) == content
        await swarm.settled(timeout=60)
        assert swarm[0].snapshot().files[0].copies_min >= 3


async def test_a_leaving_node_hands_over_before_it_goes():
    content = os.urandom(MIB)
    async with Swarm(4, replicas=2) as swarm:
        file = await swarm[0].put(content, name="handed.bin")
        await swarm.leave(1)
        await swarm.leave(2)
        assert await swarm[3].get(file.link) == content


async def test_chat_reaches_the_room_and_a_direct_message_its_recipient_alone():
    async with network("ada", "bob", "cyd") as (ada, bob, cyd):
        await until(lambda: all(len(node.snapshot().peers) == 3 for node in (ada, bob, cyd)))
        heard: list[str] = []
        bob.subscribe(ChatReceived, lambda event: heard.append(event.message.text))
        await ada.chat.send("hello all")
        await ada.chat.send("hello bob", to="bob")
        await until(lambda: heard == ["hello all", "hello bob"] and len(cyd.chat.history()) == 1)
        await until(lambda: ada.chat.history()[-1].delivered == 2)
        assert cyd.chat.conversations() == [None]


async def test_a_shared_file_appears_at_the_peer_who_can_read_it():
    async with network("ada", "bob", "cyd") as (ada, bob, cyd):
        await until(lambda: len(ada.snapshot().peers) == 3)
        file = await ada.put(b"for your eyes", name="letter.txt")
        await ada.share(file, "bob")
        await until(lambda: any(row.name == "letter.txt" for row in bob.snapshot().files))
        assert await bob.get("letter.txt") == b"for your eyes"
        assert cyd.snapshot().files == ()


async def test_a_range_is_read_without_fetching_the_whole_file():
    content = os.urandom(4 * MIB)
    async with network("ada", "bob", "cyd", "dan") as (ada, bob, *_rest):
        # No more copies than are waited for: those that follow would come to bob as well.
        file = await ada.put(content, name="big.bin", chunk_size=64 * 1024, replicas=1, quorum=1)
        before = bob._running.transport.connections
        received = sum(item.statistics.received_bytes for item in before)
        async with await bob.open(file.link) as reader:
            await reader.seek(3 * MIB)
            assert await reader.read(1000) == content[3 * MIB : 3 * MIB + 1000]
        after = sum(item.statistics.received_bytes for item in bob._running.transport.connections)
        assert after - received < MIB


async def test_a_removed_file_is_gone_everywhere():
    async with network("ada", "bob", "cyd", "dan") as (ada, bob, *_rest):
        file = await ada.put(os.urandom(300_000), name="secret.bin")
        await ada.remove(file)
        assert ada.snapshot().files == ()
        with pytest.raises((ContentNotFoundError, ContentUnavailableError)):
            await bob.get(file.link)


async def test_a_pinned_file_is_whole_here():
    content = os.urandom(300_000)
    async with Swarm(5, replicas=2) as swarm:
        file = await swarm[0].put(content, name="pinned.bin")
        await swarm[4].pin(file.link)
        for index in (0, 1, 2, 3):
            await swarm.kill(index)
        assert await swarm[4].get(file.link) == content


@pytest.mark.parametrize("size", [0, 1, 64 * 1024, 64 * 1024 + 1])
async def test_sizes_at_the_edges_come_back_whole(size: int, tmp_path: Path):
    content = os.urandom(size)
    async with network("ada", "bob", "cyd") as (ada, bob, _cyd):
        file = await ada.put(content, name="edge.bin", chunk_size=64 * 1024)
        assert await bob.get(file.link) == content
        assert (await bob.get(file.link, tmp_path / "copy.bin")).read_bytes() == content


async def test_the_portable_backend_tells_the_same_story():
    from dfs_sdk.runtime.system import system_runtime

    content = os.urandom(2 * MIB)
    runtimes = [system_runtime(udp="portable") for _ in range(3)]
    nodes = [make(name, runtime=runtime) for name, runtime in zip(("ada", "bob", "cyd"), runtimes, strict=True)]
    try:
        for node in nodes:
            await node.start()
        for node in nodes[1:]:
            await node.join(str(nodes[0].address))
        file = await nodes[0].put(content, name="portable.bin")
        assert await nodes[1].get(file.link) == content
    finally:
        for node in nodes:
            await node.abort()
        for runtime in runtimes:
            await runtime.offload.close()


async def test_a_holder_whose_disk_rots_is_found_out_and_another_is_read():
    content = os.urandom(300_000)
    async with Swarm(4, replicas=3) as swarm:
        file = await swarm[0].put(content, name="rot.bin")
        for node in swarm.nodes[1:3]:
            data = node._engine.foundation.store._data
            for chunk_id in data:
                data[chunk_id] = bytes([data[chunk_id][0] ^ 1]) + data[chunk_id][1:]
        assert await swarm[3].get(file.link) == content


async def test_every_node_of_a_larger_swarm_finds_the_records_of_the_others():
    async with Swarm(24, seed=7) as swarm:
        kind, key = RecordKind.NAME, bytes(range(32))
        for node in (swarm[3], swarm[11], swarm[23]):
            await node._running.dht.publish(kind, key, node.name.encode())
        found = await swarm[17]._running.dht.find(key, kind=kind)
        assert {record.value for record in found} == {b"n3", b"n11", b"n23"}
