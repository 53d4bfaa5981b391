"""Files between browser and kernel when things go wrong: pieces are lost, the user stops, the file is too large."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.lab import Lab, Notebook, watch

pytestmark = pytest.mark.browser

START = """
from tests.fakes.node import FakeNode
from tests.fakes.rows import transfer_row
from dfs_sdk.ui import FilesPanel
node = await FakeNode().start()
panel = FilesPanel(node)
panel
"""
LOSE_PIECES = """
lost = {"up": 3, "down": 2}
take, tell = panel._actions["piece"][1], panel.tell

async def lossy_take(message):
    if lost["up"] and message.number("index", maximum=99) >= 2:
        lost["up"] -= 1
        return
    await take(message)

def lossy_tell(content, buffers=None):
    if lost["down"] and content["kind"] == "download-piece" and content["index"] >= 1:
        lost["down"] -= 1
        return
    tell(content, buffers)

panel._actions["piece"] = ("take a piece", lossy_take)
panel.tell = lossy_tell
"""
SAY_LARGE = """
import dfs_sdk.ui.listing as module
original = module.row_values
module.row_values = lambda row: {**original(row), "bytes": 2**40}
await node.put(bytes(range(256)) * 8192 * 3, name="large.bin")
"""
REFUSE = """
async def refuse(source, *, name=None):
    async for part in source:
        raise OSError("the disk <b>is</b> full")
node.put = refuse
"""
BLOCK_LATER = """
import asyncio, time
put = node.put
async def slow_put(source, *, name=None):
    async def slowly():
        async for part in source:
            await asyncio.sleep(0.2)
            yield part
    return await put(slowly(), name=name)
node.put = slow_put
asyncio.get_running_loop().call_later(3, time.sleep, 9)
"""
BREAK_ONCE = """
from pathlib import Path
from tests.fakes.node import FakeReader
opened = []
class Breaks(FakeReader):
    async def read(self, size=-1, /):
        if self._at >= 3 * 2**20 and self is opened[0]:
            raise OSError("the peers are gone")
        return await super().read(size)
    async def seek(self, offset, /):
        with Path("seeks.txt").open("a") as seeks:
            seeks.write(f"{offset}\\n")
        return await super().seek(offset)
async def breaks(what):
    opened.append(Breaks(node.contents[what]))
    return opened[-1]
node.open = breaks
await node.put(bytes(range(256)) * 4096 * 6 + b"end", name="broken.bin")
node.change(transfers=())
"""
SLOW_PUT = """
import asyncio
async def slow_put(source, *, name=None):
    async for part in source:
        await asyncio.sleep(3600)
