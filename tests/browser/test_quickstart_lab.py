"""A user's first hour: a real node in a real JupyterLab, its peers in another process, all through the panels."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser import far_peers
from tests.browser.lab import ROOT, Lab, Notebook, tab, watch

pytestmark = pytest.mark.browser

SIZE = 12 * 2**20 + 12_345
TITLES = ("Network", "Files", "Chunks", "Chat")
CELLS = (
    """from dfs_sdk import Node
node = await Node("ada", store="memory", listen="127.0.0.1:0").start()
node.dashboard()""",
    "node.chunks().head()",
    "await node.close()",
)


@pytest.fixture
def far_address() -> Iterator[str]:
    """The address of a member in another process."""
    command = [sys.executable, far_peers.__file__]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, text=True, **pipes) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate(timeout=30)


def join(page: Page, address: str) -> None:
    page.get_by_label("Address or invite").fill(address)
    page.keyboard.press("Enter")
    expect(page.locator(".dfs-join [role=status]").first).to_contain_text("Joined through", timeout=30_000)
    expect(page.locator(".dfs-peers tbody tr")).to_have_count(3, timeout=30_000)
    expect(page.locator(".dfs-peers tbody")).to_contain_text("<b>cyd</b>")


def upload_and_download(page: Page, content: bytes, path: Path) -> None:
    tab(page, "Files")
    path.write_bytes(content)
    page.locator(".dfs-upload").set_input_files(path)
    expect(page.locator(".dfs-files tbody tr")).to_have_count(1, timeout=60_000)
    expect(page.locator(".dfs-move").first).to_contain_text("is in the network", timeout=60_000)
    with page.expect_download(timeout=60_000) as download:
        page.locator(".dfs-files").get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == path.name
    assert Path(download.value.path()).read_bytes() == content


def see_chunks(page: Page) -> None:
    tab(page, "Chunks")
    expect(page.locator(".dfs-map-grid[data-holders='3']")).to_be_visible(timeout=30_000)
    page.wait_for_function("() => Number(document.querySelector('.dfs-map-grid').dataset.rows) >= 8")
    page.locator(".dfs-map-grid").focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator(".dfs-about")).to_contain_text("chunk 0")


def chat(page: Page) -> None:
    tab(page, "Chat")
    page.get_by_role("textbox", name="Message").fill("ping")
    page.keyboard.press("Enter")
    expect(page.locator(".dfs-delivered").first).to_contain_text("delivered", timeout=30_000)
    expect(page.locator(".dfs-message-text")).to_have_count(2, timeout=30_000)
    expect(page.locator(".dfs-message-text").nth(1)).to_contain_text("<script>window.pwned=1</script>")
    assert page.evaluate("window.pwned") is None
    assert page.locator(".dfs-panel img, .dfs-panel script, .dfs-panel mjx-container").count() == 0


def take_pictures(notebook: Notebook, page: Page, folder: Path) -> None:
    for theme in ("Light", "Dark"):
        notebook.theme(f"JupyterLab {theme}")
        for title in TITLES:
            tab(page, title)
            page.locator(".dfs-dashboard").screenshot(path=folder / f"{title.lower()}-{theme.lower()}.png")


def assert_no_secret_is_saved(notebook: Notebook, page: Page) -> None:
    tab(page, "Files")
    page.get_by_role("button", name="More", exact=True).click()
    page.get_by_role("button", name="Show link", exact=True).click()
    shown = page.locator(".dfs-files .dfs-secret")
    expect(shown).to_have_value(re.compile("^dfs:"))
    link = shown.input_value()
    saved = notebook.save()
    text = str(saved)
    assert "widgets" in saved["metadata"], "the widgets' state was to be saved: else this proves nothing"
    assert "12 MiB" in text
    assert link[12:40] not in text


def test_quickstart(lab: Lab, page: Page, far_address: str, tmp_path: Path, artefacts: Path):
    errors, strangers = watch(page)
    lab.write_notebook("quickstart", CELLS)
    notebook = lab.open(page, "quickstart")
    notebook.run(0)
    join(page, far_address)
    upload_and_download(page, random.Random(7).randbytes(SIZE), tmp_path / "measurements.bin")
    see_chunks(page)
    page.screenshot(path=artefacts / "quickstart.png", clip={"x": 0, "y": 0, "width": 1400, "height": 1000})
    chat(page)
    assert "<table" in notebook.run(1).inner_html()
    assert_no_secret_is_saved(notebook, page)
    take_pictures(notebook, page, artefacts)
    notebook.run(2)
    expect(page.locator(".dfs-header .dfs-chip")).to_have_text("closed")
    assert errors == []
    assert strangers == []
