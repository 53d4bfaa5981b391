import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from dfs_sdk.node.snapshot import NodeSnapshot
from dfs_sdk.ui.pump import BYTES_PER_SECOND_MAX, HEARTBEAT_INTERVAL, INTERVAL_MIN, LIVELY_INTERVAL, Pump
from tests.fakes.node import Changed, FakeNode
from tests.fakes.rows import NOW
from tests.fakes.virtual import run_virtual


class Listener:
    def __init__(self, sent: int = 0) -> None:
        self.seen: list[tuple[float, NodeSnapshot]] = []
        self.lively = False
        self.sent = sent

    def refresh(self, snapshot: NodeSnapshot) -> int:
        self.seen.append((asyncio.get_running_loop().time(), snapshot))
        return self.sent


@asynccontextmanager
async def shown_to(*listeners: Listener) -> AsyncIterator[FakeNode]:
    """A node, and a pump that shows it to listeners."""
    async with FakeNode() as node:
        pump = Pump(node)
        for listener in listeners:
            pump.attach(listener)
        yield node
        for listener in listeners:
            pump.detach(listener)


def test_storm_of_news_is_shown_ten_times_a_second_at_most():
    async def scenario() -> Listener:
        listener = Listener()
        async with shown_to(listener) as node:
            for _ in range(1_000):
                node.events.publish(Changed(at_wall=NOW))
                await asyncio.sleep(0.001)
        return listener

    times = [at for at, _ in run_virtual(scenario()).seen]
    assert 9 <= len(times) <= 12
    assert all(later - sooner >= INTERVAL_MIN - 1e-9 for sooner, later in itertools.pairwise(times))


def test_quiet_node_is_looked_at_once_a_heartbeat():
    async def scenario() -> int:
        listener = Listener()
        async with shown_to(listener):
            await asyncio.sleep(100)
        return len(listener.seen)

    assert run_virtual(scenario()) <= 100 / HEARTBEAT_INTERVAL + 2


def test_lively_panel_is_filled_more_often():
    async def scenario() -> int:
        listener = Listener()
        listener.lively = True
        async with shown_to(listener):
            await asyncio.sleep(100)
        return len(listener.seen)

    assert 0.8 * 100 / (LIVELY_INTERVAL + INTERVAL_MIN) <= run_virtual(scenario()) <= 100 / LIVELY_INTERVAL


def test_news_is_shown_at_once_after_a_quiet_time():
    async def scenario() -> float:
        listener = Listener()
        async with shown_to(listener) as node:
            await asyncio.sleep(10.55)
            node.change(health="different")
            await asyncio.sleep(0.001)
        return next(at for at, snapshot in listener.seen if snapshot.health == "different")

    assert run_virtual(scenario()) < 10.56


def test_much_to_send_slows_it_down():
    async def scenario() -> int:
        listener = Listener(sent=5 * BYTES_PER_SECOND_MAX)
        async with shown_to(listener) as node:
            for _ in range(2_000):
                node.events.publish(Changed(at_wall=NOW))
                await asyncio.sleep(0.01)
        return len(listener.seen)

    assert run_virtual(scenario()) <= 20 / 5 + 2


def test_panels_of_one_pump_share_a_snapshot():
    async def scenario() -> None:
        one, two = Listener(), Listener()
        async with shown_to(one, two) as node:
            await asyncio.sleep(5)
            taken = node.snapshots_taken
            assert len(one.seen) == len(two.seen) == taken

    run_virtual(scenario())


def test_one_broken_panel_does_not_stop_the_others(caplog):
    class Broken(Listener):
        def refresh(self, snapshot: NodeSnapshot) -> int:
            raise RuntimeError("broken")

    async def scenario() -> int:
        listener = Listener()
        async with shown_to(Broken(), listener):
            await asyncio.sleep(5)
        return len(listener.seen)

    assert run_virtual(scenario()) >= 2
    assert "could not show the node" in caplog.text


def test_without_panels_no_task_and_no_subscription_remain():
    async def scenario() -> None:
        listener = Listener()
        async with FakeNode() as node:
            pump = Pump(node)
            pump.attach(listener)
            await asyncio.sleep(1)
            assert pump.running
            assert node.events._entries
            pump.detach(listener)
            await asyncio.sleep(1)
            assert not pump.running
            assert not node.events._entries
            assert len(asyncio.all_tasks()) == 1

    run_virtual(scenario())


def test_pump_starts_when_the_node_does():
    async def scenario() -> None:
        listener = Listener()
        node = FakeNode()
        pump = Pump(node)
        pump.attach(listener)
        assert not pump.running
        async with node:
            assert pump.start()
            node.rows = replace(node.rows, health="up")
            await asyncio.sleep(2)
            assert listener.seen[-1][1].health == "up"
            pump.detach(listener)

    run_virtual(scenario())
