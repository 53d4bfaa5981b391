"""Tasks have parents: order, errors, cancellation, closing."""

from __future__ import annotations

import asyncio
import contextlib
import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.errors import DeadlineError, NodeClosedError, PeerUnreachableError
from dfs_sdk.runtime import tasks
from dfs_sdk.runtime.system import SeededRng
from dfs_sdk.runtime.tasks import TaskScope, background, in_background, run_all, settle, within


class Errors:
    def __init__(self) -> None:
        self.seen: list[tuple[str, BaseException]] = []

    def __call__(self, name: str, error: BaseException) -> None:
        self.seen.append((name, error))


async def spin(times: int = 3) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


@pytest.fixture
def errors() -> Errors:
    return Errors()


async def test_spawned_task_returns_its_result_and_leaves_the_scope(errors: Errors) -> None:
    scope = TaskScope("s", on_error=errors)

    async def work() -> int:
        return 7

    task = scope.spawn("work", work())
    assert len(scope) == 1
    assert await task == 7
    await spin()
    assert len(scope) == 0
    assert task.get_name() == "s/work"
    assert errors.seen == []


async def test_error_of_a_task_reaches_the_handler_with_its_name(errors: Errors) -> None:
    scope = TaskScope("s", on_error=errors)

    async def fail() -> None:
        raise ValueError("boom")

    scope.spawn("bad", fail())
    await spin()
    [(name, error)] = errors.seen
    assert name == "s/bad"
    assert str(error) == "boom"


async def test_broken_error_handler_does_not_break_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    def handler(_name: str, _error: BaseException) -> None:
        raise RuntimeError("handler broke")

    scope = TaskScope("s", on_error=handler)

    async def fail() -> None:
        raise ValueError("boom")

    scope.spawn("bad", fail())
    await spin()
    assert "boom" in caplog.text


