"""The life of a whole node on real sockets: scripts, loops, restarts, forks, cancelled calls, its end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dfs_sdk import Node
from dfs_sdk.errors import (
    ForkedNodeError,
    NodeClosedError,
    RemoteError,
)
from dfs_sdk.ids import ChunkId
from dfs_sdk.runtime.system import ThreadOffload
from dfs_sdk.transport.outbox import OutgoingMessage
from dfs_sdk.transport.priority import Priority
from tests.fakes.forks import can_fork, exit_code_of_child
from tests.fakes.members import LOCAL, make, network, until

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("nothing_left")]

MIB = 1024 * 1024


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


@can_fork
async def test_a_forked_child_has_neither_the_keys_nor_the_network_of_a_node():
    async with network("ada", "bob") as (ada, bob):
        transport = ada._running.transport
        (connection,) = transport.connections

        def speak() -> int:
            word = OutgoingMessage(memoryview(b"from the child"), Priority.INTERACTIVE)
            with pytest.raises(ForkedNodeError):
                transport.endpoint.send(connection._session, word)
            return 0 if ada._state == "closed" else 2

        assert await exit_code_of_child(speak) == 0
        await ada.chat.send("the parent goes on")
        await until(lambda: "the parent goes on" in bob.messages()["text"].tolist())


@can_fork
async def test_a_forked_child_does_nothing_to_the_disk_of_a_node(tmp_path):
    offload, left = ThreadOffload(), tmp_path / "left by the child"
    assert await offload.run(left.exists) is False

    def touch() -> int:
        with pytest.raises(ForkedNodeError):
            offload.run(left.touch).send(None)
        return 0

    assert await exit_code_of_child(touch) == 0
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
