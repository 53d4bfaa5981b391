"""Every table of a node is held against its bound, and one that overflows is told."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from dfs_sdk.ids import NodeId
from dfs_sdk.node.engine import Engine
from dfs_sdk.rpc.session import EARLY_CANCELS_MAX
from dfs_sdk.sim.caps import CONTENT_MAX, UNNAMED_MAX, bound, overfull, tables
from dfs_sdk.sim.fidelity import CHEAP, Fidelity
from dfs_sdk.sim.world import World
from tests.fakes.simnodes import start_network

SEALED = {
    "transport.outbox.Outbox._open", "transport.timers.TimerQueue._heap", "transport.acceptor.Acceptor._half_open",
    "transport.registry.Registry._graves", "transport.inbox.Inbox._incomplete", "transport.sent.SentLog._runs",
}  # fmt: skip
ALWAYS = {
    "rpc.session.Session._pending", "rpc.session.Session._early_cancels", "rpc.addressbook.AddressBook._met",
    "peers.liveness.Liveness._tracks", "dht.records.Shelf._held", "store.files.ChunkFiles._leftovers",
    "store.commit.GroupCommit._waiting", "chat.service.Chat._outbox", "files.catalog.Catalog._entries",
    "exchange.budget.ByteBudget._waiting", "replication.keeper.Keeper._promised", "runtime.tasks.TaskScope._tasks",
    "events.EventBus._log", "node.observing.EventRows._rows",
}  # fmt: skip


def names(engine: Engine) -> set[str]:
    return {
        f"{type(owner).__module__.removeprefix('dfs_sdk.')}.{type(owner).__qualname__}.{name}"
        for owner, name, _ in tables(engine)
    }


def with_engines(look: Any, fidelity: Fidelity = CHEAP) -> None:
    async def story(world: World) -> None:
        nodes = await start_network(world, 3)
        await nodes[0].put(b"x" * 200_000, name="x", chunk_size=65_536)
        look([node._running_engine for node in nodes])

    with World(1, fidelity=fidelity) as world:
        world.run(story(world))
        assert world.failures == []


def test_every_table_of_every_floor_is_found_and_within_its_bound():
    def look(engines: list[Engine], expected: set[str]) -> None:
        for engine in engines:
            assert names(engine) >= expected
            assert overfull(engine) == []
            assert not [owner for owner, _, _ in tables(engine) if "sim.host" in type(owner).__module__]

    with_engines(lambda engines: look(engines, ALWAYS))
    with_engines(lambda engines: look(engines, ALWAYS | SEALED), Fidelity())


def test_nothing_gathers_in_a_network_that_lives_for_a_while():
    async def story(world: World) -> None:
        nodes = await start_network(world, 3)
        for _ in range(4):
            await nodes[0].chat.send("word")
            await asyncio.sleep(30)
        assert [overfull(node._running_engine) for node in nodes] == [[], [], []]

    with World(2, fidelity=CHEAP) as world:
        world.run(story(world))


def test_a_table_over_the_bound_it_states_is_told():
    def fill(engines: list[Engine]) -> None:
        session: Any = next(owner for owner, name, _ in tables(engines[1]) if name == "_early_cancels")
        session._early_cancels.update(dict.fromkeys(range(EARLY_CANCELS_MAX)))
        assert overfull(engines[1]) == []
        session._early_cancels[-1] = None
        (said,) = overfull(engines[1])
        assert said == "rpc.session.Session._early_cancels holds 257 entries of at most 256"
        assert overfull(engines[0]) == []
        session._early_cancels.clear()

    with_engines(fill)


def test_a_table_without_a_name_has_a_small_bound_and_one_of_chunks_a_larger_one():
    def fill(engines: list[Engine]) -> None:
        stack: Any = engines[0].stack
        stack.rpc._new_table = [None] * UNNAMED_MAX
        stack.exchange._more = {"inner": deque(range(UNNAMED_MAX), maxlen=UNNAMED_MAX)}
        assert overfull(engines[0]) == []
        stack.rpc._new_table.append(None)
        assert overfull(engines[0]) == ["rpc.service.Rpc._new_table holds 65 entries of at most 64"]
        for grows in (engines[0].foundation.store, stack.files, stack.replication._claims):
            assert bound(grows, "_new_table", []) == CONTENT_MAX

    with_engines(fill)


def test_a_queue_that_says_how_long_it_may_get_is_believed():
    assert bound(NodeId(bytes(32)), "queue", deque(maxlen=5)) == 5
    assert bound(object(), "queue", deque()) == bound(object(), "queue", deque(), members=8) == UNNAMED_MAX
    assert bound(object(), "queue", deque(), members=30) > UNNAMED_MAX
