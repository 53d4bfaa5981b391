"""Transfers: progress, rate, cancelling, and what is remembered of them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from itertools import count
from typing import Any

import pytest

from dfs_sdk.errors import NodeClosedError, StoreError
from dfs_sdk.events import EventBus
from dfs_sdk.files.news import TransferEnded
from dfs_sdk.files.transfers import LAP_SECONDS, Direction, Transfer, Transfers, TransferState, current_transfer
from dfs_sdk.runtime.tasks import TaskScope
from tests.fakes.hostile import HOSTILE
from tests.fakes.runtime import FakeClock


class Rig:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.events = EventBus()
        self.reported: list[str] = []
        self.scope = TaskScope("test", on_error=lambda name, _error: self.reported.append(name))
        self.transfers = Transfers(
            scope=self.scope, clock=self.clock, events=self.events, finished_max=3, numbers=count(1)
        )

    async def run(
        self, work: Callable[[Transfer], Any], *, total: int | None = 100, progress: Any = None, name: str = "x"
    ) -> Any:
        return await self.transfers.run(Direction.GET, name, work, bytes_total=total, progress=progress)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    yield rig
    await rig.scope.close()
    assert rig.reported == []


async def test_rate_and_time_to_go_follow_the_last_seconds(rig: Rig):
    seen: list[tuple[float, float]] = []

    async def work(transfer: Transfer) -> str:
        assert math.isnan(transfer.eta)
        for _ in range(20):
            rig.clock.advance(1.0)
            transfer.advance(1)
        for _ in range(10):
            rig.clock.advance(1.0)
            transfer.advance(4)
            seen.append((transfer.rate, transfer.eta))
        return "result"

    assert await rig.run(work) == "result"
    assert seen[-1] == (pytest.approx(4.0), pytest.approx(10.0))
    (transfer,) = rig.transfers.listed()
    assert (transfer.state, transfer.error, transfer.eta) == (TransferState.DONE, "", 0.0)
    assert repr(transfer) == "Transfer(get 'x', done, 60 of 100 bytes)"


async def test_an_unknown_total_gives_no_time_to_go(rig: Rig):
    async def work(transfer: Transfer) -> None:
        rig.clock.advance(1.0)
        transfer.advance(10)
        assert math.isnan(transfer.eta)
        assert "10 of ? bytes" in repr(transfer)

    await rig.run(work, total=None)


async def test_an_error_is_raised_once_shown_safely_and_announced(rig: Rig):
    async def work(transfer: Transfer) -> None:
        transfer.remains = "half of it is there."
        raise StoreError("disk \x1b[31mbroken")

    with pytest.raises(StoreError):
        await rig.run(work)
    (transfer,) = rig.transfers.listed()
    assert transfer.state is TransferState.FAILED
    assert transfer.error == "disk ␛[31mbroken half of it is there."
    (event,) = rig.events.log()
    assert isinstance(event, TransferEnded)
    assert event.text == "x: disk ␛[31mbroken half of it is there."
    with pytest.raises(StoreError):
        await transfer


async def test_an_unexpected_error_shows_its_kind_not_its_text(rig: Rig):
    async def work(_transfer: Transfer) -> None:
        raise KeyError("secret")

    with pytest.raises(KeyError):
        await rig.run(work)
    assert rig.transfers.listed()[0].error == "KeyError"


async def test_cancelling_the_caller_cancels_and_waits(rig: Rig):
    ended: list[str] = []

    async def work(_transfer: Transfer) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            ended.append("cleaned up")

    task = asyncio.ensure_future(rig.run(work))
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["cleaned up"]
    assert len(rig.scope) == 0
    assert rig.transfers.listed()[0].state is TransferState.CANCELLED


async def test_cancelling_before_the_first_step_is_a_cancelled_transfer(rig: Rig):
    async def work(_transfer: Transfer) -> None:
        raise AssertionError("never begins")

    task = asyncio.ensure_future(rig.run(work))
    asyncio.get_running_loop().call_soon(lambda: rig.transfers.listed()[0].cancel())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rig.transfers.listed()[0].state is TransferState.CANCELLED


async def test_a_second_party_can_await_the_result(rig: Rig):
    go = asyncio.Event()

    async def work(_transfer: Transfer) -> int:
        await go.wait()
        return 7

    first = asyncio.ensure_future(rig.run(work))
    await asyncio.sleep(0)
    (transfer,) = rig.transfers.listed()

    async def watch() -> int:
        return await transfer

    second, impatient = asyncio.ensure_future(watch()), asyncio.ensure_future(watch())
    await asyncio.sleep(0)
    impatient.cancel()  # one who stops watching does not stop the transfer
    go.set()
    assert await first == await second == 7


async def test_only_the_latest_are_remembered(rig: Rig):
    async def work(_transfer: Transfer) -> None:
        return

    for _ in range(10):
        await rig.run(work)
    assert [transfer.transfer_id for transfer in rig.transfers.listed()] == [8, 9, 10]


async def test_names_of_others_are_shown_safely(rig: Rig):
    async def work(_transfer: Transfer) -> None:
        return

    for name in HOSTILE[:100]:
        await rig.run(work, name=name)
        shown = repr(rig.transfers.listed()[-1])
        assert shown.isprintable()


async def test_nothing_starts_on_a_closed_node(rig: Rig):
    async def work(_transfer: Transfer) -> None:
        return

    await rig.scope.close()
    with pytest.raises(NodeClosedError):
        await rig.run(work)


async def test_paused_transfer_begins_nothing_until_it_is_resumed(rig: Rig):
    done: list[int] = []

    async def work(transfer: Transfer) -> int:
        for number in range(4):
            await transfer.turn()
            done.append(number)
            transfer.advance(25)
            if number == 1:
                transfer.pause()
                assert transfer.state is TransferState.PAUSED
                assert transfer.is_running
                assert math.isnan(transfer.eta)
                asyncio.get_running_loop().call_later(
                    0, asyncio.get_running_loop().call_soon, check_and_resume, transfer
                )
        return len(done)

    def check_and_resume(transfer: Transfer) -> None:
        assert done == [0, 1]
        rig.clock.advance(3600)
        transfer.resume()
        rig.clock.advance(1)
        assert transfer.state is TransferState.RUNNING
        assert transfer.rate == 0.0

    assert await rig.run(work) == 4
    (transfer,) = rig.transfers.listed()
    transfer.pause()
    assert transfer.state is TransferState.DONE


async def test_paused_transfer_can_be_cancelled(rig: Rig):
    async def work(transfer: Transfer) -> None:
        transfer.pause()
        asyncio.get_running_loop().call_soon(transfer.cancel)
        await transfer.turn()

    with pytest.raises(asyncio.CancelledError):
        await rig.run(work)
    assert rig.transfers.listed()[0].state is TransferState.CANCELLED


async def test_progress_is_told_of_pause_and_resume(rig: Rig):
    told: list[TransferState] = []

    async def work(transfer: Transfer) -> None:
        transfer.pause()
        transfer.pause()
        transfer.resume()
        transfer.resume()

    await rig.run(work, progress=lambda transfer: told.append(transfer.state))
    assert told == [TransferState.PAUSED, TransferState.RUNNING, TransferState.DONE]


async def test_work_knows_its_transfer_and_so_do_tasks_begun_by_it(rig: Rig):
    assert current_transfer() is None
    seen: list[Transfer | None] = []

    async def look() -> None:
        seen.append(current_transfer())

    async def work(transfer: Transfer) -> None:
        await look()
        await asyncio.create_task(look())
        seen.append(transfer)

    await asyncio.gather(rig.run(work), rig.run(work))
    first, second = rig.transfers.listed()
    assert sorted(seen, key=id) == sorted([first, second] * 3, key=id)
    assert current_transfer() is None


async def test_whoever_asked_is_told_at_the_instant_of_each_end(rig: Rig):
    ended: list[tuple[int, TransferState, float]] = []

    def fail(_transfer: Transfer) -> None:
        raise RuntimeError("a handler that fails")

    def note(transfer: Transfer) -> None:
        ended.append((transfer.transfer_id, transfer.state, transfer.ended_at - transfer.started_at))

    rig.transfers.on_lap(fail)
    rig.transfers.on_lap(note)

    async def work(transfer: Transfer) -> None:
        assert (transfer.ended_at, math.isnan(transfer.ended_at_wall)) == (math.inf, True)
        rig.clock.advance(2.0)

    async def break_off(_transfer: Transfer) -> None:
        raise StoreError("no room")

    await rig.run(work)
    with pytest.raises(StoreError):
        await rig.run(break_off)
    assert ended == [(1, TransferState.DONE, 2.0), (2, TransferState.FAILED, 0.0)]
    (first, _) = rig.transfers.listed()
    assert first.ended_at_wall - first.started_at_wall == 2.0


async def test_clock_that_is_set_meanwhile_does_not_change_how_long_a_transfer_took(rig: Rig):
    async def work(_transfer: Transfer) -> None:
        rig.clock.advance(2.0)
        rig.clock.jump_wall(-3600.0)

    await rig.run(work)
    (done,) = rig.transfers.listed()
    assert done.ended_at_wall - done.started_at_wall == done.ended_at - done.started_at == 2.0


async def test_whoever_asked_is_told_every_half_minute_in_which_bytes_arrived(rig: Rig):
    told: list[float] = []
    rig.transfers.on_lap(lambda transfer: told.append(rig.clock.monotonic() - transfer.started_at))

    async def work(transfer: Transfer) -> None:
        for _ in range(7):
            rig.clock.advance(LAP_SECONDS / 3)
            transfer.advance(1)
        rig.clock.advance(100 * LAP_SECONDS)

    await rig.run(work)
    assert told == [LAP_SECONDS, 2 * LAP_SECONDS, pytest.approx((100 + 7 / 3) * LAP_SECONDS)]
