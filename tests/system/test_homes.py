"""Homes on real loops and threads."""

from __future__ import annotations

import asyncio
import gc
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from dfs_sdk.errors import ConfigError, DeadlineError, NodeClosedError, SyncCallError
from dfs_sdk.runtime import homes, nesting
from dfs_sdk.runtime.homes import LoopHome, ThreadHome, choose_home

pytestmark = pytest.mark.system


@pytest.fixture
def home() -> Iterator[ThreadHome]:
    made = ThreadHome("home-thread")
    yield made
    made.block(made.close()) if made.thread_id and not made._stopping else None
    assert "home-thread" not in [thread.name for thread in threading.enumerate()]


async def thread_name() -> str:
    return threading.current_thread().name


class Stubborn:
    """A coroutine that waits until it is cancelled and takes a few turns to clean up."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.cleaned = threading.Event()

    async def __call__(self) -> None:
        try:
            self.began.set()
            await asyncio.Event().wait()
        finally:
            for _ in range(5):
                await asyncio.sleep(0.002)
            self.cleaned.set()


def in_other_thread(work: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result(30)


# --- a thread of its own


def test_thread_home_runs_calls_from_a_thread_without_a_loop(home: ThreadHome) -> None:
    assert home.submit(thread_name()).result(5) == "home-thread"
    assert home.block(thread_name()) == "home-thread"


async def test_thread_home_is_awaited_from_another_loop(home: ThreadHome) -> None:
    assert await home.run(thread_name()) == "home-thread"
    assert not home.is_here


async def test_cancelled_waiter_waits_until_the_inner_task_has_cleaned_up(home: ThreadHome) -> None:
    inner = Stubborn()
    waiter = asyncio.create_task(home.run(inner()))
    await asyncio.get_running_loop().run_in_executor(None, inner.began.wait)
    waiter.cancel()
    await asyncio.sleep(0)
    waiter.cancel()  # a second cancellation must not cut the clean-up short
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert inner.cleaned.is_set()
    await asyncio.get_running_loop().shutdown_default_executor()


def test_cancelling_a_submitted_call_cancels_its_task(home: ThreadHome) -> None:
    inner = Stubborn()
    call = home.submit(inner())
    assert inner.began.wait(5)
    assert call.cancel()
    with pytest.raises(CancelledError):
        call.result(5)
    assert call.cancelled()
    assert inner.cleaned.is_set()
    assert not call.cancel()


def test_blocking_call_keeps_its_time_limit_and_cleans_up(home: ThreadHome) -> None:
    for limit in (0.05, 0.5, 5.0):  # who is slow cancels it before it has begun, and nothing needs cleaning up
        inner = Stubborn()
        with pytest.raises(DeadlineError, match=re.escape(f"after {limit} s")):
            home.block(inner(), timeout=limit)
        assert inner.cleaned.is_set() == inner.began.is_set()
        if inner.began.is_set():
            return
    raise AssertionError("no call has ever begun")


def test_errors_of_calls_arrive_even_time_outs(home: ThreadHome) -> None:
    async def fail(error: Exception) -> None:
        raise error

    for error in (KeyError("k"), TimeoutError("inner")):
        with pytest.raises(type(error), match=str(error)):
            home.block(fail(error), timeout=10)


async def test_own_thread_may_not_block_nor_wait_for_futures(home: ThreadHome) -> None:
    async def misuse() -> list[str]:
        said = []
        for attempt in (lambda: home.block(thread_name()), lambda: home.submit(asyncio.sleep(9)).result()):
            with pytest.raises(SyncCallError) as caught:
                attempt()
            said.append(str(caught.value))
        return said

    assert all("await" in text for text in await home.run(misuse()))


def test_many_threads_may_block_at_once(home: ThreadHome) -> None:
    async def double(number: int) -> int:
        await asyncio.sleep(0.001)
        return 2 * number

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda n: home.block(double(n)), range(100))) == [2 * n for n in range(100)]


async def test_close_ends_calls_and_thread(home: ThreadHome) -> None:
    inner = Stubborn()
    call = home.submit(inner())
    await home.run(asyncio.sleep(0))
    await home.close()
    await home.close()
    assert inner.cleaned.is_set()
    assert call.cancelled()
    for late in (lambda: home.submit(thread_name()), lambda: home.block(thread_name())):
        with pytest.raises(NodeClosedError):
            late()
    with pytest.raises(NodeClosedError):
        await home.run(thread_name())
    gc.collect()


async def test_waiter_of_a_call_that_close_cancelled_is_told_so(home: ThreadHome) -> None:
    inner = Stubborn()
    waiter = asyncio.create_task(home.run(inner()))
    await asyncio.to_thread(inner.began.wait)
    await home.close()
    with pytest.raises(NodeClosedError, match="closed"):
        await waiter


async def test_call_may_close_its_own_home(home: ThreadHome) -> None:
    async def work() -> str:
        await home.close()
        await asyncio.sleep(0)
        return "finished"

    assert await home.run(work()) == "finished"
    assert home._stopped.done()


def test_home_that_never_started_closes() -> None:
    async def main() -> None:
        home = ThreadHome()
        await home.close()
        with pytest.raises(NodeClosedError):
            home.start()

    asyncio.run(main())


def test_error_nobody_looks_at_is_logged(home: ThreadHome, caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise KeyError("unseen")

    call = home.submit(fail())
    while not call.done():
        time.sleep(0.001)
    home.block(asyncio.sleep(0))
    del call
    gc.collect()
    assert "unseen" in caplog.text


# --- the running loop


async def test_loop_home_runs_in_place() -> None:
    home = LoopHome()
    assert home.is_here
    assert await home.run(thread_name()) == "MainThread"
    assert await asyncio.wrap_future(home.submit(thread_name())) == "MainThread"
    await home.close()


async def run_threaded(work: Callable[[], Any]) -> Any:
    """Run in a thread while this loop goes on."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as pool:
        return await loop.run_in_executor(pool, work)