node.put = slow_put
"""
PICKER = """() => {
    window.showSaveFilePicker = async ({ suggestedName }) =>
        (await navigator.storage.getDirectory()).getFileHandle(suggestedName, { create: true });
}"""
DIGEST = """async (name) => {
    const file = await (await (await navigator.storage.getDirectory()).getFileHandle(name)).getFile();
    const digest = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
    return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}"""


def open_panel(lab: Lab, page: Page, name: str, cell: str) -> Notebook:
    lab.write_notebook(name, [START, cell])
    notebook = lab.open(page, name)
    notebook.run(0)
    notebook.run(1)
    expect(page.locator(".dfs-files")).to_be_visible()
    return notebook


def moves(page: Page) -> Locator:
    return page.get_by_role("list", name="uploads and downloads of this browser").locator("li")


def drop(page: Page, names: dict[str, bytes]) -> None:
    """Drop files on the panel, as a file manager would."""
    transfer = page.evaluate_handle(
        """(files) => {
            const transfer = new DataTransfer();
            for (const [name, text] of Object.entries(files)) transfer.items.add(new File([text], name));
            return transfer;
        }""",
        {name: content.decode() for name, content in names.items()},
    )
    for kind in ("dragenter", "dragover", "drop"):
        page.locator(".dfs-files .dfs-drop").dispatch_event(kind, {"dataTransfer": transfer})


def test_lost_pieces_are_sent_again(lab: Lab, page: Page, tmp_path: Path):
    errors, _ = watch(page)
    open_panel(lab, page, "lossy", LOSE_PIECES)
    content = random.Random(3).randbytes(7 * 2**20 + 7)
    (tmp_path / "lossy.bin").write_bytes(content)
    page.locator(".dfs-upload").set_input_files(tmp_path / "lossy.bin")
    expect(page.locator(".dfs-files tbody tr")).to_have_count(1, timeout=60_000)
    with page.expect_download(timeout=60_000) as download:
        page.locator(".dfs-files").get_by_role("button", name="Download").click()
    assert Path(download.value.path()).read_bytes() == content
    assert errors == []


def test_large_file_is_written_where_the_user_picked(lab: Lab, page: Page):
    errors, _ = watch(page)
    open_panel(lab, page, "picker", SAY_LARGE)
    page.evaluate(PICKER)
    expect(page.locator(".dfs-files tbody tr")).to_have_count(1)
    page.locator(".dfs-files").get_by_role("button", name="Download").click()
    expect(moves(page)).to_contain_text("downloaded", timeout=30_000)
    wanted = hashlib.sha256(bytes(range(256)) * 8192 * 3).hexdigest()
    page.wait_for_function(f"async () => await ({DIGEST})('large.bin') === '{wanted}'")
    assert errors == []


def test_upload_shows_its_way_and_can_be_stopped(lab: Lab, page: Page, tmp_path: Path):
    errors, _ = watch(page)
    open_panel(lab, page, "stopped", SLOW_PUT)
    (tmp_path / "<b>slow.bin").write_bytes(bytes(8 * 2**20))
    page.locator(".dfs-upload").set_input_files(tmp_path / "<b>slow.bin")
    expect(moves(page)).to_contain_text("<b>slow.bin")
    expect(moves(page).locator("progress")).to_have_js_property("value", 0.125)
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(moves(page)).to_contain_text("stopped")
    page.get_by_role("button", name="Clear", exact=True).click()
    expect(moves(page)).to_have_count(0)
    expect(page.locator(".dfs-problem")).to_have_count(0)
    assert errors == []


def test_failure_stands_at_the_file_that_failed(lab: Lab, page: Page, tmp_path: Path):
    errors, _ = watch(page)
    open_panel(lab, page, "refused", REFUSE)
    (tmp_path / "one.bin").write_bytes(bytes(100))
    page.locator(".dfs-upload").set_input_files(tmp_path / "one.bin")
    expect(moves(page)).to_contain_text("failed: the disk <b>is</b> full")
    page.get_by_role("button", name="Details", exact=True).click()
    expect(moves(page).locator("pre")).to_contain_text("Traceback")
    page.get_by_role("button", name="Try again", exact=True).click()
    expect(moves(page)).to_contain_text("failed: the disk")
    expect(page.locator(".dfs-problem")).to_have_count(0)
    assert errors == []


def test_many_files_dropped_at_once_all_arrive(lab: Lab, page: Page):
    errors, _ = watch(page)
    open_panel(lab, page, "dropped", "pass")
    drop(page, {f"drop-{number:02}.txt": b"text %d" % number for number in range(20)})
    expect(page.get_by_role("status").filter(has_text="20 files")).to_be_visible(timeout=30_000)
    expect(moves(page)).to_have_count(0, timeout=30_000)
    assert errors == []


def test_upload_goes_on_after_the_kernel_was_busy(lab: Lab, page: Page, tmp_path: Path):
    errors, _ = watch(page)
    open_panel(lab, page, "busy-upload", BLOCK_LATER)
    content = random.Random(5).randbytes(22 * 2**20)
    (tmp_path / "busy.bin").write_bytes(content)
    page.locator(".dfs-upload").set_input_files(tmp_path / "busy.bin")
    expect(page.locator(".dfs-files tbody tr")).to_have_count(1, timeout=60_000)
    with page.expect_download(timeout=60_000) as download:
        page.locator(".dfs-files").get_by_role("button", name="Download").click()
    assert Path(download.value.path()).read_bytes() == content
    assert errors == []


def test_download_tried_again_goes_on_from_where_it_broke(lab: Lab, page: Page):
    errors, _ = watch(page)
    open_panel(lab, page, "broken", BREAK_ONCE)
    page.locator(".dfs-files tbody").get_by_role("button", name="Download").click()
    expect(moves(page)).to_contain_text("failed: the peers are gone")
    with page.expect_download(timeout=60_000) as download:
        page.get_by_role("button", name="Try again", exact=True).click()
    assert Path(download.value.path()).read_bytes() == bytes(range(256)) * 4096 * 6 + b"end"
    seeks = (lab.folder / "seeks.txt").read_text().split()
    assert seeks[0] == "0"
    assert int(seeks[1]) >= 2 * 2**20, "it began anew"
    expect(moves(page)).to_have_count(1)
    assert errors == []


def test_upload_stands_in_one_list_with_the_transfers_of_the_node(lab: Lab, page: Page, tmp_path: Path):
    errors, _ = watch(page)
    open_panel(lab, page, "one-list", "node.change(transfers=(transfer_row(transfer_id=7, state='failed'),))")
    rows = page.locator(".dfs-under-way li")
    expect(rows).to_have_count(1)
    (tmp_path / "once.bin").write_bytes(b"once")
    page.locator(".dfs-upload").set_input_files(tmp_path / "once.bin")
    expect(moves(page)).to_contain_text("is in the network")
    expect(rows).to_have_count(2)
    expect(page.get_by_role("button", name="Clear finished")).to_have_count(1)
    page.get_by_role("button", name="Clear finished").click()
    expect(rows).to_have_count(0)
    assert errors == []
