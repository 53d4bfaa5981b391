"""Files between browser and kernel when things go wrong: pieces are lost, the user stops, the file is too large."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.lab import Lab, Notebook, open_page, watch

pytestmark = pytest.mark.browser

# Waits that only a user's patience asks for are short here; what follows from them is the same.
IMPORTS = """
import asyncio, json, time
from pathlib import Path
import traitlets
from dfs_sdk.ui import FilesPanel, listing, transfer
from tests.fakes.node import FakeNode, FakeReader
from tests.fakes.rows import transfer_row

transfer.RESEND_SECONDS_MIN = 0.5
row_values, code = listing.row_values, FilesPanel._esm.default_value
assert "STALL_SECONDS = 5;" in code
code = code.replace("STALL_SECONDS = 5;", "STALL_SECONDS = 1;")

class QuickPanel(FilesPanel):
    _esm = traitlets.Unicode(code).tag(sync=True)

panel = node = None
"""
START = """
if panel is not None:
    panel.close()
    await node.close()
listing.row_values = row_values
node = await FakeNode().start()
panel = QuickPanel(node)
display(panel)
"""
LOSE_PIECES = """
lost = {"up": 3, "down": 2}
take, give = panel._actions["piece"][1], panel.give

async def lossy_take(message):
    if lost["up"] and message.number("index", maximum=99) >= 2:
        lost["up"] -= 1
        return
    await take(message)

def lossy_give(content, piece):
    if lost["down"] and content["index"] >= 1:
        lost["down"] -= 1
        return
    give(content, piece)

panel._actions["piece"] = ("take a piece", lossy_take)
panel._moves._give = lossy_give
"""
ALL_LOST = "assert lost == {'up': 0, 'down': 0}, lost"
SAY_LARGE = """
listing.row_values = lambda row: {**row_values(row), "bytes": 2**40}
await node.put(bytes(range(256)) * 8192 * 3, name="large.bin")
"""
REFUSE = """
async def refuse(source, *, name=None):
    async for part in source:
        raise OSError("the disk <b>is</b> full")
node.put = refuse
"""
SLOWLY = """
put = node.put
async def slow_put(source, *, name=None):
    async def slowly():
        async for part in source:
            await asyncio.sleep(0.1)
            yield part
    return await put(slowly(), name=name)
node.put = slow_put
"""
UNTIL_PAUSED = """
put, show, was_paused = node.put, node._show, asyncio.Event()
def show_and_note(row):
    if row.state == "paused":
        was_paused.set()  # for good: who is quick pauses, and goes on, before the fifth part
    show(row)
async def held_put(source, *, name=None):
    async def held():
        taken = 0
        async for part in source:
            taken += 1
            if taken == 5:
                await was_paused.wait()
            yield part
    return await put(held(), name=name)
node.put, node._show = held_put, show_and_note
"""
BLOCK_LATER = f"{SLOWLY}\nasyncio.get_running_loop().call_later(1, time.sleep, 4)"
BREAK_ONCE = """
Path("seeks.txt").unlink(missing_ok=True)
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
async def slow_put(source, *, name=None):
    async for part in source:
        await asyncio.sleep(3600)
