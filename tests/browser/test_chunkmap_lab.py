"""The chunk map in a real page: the reason of a copy, a repair as it happens, 100,000 cells."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab import Lab, Notebook, watch

pytestmark = pytest.mark.browser

START = """
from dataclasses import replace
from tests.fakes.node import FakeNode
from tests.fakes.rows import *
from dfs_sdk.ui import PlacementPanel

def copies(chunks, holders):
    return tuple(chunk_row(chunk, (chunk + copy * 7) % holders, chunk_id=hex_id(chunk + 5))
                 for chunk in range(chunks) for copy in range(3))

node = await FakeNode(full_snapshot(chunks=copies({chunks}, {holders}))).start()
panel = PlacementPanel(node)
panel
"""
LOSE = """
lost = tuple(replace(row, state="away") if row.holder == "node-3" else row for row in node.rows.chunks)
node.change(chunks=lost)
"""
REPAIR = """
new = [replace(row, holder="node-9", holder_id=peer_id(9), role="surplus", state="alive", why="stands in for node-3")
       for row in lost if row.holder == "node-3"]
node.change(chunks=(*lost, *new))
"""
RENAME = """
renamed = [replace(row, holder=f"a laptop of somebody in our lab, {row.holder}") for row in node.rows.chunks]
node.change(chunks=tuple(renamed))
"""
DRAWN = """
window.drawn = new Set();
const draw = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, ...place) {
    window.drawn.add(text);
    return draw.call(this, text, ...place);
};
"""
PIXELS = """() => {
    const canvas = document.querySelector(".dfs-map");
    const data = new Uint32Array(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer);
    const kinds = new Map();
    for (const pixel of data) if (pixel) kinds.set(pixel, (kinds.get(pixel) || 0) + 1);
    const of = (red, green, blue) => kinds.get(((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0) || 0;
    return { primary: of(0x00, 0x72, 0xb2), surplus: of(0xe6, 0x9f, 0x00) };
}"""
FRAMES = """async () => {
    const pane = document.querySelector(".dfs-map-grid");
    const times = [];
    for (let step = 1; step <= 60; step += 1) {
        pane.scrollTop = (step / 60) * pane.scrollHeight;
        const before = performance.now();
        await new Promise(requestAnimationFrame);
        times.push(performance.now() - before);
    }
    return times.sort((a, b) => a - b)[57];
}"""


def open_map(lab: Lab, page: Page, name: str, *cells: str, chunks: int = 40, holders: int = 10) -> Notebook:
    lab.write_notebook(name, [START.format(chunks=chunks, holders=holders), *cells])
    notebook = lab.open(page, name)
    notebook.run(0)
    expect(page.locator(f".dfs-map-grid[data-rows='{chunks}'][data-holders='{holders}']")).to_be_visible()
    return notebook


def test_map_says_why_and_shows_the_repair(lab: Lab, page: Page):
    errors, _ = watch(page)
    notebook = open_map(lab, page, "repair", LOSE, REPAIR)
    pane, about = page.locator(".dfs-map-grid"), page.locator(".dfs-about")
    pane.focus()
    expect(about).to_contain_text("data.bin, chunk 0 (1 MiB) on node-0 (a0a0a0a0, alive): primary, rank 1 of cell 17")
    page.keyboard.press("ArrowRight")
    expect(about).to_contain_text("no copy")
    page.wait_for_function(f"() => ({PIXELS})().primary > 0")
    whole = page.evaluate(PIXELS)
    assert whole["surplus"] == 0
    notebook.run(1)
    expect(page.locator(".dfs-summary")).to_contain_text("12 have fewer copies than wanted")
    expect(page.locator(".dfs-summary")).to_contain_text("Not answering: node-3 (away).")
    page.wait_for_function(f"() => ({PIXELS})().primary < {whole['primary']}")
    notebook.run(2)
    expect(page.locator(".dfs-summary")).to_contain_text("Each has the copies wanted")
    page.wait_for_function(f"() => ({PIXELS})().surplus > 0")
    pane.focus()
    for key in ("Home", "PageDown", "PageUp", "Home", *["ArrowRight"] * 9, *["ArrowDown"] * 3):
        page.keyboard.press(key)
    expect(about).to_contain_text("chunk 3 (1 MiB) on node-9")
    expect(about).to_contain_text("surplus, stands in for node-3")
    page.get_by_role("button", name="Show as table").click()
    row = page.get_by_role("region", name="table of chunks and holders").locator("tbody tr").nth(3)
    expect(row).to_contain_text("node-3 (away): primary")
    expect(row).to_contain_text("node-9: surplus")
    assert errors == []


def test_names_that_begin_alike_are_told_apart_by_their_ends(lab: Lab, page: Page):
    page.add_init_script(DRAWN)
    notebook = open_map(lab, page, "alike", RENAME, chunks=10)
    notebook.run(1)
    for place in range(10):
        page.wait_for_function(
            "(end) => [...window.drawn].some((text) => text.startsWith('a lap') && text.endsWith(end))",
            arg=f"-{place}",
        )


def test_map_of_a_hundred_thousand_cells_scrolls(lab: Lab, page: Page):
    errors, _ = watch(page)
    open_map(lab, page, "large-map", chunks=5_000, holders=20)
    page.evaluate(FRAMES)
    edge = page.evaluate("document.querySelector('.dfs-map-sizer').clientWidth") - 60
    page.locator(".dfs-map-grid").hover(position={"x": edge - 9, "y": 110})
    expect(page.locator(".dfs-about")).to_contain_text("on node-9 (")  # low rows, and columns as wide as a name needs
    page.locator(".dfs-map-grid").focus()
    page.keyboard.press("End")
    expect(page.locator(".dfs-about")).to_contain_text("chunk 4999")
    page.get_by_role("button", name="+", exact=True).click()
    page.get_by_role("button", name="+", exact=True).click()
    page.wait_for_function(f"() => ({PIXELS})().primary > 0")
    page.locator(".dfs-placement").get_by_role("combobox").select_option(index=1)
    expect(page.locator(".dfs-summary")).to_contain_text("5,000 chunks on 20 holders")
    assert errors == []
