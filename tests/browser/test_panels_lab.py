"""The panels in a real JupyterLab in a real Chromium, on a node that needs no network."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab import Lab, Notebook, tab, wait_until, watch

pytestmark = pytest.mark.browser

SIZE = 12 * 2**20 + 12_345

START = """
from pathlib import Path
from tests.fakes.node import FakeNode
from dfs_sdk.ui import Dashboard
node = await FakeNode().start()
dashboard = Dashboard(node)
dashboard
"""
REMEMBER = """
import hashlib
Path("evidence.txt").write_text("\\n".join(hashlib.sha256(each).hexdigest() for each in node.contents.values()))
"""

LEFT = """
from ipywidgets.widgets import widget as registry
Path("left.txt").write_text(repr([type(each).__name__ for each in registry._instances.values()]))
"""
TALK = """
from tests.fakes.rows import NOW, message_row
import dfs_sdk.ui.chat as chat
file = await node.put(b"shared bytes", name="shared.txt")
chat.Link = type("ReadsAnyLink", (), {"parse": staticmethod(lambda text: file.link)})
node.chat.archive = tuple(message_row(f"old {n}", sent_at_wall=NOW - 1000 + n) for n in range(80))
links = [""] * 50 + [str(file.link)]
node.change(messages=tuple(message_row(f"new {n}", sent_at_wall=NOW + n, link=link) for n, link in enumerate(links)))
"""


def open_dashboard(lab: Lab, page: Page, name: str, *cells: str) -> Notebook:
    lab.write_notebook(name, [START, *cells])
    notebook = lab.open(page, name)
    notebook.run(0)
    expect(page.locator(".dfs-header .dfs-title")).to_have_text("node-0")
    return notebook


def test_story_of_the_dashboard(lab: Lab, page: Page, tmp_path: Path, artefacts: Path):
    errors, strangers = watch(page)
    notebook = open_dashboard(lab, page, "panels", REMEMBER)

    page.get_by_label("Address or invite").fill("127.0.0.1:4001")
    page.keyboard.press("Enter")
    expect(page.locator(".dfs-join [role=status]").first).to_contain_text("Joined through node-1")
    expect(page.locator(".dfs-peers tbody tr")).to_have_count(3)

    tab(page, "Files")
    content = random.Random(1).randbytes(SIZE)
    (tmp_path / "big.bin").write_bytes(content)
    page.locator(".dfs-upload").set_input_files(tmp_path / "big.bin")
    expect(page.locator(".dfs-files tbody tr")).to_have_count(1, timeout=60_000)
    notebook.run(1)
    wait_until((lab.folder / "evidence.txt").exists, "no evidence")
    assert (lab.folder / "evidence.txt").read_text() == hashlib.sha256(content).hexdigest()

    with page.expect_download(timeout=60_000) as download:
        page.locator(".dfs-files").get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "big.bin"
    assert Path(download.value.path()).read_bytes() == content
    page.screenshot(path=artefacts / "fake-files.png")

    tab(page, "Chunks")
    expect(page.locator(".dfs-map-grid[data-rows='14'][data-holders='3']")).to_be_visible()
    page.locator(".dfs-map-grid").focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator(".dfs-about")).to_contain_text("rank 1 of cell 17")
    page.screenshot(path=artefacts / "fake-chunks.png")

    tab(page, "Chat")
    page.get_by_role("textbox", name="Message").fill("<img src=x onerror='window.pwned=1'> hello")
    page.keyboard.press("Enter")
    expect(page.locator(".dfs-message-text")).to_have_text("<img src=x onerror='window.pwned=1'> hello")
    expect(page.locator(".dfs-delivered")).to_contain_text("delivered to 2")
    page.screenshot(path=artefacts / "fake-chat.png")
    assert page.evaluate("window.pwned") is None
    assert page.locator(".dfs-panel img").count() == 0

    tab(page, "Network")
    page.screenshot(path=artefacts / "fake-network.png")
    notebook.theme("JupyterLab Dark")
    for title in ("Network", "Files", "Chunks", "Chat"):
        tab(page, title)
        page.screenshot(path=artefacts / f"fake-{title.lower()}-dark.png")
    assert errors == []
    assert strangers == []


def test_two_views_turn_their_pages_apart_and_closing_takes_both_away(lab: Lab, page: Page):
    errors, _ = watch(page)
    notebook = open_dashboard(lab, page, "views", "dashboard", "dashboard.close()", LEFT)
    notebook.run(1)
    expect(page.locator(".dfs-header")).to_have_count(2)
    first, second = page.locator(".dfs-dashboard").nth(0), page.locator(".dfs-dashboard").nth(1)
    second.get_by_role("tab", name="Chat").click()
    expect(second.get_by_role("textbox", name="Message")).to_be_visible()
    expect(first.get_by_role("textbox", name="Message")).to_be_hidden()
    expect(first.get_by_role("tabpanel", name="Network")).to_be_visible()
    second.get_by_role("textbox", name="Message").fill("seen in both")
    second.get_by_role("textbox", name="Message").press("Enter")
    expect(second.locator(".dfs-message-text")).to_have_text("seen in both")
    first.get_by_role("tab", name="Chat").click()
    expect(first.locator(".dfs-message-text")).to_have_text("seen in both")
    notebook.run(2)
    expect(page.locator(".dfs-header")).to_have_count(0)
    notebook.run(3)
    assert (lab.folder / "left.txt").read_text() == "[]"
    assert errors == []


def test_chat_pages_back_and_a_file_of_a_message_comes_to_the_browser(lab: Lab, page: Page):
    errors, strangers = watch(page)
    notebook = open_dashboard(lab, page, "history", TALK)
    notebook.run(1)
    tab(page, "Chat")
    log = page.get_by_role("log")
    expect(log.locator(".dfs-message-text").last).to_be_in_viewport()
    expect(log.locator(".dfs-message-text")).to_have_count(50)
    # A pointer would scroll there first, which shows earlier messages by itself and takes the button from under it.
    page.get_by_role("button", name="Earlier messages").dispatch_event("click")
    expect(log.locator(".dfs-message-text").nth(99)).to_be_attached()
    log.evaluate("(node) => node.scrollTo(0, 0)")
    expect(log.locator(".dfs-message-text")).to_have_count(131)
    expect(page.get_by_role("button", name="Earlier messages")).to_be_hidden()
    expect(log.locator(".dfs-message-text").first).to_have_text("old 0")
    page.get_by_role("button", name="Get the file").click()
    expect(log).to_contain_text("on the kernel's disk")
    with page.expect_download() as download:
        log.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "shared.txt"
    assert Path(download.value.path()).read_bytes() == b"shared bytes"
    assert errors == []
    assert strangers == []
