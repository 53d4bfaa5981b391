"""The files panel as its users meet it: a long list, its order, one file and all that can be done with it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab import Lab, Notebook, watch

pytestmark = pytest.mark.browser

START = """
from tests.fakes.node import FakeNode, FakeLink
from tests.fakes.rows import *
from dfs_sdk.ids import ChunkId
from dfs_sdk.ui import FilesPanel
files = tuple(file_row(f"measurement-{n:05}.parquet", file_id=f"{n:016x}", size=n * 1000,
                       origin="put" if n % 2 else "shared by ben") for n in range(10_000))
node = await FakeNode(full_snapshot(files=files)).start()
node.links = {row.file_id: FakeLink(ChunkId.from_hex(row.file_id * 4)) for row in files}
panel = FilesPanel(node)
panel
"""
CHANGE = """
from dataclasses import replace
worse = {"health": "repairing", "copies_min": 2}
node.change(files=tuple(replace(row, **worse) if row.size == 17_000 else row for row in files))
"""
SCROLL = """async () => {
    const pane = document.querySelector(".dfs-window");
    const times = [];
    let before = performance.now();
    for (let step = 1; step <= 120; step += 1) {
        pane.scrollTop = (step / 120) * pane.scrollHeight;
        await new Promise(requestAnimationFrame);
        times.push(performance.now() - before);
        before = performance.now();
    }
    times.sort((a, b) => a - b);
    return [times[60], times[117]];
}"""


def open_list(lab: Lab, page: Page, name: str, *cells: str) -> Notebook:
    lab.write_notebook(name, [START, *cells])
    notebook = lab.open(page, name)
    notebook.run(0)
    expect(page.locator(".dfs-list tbody tr").first).to_contain_text("measurement-00000")
    return notebook


def test_list_of_ten_thousand_shows_sorts_and_finds(lab: Lab, page: Page):
    errors, _ = watch(page)
    notebook = open_list(lab, page, "long-list", CHANGE)
    rows = page.locator(".dfs-list tbody tr")
    assert rows.count() < 30
    expect(page.get_by_text("10,000 files")).to_be_visible()
    page.evaluate(SCROLL)
    expect(rows.last).to_contain_text("measurement-09999")
    page.get_by_role("button", name="size").click()
    page.get_by_role("button", name="size").click()
    expect(rows.first).to_contain_text("measurement-09999")
    page.get_by_role("searchbox", name="Search files").fill("t-01234 put")
    expect(page.get_by_text("No file matches the search.")).to_be_visible()
    page.get_by_role("searchbox", name="Search files").fill("t-0123 BEN")
    expect(page.get_by_text("5 of 10,000 files")).to_be_visible()
    expect(rows).to_have_count(5)
    page.get_by_role("searchbox", name="Search files").fill("t-00017")
    notebook.run(1)
    expect(rows.first).to_contain_text("2 of 3")
    expect(rows.first.locator("[data-health=repairing]")).to_be_visible()
    assert errors == []


def test_one_file_by_keyboard_its_link_only_when_asked_and_removal_with_a_question(lab: Lab, page: Page):
    errors, _ = watch(page)
    notebook = open_list(lab, page, "one-file")
    page.get_by_role("grid").focus()
    for key in ("ArrowDown", "ArrowDown", "PageDown", "PageUp", "End", "Home", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    sheet = page.get_by_role("region", name="About the file")
    expect(sheet.get_by_role("heading")).to_have_text("measurement-00001.parquet")
    assert "CANARY" not in page.content()
    sheet.get_by_role("button", name="Show link").click()
    expect(sheet.locator(".dfs-secret")).to_have_value(re.compile("^dfs:CANARY"))
    assert "CANARY" not in str(notebook.save())
    sheet.get_by_role("button", name="Pin").click()
    expect(sheet.get_by_role("button", name="Unpin")).to_be_visible()
    sheet.get_by_label("Member to share with").select_option(index=1)
    sheet.get_by_role("button", name="Share", exact=True).click()
    expect(page.get_by_text("Shared measurement-00001.parquet with node-")).to_be_visible()
    sheet.get_by_role("button", name="Remove").click()
    expect(sheet).to_be_visible()
    sheet.get_by_role("button", name="Really remove").click()
    expect(sheet).to_be_hidden()
    expect(page.get_by_text("9,999 files")).to_be_visible()
    expect(page.locator(".dfs-problem")).to_have_count(0)
    assert errors == []
