"""Nothing that a peer can say runs, loads or hides anything in a notebook's page."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab import Lab, tab, watch
from tests.fakes.hostile import HOSTILE

pytestmark = pytest.mark.browser

# What a panel or card may be made of; anything else, an attribute that runs or an address, came from a text.
INTRUDERS = """() => {
    const tags = new Set(`SECTION DIV SPAN P BUTTON LABEL INPUT TEXTAREA SELECT OPTION PROGRESS CANVAS TABLE
        THEAD TBODY TR TH TD UL OL LI DL DT DD H3 H4 PRE CODE TIME DETAILS SUMMARY STYLE svg g circle line rect
        ellipse text title path polygon FORM METER B STRONG FIELDSET LEGEND`.split(/\\s+/));
    const found = [];
    for (const root of document.querySelectorAll(".dfs-panel, .dfs-card, .dataframe"))
        for (const node of root.querySelectorAll("*")) {
            if (!tags.has(node.tagName)) found.push(`<${node.tagName}>`);
            for (const { name } of node.attributes)
                if (/^(on|href|src|srcdoc|action|formaction|xlink)/i.test(name)) found.push(`${node.tagName} ${name}`);
        }
    return [...new Set(found)];
}"""
SEEN = """() => {
    const list = document.querySelector(".dfs-window");
    const seen = new Set();
    return (async () => {
        for (let top = 0; top <= list.scrollHeight; top += 300) {
            list.scrollTop = top;
            const names = () => [...list.querySelectorAll("tbody td:first-child")].map((cell) => cell.textContent);
            for (let turn = 0; turn < 80 && names().includes("…"); turn += 1)
                await new Promise((go) => setTimeout(go, 25));
            await new Promise(requestAnimationFrame);
            for (const row of list.querySelectorAll("tbody tr")) seen.add(row.getAttribute("aria-rowindex"));
        }
        return seen.size;
    })();
}"""
START = """
from dataclasses import replace
from tests.fakes.hostile import HOSTILE
from tests.fakes.node import FakeNode
from tests.fakes.rows import *
from dfs_sdk.ui import Dashboard
from dfs_sdk.views import frames, html
from IPython.display import HTML, display

rows = [snapshot_saying(text) for text in HOSTILE]
snapshot = empty_snapshot(
    name=HOSTILE[0], health=HOSTILE[1], address=HOSTILE[2], state="in network",
    chunks=tuple(replace(chunk_row(n, n, file=text, why=text), holder=text) for n, text in enumerate(HOSTILE)),
    peers=tuple(peer_row(name=text, address=text, node_id=f"{n:064x}") for n, text in enumerate(HOSTILE)),
    files=tuple(file_row(text, origin=text, size=3, file_id=f"{n:016x}") for n, text in enumerate(HOSTILE)),
    transfers=tuple(transfer_row(transfer_id=n, file=text, error=text) for n, text in enumerate(HOSTILE)),
    events=tuple(event_row(text=text) for text in HOSTILE),
    messages=tuple(message_row(text, sender=text, sent_at_wall=NOW + n) for n, text in enumerate(HOSTILE)),
)
node = await FakeNode(snapshot).start()
node.contents = {row.file_id: b"x" * row.size for row in snapshot.files}
node.links = dict.fromkeys(node.contents, "")
Dashboard(node)
"""
CARDS = """
facts = [(text, text) for text in HOSTILE]
for card in (html.node_card(snapshot), html.peer_card(snapshot.peers[0]), html.swarm_card(rows),
             html.file_card(snapshot.files[0], snapshot.chunks), html.facts_card(HOSTILE[0], facts, HOSTILE[1])):
    display(HTML(card))
"""
FRAMES = """
for table in frames.COLUMNS:
    display(getattr(frames, table)(snapshot))
"""
ERRORS = """
for text in HOSTILE:
    try:
        raise ValueError(text)
    except ValueError as error:
        panel.report(text, error)
"""


def look_at_files(page: Page, folder: Path) -> None:
    """Every row; all about one file; a download of each name that could lead elsewhere."""
    tab(page, "Files")
    expect(page.locator(".dfs-list-bar").get_by_text(f"{len(HOSTILE)} files")).to_be_visible()
    assert page.evaluate(SEEN) == len(HOSTILE)
    search = page.get_by_role("searchbox", name="Search files")
    for name in ("../../etc/passwd", "C:\\windows\\win.ini", ".bashrc", "-rf"):
        search.fill(name)
        row = page.locator(".dfs-list tbody tr", has=page.get_by_title(name, exact=True)).first
        row.click()
        expect(page.get_by_role("region", name="About the file").get_by_role("heading")).to_have_text(name)
        with page.expect_download() as download:
            row.get_by_role("button", name="Download").click()
        suggested = download.value.suggested_filename
        assert not set(suggested) & set("/\\:"), suggested
        assert suggested not in ("", ".", "..", ".bashrc"), suggested
    assert not any(folder.rglob("passwd"))


def look_at_chunks(page: Page) -> None:
    """Every copy lies on the diagonal of the map."""
    tab(page, "Chunks")
    expect(page.locator(f".dfs-map-grid[data-rows='{len(HOSTILE)}'][data-holders='{len(HOSTILE)}']")).to_be_visible()
    page.locator(".dfs-map-grid").focus()
    for key in ["End", "Home", *["ArrowDown", "ArrowRight"] * 8]:
        page.keyboard.press(key)
    page.get_by_role("button", name="Show as table").click()
    for _ in range(len(HOSTILE) // 50):
        page.get_by_role("button", name="Next", exact=True).click()


def test_hostile_corpus_stays_text(lab: Lab, page: Page, artefacts: Path):
    assert len(HOSTILE) >= 400
    errors, strangers = watch(page)
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    panels = "from dfs_sdk.ui import JoinPanel\npanel = JoinPanel(node)\npanel"
    lab.write_notebook("safety", [START, CARDS, FRAMES, panels, ERRORS])
    notebook = lab.open(page, "safety")
    for cell in range(5):
        notebook.run(cell)
    look_at_files(page, lab.folder)
    look_at_chunks(page)
    page.screenshot(path=artefacts / "hostile-chunks.png")
    for title in ("Peers", "Chat", "Network"):
        tab(page, title)
        expect(page.locator(".dfs-dashboard .dfs-panel:visible").nth(2)).not_to_be_empty()
    expect(page.locator(".dfs-problem")).to_have_count(5)
    for place in (".dfs-panel", ".dfs-card", ".dataframe"):
        assert page.locator(place).count() > 0
    assert page.evaluate(INTRUDERS) == []
    assert page.locator("mjx-container").count() == 0
    assert page.evaluate("window.pwned") is None
    assert dialogs == []
    assert strangers == []
    assert errors == []
