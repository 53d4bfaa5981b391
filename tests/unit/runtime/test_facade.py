"""Methods that hop home, and their blocking twins."""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from dfs_sdk.runtime.facade import SyncFacade, hops
from dfs_sdk.runtime.home import Home
from dfs_sdk.runtime.homes import LoopHome, ThreadHome


class Chat:
    def __init__(self, home: Home) -> None:
        self._home = home

    @hops
    async def send(self, text: str) -> str:
        """Send a text."""
        return f"{threading.current_thread().name}: {text}"


class Thing:
    def __init__(self, home: Home) -> None:
        self._home = home
        self.chat = Chat(home)
        self.closed_at: str | None = None

    @hops
    async def where(self, *, suffix: str = "") -> str:
        """Name the thread."""
        await asyncio.sleep(0)
        return threading.current_thread().name + suffix

    @hops
    async def count(self, to: int) -> AsyncIterator[tuple[int, str]]:
        """Count."""
        try:
            for number in range(to):
                await asyncio.sleep(0)
                yield number, threading.current_thread().name
        finally:
            self.closed_at = threading.current_thread().name

    @hops
    async def fail(self) -> None:
        """Raise."""
        raise KeyError("ours")

    @hops
    async def wait(self) -> None:
        """Never end."""
        await asyncio.Event().wait()

    def plain(self) -> int:
        """Give seven at once."""
        return 7

    @property
    def effect(self) -> int:
        raise AssertionError("a property ran because somebody looked")

    async def _hidden(self) -> None:
        """Not for users."""


@pytest.fixture
def thing() -> Iterator[Thing]:
    home = ThreadHome("home-thread")
    yield Thing(home)
    home.block(home.close())


async def test_method_runs_at_home_wherever_it_is_awaited(thing: Thing) -> None:
    assert await thing.where(suffix="!") == "home-thread!"
    assert threading.current_thread().name == "MainThread"


async def test_error_of_a_method_arrives(thing: Thing) -> None:
    with pytest.raises(KeyError, match="ours"):
        await thing.fail()


async def test_cell_of_an_interrupted_call_says_so_in_one_line(thing: Thing) -> None:
    with pytest.raises(TimeoutError) as told:
        async with asyncio.timeout(0.01):
            await thing.wait()
    cancelled = told.value.__cause__
    assert type(cancelled) is asyncio.CancelledError
    assert cancelled._render_traceback_() == ["wait was interrupted and has ended; everything else goes on."]  # type: ignore[attr-defined] # IPython's hook


async def test_generator_runs_at_home_step_by_step(thing: Thing) -> None:
    assert [item async for item in thing.count(3)] == [(n, "home-thread") for n in range(3)]
    assert thing.closed_at == "home-thread"


async def test_generator_left_early_is_closed_at_home(thing: Thing) -> None:
    steps = thing.count(10)
    assert await anext(steps) == (0, "home-thread")
    await steps.aclose()  # type: ignore[attr-defined]
    assert thing.closed_at == "home-thread"


async def test_on_the_home_loop_nothing_hops() -> None:
    thing = Thing(LoopHome())
    assert await thing.where() == "MainThread"
    assert [number async for number, _ in thing.count(2)] == [0, 1]


def test_decorated_methods_keep_name_doc_and_kind() -> None:
    assert Thing.where.__name__ == "where"
    assert Thing.where.__doc__ == "Name the thread."
    assert inspect.iscoroutinefunction(Thing.where)
    assert inspect.isasyncgenfunction(Thing.count)
    assert "suffix" in inspect.signature(Thing.where).parameters


def test_plain_function_cannot_hop() -> None:
    with pytest.raises(TypeError, match="neither"):
        hops(lambda self: None)


def test_facade_blocks_for_results_and_errors(thing: Thing) -> None:
    sync = SyncFacade(thing)
    assert sync.where(suffix="?") == "home-thread?"
    with pytest.raises(KeyError, match="ours"):
        sync.fail()
    assert [number for number, _ in sync.count(3)] == [0, 1, 2]
    assert sync.chat.send("hi") == "home-thread: hi"


def test_facade_iterator_left_early_closes_the_generator(thing: Thing) -> None:
    for _ in SyncFacade(thing).count(10):
        break
    gc.collect()
    assert thing.closed_at == "home-thread"


def test_facade_shows_what_it_offers_and_nothing_else(thing: Thing) -> None:
    sync = SyncFacade(thing)
    assert dir(sync) == ["chat", "count", "fail", "wait", "where"]
    assert sync.where.__name__ == "where"
    assert sync.where.__doc__ == "Name the thread."
    assert not inspect.iscoroutinefunction(sync.where)
    assert dir(sync.chat) == ["send"]
    for name in ("plain", "_hidden", "_home", "missing"):
        with pytest.raises(AttributeError, match=name):
            getattr(sync, name)
    assert "Thing" in repr(sync)
