"""A whole node on real sockets: the journeys of a user, and what happens when one goes wrong."""

from __future__ import annotations

import asyncio
import os
import socket
import warnings
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from dfs_sdk import Node, Swarm
from dfs_sdk.chat.news import ChatReceived
from dfs_sdk.dht.messages import RecordKind
from dfs_sdk.errors import (
    ConfigError,
    ContentNotFoundError,
    ContentUnavailableError,
    ForkedNodeError,
    JoinError,
    JoinTimeoutError,
    LinkError,
    MessageTooLargeError,
    NetworkMismatchError,
    NodeClosedError,
    PeerUnreachableError,
    QuotaExceededError,
    RemoteError,
    StoreLockedError,
    TooFewReplicasError,
)
from dfs_sdk.ids import ChunkId
from dfs_sdk.node.news import JoinStep
from dfs_sdk.runtime.system import ThreadOffload
from dfs_sdk.transport.outbox import OutgoingMessage
from dfs_sdk.transport.priority import Priority
from tests.fakes.members import LOCAL, make, network

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("nothing_left")]

MIB = 1024 * 1024


async def until(condition, timeout: float = 20.0) -> None:
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.02)


# Journeys


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


async def test_a_restart_finds_network_files_and_chat_again(tmp_path: Path):
    content = os.urandom(200_000)
    async with network("ada", "bob", "cyd") as (ada, *_rest):
        first = make("dan", store=tmp_path / "dan")
        async with first:
            await first.join(str(ada.address))
            file = await first.put(content, name="kept.bin")
            await first.chat.send("I will be back")
            identity = first.node_id
        second = make("dan", store=tmp_path / "dan")
        async with second:
            assert second.node_id == identity
            assert await second.rejoined() >= 1
            assert [row.name for row in second.snapshot().files] == ["kept.bin"]
            assert await second.get(file.link) == content
            assert second.chat.history()[-1].text == "I will be back"


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


# Bad input


async def test_an_address_where_nobody_listens_times_out_in_words():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        steps: list[str] = []
        async with make("ada") as ada:
            ada.subscribe(JoinStep, lambda event: steps.append(event.text))
            with pytest.raises(JoinTimeoutError, match=r"Tried: asked 127.0.0.1.*UDP passes the firewalls"):
                await ada.join(f"127.0.0.1:{silent.getsockname()[1]}", timeout=0.5)
            assert steps
            assert ada.running


async def test_an_unknown_host_name_is_said_at_once():
    async with make("ada") as ada:
        with pytest.raises(JoinError, match="spelling"):
            await ada.join("no-such-host.invalid:4000", timeout=15)


