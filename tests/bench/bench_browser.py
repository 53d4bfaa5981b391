"""A file between a browser and a network, both ways, while somebody uses the dashboard.

    python tests/bench/bench_browser.py [MIB]

JupyterLab, Chromium, a node and two holders on disk. Prints the rates, whether the bytes are equal, how long clicks
took to show meanwhile, by how much the memory of the kernel and of the page's process grew at its peak, and how many
messages other than pieces of files the kernel sent to the page in any second, by the kernel's own clock. The download
goes to the browser's disk piece by piece, as with a save picker, for which it takes a file of 256 MiB or more.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import psutil
from playwright.sync_api import Page, sync_playwright

from tests.browser.lab import CHROMIUM_FLAGS, Lab, find_chromium, open_page, running_lab, tab

SECONDS_MAX = 1_800
SLICE_BYTES = 16 * 2**20
START = """
import asyncio, json, tempfile
from pathlib import Path
import psutil
from dfs_sdk import Node

folder = tempfile.TemporaryDirectory()
nodes = [Node(name, store=f"{folder.name}/{name}", listen="127.0.0.1:0") for name in ("ada", "ben", "cyd")]
for node in nodes:
    await node.start()
for other in nodes[1:]:
    await other.join(str(nodes[0].address))
memory = [psutil.Process().memory_info().rss]

async def watch():
    while True:
        await asyncio.sleep(0.2)
        memory.append(psutil.Process().memory_info().rss)

watching = asyncio.get_running_loop().create_task(watch())
nodes[0].dashboard()
"""
END = """
watching.cancel()
Path("figures.json").write_text(json.dumps(max(memory) - memory[0]))
for node in nodes:
    await node.abort()
folder.cleanup()
"""
# Nobody is there to pick a place: the browser's own file system stands for it.
PICKER = """() => {
    window.showSaveFilePicker = async ({ suggestedName }) =>
        (await navigator.storage.getDirectory()).getFileHandle(suggestedName, { create: true });
}"""
COUNT = """() => {
    window.sentAt = [];
    const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    kernel.anyMessage.connect((_, { msg, direction }) => {
        if (direction !== "recv" || msg.header.msg_type !== "comm_msg") return;
        if (msg.content.data?.content?.kind !== "download-piece") window.sentAt.push(Date.parse(msg.header.date));
    });
}"""
TURN = """async () => {
    const tabs = [...document.querySelectorAll(".dfs-dashboard .dfs-nav [role=tab]")];
    const other = tabs.find((tab) => tab.textContent.startsWith("Peers")), files = tabs[0];
    const begun = performance.now();
    other.click();
    while (files.getAttribute("aria-selected") === "true" || !document.querySelector(".dfs-peers")?.offsetParent)
        await new Promise(requestAnimationFrame);
    const took = performance.now() - begun;
    files.click();
    return took;
}"""
SAY = """async (text) => {
    const box = document.querySelector(".dfs-dashboard textarea");
    const begun = performance.now();
    box.value = text;
    box.dispatchEvent(new Event("input", { bubbles: true }));
    box.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
    const seen = async (selector) => {
        const found = () => [...document.querySelectorAll(selector)].some((node) => node.textContent === text);
        while (!found() && performance.now() - begun < 20000) await new Promise((go) => setTimeout(go, 2));
        return performance.now() - begun;
    };
    return [await seen(".dfs-mine .dfs-message-text"), await seen(".dfs-log-items .dfs-message-text")];
}"""
DIGESTS = """async ([name, slice]) => {
    const file = await (await (await navigator.storage.getDirectory()).getFileHandle(name)).getFile();
    const found = [file.size];
    for (let at = 0; at < file.size; at += slice) {
        const digest = await crypto.subtle.digest("SHA-256", await file.slice(at, at + slice).arrayBuffer());
        found.push(Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join(""));
    }
    return found;
}"""


def main(mebibytes: int) -> None:
    """Move a file of that size and print what it took."""
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        path = folder / "large.bin"
        digests = written(path, mebibytes)
        chromium = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_FLAGS)
        with running_lab(folder) as lab, open_page(chromium) as page:
            move(lab, page, path, digests)
        chromium.close()


class Use:
    """Somebody who uses the dashboard while a file moves."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._said = 0
        self.turns: list[float] = []
        self.messages: list[float] = []
        self.kept: list[float] = []
        self.page_bytes: list[int] = [renderer_bytes()]

    def until(self, done: Callable[[], bool]) -> None:
        """Turn pages and talk, about once a second, until the file is there."""
        deadline = time.monotonic() + SECONDS_MAX
        while not done():
            assert time.monotonic() < deadline, "it never ended"
            self.turns.append(float(self._page.evaluate(TURN)))
            self._said += 1
            shown, kept = self._page.evaluate(SAY, f"still here {self._said}")
            self.messages.append(shown)
            self.kept.append(kept)
            self.page_bytes.append(renderer_bytes())
            self._page.wait_for_timeout(800)


