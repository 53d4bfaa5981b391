"""What a panel says and takes from somebody who hears it, works it by keys, or clicks twice."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from dfs_sdk.ui import ChatPanel, JoinPanel
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


def said(number: int, *, room: str = "", mine: bool = False, delivered: int = 0) -> dict[str, Any]:
    return {
        "key": f"{room}{number}", "room": room, "sender": "grace", "sender_id": "a1", "text": f"message {number}",
        "at": 1.75e9 + number, "delivered": delivered, "mine": mine, "file": False, "ref": "",
    }  # fmt: skip


def test_chat_is_heard_as_it_goes_on_and_not_when_a_conversation_is_turned_to(page: Page) -> None:
    rooms = [
        {"id": room, "label": room or "Everybody", "state": "alive", "about": "", "unread": 0, "writable": True}
        for room in ("", "grace")
    ]
    before = [*(said(number) for number in range(5)), *(said(number, room="grace") for number in range(5))]
    draw(page, ChatPanel, {"rooms": rooms, "messages": before, "panel_id": "p"})
    voice = page.locator(".dfs-chat-main > .dfs-hidden")
    expect(page.get_by_role("log")).to_have_attribute("aria-live", "off")
    expect(voice).to_have_text("")

    now = [*before, said(5), said(6, mine=True), said(7, room="grace")]
    page.evaluate("(messages) => set('messages', messages)", now)
    expect(voice).to_have_text("grace: message 5")
    page.evaluate("(messages) => set('messages', messages)", [*now[:-2], said(6, mine=True, delivered=2), now[-1]])
    expect(page.get_by_text("delivered")).to_be_visible()
    page.get_by_role("tab", name="grace").click()
    expect(page.get_by_text("message 7")).to_be_visible()
    expect(voice).to_have_text("grace: message 5")
    page.evaluate("(messages) => set('messages', messages)", [*now, said(8, room="grace"), said(9, room="grace")])
    expect(voice).to_have_text("grace: message 8 grace: message 9")
