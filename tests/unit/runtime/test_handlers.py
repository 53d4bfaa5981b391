"""Handlers that fail: logged, and no matter of whoever tells them."""

from __future__ import annotations

import pytest

from dfs_sdk.runtime.handlers import notify


def test_what_a_handler_raises_is_logged_with_what_it_was_told_of(caplog: pytest.LogCaptureFixture):
    def fail(_first: int, _second: str) -> None:
        raise ZeroDivisionError

    notify(fail, 1, "two", of="connections")
    (record,) = caplog.records
    assert (record.message, record.levelname) == ("a handler of connections failed", "ERROR")
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


def test_a_handler_gets_the_news():
    told: list[tuple[int, str]] = []
    notify(lambda *news: told.append(news), 1, "two", of="connections")
    assert told == [(1, "two")]
