"""Virtual time: order, deadlocks, tasks with numbers, and what befalls a host's loop."""

import asyncio
import contextvars
import threading

import pytest

from dfs_sdk.sim import scheduler as scheduling
from dfs_sdk.sim.errors import DeadlockError, LivelockError
from dfs_sdk.sim.loop import SimLoop, pending_tasks
from dfs_sdk.sim.scheduler import Scheduler


def test_hours_pass_at_once_and_in_order():
    seen: list[tuple[float, str]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        seen.append((asyncio.get_running_loop().time(), name))

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for name, seconds in (("b", 7200.0), ("a", 3600.0), ("c", 7200.0)):
                group.create_task(sleeper(name, seconds))

    SimLoop().run_until_complete(main())
    assert seen == [(3600.0, "a"), (7200.0, "b"), (7200.0, "c")]


@pytest.mark.parametrize("uptime", [1000.0, 1e7 + 0.1, 12_345_678.9])
def test_who_waits_until_an_instant_finds_it_come(uptime: float):
    """A timer that rounding lets fire early would be set again for ever."""
    driver = Scheduler(start=0.3)
    loop = SimLoop(driver, uptime=uptime)

    async def main() -> int:
        rounds = 0
        for number in range(200):
            deadline = loop.time() + 0.1 + number * 1e-7
            while loop.time() < deadline:
                await asyncio.sleep(deadline - loop.time())
                rounds += 1
        return rounds

    assert loop.run_until_complete(main()) <= 400


def test_deadlock_names_who_waits_and_where():
    async def stuck() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.get_running_loop().create_task(stuck(), name="the stuck one")
        await task

    loop = SimLoop()
    with pytest.raises(DeadlockError, match=r"the stuck one waits at .*test_loop\.py:\d+ in stuck"):
        loop.run_until_complete(main())
    loop.end()
    loop.scheduler.drive()


def test_livelock_is_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scheduling, "TURNS_PER_INSTANT_MAX", 1000)

    async def main() -> None:
        while True:
            await asyncio.sleep(0)

    loop = SimLoop()
    with pytest.raises(LivelockError, match="no end"):
        loop.run_until_complete(main())
    loop.end()
    loop.scheduler.drive()


def test_time_runs_in_slices():
    loop, ticks = SimLoop(), []

    def tick() -> None:
        ticks.append(loop.time())
        loop.call_later(1.0, tick)

    loop.call_later(1.0, tick)
    assert loop.run_for(2.5)
    assert (ticks, loop.time()) == ([1.0, 2.0], 2.5)
    assert loop.advance_until(4.0)
    assert ticks == [1.0, 2.0, 3.0, 4.0]


def test_driver_comes_back_after_real_seconds():
    loop = SimLoop()

    def tick() -> None:
        loop.call_later(0.001, tick)

    tick()
    assert not loop.run_for(1e9, real_seconds=0.01)
    assert 0 < loop.time() < 1e9


def test_tasks_hash_by_their_number_and_take_name_and_context():
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="outside")
    context = contextvars.copy_context()
    context.run(variable.set, "inside")

    async def main() -> tuple[str, str]:
        async def child() -> str:
            return variable.get()

        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(child(), name=f"t{number}", context=context) for number in range(50)]
        assert [hash(task) for task in tasks] == sorted(hash(task) for task in tasks)
        assert pending_tasks(loop)[1:] == tasks
        return tasks[0].get_name(), await tasks[0]

    assert SimLoop().run_until_complete(main()) == ("t0", "inside")


def test_another_thread_hands_something_in():
    loop = SimLoop()
    woken = threading.Event()
    loop.scheduler.on_submitted = woken.set

    async def main() -> str:
        future = loop.create_future()

        def submit() -> None:
            loop.call_soon_threadsafe(future.set_result, threading.current_thread().name)

        thread = threading.Thread(target=submit, name="elsewhere")
        thread.start()
        thread.join()
        return await future

    assert loop.run_until_complete(main()) == "elsewhere"
    assert woken.is_set()


def test_error_of_a_callback_is_kept_not_lost():
    loop = SimLoop(name="host")
    loop.call_soon(lambda: 1 // 0)
    loop.call_later(1.0, lambda: [][0])
    loop.run_for(2.0)
    assert [(name, type(context["exception"])) for name, context in loop.scheduler.failures] == [
        ("host", ZeroDivisionError),
        ("host", IndexError),
    ]


def test_cancelled_timers_do_not_pile_up():
    loop = SimLoop()
    for _ in range(10_000):
        loop.call_later(1000.0, print).cancel()
    assert len(loop.scheduler._heap) < 3_000
    assert loop.run_for(2000.0)


def test_frozen_loop_goes_on_with_what_was_ready_and_with_late_timers():
    driver = Scheduler()
    main, host = SimLoop(driver), SimLoop(driver, name="host")
    seen: list[tuple[str, float]] = []
    host.call_later(1.0, lambda: seen.append(("timer", host.time())))
    host.call_soon(lambda: seen.append(("ready", host.time())))
    host.freeze()
    main.call_later(5.0, host.thaw)
    main.run_for(4.0)
    assert seen == []
    main.run_for(4.0)
    assert seen == [("ready", 5.0), ("timer", 5.0)]


def test_clock_of_a_loop_that_slept_stands_still():
    driver = Scheduler()
    main, host = SimLoop(driver), SimLoop(driver, name="host")
    seen: list[float] = []
    host.call_later(3.0, lambda: seen.append(host.time()))
    main.call_later(1.0, host.freeze)
    main.call_later(101.0, lambda: host.thaw(slept=100.0))
    main.run_for(102.0)
    assert seen == []
    main.run_for(2.0)
    assert seen == [3.0]
    assert host.time() == 4.0


def test_ended_loop_unwinds_its_tasks_and_runs_nothing_more():
    driver = Scheduler()
    main, host = SimLoop(driver), SimLoop(driver, name="host")
    seen: list[str] = []

    async def tidy() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            seen.append("unwound")

    async def stubborn() -> None:
        while True:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                seen.append("refused")

    tasks: list[asyncio.Task[None]] = []
    host.call_soon(lambda: tasks.extend((host.create_task(tidy()), host.create_task(stubborn()))))
    host.call_later(5.0, seen.append, "timer")
    main.run_for(1.0)
    host.end()
    assert host.is_closed()
    main.run_for(10.0)
    assert seen[0] == "unwound"
    assert "timer" not in seen
    assert tasks[0].cancelled()
    count = len(seen)
    main.run_for(10_000.0)
    assert len(seen) == count
    with pytest.raises(RuntimeError, match="closed"):
        host.call_soon_threadsafe(print)
    assert driver.failures == []


def test_future_of_another_hosts_loop_cannot_be_awaited():
    driver = Scheduler()
    main, host = SimLoop(driver), SimLoop(driver, name="host")
    future = host.create_future()

    async def reach_over() -> None:
        await future

    with pytest.raises(RuntimeError, match="different loop"):
        main.run_until_complete(reach_over())
