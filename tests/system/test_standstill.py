"""A loop that stands still, for real: the thread that notices, and peers that hear of it from a busy kernel."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from dfs_sdk import Node
from dfs_sdk.peers.events import PeerStateChanged
from dfs_sdk.replication.events import RepairStarted
from dfs_sdk.runtime.standstill import ThreadStandstills
from tests.fakes.kernels import Kernel, running_kernel

pytestmark = pytest.mark.system

SECONDS_BLOCKED = 4  # a probe that is not answered within 2 s makes a member lagging
START = """
import asyncio, time
from dfs_sdk import Node
node = await Node("ada", store="memory", listen="127.0.0.1:0").start()
await node.join({address!r})
await asyncio.sleep(1.5)
"""
BLOCK = f"import time; time.sleep({SECONDS_BLOCKED})"


def stand_still(seconds: float) -> None:
    """Hold the loop, which is what this is about."""
    time.sleep(seconds)


async def longest_turn(seconds: float) -> float:
    """Let that many seconds pass; says how long the loop was away at most, which on a busy machine it may be."""
    longest, before = 0.0, time.monotonic()
    end = before + seconds
    while before < end:
        await asyncio.sleep(0.02)
        now = time.monotonic()
        longest, before = max(longest, now - before), now
    return longest


async def test_the_thread_tells_once_an_interval_while_the_loop_stands_still_and_not_before():
    told: list[tuple[float, str]] = []
    end = ThreadStandstills().watch(
        lambda: told.append((time.monotonic(), threading.current_thread().name)), after=0.5, every=0.5
    )
    try:
        longest = await longest_turn(0.8)
        assert told == [] or longest > 0.2
        told.clear()
        begun = time.monotonic()
        stand_still(2.0)
        lasted = time.monotonic() - begun
        assert {name for _, name in told} == {"dfs-standstill"}
        assert 2 <= len(told) <= (lasted - 0.2) / 0.5 + 1
        assert told[0][0] - begun >= 0.2
        await longest_turn(0.6)
        counted = len(told)
        longest = await longest_turn(0.6)
        assert len(told) == counted or longest > 0.2
    finally:
        end()
    assert not any(thread.name == "dfs-standstill" for thread in threading.enumerate())


async def test_a_watch_whose_teller_fails_goes_on(caplog: pytest.LogCaptureFixture):
    calls: list[int] = []

    def fail() -> None:
        calls.append(1)
        raise OSError("no")

    end = ThreadStandstills().watch(fail, after=0.3, every=0.3)
    stand_still(1.2)
    end()
    assert len(calls) >= 2
    assert "could not say that the loop stands still" in caplog.text


def test_a_loop_on_a_thread_of_its_own_is_not_watched():
    ends: list[Callable[[], None]] = []

    async def watch() -> None:
        ends.append(ThreadStandstills().watch(lambda: None, after=0.1, every=0.1))
        assert not any(thread.name == "dfs-standstill" for thread in threading.enumerate())

    thread = threading.Thread(target=lambda: asyncio.run(watch()))
    thread.start()
    thread.join()
    ends[0]()


def note_into(seen: list[tuple[float, str]]) -> Callable[[PeerStateChanged], None]:
    """Keep when the kernel's node came to which state."""

    def note(event: PeerStateChanged) -> None:
        if event.name == "ada":
            seen.append((time.monotonic(), event.after.label))

    return note


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    with running_kernel("7.4.0") as running:
        yield running


async def test_peers_hear_that_a_kernel_is_busy_without_its_user_saying_so_and_repair_nothing(
    kernel: Kernel,
):
    ben = Node("ben", store="memory", listen="127.0.0.1:0")
    cyd = Node("cyd", store="memory", listen="127.0.0.1:0")
    async with ben, cyd:
        await cyd.join(str(ben.address))
        await asyncio.to_thread(kernel.run, START.format(address=str(ben.address)))
        await ben.put(b"held by all three" * 1000, name="held.txt", replicas=3, quorum=2)
        heard: dict[str, list[tuple[float, str]]] = {"ben": [], "cyd": []}
        repairs: list[object] = []
        for node in (ben, cyd):
            node.subscribe(PeerStateChanged, note_into(heard[node.name]))
            node.subscribe(RepairStarted, repairs.append)
        begun = time.monotonic()
        await asyncio.to_thread(kernel.run, BLOCK)
        ended = time.monotonic()
        async with asyncio.timeout(5):
            while not all(seen and seen[-1][1] == "alive" for seen in heard.values()):
                await asyncio.sleep(0.02)
        for seen in heard.values():
            assert [state for _, state in seen] == ["busy", "alive"]
            assert seen[0][0] - begun < 3.0
            assert seen[1][0] - ended < 3.0
        assert repairs == []