async def test_loop_home_is_reached_from_other_threads_and_loops() -> None:
    home = LoopHome()
    assert await run_threaded(lambda: home.block(thread_name())) == "MainThread"
    assert await run_threaded(lambda: asyncio.run(home.run(thread_name()))) == "MainThread"
    assert await run_threaded(lambda: home.submit(thread_name()).result(5)) == "MainThread"
    await home.close()


async def test_cancelled_waiter_on_a_foreign_loop_waits_for_the_inner_task() -> None:
    home, inner = LoopHome(), Stubborn()

    async def foreign() -> None:
        waiter = asyncio.create_task(home.run(inner()))
        await asyncio.to_thread(inner.began.wait)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert inner.cleaned.is_set()

    await run_threaded(lambda: asyncio.run(foreign()))
    await home.close()


async def test_blocked_loop_is_told_apart_from_a_slow_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(homes, "START_SECONDS", 0.1)
    home = LoopHome()
    began = False

    async def work() -> None:
        nonlocal began
        began = True

    def wait_in_the_loops_own_thread() -> None:
        with pytest.raises(SyncCallError, match="a cell blocks it"):
            in_other_thread(lambda: home.block(work()))

    wait_in_the_loops_own_thread()  # as pandas does while pyarrow's threads read
    await asyncio.sleep(0.01)
    assert not began, "a refused call must never run later"

    async def slow() -> str:
        await asyncio.sleep(1.8)
        return "slow"

    monkeypatch.setattr(homes, "START_SECONDS", 1.5)  # a busy machine takes it up late, and that is no blocked loop
    assert await run_threaded(lambda: home.block(slow())) == "slow"
    await home.close()


async def test_our_own_tasks_and_callbacks_may_not_block() -> None:
    home, said = LoopHome(), []

    def attempt() -> None:
        try:
            home.block(thread_name())
        except SyncCallError as error:
            said.append(str(error))

    async def task() -> None:
        attempt()

    home.submit(task()).add_done_callback(lambda call: call.exception())
    await home.run(task())
    asyncio.get_running_loop().call_soon(attempt)
    await asyncio.sleep(0.01)
    assert len(said) == 3
    assert all("await" in text for text in said)
    assert not hasattr(asyncio, "_nest_patched"), "a refusal must not patch the loop"
    await home.close()


