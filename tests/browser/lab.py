"""A real JupyterLab in a real Chromium, driven by playwright: a server, notebooks in it, and their cells."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from playwright.sync_api import Browser, Locator, Page

from tests.browser.evidence import kept_log, kept_page

ROOT = Path(__file__).parents[2]
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SETTINGS: dict[str, dict[str, Any]] = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none", "autoStartDefaultKernel": True},
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
    "@jupyter-widgets/jupyterlab-manager/plugin": {"saveState": True},
}
WRITE = """([cell, source]) => {
    const model = window.jupyterapp.shell.currentWidget.content.widgets[cell].model;
    model.sharedModel.setSource(source);
}"""
# A cell that holds the kernel until the test lets go, so that what comes meanwhile comes meanwhile on any machine.
HELD = "held"
HELD_SECONDS_MAX = 60
BLOCK = f"""
import time
from pathlib import Path
begin = time.monotonic()
Path("{HELD}").touch()
while Path("{HELD}").exists():
    assert time.monotonic() - begin < {HELD_SECONDS_MAX}, "nobody let go"
    time.sleep(0.05)
"""
SERVER_SECONDS_MAX = 60
CELL_SECONDS_MAX = 90
TOKEN = "browser-test"


def find_chromium() -> str | None:
    """The path of an installed Chromium, if there is one."""
    return next((found for name in CHROMIUM_NAMES if (found := shutil.which(name))), None)


class Lab:
    """A running JupyterLab server with folders of its own.

    Attributes:
        url: Where it is, without the token.
        folder: Its root folder, where notebooks and what they write lie.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder

    def write_notebook(self, name: str, cells: Sequence[str]) -> Path:
        """Write a notebook of code cells."""
        path = self.folder / f"{name}.ipynb"
        content = {
            "cells": [_cell(place, source) for place, source in enumerate(cells)],
            "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
            "nbformat": 4,
            "nbformat_minor": 5,
        }
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    def open(self, page: Page, name: str) -> Notebook:
        """Open a notebook and wait until its kernel is idle."""
        page.goto(f"{self.url}/lab/workspaces/{name}/tree/{name}.ipynb?token={TOKEN}")
        page.wait_for_function(
            """(path) => {
                const open = window.jupyterapp?.shell.currentWidget;
                return open?.context?.path === path && open.sessionContext?.session?.kernel?.status === 'idle';
            }""",
            arg=f"{name}.ipynb",
            timeout=SERVER_SECONDS_MAX * 1000,
        )
        return Notebook(page, self.folder / f"{name}.ipynb")


class Notebook:
    """An open notebook."""

    def __init__(self, page: Page, path: Path) -> None:
        self.page = page
        self.path = path

    def run(self, cell: int, source: str | None = None) -> Locator:
        """Run a cell, wait for its end, and return its output area. Fails on an error in the cell.

        Args:
            cell: Its place.
            source: What it shall be from here on.
        """
        if source is not None:
            self.page.evaluate(WRITE, [cell, source])
        self.begin(cell)
        self.page.wait_for_function(
            """(cell) => {
                const model = window.jupyterapp.shell.currentWidget.content.widgets[cell].model;
                return model.executionCount !== null && model.executionState !== 'running';
            }""",
            arg=cell,
            timeout=CELL_SECONDS_MAX * 1000,
        )
        output = self.page.locator(".jp-Notebook .jp-Cell").nth(cell).locator(".jp-Cell-outputArea")
        errors = output.locator(
            "[data-mime-type='application/vnd.jupyter.error'], [data-mime-type='application/vnd.jupyter.stderr']"
        )
        assert errors.count() == 0, errors.first.inner_text()
        return output

    def begin(self, cell: int) -> None:
        """Start a cell and do not wait for it."""
        self.page.evaluate(
            """(cell) => {
                const app = window.jupyterapp;
                app.shell.currentWidget.content.widgets[cell].model.executionCount = null;
                app.shell.currentWidget.content.activeCellIndex = cell;
                app.commands.execute('notebook:run-cell');
            }""",
            cell,
        )

    def hold(self, cell: int) -> None:
        """Start a cell of `BLOCK` and wait until it holds the kernel."""
        (self.path.parent / HELD).unlink(missing_ok=True)  # of a test that failed before it let go
        self.begin(cell)
        wait_until((self.path.parent / HELD).exists, "the cell did not begin")

    def let_go(self) -> None:
        """End what holds the kernel."""
        (self.path.parent / HELD).unlink()

    def save(self) -> dict[str, Any]:
        """Save the notebook with its widgets' state and read back what was written."""
        self.page.evaluate(
            """async () => {
                await window.jupyterapp.commands.execute('docmanager:save');
            }"""
        )
        saved: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        return saved

    def theme(self, name: str) -> None:
        """Switch JupyterLab's theme and wait until it shows."""
        self.page.evaluate("(theme) => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", name)
        light = "false" if "Dark" in name else "true"
        self.page.wait_for_selector(f"body[data-jp-theme-light='{light}']", state="attached")


