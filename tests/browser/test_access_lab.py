"""The panels for everybody: names for all controls, contrast in both themes, and clicks while the kernel is busy."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab import BLOCK, Lab, tab, watch

pytestmark = pytest.mark.browser

TITLES = ("Files", "Chunks", "Peers", "Chat", "Network")
START = """
from tests.fakes.node import FakeNode
from tests.fakes.rows import full_snapshot
from dfs_sdk.ui import Dashboard
node = await FakeNode(full_snapshot(lag=3.0), home={home!r}).start()
dashboard = Dashboard(node)
try:
    raise ValueError("an example")
except ValueError as error:
    dashboard.join.report("show a problem", error)
dashboard
"""
# What Tab should stop at in this page of the dashboard: everything that takes clicks or keys and is not one of a group
# along which the arrow keys go.
STOPS = """() => [...document.querySelectorAll(
        ".dfs-dashboard :is(button, input, select, textarea, summary, a[href], [tabindex])")]
    .filter((node) => node.tabIndex >= 0 && !node.disabled && node.checkVisibility({ visibilityProperty: true }))
    .map((node, place) => (node.dataset.stop = String(place), node.outerHTML.slice(0, 120)))"""
FOCUSED = """() => {
    const node = document.activeElement;
    const ringed = (each) => {
        const style = each && getComputedStyle(each);
        return Boolean(style) && style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1;
    };
    const sign = node.querySelector(".dfs-net-sign"); // a picture has no outline: its line becomes thick
    return {
        stop: node.dataset.stop ?? null, html: node.outerHTML.slice(0, 120),
        inside: Boolean(node.closest(".dfs-dashboard")),
        seen: [node, node.closest("label"), node.querySelector(".dfs-active")].some(ringed)
            || Boolean(sign) && parseFloat(getComputedStyle(sign).strokeWidth) >= 3,
    };
}"""
SUBSHELLS_STARTED = """() => {
    const comms = [...window.jupyterapp.shell.currentWidget.sessionContext.session.kernel._comms.values()];
    return comms.length > 0 && comms.every((comm) => comm.subshellId);
}"""


def findings(page: Page) -> list[str]:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python")
    result: dict[str, Any] = axe.Axe().run(page, context=".dfs-dashboard").response
    return [
        f"{each['id']}: {node['html'][:200]} {node['failureSummary']}"
        for each in result["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_no_serious_finding_of_axe(lab: Lab, page: Page, theme: str):
    name = f"access-{theme[-4:]}"
    lab.write_notebook(name, [START.format(home="loop")])
    notebook = lab.open(page, name)
    notebook.run(0)
    notebook.theme(theme)
    for title in TITLES:
        tab(page, title)
        assert findings(page) == [], title


def test_keyboard_reaches_and_works_every_page(lab: Lab, page: Page):
    lab.write_notebook("keyboard", [START.format(home="loop")])
    lab.open(page, "keyboard").run(0)
    files = page.get_by_role("tab", name="Files")
    expect(files).to_have_attribute("aria-selected", "true")
    files.press("End")
    expect(page.get_by_role("tab", name="Network")).to_be_focused()
    expect(page.get_by_role("tabpanel", name="Network")).to_be_visible()
    page.get_by_text("Join through another member").press("Enter")
    page.get_by_label("Address or invite").focus()
    page.keyboard.type("nowhere:1")
    page.keyboard.press("Enter")
    expect(page.locator(".dfs-problem")).to_have_count(2)
    page.locator(".dfs-problem").nth(1).get_by_role("button", name="Details").press("Enter")
    expect(page.locator(".dfs-trace").nth(1)).to_contain_text("JoinTimeoutError")
    page.locator(".dfs-problem").nth(1).get_by_role("button", name="Dismiss").press("Enter")
    expect(page.locator(".dfs-problem")).to_have_count(1)
    tab(page, "Chat")
    page.get_by_role("tab", name="Everybody").press("ArrowDown")
    expect(page.get_by_role("tab", name="node-1")).to_have_attribute("aria-selected", "true")


def test_tab_stops_at_every_control_in_order_and_goes_on(lab: Lab, page: Page):
    lab.write_notebook("walk", [START.format(home="loop")])
    lab.open(page, "walk").run(0)
    expect(page.locator(".dfs-files tbody tr")).to_have_count(2)
    for title in TITLES:
        tab(page, title)
        page.get_by_role("tab", name=title).focus()
        stops = page.evaluate(STOPS)
        first = page.evaluate(FOCUSED)
        order = [int(first["stop"])]
        while True:
            page.keyboard.press("Tab")
            focused = page.evaluate(FOCUSED)
            if not focused["inside"]:
                break  # it is no trap
            assert focused["seen"], f"{title}: no focus to be seen on {focused['html']}"
            assert focused["stop"], f"{title}: {focused['html']} came while Tab went on"
            order.append(int(focused["stop"]))
            assert len(order) <= len(stops), f"{title}: Tab goes round in the panel"
        assert order == list(range(order[0], len(stops))), (
            f"{title}: {[stops[n] for n in set(range(order[0], len(stops))) - set(order)]}"
        )
        page.get_by_role("tab", name=title).focus()
        page.keyboard.press("Shift+Tab")
        assert page.evaluate(FOCUSED)["stop"] in (None, str(order[0] - 1)), title


def test_panel_answers_while_a_cell_blocks_the_kernel(lab: Lab, page: Page):
    errors, _ = watch(page)
    lab.write_notebook("blocked", [START.format(home="thread"), BLOCK, "pass"])
    notebook = lab.open(page, "blocked")
    notebook.run(0)
    if not page.evaluate(
        "() => Boolean(window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.supportsSubshells)"
    ):
        pytest.skip("this ipykernel has no subshells, so widgets wait for the cell: pip install 'ipykernel>=7'")
    page.wait_for_function(SUBSHELLS_STARTED)
    tab(page, "Network")
    page.get_by_role("button", name="Show the invite").click()
    secret = page.locator(".dfs-join .dfs-secret")
    expect(secret).to_be_visible()
    page.get_by_role("button", name="Hide").click()
    notebook.hold(1)
    page.get_by_role("button", name="Show the invite").click()
    expect(secret).to_be_visible()
    expect(secret).to_have_value("dfs-join:CANARYcanaryCANARYcanary0123456789")
    notebook.let_go()
    notebook.run(2)
    assert errors == []