@pytest.mark.parametrize("target", ["", "nonsense", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:70000", "dfs-join:AAAA"])
async def test_a_malformed_target_is_refused(target: str):
    async with make("ada") as ada:
        with pytest.raises((ConfigError, LinkError)):
            await ada.join(target)


async def test_joining_oneself_is_refused():
    async with make("ada") as ada:
        with pytest.raises(ConfigError, match="this node itself"):
            await ada.join(str(ada.address))


async def test_a_wrong_passphrase_is_named_as_the_likely_cause():
    ada, bob = make("ada", passphrase="right"), make("bob")
    async with ada, bob:
        with pytest.raises(JoinTimeoutError, match="passphrase"):
            await bob.join(str(ada.address), passphrase="wrong", timeout=2)
        assert bob.running
        assert len(ada.snapshot().peers) == 1


async def test_a_missing_passphrase_is_asked_for_at_once():
    ada, bob = make("ada", passphrase="right"), make("bob")
    async with ada, bob:
        with pytest.raises(JoinError, match="passphrase="):
            await bob.join(ada.invite())


async def test_a_node_with_peers_does_not_change_networks():
    async with network("ada", "bob") as (ada, _bob), network("eve") as (eve,):
        with pytest.raises(NetworkMismatchError, match="fresh `store`"):
            await ada.join(str(eve.address))


async def test_a_link_of_another_network_is_refused():
    async with network("ada", "bob", "cyd") as (ada, *_rest), network("eve") as (eve,):
        file = await ada.put(b"x" * 100_000, name="a.bin")
        with pytest.raises(LinkError, match="network"):
            await eve.get(file.link)


async def test_a_mistyped_link_is_refused_and_an_unknown_one_not_found():
    async with network("ada", "bob", "cyd") as (ada, bob, _cyd):
        file = await ada.put(b"x" * 100_000, name="a.bin")
        text = str(file.link)
        with pytest.raises(LinkError):
            await bob.get(text[:-3])
        flipped = bytes(byte ^ 1 for byte in file.link.manifest_id)
        with pytest.raises((ContentNotFoundError, ContentUnavailableError)):
            await bob.get(replace(file.link, manifest_id=type(file.link.manifest_id)(flipped)))
        with pytest.raises(ContentNotFoundError, match="see `ls`"):
            await bob.get("no such name")


async def test_a_missing_file_is_a_file_not_found_error():
    async with make("ada") as ada:
        with pytest.raises(FileNotFoundError):
            await ada.put("/no/such/file")


async def test_too_few_peers_for_the_quorum_is_said_with_the_way_out():
    async with make("ada") as ada:
        with pytest.raises(TooFewReplicasError, match="quorum=0"):
            await ada.put(b"x" * 100_000, name="lonely.bin")
        file = await ada.put(b"x" * 100_000, name="lonely.bin", quorum=0)
        assert ada.snapshot().files[0].health == "only here"
        assert await ada.get(file.link) == b"x" * 100_000


async def test_what_was_kept_here_spreads_as_peers_join():
    async with make("ada") as ada:
        await ada.put(b"x" * 300_000, name="lonely.bin", quorum=0)
        async with make("bob") as bob, make("cyd") as cyd:
            await bob.join(str(ada.address))
            await cyd.join(str(ada.address))

            async def spread() -> bool:
                await ada.audit()
                return ada.snapshot().files[0].copies_min >= 3

            async with asyncio.timeout(60):
                while not await spread():
                    await asyncio.sleep(0.1)
            await bob.abort()
            await cyd.abort()


async def test_a_full_store_refuses_in_words_and_keeps_what_it_has():
    async with make("ada", quota="1 MiB") as ada:
        kept = await ada.put(b"k" * 500_000, name="kept.bin", quorum=0)
        with pytest.raises((QuotaExceededError, TooFewReplicasError)):
            await ada.put(os.urandom(3 * MIB), name="huge.bin", quorum=0)
        assert await ada.get(kept.link) == b"k" * 500_000


async def test_a_second_node_on_one_store_is_refused_in_words(tmp_path: Path):
    async with make("ada", store=tmp_path / "store"):
        with pytest.raises(StoreLockedError, match="store"):
            await make("bob", store=tmp_path / "store").start()


async def test_a_chat_message_of_ten_megabytes_is_refused():
    async with make("ada") as ada:
        with pytest.raises(MessageTooLargeError, match="file"):
            await ada.chat.send("x" * (10 * MIB))
        with pytest.raises(PeerUnreachableError, match="nobody"):
            await ada.chat.send("hello", to="nobody")


async def test_a_hostile_file_name_stays_in_the_download_folder(tmp_path: Path):
    async with network("ada", "bob", "cyd") as (ada, bob, _cyd):
        for name in ("../../escape.txt", "/etc/passwd", "C:\\x", "a\u202etxt.exe", "CON", "-rf"):
            file = await ada.put(b"harmless", name=name)
            folder = tmp_path / "downloads"
            folder.mkdir(exist_ok=True)
            path = await bob.get(file.link, folder, overwrite=True)
            assert path.resolve().parent == folder.resolve()


async def test_an_existing_file_is_not_overwritten_unless_asked(tmp_path: Path):
    async with network("ada", "bob", "cyd") as (ada, bob, _cyd):
        file = await ada.put(b"new", name="a.txt")
        target = tmp_path / "a.txt"
        target.write_bytes(b"old")
        with pytest.raises(FileExistsError):
            await bob.get(file.link, target)
        assert target.read_bytes() == b"old"
        await bob.get(file.link, target, overwrite=True)
        assert target.read_bytes() == b"new"


async def test_a_holder_whose_disk_rots_is_found_out_and_another_is_read():
    content = os.urandom(300_000)
    async with Swarm(4, replicas=3) as swarm:
        file = await swarm[0].put(content, name="rot.bin")
        for node in swarm.nodes[1:3]:
            data = node._engine.foundation.store._data
            for chunk_id in data:
                data[chunk_id] = bytes([data[chunk_id][0] ^ 1]) + data[chunk_id][1:]
        assert await swarm[3].get(file.link) == content


async def test_an_address_in_use_is_said_in_words():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(ConfigError, match="cannot listen"):
            await make("ada", listen=f"127.0.0.1:{taken.getsockname()[1]}").start()


# Life


async def test_a_closed_node_says_so_and_shows_what_it_last_knew():
    ada = make("ada")
    with pytest.raises(NodeClosedError, match="not started"):
        await ada.put(b"x")
    await ada.start()
    await ada.put(b"x" * 100_000, name="a.bin", quorum=0)
    await ada.close()
    await ada.close()
    with pytest.raises(NodeClosedError, match="closed"):
        await ada.put(b"x")
    assert ada.snapshot().state == "closed"
    assert [row.name for row in ada.snapshot().files] == ["a.bin"]


async def test_a_node_that_has_handed_over_takes_no_more_calls():
    async with network("ada", "ben") as (ada, ben):
        peers, codes = ada._running.peers, []
        goodbye = peers.leave

        async def leave() -> None:
            with pytest.raises(RemoteError) as caught:
                await ben._running.exchange.have(ada.node_id, [ChunkId(bytes(32))])
            codes.append(caught.value.code)
            await goodbye()

        peers.leave = leave
        await ada.leave()
        assert set(codes) == {"LEAVING"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")
async def test_a_forked_child_has_neither_the_keys_nor_the_network_of_a_node():
    async with network("ada", "bob") as (ada, bob):
        transport = ada._running.transport
        (connection,) = transport.connections
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of fork() with threads: it is the point
            child = os.fork()
        if child == 0:
            code = 1
            try:
                word = OutgoingMessage(memoryview(b"from the child"), Priority.INTERACTIVE)
                transport.endpoint.send(connection._session, word)
            except ForkedNodeError:
                code = 0 if ada._state == "closed" else 2
            finally:
                os._exit(code)
        status = await asyncio.to_thread(os.waitpid, child, 0)
        assert os.waitstatus_to_exitcode(status[1]) == 0
        await ada.chat.send("the parent goes on")
        await until(lambda: "the parent goes on" in bob.messages()["text"].tolist())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")
async def test_a_forked_child_does_nothing_to_the_disk_of_a_node(tmp_path):
    offload, left = ThreadOffload(), tmp_path / "left by the child"
    assert await offload.run(left.exists) is False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # as above
        child = os.fork()
    if child == 0:
        code = 1
        try:
            offload.run(left.touch).send(None)
        except ForkedNodeError:
            code = 0
        finally:
            os._exit(code)
    status = await asyncio.to_thread(os.waitpid, child, 0)
    assert os.waitstatus_to_exitcode(status[1]) == 0
    assert await offload.run(left.exists) is False
    await offload.close()


async def test_cancelling_a_put_leaves_a_node_that_works():
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield os.urandom(4 * MIB)

    async with network("ada", "bob", "cyd") as (ada, bob, _cyd):
        task = asyncio.get_running_loop().create_task(ada.put(endless(), name="cancelled.bin"))
        await until(lambda: any(row.bytes_done > 0 for row in ada.snapshot().transfers))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ada.snapshot().transfers[-1].state == "cancelled"
        file = await ada.put(b"still fine" * 10_000, name="after.bin")
        assert await bob.get(file.link) == b"still fine" * 10_000


def test_a_script_needs_no_await(tmp_path: Path):
    with Node("ada", store=tmp_path / "ada", listen=LOCAL) as ada, Node("bob", store="memory", listen=LOCAL) as bob:
        bob.sync.join(ada.invite())
        file = ada.sync.put(b"from a script" * 1000, name="s.txt", quorum=1)
        assert bob.sync.get(file.link) == b"from a script" * 1000
        ada.sync.chat.send("hi")
        assert ada.snapshot().files[0].name == "s.txt"


def test_every_public_coroutine_may_be_awaited_from_a_foreign_loop(tmp_path: Path):
    with Node("ada", store=tmp_path / "ada", listen=LOCAL, home="thread") as ada:

        async def elsewhere() -> bytes | Path:
            file = await ada.put(b"y" * 100_000, name="far.bin", quorum=0)
            async with await ada.open(file.link) as reader:
                assert await reader.read(10) == b"y" * 10
            return await ada.get(file.link)

        assert asyncio.run(elsewhere()) == b"y" * 100_000


async def test_every_node_of_a_larger_swarm_finds_the_records_of_the_others():
    async with Swarm(24, seed=7) as swarm:
        kind, key = RecordKind.NAME, bytes(range(32))
        for node in (swarm[3], swarm[11], swarm[23]):
            await node._running.dht.publish(kind, key, node.name.encode())
        found = await swarm[17]._running.dht.find(key, kind=kind)
        assert {record.value for record in found} == {b"n3", b"n11", b"n23"}


async def test_the_link_of_a_file_is_masked_wherever_it_is_shown():
    async with make("ada") as ada:
        file = await ada.put(b"x" * 100_000, name="a.bin", quorum=0)
        secret = str(file.link).removeprefix("dfs:")[-30:]
        shown = [repr(file), str(file), repr(file.link), repr(ada), repr(ada.snapshot()), repr(ada.events())]
        shown += list(ada._repr_mimebundle_().values())
        assert not any(secret in text for text in shown)