def move(lab: Lab, page: Page, path: Path, digests: list[int | str]) -> None:
    """Upload the file, download it again, compare; use the dashboard meanwhile."""
    lab.write_notebook("bench", [START, END])
    notebook = lab.open(page, "bench")
    notebook.run(0)
    page.evaluate(PICKER)
    page.evaluate(COUNT)
    for title in ("Chat", "Peers", "Files"):  # what was never shown is not drawn
        tab(page, title)
    size, use = path.stat().st_size, Use(page)
    rows, moves = page.locator(".dfs-list tbody tr"), page.locator(".dfs-move .dfs-move-state")
    begun = time.monotonic()
    page.locator(".dfs-upload").set_input_files(path)
    use.until(lambda: rows.count() == 1)
    say("up", size, time.monotonic() - begun)
    begun = time.monotonic()
    rows.get_by_role("button", name="Download").click()
    use.until(lambda: any(text.startswith("downloaded") for text in moves.all_inner_texts()))
    say("down", size, time.monotonic() - begun)
    equal = page.evaluate(DIGESTS, [path.name, SLICE_BYTES]) == digests
    sent_at = sorted(page.evaluate("window.sentAt"))
    notebook.run(1)
    grown = json.loads((lab.folder / "figures.json").read_text())
    page_grown = max(use.page_bytes) - use.page_bytes[0]
    print(f"equal: {equal}; grew: kernel with three nodes {grown / 2**20:.0f} MiB, page {page_grown / 2**20:.0f} MiB")
    timed = {"a page turned": use.turns, "a message said and shown": use.messages, "... and kept by the node": use.kept}
    for what, times in timed.items():
        times.sort()
        print(f"{what}: {times[len(times) // 2]:.0f} ms in the middle of {len(times)}, at most {times[-1]:.0f} ms")
    busiest = max(bisect_left(sent_at, at + 1_000) - place for place, at in enumerate(sent_at))
    mean = len(sent_at) / (sent_at[-1] - sent_at[0]) * 1_000
    print(f"other messages in a second: {mean:.1f} on average, {busiest} in the busiest, wherever it begins")


def renderer_bytes() -> int:
    """Resident memory of the largest page process below this one."""
    found = [0]
    for process in psutil.Process().children(recursive=True):
        try:
            if "--type=renderer" in process.cmdline():
                found.append(process.memory_info().rss)
        except psutil.Error:
            continue  # it has just ended
    return max(found)


def say(way: str, size: int, seconds: float) -> None:
    """Print a rate."""
    print(f"{way}: {size / 2**20:.0f} MiB in {seconds:.1f} s, {size / seconds / 1e6:.1f} MB/s", flush=True)


def written(path: Path, mebibytes: int) -> list[int | str]:
    """Fill a file with chance; returns its size and the SHA-256 of each slice."""
    digests: list[int | str] = [mebibytes << 20]
    with path.open("wb+") as file:
        for _ in range(mebibytes):
            file.write(os.urandom(2**20))
        file.seek(0)
        while part := file.read(SLICE_BYTES):
            digests.append(hashlib.sha256(part).hexdigest())
    return digests


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_024)
