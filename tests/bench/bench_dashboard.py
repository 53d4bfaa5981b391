"""What a dashboard costs, and how fast it answers: `python tests/bench/bench_dashboard.py [--size-mib N] [--idle S]`.

A real JupyterLab in a real Chromium; the kernel holds a node with a store on disk, two members live in another process.
Printed as JSON: milliseconds from running `node.dashboard()` to a dashboard that shows the node; processor share of the
kernel without and with an idle dashboard; and, while the node puts a file, milliseconds from a click to its visible
effect (a frame later) and the comm messages a second that reach the browser.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.browser.lab import CHROMIUM_FLAGS, Lab, Notebook, find_chromium, open_page, running_lab  # noqa: E402

MIB = 2**20
TRANSFER_SECONDS_MAX = 300
FAR = """
import asyncio, sys
from dfs_sdk import Node

async def main():
    folder = sys.argv[1]
    async with (Node("ben", store=f"{folder}/ben", listen="127.0.0.1:0", quota="20 GiB") as ben,
                Node("cyd", store=f"{folder}/cyd", listen="127.0.0.1:0", quota="20 GiB") as cyd):
        await cyd.join(str(ben.address))
        print(ben.address, flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""
START = """
import os
from pathlib import Path
from dfs_sdk import Node
import dfs_sdk.ui
node = await Node("ada", store={store!r}, listen="127.0.0.1:0", quota="20 GiB").start()
await node.join({address!r})
Path("kernel.pid").write_text(str(os.getpid()))
"""
SHOW = "node.dashboard()"
PUT = "transfer = node.submit(node.put({path!r}, replicas=2, quorum=2))"
READY = """(cell) => new Promise((resolve) => {
    const begin = performance.now();
    const app = window.jupyterapp;
    app.shell.currentWidget.content.activeCellIndex = cell;
    app.commands.execute("notebook:run-cell");
    const look = () => {
        const title = document.querySelector(".dfs-header .dfs-title");
        const page = document.querySelector(".dfs-page-files .dfs-panel");
        if (title?.textContent === "ada" && page?.offsetHeight) resolve(performance.now() - begin);
        else requestAnimationFrame(look);
    };
    look();
})"""
COUNT = """() => {
    window.commMessages = 0;
    const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    kernel.anyMessage.connect((_, { msg, direction }) => {
        if (direction === "recv" && msg.header.msg_type === "comm_msg") window.commMessages += 1;
    });
}"""
CLICK = """([button, effect]) => new Promise((resolve) => {
    const find = (selector) => [...document.querySelectorAll(selector)].find((node) => node.offsetParent !== null);
    const begin = performance.now();
    find(button).click();
    const look = () => (find(effect) || performance.now() - begin > 20000
        ? requestAnimationFrame(() => resolve(performance.now() - begin)) : requestAnimationFrame(look));
    look();
})"""
SAY = """(text) => new Promise((resolve) => {
    const input = document.querySelector(".dfs-compose");
    input.value = text;
    const begin = performance.now();
    input.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true }));
    const seen = (selector) => [...document.querySelectorAll(selector)].some((node) => node.textContent === text);
    let shown = 0;
    const look = () => {
        shown = shown || (seen(".dfs-message-text") ? performance.now() - begin : 0);
        if (seen(".dfs-log-items .dfs-message-text")) resolve([shown, performance.now() - begin]);
        else requestAnimationFrame(look);
    };
    look();
})"""
TAB = ".dfs-nav-item[data-key={}]"


@contextmanager
def far_members(folder: Path) -> Iterator[str]:
    """Two members in a process of their own; gives the address of one."""
    command = [sys.executable, "-c", FAR, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate(timeout=60)


def cpu_share(pid: int, seconds: float) -> float:
    """The share of one core that a process uses while we wait."""
    process = psutil.Process(pid)
    before, begun = process.cpu_times(), time.monotonic()
    time.sleep(seconds)
    after = process.cpu_times()
    used = (after.user + after.system) - (before.user + before.system)
    return used / (time.monotonic() - begun)


def summary(times: list[float]) -> dict[str, int]:
    """What several clicks took."""
    return {"median_ms": round(statistics.median(times)), "max_ms": round(max(times)), "clicks": len(times)}


def measure_load(page: Page) -> dict[str, Any]:
    """Click about until the transfer has ended."""
    times: dict[str, list[float]] = {
        name: [] for name in ("turn a page", "message on the screen", "message kept by the node", "pause", "resume")
    }
    rates: list[float] = []
    end = time.monotonic() + TRANSFER_SECONDS_MAX
    rounds = 0
    while time.monotonic() < end:
        counted, begun = page.evaluate("window.commMessages"), time.monotonic()
        times["turn a page"].append(page.evaluate(CLICK, [TAB.format("chat"), ".dfs-compose"]))
        shown, kept = page.evaluate(SAY, f"message {rounds}")
        times["message on the screen"].append(shown)
        times["message kept by the node"].append(kept)
        times["turn a page"].append(page.evaluate(CLICK, [TAB.format("files"), ".dfs-transfer-row"]))
        page.wait_for_timeout(1_000)
        rates.append((page.evaluate("window.commMessages") - counted) / (time.monotonic() - begun))
        running = page.locator(".dfs-transfer-row[data-state=running]")
        if not running.count():
            break
        if rounds % 3 == 0:
            pause, resume = (f".dfs-transfer-row button[title^={name}]" for name in ("Pause", "Resume"))
            times["pause"].append(page.evaluate(CLICK, [pause, resume]))
            times["resume"].append(page.evaluate(CLICK, [resume, pause]))
        rounds += 1
    found: dict[str, Any] = {name: summary(each) for name, each in times.items() if each}
    found["comm messages a second"] = {"median": round(statistics.median(rates), 1), "max": round(max(rates), 1)}
    return found


def measure(lab: Lab, page: Page, *, address: str, folder: Path, size: int, idle: float) -> dict[str, Any]:
    """One run."""
    data = folder / "data.bin"
    subprocess.run(["dd", "if=/dev/urandom", f"of={data}", "bs=1M", f"count={size // MIB}", "status=none"], check=True)
    cells = [
        START.format(store=str(folder / "ada"), address=address),
        SHOW,
        PUT.format(path=str(data)),
        "await node.close()",
    ]
    lab.write_notebook("bench", cells)
    notebook: Notebook = lab.open(page, "bench")
    notebook.run(0)
    pid = int((lab.folder / "kernel.pid").read_text())
    alone = cpu_share(pid, idle)
    ready = page.evaluate(READY, 1)
    expect(page.locator(".dfs-header .dfs-title")).to_have_text("ada")
    page.wait_for_timeout(4_000)
    shown = cpu_share(pid, idle)
    page.evaluate(COUNT)
    notebook.run(2)
    expect(page.locator(".dfs-transfer-row[data-state=running]")).to_have_count(1, timeout=30_000)
    begun = time.monotonic()
    load = measure_load(page)
    load["transfer of MiB"] = size // MIB
    load["transfer took s"] = round(time.monotonic() - begun, 1)
    notebook.run(3)
    return {
        "dashboard ready ms": round(ready),
        "idle kernel, share of a core": {"node alone": round(alone, 4), "with dashboard": round(shown, 4)},
        "under load": load,
    }


def main() -> None:
    """Run it and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-mib", type=int, default=1024)
    parser.add_argument("--idle", type=float, default=30.0, help="seconds of each idle measurement")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        chromium = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_FLAGS)
        with far_members(folder) as address, running_lab(folder / "lab") as lab, open_page(chromium) as page:
            found = measure(
                lab, page, address=address, folder=folder, size=arguments.size_mib * MIB, idle=arguments.idle
            )
        chromium.close()
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