node.put = slow_put
"""
PICKER = """() => {
    window.picked = [];
    window.showSaveFilePicker = async ({ suggestedName }) => {
        window.picked.push(suggestedName);
        return (await navigator.storage.getDirectory()).getFileHandle(suggestedName, { create: true });
    };
}"""
DIGEST = """async (name) => {
    const file = await (await (await navigator.storage.getDirectory()).getFileHandle(name)).getFile();
    const digest = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
    return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}"""

LISTEN = """() => {
    window.sent = [];
    const { kernel } = window.jupyterapp.shell.currentWidget.sessionContext.session;
    kernel.anyMessage.connect((_, { direction, msg }) => {
        if (direction === "send" && msg.header.msg_type === "comm_msg")
            window.sent.push(msg.content.data.content?.kind);
    });
}"""


@pytest.fixture(scope="module")
def notebook(browser: Browser, lab: Lab) -> Iterator[Notebook]:
    """One page and one kernel for all: each test makes a node and a panel of its own, in place of those before."""
    lab.write_notebook("transfers", [IMPORTS, START, "pass"])
    with open_page(browser) as page:
        opened = lab.open(page, "transfers")
        opened.run(0)
        yield opened


@pytest.fixture
def page(notebook: Notebook) -> Iterator[Page]:
    """The page of all, on which no script may fail."""
    errors, strangers = watch(notebook.page)
    yield notebook.page
    assert errors == strangers == []


def open_panel(notebook: Notebook, cell: str = "") -> None:
    notebook.run(1, START + cell)
    expect(notebook.page.locator(".dfs-files")).to_be_visible()


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


def test_lost_pieces_are_sent_again(notebook: Notebook, page: Page, tmp_path: Path):
    open_panel(notebook, LOSE_PIECES)
    content = random.Random(3).randbytes(7 * 2**20 + 7)
    (tmp_path / "lossy.bin").write_bytes(content)
    page.locator(".dfs-upload").set_input_files(tmp_path / "lossy.bin")
    expect(page.locator(".dfs-files tbody tr")).to_have_count(1, timeout=60_000)
    with page.expect_download(timeout=60_000) as download:
        page.locator(".dfs-files").get_by_role("button", name="Download").click()
    assert Path(download.value.path()).read_bytes() == content
    notebook.run(2, ALL_LOST)


def test_large_file_is_written_where_the_user_picked(notebook: Notebook, page: Page):
    open_panel(notebook, SAY_LARGE)
    page.evaluate(PICKER)
    expect(page.locator(".dfs-files tbody tr")).to_have_count(1)
    page.locator(".dfs-files").get_by_role("button", name="Download").click()
    expect(moves(page)).to_contain_text("downloaded", timeout=30_000)
    wanted = hashlib.sha256(bytes(range(256)) * 8192 * 3).hexdigest()
    page.wait_for_function(f"async () => await ({DIGEST})('large.bin') === '{wanted}'")


def test_upload_shows_its_way_and_can_be_stopped(notebook: Notebook, page: Page, tmp_path: Path):
    open_panel(notebook, SLOW_PUT)
    (tmp_path / "<b>slow.bin").write_bytes(bytes(8 * 2**20))
    page.locator(".dfs-upload").set_input_files(tmp_path / "<b>slow.bin")
    expect(moves(page)).to_contain_text("<b>slow.bin")
    expect(moves(page).locator("progress")).to_have_js_property("value", 0.125)
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(moves(page)).to_contain_text("stopped")
    page.get_by_role("button", name="Clear", exact=True).click()
    expect(moves(page)).to_have_count(0)
    expect(page.locator(".dfs-problem")).to_have_count(0)


def test_failure_stands_at_the_file_that_failed(notebook: Notebook, page: Page, tmp_path: Path):
    open_panel(notebook, REFUSE)
    (tmp_path / "one.bin").write_bytes(bytes(100))
    page.locator(".dfs-upload").set_input_files(tmp_path / "one.bin")
    expect(moves(page)).to_contain_text("failed: the disk <b>is</b> full")
    page.get_by_role("button", name="Details", exact=True).click()
    expect(moves(page).locator("pre")).to_contain_text("Traceback")
    page.get_by_role("button", name="Try again", exact=True).click()
    expect(moves(page)).to_contain_text("failed: the disk")
    expect(page.locator(".dfs-problem")).to_have_count(0)


def test_many_files_dropped_at_once_all_arrive(notebook: Notebook, page: Page):
    open_panel(notebook)
    drop(page, {f"drop-{number:02}.txt": b"text %d" % number for number in range(20)})
    expect(page.get_by_role("status").filter(has_text="20 files")).to_be_visible(timeout=30_000)
    expect(moves(page).filter(has_text="is in the network")).to_have_count(20)
    expect(page.locator(".dfs-under-way .dfs-transfer-row")).to_have_count(0)


def test_upload_goes_on_after_the_kernel_was_busy(notebook: Notebook, page: Page, tmp_path: Path):
    open_panel(notebook, BLOCK_LATER)
    content = random.Random(5).randbytes(22 * 2**20)
    (tmp_path / "busy.bin").write_bytes(content)
    page.locator(".dfs-upload").set_input_files(tmp_path / "busy.bin")
    expect(page.locator(".dfs-files tbody tr")).to_have_count(1, timeout=60_000)
    with page.expect_download(timeout=60_000) as download:
        page.locator(".dfs-files").get_by_role("button", name="Download").click()
    assert Path(download.value.path()).read_bytes() == content


def test_download_tried_again_goes_on_from_where_it_broke(notebook: Notebook, page: Page):
    open_panel(notebook, BREAK_ONCE)
    page.locator(".dfs-files tbody").get_by_role("button", name="Download").click()
    expect(moves(page)).to_contain_text("failed: the peers are gone")
    with page.expect_download(timeout=60_000) as download:
        page.get_by_role("button", name="Try again", exact=True).click()
    assert Path(download.value.path()).read_bytes() == bytes(range(256)) * 4096 * 6 + b"end"
    seeks = (notebook.path.parent / "seeks.txt").read_text().split()
    assert seeks[0] == "0"
    assert int(seeks[1]) >= 2 * 2**20, "it began anew"
    expect(moves(page)).to_have_count(1)


def test_upload_stands_in_one_list_with_the_transfers_of_the_node(notebook: Notebook, page: Page, tmp_path: Path):
    open_panel(notebook, "node.change(transfers=(transfer_row(transfer_id=7, state='failed'),))")
    rows = page.locator(".dfs-under-way li")
    expect(rows).to_have_count(1)
    (tmp_path / "once.bin").write_bytes(b"once")
    page.locator(".dfs-upload").set_input_files(tmp_path / "once.bin")
    expect(moves(page)).to_contain_text("is in the network")
    expect(rows).to_have_count(2)
    expect(page.get_by_role("button", name="Clear finished")).to_have_count(1)
    page.get_by_role("button", name="Clear finished").click()
    expect(rows).to_have_count(0)


def test_upload_is_held_and_goes_on_by_its_row_and_is_never_listed_twice(
    notebook: Notebook, page: Page, tmp_path: Path
):
    open_panel(notebook, UNTIL_PAUSED)
    page.evaluate("""() => {
        window.twice = 0;
        const look = () => (window.twice += document.querySelectorAll(".dfs-under-way .dfs-transfer-row").length);
        const list = document.querySelector(".dfs-under-way");
        new MutationObserver(look).observe(list, { childList: true, subtree: true });
    }""")
    content = random.Random(7).randbytes(20 * 2**20)
    (tmp_path / "held.bin").write_bytes(content)
    page.locator(".dfs-upload").set_input_files(tmp_path / "held.bin")
    moves(page).get_by_role("button", name="Pause").click()
    expect(moves(page)).to_contain_text("paused ·")
    expect(moves(page).get_by_role("button", name="Pause")).to_be_hidden()
    notebook.run(2, "await asyncio.sleep(0.5)\nheld = node.rows.transfers[-1].bytes_done")
    notebook.run(2, "await asyncio.sleep(0.5)\nassert held == node.rows.transfers[-1].bytes_done < 20 * 2**20, held")
    moves(page).get_by_role("button", name="Resume").click()
    expect(moves(page)).to_contain_text("is in the network", timeout=30_000)
    page.get_by_role("button", name="Clear", exact=True).click()
    expect(moves(page)).to_have_count(0)
    assert page.evaluate("window.twice") == 0
    notebook.run(2, f"assert sum(map(len, node.contents.values())) == {len(content)}")


def test_download_to_a_picked_place_goes_on_there_when_tried_again(notebook: Notebook, page: Page):
    open_panel(notebook, f"{SAY_LARGE}\n{BREAK_ONCE}")
    page.evaluate(PICKER)
    rows = page.locator(".dfs-files tbody tr").filter(has_text="broken.bin")
    rows.get_by_role("button", name="Download").click()
    expect(moves(page)).to_contain_text("failed: the peers are gone")
    page.get_by_role("button", name="Try again", exact=True).click()
    expect(moves(page)).to_contain_text("downloaded", timeout=30_000)
    wanted = hashlib.sha256(bytes(range(256)) * 4096 * 6 + b"end").hexdigest()
    page.wait_for_function(f"async () => await ({DIGEST})('broken.bin') === '{wanted}'")
    assert page.evaluate("window.picked") == ["broken.bin"], "it asked for a place again"
    seeks = (notebook.path.parent / "seeks.txt").read_text().split()
    assert int(seeks[1]) >= 2 * 2**20, "it began anew"


def test_view_says_that_it_goes_but_not_when_its_panel_closes(notebook: Notebook, page: Page):
    open_panel(notebook)
    page.evaluate(LISTEN)
    open_panel(notebook)  # closes the panel before
    page.evaluate("() => new Promise((resolve) => setTimeout(resolve, 1000))")  # later than what waits a second
    assert "unlook" not in page.evaluate("() => window.sent")
    notebook.run(2, "display(panel)")
    expect(page.locator(".dfs-files")).to_have_count(2)
    notebook.run(2, "pass")  # clears what the cell showed
    page.wait_for_function("() => window.sent.includes('unlook')")
