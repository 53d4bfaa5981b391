"""A page that is loaded again in a real JupyterLab: what it had under way is in its list, and uploads go on."""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.lab import Lab, Notebook, watch

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

MIB = 2**20
START = """
import asyncio
from pathlib import Path
from dfs_sdk.ui import FilesPanel
from tests.fakes.node import FakeNode, FakeReader
node = await FakeNode().start()
gate = asyncio.Event()
put = node.put

async def gated(parts):
    taken = 0
    async for part in parts:
        taken += 1
        if taken > 3:
            await gate.wait()
        yield part

async def gated_put(source, *, name=None):
    return await put(source if isinstance(source, bytes) else gated(source), name=name)

class Stops(FakeReader):
    async def read(self, size=-1, /):
        if self._at >= 2**21:
            await gate.wait()
        return await super().read(size)

async def stops(what):
    return Stops(node.contents[what])

node.put, opened, node.open = gated_put, node.open, stops
await node.put(bytes(5 * 2**20), name="there.bin")
node.change(transfers=())
panel = FilesPanel(node)
arrived, (words, take) = set(), panel._actions["piece"]

async def noted_take(message):
    arrived.add((message.text("move"), message.number("index", maximum=99)))
    await take(message)

panel._actions["piece"] = (words, noted_take)
panel
"""
OPEN_THE_GATE = """
while len({move for move, index in arrived if index == 4}) < 2:  # the last piece of one upload, the fifth of the other
    await asyncio.sleep(0.01)
async def open_later():
    while not Path("gone").exists():
        await asyncio.sleep(0.01)
    Path("gone").unlink()
    gate.set()
opening = asyncio.create_task(open_later())
"""
SEE_WHOLE = """
import hashlib
whole = [each for each in node.contents.values() if len(each) == {size}]
assert [hashlib.sha256(each).hexdigest() for each in whole] == [{digest!r}]
"""


def moves(page: Page, name: str) -> Locator:
    return page.get_by_role("list", name="uploads and downloads of this browser").locator("li").filter(has_text=name)


def open_panel(lab: Lab, page: Page, name: str) -> Notebook:
    lab.write_notebook(name, [START, "pass"])
    notebook = lab.open(page, name)
    notebook.run(0)
    expect(page.locator(".dfs-files tbody tr")).to_have_count(1)
    notebook.save()
    return notebook


def file_row(page: Page, name: str) -> Locator:
    return page.locator(".dfs-files tbody tr").filter(has_text=name)


def choose_again(page: Page, row: Locator, path: Path) -> None:
    with page.expect_file_chooser() as chooser:
        row.get_by_role("button", name="Choose again").click()
    chooser.value.set_files(path)


def changed_copy(path: Path) -> Path:
    """A file of the same name and size that was written at another time."""
    copy = path.parent / "changed" / path.name
    copy.parent.mkdir()
    copy.write_bytes(path.read_bytes()[::-1])
    os.utime(copy, (1, 1))
    return copy


def test_page_that_is_loaded_again_knows_its_moves_and_goes_on_with_them(lab: Lab, page: Page, tmp_path: Path):
    errors, strangers = watch(page)
    notebook = open_panel(lab, page, "reload")
    content = random.Random(21).randbytes(20 * MIB + 21)
    paths = {name: tmp_path / name for name in ("done.bin", "meanwhile.bin", "left.bin", "queued.bin", "other.bin")}
    for name, path in paths.items():
        path.write_bytes({"meanwhile.bin": bytes(5 * MIB), "left.bin": content}.get(name, name.encode()))
    chooser = page.locator(".dfs-upload")
    chooser.set_input_files(paths["done.bin"])
    expect(moves(page, "done.bin")).to_contain_text("is in the network")
    expect(page.locator(".dfs-files tbody tr")).to_have_count(2)  # rows shift once more, and not under the pointer
    file_row(page, "there.bin").get_by_role("button", name="Download").click()
    expect(moves(page, "there.bin")).to_contain_text("2 MiB of 5 MiB")
    chooser.set_input_files([paths[name] for name in ("meanwhile.bin", "left.bin", "queued.bin")])
    expect(moves(page, "queued.bin")).to_contain_text("waits for its turn")
    expect(moves(page, "meanwhile.bin")).to_contain_text("4 MiB of 5 MiB")
    expect(moves(page, "left.bin")).to_contain_text("4 MiB of 20 MiB")
    notebook.run(1, OPEN_THE_GATE)
    page.goto("about:blank")
    (lab.folder / "gone").touch()

    lab.open(page, notebook.path.stem)  # JupyterLab fetches the panel from the kernel, which went on meanwhile
    expect(moves(page, "done.bin")).to_contain_text("is in the network")
    expect(moves(page, "meanwhile.bin")).to_contain_text("is in the network")
    expect(moves(page, "left.bin")).to_contain_text("choose the file again, and it goes on")
    expect(moves(page, "queued.bin")).to_contain_text("before its turn: choose the file again")
    expect(moves(page, "there.bin")).to_contain_text("stopped: the page was loaded again")
    expect(page.locator(".dfs-under-way li")).to_have_count(5)

    with page.expect_download(timeout=30_000) as download:
        moves(page, "there.bin").get_by_role("button", name="Try again").click()
    assert Path(download.value.path()).read_bytes() == bytes(5 * MIB)
    choose_again(page, moves(page, "queued.bin"), paths["queued.bin"])
    expect(moves(page, "queued.bin")).to_contain_text("is in the network")
    choose_again(page, moves(page, "left.bin"), paths["other.bin"])
    expect(moves(page, "left.bin")).to_contain_text("other.bin is another file")
    choose_again(page, moves(page, "left.bin"), changed_copy(paths["left.bin"]))
    expect(moves(page, "left.bin")).to_contain_text("or it was changed")
    choose_again(page, moves(page, "left.bin"), paths["left.bin"])
    expect(moves(page, "left.bin")).to_contain_text("is in the network", timeout=30_000)
    notebook.run(1, SEE_WHOLE.format(size=len(content), digest=hashlib.sha256(content).hexdigest()))

    page.get_by_role("button", name="Clear finished").click()
    expect(page.locator(".dfs-under-way li")).to_have_count(0)
    page.wait_for_function("() => Object.keys(sessionStorage).every((key) => !key.startsWith('dfs-moves-'))")
    assert errors == strangers == []