@contextmanager
def running_lab(folder: Path) -> Iterator[Lab]:
    """Run a server on 127.0.0.1 with configuration, data and runtime folders below `folder`."""
    root = folder / "root"
    settings = folder / "settings"
    for name, content in SETTINGS.items():
        path = settings / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    root.mkdir()
    environment = {
        **os.environ,
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "IPYTHONDIR": str(folder / "ipython"),
        "PYTHONPATH": str(ROOT),
    }
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0",
        f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={root}", "--LabApp.expose_app_in_browser=True",
    ]  # fmt: skip
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            with kept_log("log of JupyterLab and its kernels", folder / "server.log"):
                yield Lab(_server_url(folder, process), root)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)


@contextmanager
def open_page(browser: Browser) -> Iterator[Page]:
    """A page in a profile of its own, which records scripts' errors and every request to elsewhere."""
    with browser.new_context(viewport={"width": 1400, "height": 1500}, accept_downloads=True) as context:
        context.set_default_navigation_timeout(SERVER_SECONDS_MAX * 1000)  # a first page has all of JupyterLab to load
        page = context.new_page()
        with kept_page(page):
            yield page


def watch(page: Page) -> tuple[list[str], list[str]]:
    """Record what must not happen: the errors of scripts, and requests to anywhere but this machine."""
    errors: list[str] = []
    strangers: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "console",
        lambda entry: errors.append(entry.text) if entry.type == "error" and "anywidget" in entry.text else None,
    )
    local = ("http://127.0.0.1", "ws://127.0.0.1", "blob:", "data:")
    page.on("request", lambda request: None if request.url.startswith(local) else strangers.append(request.url))
    return errors, strangers


def tab(page: Page, title: str) -> None:
    """Turn to a page of the dashboard."""
    page.locator(".dfs-dashboard .dfs-nav [role=tab]", has_text=title).click()


def wait_until(condition: Callable[[], bool], complaint: str, *, seconds: float = 30.0) -> None:
    """Wait for something outside the browser, such as a file that a cell writes."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, complaint
        time.sleep(0.05)


def _cell(place: int, source: str) -> dict[str, Any]:
    empty: dict[str, Any] = {"metadata": {}, "outputs": [], "execution_count": None}
    return {"cell_type": "code", "id": f"cell-{place}", "source": source, **empty}


def _server_url(folder: Path, process: subprocess.Popen[bytes]) -> str:
    found: list[str] = []

    def ready() -> bool:
        assert process.poll() is None, (folder / "server.log").read_text(encoding="utf-8", errors="replace")
        for path in (folder / "runtime").glob("jpserver-*.json"):
            try:
                url = str(json.loads(path.read_text())["url"]).rstrip("/")
                with urlopen(f"{url}/api?token={TOKEN}", timeout=2) as answer:
                    if answer.status == 200:
                        found.append(url)
            except (OSError, ValueError):
                return False
        return bool(found)

    wait_until(ready, "JupyterLab did not come up", seconds=SERVER_SECONDS_MAX)
    return found[0]
