"""When a view asks its kernel whether it is there: the shipped front end on a page of its own, its kernel is ours."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page

from dfs_sdk.ui.assets import script

pytestmark = pytest.mark.browser

CODE = script("header.js")
DRAW = """async ([code, status]) => {
    window.listeners = [];
    window.sent = [];
    window.says = (parent, state) => listeners.forEach((hear) => hear(null, { direction: "recv", msg: {
        header: { msg_type: "status" }, parent_header: { msg_type: parent }, content: { execution_state: state } } }));
    const kernel = {
        status, connectionStatus: "connected",
        anyMessage: { connect: (hear) => listeners.push(hear), disconnect() {} },
        statusChanged: { connect() {}, disconnect() {} },
    };
    const node = { name: "n", id: "", state: "", health: "", address: "", stored: "", offered: "", lag: "" };
    const traits = { problems: [], node };
    const send = (content) => sent.push(content.kind);
    const model = { get: (name) => traits[name], on() {}, off() {}, send, widget_manager: { kernel } };
    const { default: make } = await import(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
    const module = make();
    module.initialize({ model });
    const host = document.body.appendChild(document.createElement("div"));
    module.render({ model, el: host });
}"""


def draw(page: Page, status: str) -> None:
    """Draw one view whose kernel is `status` at that moment."""
    page.clock.install()
    page.goto("about:blank")
    page.evaluate(DRAW, [CODE, status])


def pings(page: Page, seconds: int) -> int:
    """How often the view asks during that many seconds."""
    page.evaluate("window.sent = []")
    page.clock.run_for(seconds * 1000)
    sent = json.loads(page.evaluate("JSON.stringify(window.sent)"))
    assert set(sent) <= {"ping", "hello"}
    return sent.count("ping")


def test_view_drawn_beside_an_idle_kernel_asks_nothing(page: Page):
    draw(page, "idle")
    assert pings(page, 60) == 0


def test_view_drawn_while_a_widget_is_served_asks_nothing_afterwards(page: Page):
    draw(page, "busy")
    page.evaluate("says('comm_msg', 'idle')")
    assert pings(page, 60) == 0


@pytest.mark.parametrize("seen", [False, True], ids=["begun before the view", "begun after the view"])
def test_view_asks_while_a_cell_runs_and_falls_silent_after_it(page: Page, seen: bool):
    draw(page, "idle" if seen else "busy")
    if seen:
        page.evaluate("says('execute_request', 'busy')")
        page.evaluate("says('comm_msg', 'idle')")
    assert pings(page, 10) > 0
    page.evaluate("says('execute_request', 'idle')")
    assert pings(page, 60) == 0


def test_kernel_that_the_page_does_not_know_is_asked_now_and_then(page: Page):
    page.clock.install()
    page.goto("about:blank")
    page.evaluate(DRAW.replace("widget_manager: { kernel }", ""), [CODE, "idle"])
    assert 1 <= pings(page, 60) <= 4
