"""Files over the real placement and repair, on virtual time: nodes fail, files stay; removed files stay removed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from dfs_sdk.events import EventBus
from dfs_sdk.files.config import FilesConfig
from dfs_sdk.files.health import Health
from dfs_sdk.files.service import Files
from dfs_sdk.ids import ChunkId
from tests.fakes.filenodes import CHUNK, some
from tests.fakes.network import FakeNetwork
from tests.fakes.runtime import LoopClock, run_virtual
from tests.fakes.swarm import FakeSwarm, SwarmNode, make_swarm

Scenario = Callable[[FakeSwarm, list[Files]], Coroutine[Any, Any, None]]


async def files_on(swarm: FakeSwarm, node: SwarmNode) -> Files:
    network = swarm.network
    files = Files(
        rpc=node.rpc,
        store=node.store,
        exchange=node.exchange,
        replication=node.replication,
        dht=None,
        peers=node.peers,
        events=EventBus(),
        scope=network.scopes[node.node_id],
        runtime=network.runtimes[node.node_id],
        identity=node.rpc.identity,
        network_id=network.network_id,
        config=FilesConfig(),
    )
    await files.start()
    return files


def play(scenario: Scenario, *, count: int = 6) -> None:
    async def main(clock: LoopClock) -> None:
        async with FakeNetwork(clock=clock, latency=0.005) as network:
            swarm = await make_swarm(network, count)
            await scenario(swarm, [await files_on(swarm, node) for node in swarm.nodes])

    run_virtual(main)


async def ids_of(files: Files) -> list[ChunkId]:
    return [chunk.chunk_id for places in files.places() for chunk in places.chunks]


def test_a_file_is_read_by_anybody_and_its_places_are_known():
    async def scenario(swarm: FakeSwarm, files: list[Files]) -> None:
        file = await files[0].put(some(20 * CHUNK), name="x", chunk_bytes=CHUNK)
        assert [await other.get(file.link) for other in files] == [some(20 * CHUNK)] * 6
        await asyncio.sleep(10)
        stat = await files[0].stat(file)
        assert (stat.copies_min >= 3, stat.health) == (True, Health.HEALTHY)
        for chunk in files[0].places()[0].chunks:
            assert {copy.holder for copy in chunk.copies} == {node.node_id for node in swarm.holders(chunk.chunk_id)}
            assert {node.store.info(chunk.chunk_id).cell for node in swarm.holders(chunk.chunk_id)} == {chunk.cell}

    play(scenario)


def test_an_upload_names_the_peers_it_went_to_and_not_itself():
    async def scenario(swarm: FakeSwarm, files: list[Files]) -> None:
        await files[0].put(some(40 * CHUNK), name="x", chunk_bytes=CHUNK)
        await asyncio.sleep(10)
        assert any(copy.holder == swarm.nodes[0].node_id for copy in files[0].places()[0].chunks[1].copies)
        assert files[0].transfers[0].sources == {node.node_id for node in swarm.nodes[1:]}

    play(scenario, count=3)


def test_all_but_one_holder_may_vanish():
    async def scenario(swarm: FakeSwarm, files: list[Files]) -> None:
        file = await files[0].put(some(20 * CHUNK), name="x", chunk_bytes=CHUNK)
        await asyncio.sleep(5)
        for node in swarm.nodes[1:3]:
            await swarm.kill(node)
        begun = swarm.network.clock.monotonic()
        assert await files[5].get(file.link) == some(20 * CHUNK)
        assert swarm.network.clock.monotonic() - begun < 10
        ids = await ids_of(files[0])
        await swarm.until(lambda: all(swarm.copies(chunk_id) >= 3 for chunk_id in ids), timeout=300)
        await asyncio.sleep(70)
        assert files[0].stats()[0].health is Health.HEALTHY

    play(scenario)


def test_a_file_removed_while_a_holder_is_away_does_not_come_back():
    async def scenario(swarm: FakeSwarm, files: list[Files]) -> None:
        file = await files[0].put(some(10 * CHUNK), name="x", chunk_bytes=CHUNK)
        await asyncio.sleep(5)
        ids = await ids_of(files[0])
        away = next(node for node in swarm.holders(ids[0]) if node is not swarm.nodes[0])
        swarm.network.kill(away.node_id, silent=True)
        await asyncio.sleep(0.5)
        await files[0].remove(file)
        assert all(swarm.copies(chunk_id) == 0 for chunk_id in ids)
        swarm.network.revive(away.node_id)
        assert any(chunk_id in away.store for chunk_id in ids)
        await swarm.until(lambda: not any(chunk_id in away.store for chunk_id in ids), timeout=300)
        await asyncio.sleep(60)
        assert all(swarm.copies(chunk_id) == 0 for chunk_id in ids)

    play(scenario)


def test_quorum_zero_spreads_when_peers_join():
    async def scenario(swarm: FakeSwarm, files: list[Files]) -> None:
        from dfs_sdk.replication.policy import Policy

        file = await files[0].put(some(5 * CHUNK), name="x", chunk_bytes=CHUNK, policy=Policy(replicas=2, quorum=0))
        assert (await files[0].stat(file)).health is Health.ONLY_HERE
        newcomer = await swarm.add()
        ids = await ids_of(files[0])
        await swarm.until(lambda: all(swarm.copies(chunk_id) == 2 for chunk_id in ids), timeout=300)
        assert await (await files_on(swarm, newcomer)).get(file.link) == some(5 * CHUNK)

    play(scenario, count=1)
