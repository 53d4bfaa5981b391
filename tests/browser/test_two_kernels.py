"""Two kernels in two pages of a JupyterLab, members in processes of their own: the story, and what goes wrong."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import story
from tests.browser.far import Far, far_members
from tests.browser.lab import Lab, Notebook, open_page, wait_until, watch

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

SIZE = 5 * 2**20 + 321
START = """
from dataclasses import replace
from dfs_sdk import Node
from dfs_sdk.exchange.config import ExchangeConfig
from dfs_sdk.sim.swarm import hurried
node = await Node({name!r}, store="memory", listen="127.0.0.1:0", config={config}).start()
node.dashboard()
"""
WHOLE = """
import asyncio, json
from collections import Counter
from pathlib import Path
async with asyncio.timeout(60):
    while True:
        await node.audit()
        alive = [row for row in node.snapshot().chunks if row.state in ("self", "alive")]
        copies = Counter(row.chunk_id for row in alive)
        if min(copies.values()) >= 3:
            break
        await asyncio.sleep(0.2)
Path("holders.json").write_text(json.dumps(sorted({row.holder for row in alive})))
"""


# Reads no further than the middle while the holder lives: who is quick would be done before it is killed.
HOLD = """
import asyncio
from pathlib import Path
open_file = node.open

class Held:
    def __init__(self, reader):
        self.reader, self.taken = reader, 0

    async def read(self, size=-1, /):
        while self.taken >= 2**24 and not Path("killed").exists():
            await asyncio.sleep(0.02)
        part = await self.reader.read(size)
        self.taken += len(part)
        return part

    def __getattr__(self, name):
        return getattr(self.reader, name)

async def open_held(what):
    return Held(await open_file(what))

