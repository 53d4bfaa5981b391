"""Single panels in a real marimo, which is no Jupyter: no ipykernel, no comms, another front end."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from playwright.sync_api import Page, expect

pytest.importorskip("marimo", reason="pip install marimo")

from tests.browser.far import far_members
from tests.browser.lab import ROOT, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

STEP_MS = 30_000
NOTEBOOK = """
import marimo
app = marimo.App()

@app.cell
async def _():
    from dfs_sdk import Node
    node = await Node("ada", store="memory", listen="127.0.0.1:0").start()
    return (node,)

@app.cell
def _(node):
    node.join_panel()
    return

@app.cell
def _(node):
    node.chat_panel()
    return

if __name__ == "__main__":
    app.run()
"""


@pytest.fixture
def marimo_url(tmp_path: Path) -> Iterator[str]:
    """A marimo that shows the notebook and runs it for each page."""
    (tmp_path / "panels.py").write_text(NOTEBOOK)
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [
        sys.executable, "-m", "marimo", "--quiet", "run", "panels.py", "--headless", "--no-token",
        "--host", "127.0.0.1", "--port", str(port),
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        wait_until(lambda: _answers(url), "marimo did not come up", seconds=60)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def test_single_panels_join_and_talk_in_marimo(page: Page, marimo_url: str, artefacts: Path):
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    with far_members("dot") as far:
        page.goto(marimo_url)
        joining = page.get_by_role("region", name="Join or create a network", exact=True)
        expect(joining).to_be_visible(timeout=STEP_MS)
        joining.get_by_label("Address or invite").fill(far.address)
        joining.get_by_role("button", name="Join", exact=True).click()
        expect(joining).to_contain_text(re.compile("Joined through"), timeout=STEP_MS)
        joining.get_by_role("button", name="Show the invite").click()
        expect(joining.get_by_role("textbox", name="Invite", exact=True)).to_have_value(
            re.compile("^dfs-join:"), timeout=STEP_MS
        )
        chat = page.get_by_role("region", name="Chat", exact=True)
        chat.get_by_role("textbox", name="Message").fill("hello from marimo")
        page.keyboard.press("Enter")
        expect(chat.get_by_role("log")).to_contain_text("delivered", timeout=STEP_MS)
        page.screenshot(path=artefacts / "marimo.png")
    assert errors == []


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