async def test_close_cancels_in_order_of_start_and_waits_for_clean_up(errors: Errors) -> None:
    scope = TaskScope("s", on_error=errors)
    ended: list[int] = []

    async def wait(number: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await spin(number)
            ended.append(number)

    for number in (2, 2, 2, 1):
        scope.spawn(str(number), wait(number))
    await spin()
    await scope.close()
    assert sorted(ended) == [1, 2, 2, 2]
    assert len(scope) == 0
    assert errors.seen == []


async def test_cancel_order_is_spawn_order(errors: Errors) -> None:
    scope = TaskScope("s", on_error=errors)
    ended: list[int] = []

    async def wait(number: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(number)

    for number in range(50):
        scope.spawn(str(number), wait(number))
    await spin()
    await scope.close()
    assert ended == list(range(50))


async def test_spawn_after_close_raises_and_closes_the_coroutine(errors: Errors) -> None:
    scope = TaskScope("s", on_error=errors)
    await scope.close()
    assert scope.closed
    coroutine = asyncio.sleep(0)
    with pytest.raises(NodeClosedError):
        scope.spawn("late", coroutine)
    gc.collect()  # a never-awaited warning would fail here


async def test_task_of_the_scope_may_close_it(errors: Errors) -> None:
    scope = TaskScope("s", on_error=errors)
    other = scope.spawn("other", asyncio.sleep(1000))

    async def closer() -> str:
        await scope.close()
        return "closed"

    assert await scope.spawn("closer", closer()) == "closed"
    assert other.cancelled()


async def test_cancelled_close_still_waits_for_the_tasks(errors: Errors) -> None:
    scope = TaskScope("s", on_error=errors)
    gate = asyncio.Event()

    async def slow_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await gate.wait()

    task = scope.spawn("slow", slow_end())
    await spin()
    closing = asyncio.create_task(scope.close())
    await spin()
    closing.cancel()
    await spin()
    assert not closing.done()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert task.done()


async def test_close_is_idempotent(errors: Errors) -> None:
    scope = TaskScope("s", on_error=errors)
    await scope.close()
    await scope.close()


async def test_tasks_and_their_callbacks_are_marked_as_background(errors: Errors) -> None:
    scope = TaskScope("s", on_error=errors)
    marks: list[bool] = []

    async def work() -> None:
        marks.append(in_background())
        asyncio.get_running_loop().call_soon(lambda: marks.append(in_background()))

    await scope.spawn("work", work())
    await spin()
    assert marks == [True, True]
    assert not in_background()


async def test_children_of_run_all_are_marked_as_background() -> None:
    async def work() -> bool:
        return in_background()

    assert await run_all(work(), work()) == [True, True]
    assert not in_background()


async def test_foreign_task_counts_as_ours_only_while_inside() -> None:
    with background():
        assert in_background()
        with background():
            assert in_background()
        assert in_background()
    assert not in_background()
    assert not tasks._inside


async def test_series_goes_on_after_an_error(errors: Errors) -> None:
    scope = TaskScope("s", on_error=errors)
    calls = 0
    enough = asyncio.Event()

    async def turn() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ValueError("first turn")
        enough.set()

    scope.every("tick", 0.001, turn, rng=SeededRng(1))
    await enough.wait()
    await scope.close()
    assert [str(error) for _, error in errors.seen] == ["first turn"]


@pytest.mark.parametrize(("interval", "jitter"), [(0, 0.1), (-1, 0.1), (1, 1.0), (1, -0.1)])
async def test_series_refuses_bad_numbers(errors: Errors, interval: float, jitter: float) -> None:
    scope = TaskScope("s", on_error=errors)

    async def turn() -> None:
        raise AssertionError

    with pytest.raises(ValueError, match="interval"):
        scope.every("tick", interval, turn, rng=SeededRng(1), jitter=jitter)


async def give(value: int, turns: int) -> int:
    await spin(turns)
    return value


@given(st.lists(st.integers(0, 6), max_size=20), st.none() | st.integers(1, 5))
def test_run_all_returns_results_in_order(turns: list[int], limit: int | None) -> None:
    async def main() -> list[int]:
        return await run_all(*(give(i, n) for i, n in enumerate(turns)), limit=limit)

    assert asyncio.run(main()) == list(range(len(turns)))


async def test_run_all_keeps_to_its_limit() -> None:
    running = most = 0

    async def work() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await spin()
        running -= 1

    await run_all(*(work() for _ in range(20)), limit=3)
    assert most == 3


async def test_run_all_raises_the_first_error_alone_after_the_rest_ended() -> None:
    ended: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await spin(5)
            ended.append("rest")

    async def fail() -> None:
        await spin()
        raise KeyError("first")

    with pytest.raises(KeyError, match="first"):
        await run_all(wait(), fail(), wait())
    assert ended == ["rest", "rest"]


async def test_run_all_closes_what_it_never_began() -> None:
    async def fail() -> None:
        raise ValueError("first")

    began = False

    async def later() -> None:
        nonlocal began
        began = True

    with pytest.raises(ValueError, match="first"):
        await run_all(fail(), later(), later(), limit=1)
    gc.collect()
    assert not began


async def test_cancelled_run_all_ends_its_children_first() -> None:
    ended = False

    async def wait() -> None:
        nonlocal ended
        try:
            await asyncio.Event().wait()
        finally:
            await spin(5)
            ended = True

    caller = asyncio.create_task(run_all(wait()))
    await spin()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert ended


async def test_time_out_around_run_all_is_a_time_out() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await run_all(asyncio.Event().wait(), asyncio.Event().wait())


async def test_child_that_cancels_itself_ends_the_call() -> None:
    async def give_up() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await run_all(give_up(), asyncio.Event().wait())


async def test_run_all_of_nothing_is_nothing() -> None:
    assert await run_all() == []
    with pytest.raises(ValueError, match="limit"):
        await run_all(asyncio.sleep(0), limit=0)


async def test_settle_outlasts_repeated_cancellation() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiter = asyncio.create_task(settle(future))
    for _ in range(3):
        await spin()
        waiter.cancel()
    await spin()
    assert not waiter.done()
    future.set_result(None)
    with contextlib.suppress(asyncio.CancelledError):
        await waiter
    assert waiter.cancelled()
    assert not future.cancelled()


async def test_plain_function_runs_in_the_next_turn_as_ours_and_its_error_is_reported(errors: Errors) -> None:
    scope, seen = TaskScope("s", on_error=errors), list[object]()

    def fail(text: str) -> None:
        seen.append((text, in_background()))
        raise ValueError(text)

    scope.soon("plain", fail, "first")
    assert seen == []
    await spin()
    assert seen == [("first", True)]
    assert [(name, str(error)) for name, error in errors.seen] == [("s/plain", "first")]


async def test_plain_function_is_not_called_once_its_scope_is_closed(errors: Errors) -> None:
    scope, seen = TaskScope("s", on_error=errors), list[object]()
    scope.soon("plain", seen.append, "late")
    await scope.close()
    await spin()
    assert seen == []
    with pytest.raises(NodeClosedError):
        scope.soon("plain", seen.append, "later")


async def test_work_that_takes_too_long_is_cancelled_and_said_in_the_words_of_who_waits() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(PeerUnreachableError, match="too long") as raised:
        await within(0.001, work(), otherwise=lambda: PeerUnreachableError("too long"))
    assert ended.is_set()
    assert raised.value.__cause__ is None


async def test_error_that_says_what_it_is_passes_a_time_limit_as_it_is() -> None:
    async def fail(error: Exception) -> None:
        raise error

    for error in (DeadlineError("the peer's own"), ValueError("something else")):
        with pytest.raises(type(error)) as raised:
            await within(None, fail(error), otherwise=lambda: PeerUnreachableError("too long"))
        assert raised.value is error
    with pytest.raises(PeerUnreachableError):
        await within(10, fail(TimeoutError()), otherwise=lambda: PeerUnreachableError("too long"))