node.open = open_held
"""
# All that a move says from here on: some of it stands for seconds only.
NOTE_WORDS = """() => {
    window.words = [];
    const list = document.querySelector("[aria-label='uploads and downloads of this browser']");
    new MutationObserver(() => words.push(list.textContent))
        .observe(list, { childList: true, characterData: true, subtree: true });
}"""


@pytest.fixture
def far() -> Iterator[Far]:
    with far_members("dot", "eve", "fay") as members:
        yield members


@pytest.fixture
def other_page(browser: Browser) -> Iterator[Page]:
    with open_page(browser) as fresh:
        yield fresh


def open_node(lab: Lab, page: Page, name: str, *cells: str, config: str = "hurried()") -> Notebook:
    lab.write_notebook(f"two-{name}", [START.format(name=name, config=config), *cells])
    notebook = lab.open(page, f"two-{name}")
    notebook.run(0)
    expect(story.dashboard(page)).to_contain_text(name)
    return notebook


def test_two_kernels_join_store_fetch_talk_and_outlive_a_holder(
    lab: Lab, page: Page, other_page: Page, far: Far, tmp_path: Path, artefacts: Path
):
    watched = [watch(page), watch(other_page)]
    ada = open_node(lab, page, "ada", WHOLE)
    open_node(lab, other_page, "ben")
    story.join(page, far.address)
    story.join(other_page, story.read_invite(page))

    source = tmp_path / "novel.bin"
    source.write_bytes(random.Random(11).randbytes(SIZE))
    story.upload(page, source)
    story.fetch_by_link(other_page, story.read_link(page, source.name))
    assert story.download(other_page, source.name) == source.read_bytes()

    story.say(page, "did it arrive?")
    story.hear(other_page, "did it arrive?")
    story.say(other_page, "every byte")
    story.hear(page, "every byte")

    far.kill("eve")
    story.turn_to(page, "Peers")
    eve = story.dashboard(page).locator(".dfs-peers tbody tr").filter(has_text="eve")
    expect(eve).to_contain_text(re.compile("suspect|away|gone"), timeout=story.STEP_MS)
    ada.run(1)
    holders = json.loads((lab.folder / "holders.json").read_text())
    assert "eve" not in holders
    assert len(holders) >= 3
    story.turn_to(page, "Files")
    expect(story.file_row(page, source.name)).to_contain_text("3 of 3", timeout=story.STEP_MS)
    story.turn_to(page, "Chunks")
    summary = story.dashboard(page).locator(".dfs-placement .dfs-summary").first
    expect(summary).to_contain_text("Each has the copies wanted", timeout=story.STEP_MS)
    expect(summary).not_to_contain_text("Not answering")
    page.screenshot(path=artefacts / "repaired.png")
    assert story.download(other_page, source.name) == source.read_bytes()
    assert watched == [([], []), ([], [])], "a script failed, or something was asked of another server"


def test_wrong_addresses_and_passphrases_are_said_in_words_and_leave_a_whole_node(lab: Lab, page: Page):
    open_node(lab, page, "gil")
    with far_members("door", options=("--passphrase", "open sesame")) as private:
        story.ask_to_join(page, "not an address")
        story.see_problem(page, "HOST:PORT")
        story.ask_to_join(page, "127.0.0.1:9", seconds=2)
        story.see_problem(page, re.compile("127.0.0.1:9"))
        story.ask_to_join(page, private.address, "open barley", seconds=2)
        story.see_problem(page, re.compile("passphrase", re.IGNORECASE))
        story.join(page, private.address, "open sesame")


def test_network_without_room_says_so_at_the_upload(lab: Lab, page: Page, tmp_path: Path):
    open_node(lab, page, "hal")
    with far_members("dot", "eve", options=("--quota", "2 MiB")) as small:
        story.join(page, small.address)
        source = tmp_path / "too-large.bin"
        source.write_bytes(random.Random(3).randbytes(SIZE))
        story.turn_to(page, "Files")
        story.panel(page, "Files").locator("input[type=file]").first.set_input_files(source)
        expect(story.panel(page, "Files")).to_contain_text(
            re.compile("room|full|quota|confirmed", re.IGNORECASE), timeout=story.LONG_STEP_MS
        )


def test_restart_and_run_all_makes_a_node_and_a_panel_that_work(lab: Lab, page: Page):
    notebook = open_node(lab, page, "ivy", "from pathlib import Path\nPath('ran.txt').write_text(node.name)")
    (lab.folder / "ran.txt").unlink(missing_ok=True)
    page.evaluate("() => void window.jupyterapp.commands.execute('notebook:restart-run-all')")
    page.get_by_role("button", name=re.compile("Confirm Kernel Restart|^Restart$")).click()
    wait_until((lab.folder / "ran.txt").exists, "the cells did not run again", seconds=60)
    expect(story.dashboard(page)).to_contain_text("ivy")
    assert story.read_invite(page).startswith("dfs-join:")
    assert notebook.path.exists()


def test_peer_gone_in_the_middle_of_a_download_is_said_and_no_half_file_is_saved(lab: Lab, page: Page, artefacts: Path):
    """Its file lies nowhere else: this kernel has no room for it."""
    impatient = "replace(hurried().with_quota('1 MiB'), exchange=ExchangeConfig(fetch_timeout=6.0))"
    open_node(lab, page, "kim", HOLD, config=impatient).run(1)
    killed = lab.folder / "killed"
    killed.unlink(missing_ok=True)
    saved: list[str] = []
    page.on("download", lambda download: saved.append(download.suggested_filename))
    with far_members("dot", options=("--share", "64")) as far:
        story.join(page, far.address)
        story.turn_to(page, "Files")
        row = story.file_row(page, "only-there.bin")
        expect(row).to_be_visible(timeout=story.STEP_MS)
        row.get_by_role("button", name="Download").click()
        move = page.get_by_role("list", name="uploads and downloads of this browser").locator("li")
        page.wait_for_function("() => document.querySelector('.dfs-move progress')?.value > 0.05", timeout=60_000)
        page.evaluate(NOTE_WORDS)
        far.kill("dot")
    killed.touch()
    page.wait_for_function(
        "() => words.some((all) => /MiB of 64 MiB/.test(all) && /no peer has given the next piece for/.test(all))",
        timeout=story.STEP_MS,
    )
    page.screenshot(path=artefacts / "peer-gone.png")
    expect(move).to_contain_text(re.compile("failed: .*try again"), timeout=90_000)
    expect(move.get_by_role("button", name="Try again")).to_be_visible()
    expect(row).to_contain_text("unavailable")
    assert saved == []
    move.get_by_role("button", name="Clear", exact=True).click()
    expect(move).to_have_count(0)
