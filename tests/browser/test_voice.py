"""What a panel says and takes from somebody who hears it, works it by keys, or clicks twice."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from dfs_sdk.ui import JoinPanel
from tests.browser.blank import draw, sent

pytestmark = pytest.mark.browser

JOINED = {
    "state": "in network", "members": 3, "private": False, "network": "00000000", "joining": "", "left": 0,
    "timeout": 0, "steps": [], "outcome": "",
}  # fmt: skip


def test_double_click_and_held_key_do_not_answer_the_question_before_what_cannot_be_undone(page: Page) -> None:
    draw(page, JoinPanel, {"status": JOINED, "members": []})
    leave = page.get_by_role("button", name="Leave")
    leave.dblclick()
    asks = page.get_by_role("button", name="Really leave?")
    expect(asks).to_be_focused()
    expect(asks).to_have_attribute("aria-live", "polite")
    page.get_by_role("button", name="Show the invite").focus()
    expect(leave).to_be_visible()
    leave.focus()
    page.keyboard.down("Enter")
    page.keyboard.down("Enter")  # it is held
    page.keyboard.up("Enter")
    expect(asks).to_be_visible()
    assert sent(page, "leave") == []
    page.keyboard.press("Enter")
    assert len(sent(page, "leave")) == 1


def test_request_that_is_never_answered_is_not_asked_after_for_ever(page: Page) -> None:
    page.clock.install()
    draw(page, JoinPanel, {"status": JOINED, "members": []})
    page.get_by_role("button", name="Show the invite").click()
    page.clock.run_for(60_000)
    asked = len(sent(page, "ping"))
    assert asked > 0
    page.evaluate("say({ kind: 'pong' })")
    page.clock.run_for(100_000)
    page.evaluate("say({ kind: 'pong' }); window.sent.length = 0")
    page.clock.run_for(120_000)
    assert sent(page, "ping") == []
