"""What a panel says and takes from somebody who hears it, works it by keys, or clicks twice."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from dfs_sdk.ui import ChatPanel, FilesPanel, JoinPanel, PeersPanel
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
    page.evaluate("(messages) => set('messages', messages)", [*now, *(said(n, room="grace") for n in range(8, 20))])
    expect(voice).to_have_text("10 messages")


def test_files_are_sorted_by_keys_both_ways_at_any_width(page: Page) -> None:
    draw(page, FilesPanel, {"files_total": 1, "notice": "", "transfers": [], "panel_id": "p"})
    page.wait_for_function("window.sent.some((each) => each.kind === 'look')")
    row = {
        "id": "f1", "name": "a.bin", "size": "1 B", "chunks": 1, "copies": "", "held": 3, "wanted": 3,
        "health": "healthy", "origin": "", "at": 0, "pinned": False, "mine": True,
    }  # fmt: skip
    view = sent(page, "look")[-1]["view"]
    page.evaluate(
        "(content) => say(content)",
        {"kind": "rows", "view": view, "first": 0, "rows": [row], "matching": 1, "total": 1},
    )

    grid, size = page.get_by_role("grid"), page.get_by_role("button", name="size")
    page.get_by_role("searchbox").focus()
    for _ in ("grid", "file", "size"):
        page.keyboard.press("Tab")
    expect(size).to_be_focused()
    for sort, descending in (("ascending", 0), ("descending", 1)):
        size.press("Enter")
        expect(page.get_by_role("columnheader", name="size")).to_have_attribute("aria-sort", sort)
        page.wait_for_function(f"window.sent.at(-1).sort === 'size' && window.sent.at(-1).descending === {descending}")
    expect(size).to_have_css("outline-style", "solid")

    page.set_viewport_size({"width": 600, "height": 800})
    page.get_by_label("Sort by").select_option("age")
    page.get_by_role("button", name="Reverse").press("Enter")
    page.wait_for_function("window.sent.at(-1).sort === 'age' && window.sent.at(-1).descending === 1")

    grid.focus()
    expect(grid).to_have_attribute("aria-activedescendant", re.compile("."))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="a.bin")).to_be_focused()


def test_details_of_an_error_say_whether_they_are_unfolded(page: Page) -> None:
    draw(page, JoinPanel, {"status": JOINED, "members": []})
    page.evaluate("set('problems', [{ number: 1, what: 'join the network', text: 'nobody answers' }])")
    details = page.get_by_role("button", name="Details")
    for expanded in ("false", "true", "false"):
        expect(details).to_have_attribute("aria-expanded", expanded)
        details.click()
    assert [each["number"] for each in sent(page, "traceback")] == [1, 1], "asked for each time it is unfolded"


def test_names_of_peers_stay_readable_where_there_is_little_room(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 800})
    member = {
        "id": "00", "short": "00000000", "name": "ada-at-home", "state": "alive", "about": "", "load": "",
        "address": "192.0.2.7:4000", "rtt": "≤ 20 ms", "up_since": 0, "stored": "3 MiB", "offered": "9 GiB", "fill": 0,
    }  # fmt: skip
    draw(page, PeersPanel, {"members": [member], "members_total": 1, "summary": "1 peer"})
    name = page.get_by_role("cell", name="ada-at-home")
    assert name.evaluate("(cell) => cell.clientHeight") < 70, "a name is broken letter by letter"
