"""A file between a browser and a network, both ways: JupyterLab, Chromium, a node and two holders on disk.

    python tests/bench/bench_browser.py [MIB]

Prints the rates, whether the bytes are equal, by how much the kernel's memory grew at its peak, and how many messages
other than pieces and their acknowledgements went to the browser in the busiest second.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from playwright.sync_api import Page, expect, sync_playwright

from tests.browser.lab import CHROMIUM_FLAGS, Lab, find_chromium, open_page, running_lab

SECONDS_MAX = 900
START = """
import asyncio, collections, json, tempfile, time
from pathlib import Path
import psutil
from dfs_sdk import Node
from dfs_sdk.ui import FilesPanel

folder = tempfile.TemporaryDirectory()
nodes = [Node(name, store=f"{folder.name}/{name}", listen="127.0.0.1:0") for name in ("ada", "ben", "cyd")]
for node in nodes:
    await node.start()
for other in nodes[1:]:
    await other.join(str(nodes[0].address))
panel = FilesPanel(nodes[0])
seconds = collections.Counter()
tell = panel.tell

def counted(content, buffers=None):
    seconds[int(time.monotonic())] += content["kind"] not in ("upload-next", "download-piece")
    tell(content, buffers)

panel.tell = panel._moves._tell = counted
memory = [psutil.Process().memory_info().rss]

async def watch():
    while True:
        await asyncio.sleep(0.2)
        memory.append(psutil.Process().memory_info().rss)

watching = asyncio.get_running_loop().create_task(watch())
panel
"""
END = """
watching.cancel()
Path("figures.json").write_text(json.dumps([max(memory) - memory[0], max(seconds.values())]))
for node in nodes:
    await node.abort()
folder.cleanup()
"""


def main(mebibytes: int) -> None:
    """Move a file of that size and print what it took."""
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        path = folder / "large.bin"
        digest = written(path, mebibytes)
        chromium = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_FLAGS)
        with running_lab(folder) as lab, open_page(chromium) as page:
            move(lab, page, path, digest)
        chromium.close()


def move(lab: Lab, page: Page, path: Path, digest: str) -> None:
    """Upload the file, download it again, compare."""
    lab.write_notebook("bench", [START, END])
    notebook = lab.open(page, "bench")
    notebook.run(0)
    page.evaluate("() => { delete window.showSaveFilePicker; }")  # nobody is there to pick a place
    size = path.stat().st_size
    begun = time.monotonic()
    page.locator(".dfs-upload").set_input_files(path)
    expect(page.locator(".dfs-list tbody tr")).to_have_count(1, timeout=1000 * SECONDS_MAX)
    say("up", size, time.monotonic() - begun)
    begun = time.monotonic()
    with page.expect_download(timeout=1000 * SECONDS_MAX) as download:
        page.locator(".dfs-list").get_by_role("button", name="Download").click()
    received = Path(download.value.path())
    say("down", size, time.monotonic() - begun)
    with received.open("rb") as file:
        equal = hashlib.file_digest(file, "sha256").hexdigest() == digest
    notebook.run(1)
    grown, busiest = json.loads((lab.folder / "figures.json").read_text())
    print(f"equal: {equal}; the kernel grew by {grown / 2**20:.0f} MiB; {busiest} other messages in the busiest second")


def say(way: str, size: int, seconds: float) -> None:
    """Print a rate."""
    print(f"{way}: {size / 2**20:.0f} MiB in {seconds:.1f} s, {size / seconds / 1e6:.1f} MB/s", flush=True)


def written(path: Path, mebibytes: int) -> str:
    """Fill a file with chance and return its SHA-256."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(mebibytes):
            piece = os.urandom(2**20)
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_024)
