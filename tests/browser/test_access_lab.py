"""The panels for everybody: names for all controls, contrast in both themes, and clicks while the kernel is busy."""

from __future__ import annotations

import time
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab import Lab, tab, watch

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
SECONDS_BLOCKED = 8
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


def test_panel_answers_while_a_cell_blocks_the_kernel(lab: Lab, page: Page):
    errors, _ = watch(page)
    lab.write_notebook("blocked", [START.format(home="thread"), f"import time; time.sleep({SECONDS_BLOCKED})"])
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
    begin = time.monotonic()
    notebook.begin(1)
    page.get_by_role("button", name="Show the invite").click()
    expect(secret).to_be_visible()
    expect(secret).to_have_value("dfs-join:CANARYcanaryCANARYcanary0123456789")
    assert time.monotonic() - begin < SECONDS_BLOCKED, "the answer came only after the cell"
    assert errors == []
