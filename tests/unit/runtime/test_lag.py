"""The lag meter, on a hand-driven loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from dfs_sdk.runtime.lag import INTERVAL_SECONDS, WINDOW_TICKS, LagMeter


class FakeTimer:
    def __init__(self, when: float, call: Callable[[], None]) -> None:
        self.when, self.call, self.cancelled = when, call, False

    def cancel(self) -> None:
        self.cancelled = True


class FakeLoop:
    """One timer and a clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timer: FakeTimer | None = None

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[..., None], *args: Any) -> FakeTimer:
        self.timer = FakeTimer(when, lambda: callback(*args))
        return self.timer

    def tick(self, late: float = 0.0) -> None:
        assert self.timer is not None
        assert not self.timer.cancelled
        self.now = self.timer.when + late
        self.timer.call()


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> FakeLoop:
    fake = FakeLoop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: fake)
    return fake


def test_a_loop_on_time_has_no_lag(loop: FakeLoop) -> None:
    seen: list[float] = []
    meter = LagMeter(on_lag=seen.append)
    assert meter.max_seconds == 0.0
    meter.start()
    for _ in range(10):
        loop.tick()
    assert seen == []
    assert meter.max_seconds == 0.0
    assert loop.now == pytest.approx(101.0)


def test_a_blocked_loop_is_reported_once_with_its_length(loop: FakeLoop) -> None:
    seen: list[float] = []
    meter = LagMeter(on_lag=seen.append)
    meter.start()
    loop.tick(3.0)
    loop.tick()
    assert seen == [pytest.approx(3.0)]
    assert meter.max_seconds == pytest.approx(3.0)


def test_lag_up_to_half_a_second_is_measured_but_not_told(loop: FakeLoop) -> None:
    seen: list[float] = []
    meter = LagMeter(on_lag=seen.append)
    meter.start()
    loop.tick(0.499)
    assert seen == []
    assert meter.max_seconds == pytest.approx(0.499)


def test_the_window_forgets(loop: FakeLoop) -> None:
    meter = LagMeter(on_lag=lambda _seconds: None)
    meter.start()
    loop.tick(9.0)
    for _ in range(199):
        loop.tick(0.01)
    assert meter.max_seconds == pytest.approx(9.0)
    for _ in range(WINDOW_TICKS):
        loop.tick(0.01)
    assert meter.max_seconds == pytest.approx(0.01)


def test_stop_cancels_the_timer_and_start_is_idempotent(loop: FakeLoop) -> None:
    meter = LagMeter(on_lag=lambda _seconds: None)
    meter.start()
    timer = loop.timer
    meter.start()
    assert loop.timer is timer
    meter.stop()
    meter.stop()
    assert timer is not None
    assert timer.cancelled
    meter.start()
    assert loop.timer is not timer
    assert loop.timer is not None
    assert loop.timer.when == loop.now + INTERVAL_SECONDS


def test_a_callback_may_stop_its_meter(loop: FakeLoop) -> None:
    meter = LagMeter(on_lag=lambda _seconds: meter.stop())
    meter.start()
    loop.tick(1.0)
    assert loop.timer is not None
    assert loop.timer.cancelled