def test_stopped_loop_is_run_for_a_blocking_call() -> None:
    loop = asyncio.new_event_loop()

    async def make() -> LoopHome:
        return LoopHome()

    home = loop.run_until_complete(make())
    assert home.block(thread_name()) == "MainThread"
    with pytest.raises(DeadlineError):
        home.block(Stubborn()(), timeout=0.02)
    with pytest.raises(SyncCallError, match="stands still"):
        asyncio.run(home.run(thread_name()))
    loop.run_until_complete(home.close())
    with pytest.raises(NodeClosedError):
        home.block(thread_name())
    loop.close()
    with pytest.raises(NodeClosedError):
        home.submit(thread_name())
    gc.collect()


def test_another_loop_on_the_homes_thread_is_refused() -> None:
    loop = asyncio.new_event_loop()

    async def make() -> LoopHome:
        return LoopHome()

    home = loop.run_until_complete(make())

    async def stranger() -> None:
        with pytest.raises(SyncCallError, match="another loop"):
            home.block(thread_name())

    asyncio.run(stranger())
    loop.run_until_complete(home.close())
    loop.close()


async def test_submitting_and_cancelling_from_many_threads_leaves_nothing() -> None:
    home = LoopHome()
    before = asyncio.all_tasks()

    async def work(number: int) -> int:
        for _ in range(number % 5):
            await asyncio.sleep(0)
        if number % 7 == 0:
            raise KeyError(number)
        return number

    def submit(first: int) -> list[str]:
        ends = []
        for number in range(first, first + 200):
            call = home.submit(work(number))
            if number % 3 == 0:
                call.cancel()
            try:
                ends.append("value" if call.result(20) == number else "wrong")
            except KeyError:
                ends.append("error")
            except CancelledError:
                ends.append("cancelled")
        return ends

    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(4) as pool:
        ends = [await f for f in [loop.run_in_executor(pool, submit, 1000 * n) for n in range(4)]]
    flat = [end for some in ends for end in some]
    assert len(flat) == 800
    assert set(flat) == {"value", "error", "cancelled"}
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    await home.close()


async def test_too_many_exit_actions_are_refused(home: ThreadHome) -> None:
    forget = [home.on_exit(thread_name) for _ in range(64)]
    with pytest.raises(ConfigError, match="64"):
        home.on_exit(thread_name)
    forget[0]()
    home.on_exit(thread_name)


# --- choosing


async def test_auto_takes_the_running_loop() -> None:
    home = choose_home("auto")
    assert isinstance(home, LoopHome)
    await home.close()


def test_auto_takes_a_thread_where_no_loop_runs() -> None:
    assert isinstance(choose_home(), ThreadHome)
    with pytest.raises(ConfigError, match="running loop"):
        choose_home("loop")
    with pytest.raises(ConfigError, match="cellar"):
        choose_home("cellar")  # type: ignore[arg-type]


def ipython(kernel: object) -> SimpleNamespace:
    shell = SimpleNamespace() if kernel is None else SimpleNamespace(kernel=kernel)
    return SimpleNamespace(get_ipython=lambda: shell)


async def test_auto_knows_kernels_from_terminals_and_subshells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", ipython(kernel=object()))  # type: ignore[arg-type]
    assert isinstance(choose_home(), LoopHome)

    async def choose() -> object:
        return choose_home()

    assert isinstance(await run_threaded(lambda: asyncio.run(choose())), ThreadHome), "a subshell's loop ends"
    monkeypatch.setitem(sys.modules, "IPython", ipython(kernel=None))  # type: ignore[arg-type]
    assert isinstance(choose_home(), ThreadHome), "a terminal stops its loop at the prompt"
    assert isinstance(choose_home("loop"), LoopHome)


async def test_old_nest_asyncio_on_a_new_kernel_is_warned_about_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nesting, "_state", {"warned": False})
    monkeypatch.setattr(asyncio, "_nest_patched", True, raising=False)
    monkeypatch.setitem(sys.modules, "ipykernel", SimpleNamespace(version_info=(6, 31, 0)))  # type: ignore[arg-type]
    choose_home("loop")
    monkeypatch.setitem(sys.modules, "ipykernel", SimpleNamespace(version_info=(7, 4, 0)))  # type: ignore[arg-type]
    with pytest.warns(RuntimeWarning, match="nest-asyncio2"):
        choose_home("loop")
    choose_home("loop")
