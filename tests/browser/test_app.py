"""`dfs app` as a user meets it: two of them in two windows, from joining to talking, and their ends."""

from __future__ import annotations

import random
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

pytest.importorskip("voila", reason='pip install "dfs-sdk[app]"')

from dfs_sdk.cli.server import bind
from dfs_sdk.errors import ConfigError
from tests.browser import story
from tests.browser.app import running_app, start_app
from tests.browser.far import Far, far_members
from tests.browser.lab import open_page, wait_until, watch

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

SIZE = 3 * 2**20 + 123
FORBIDDEN = 403
ID_SHOWN = re.compile(r"·\s+[0-9a-f]{8}\b")
CUT_OFF = """() => {
    const edge = (selector) => document.querySelector(selector).getBoundingClientRect().right;
    return Math.max(0, edge(".dfs-dashboard") - edge(".jp-OutputArea-child"));
}"""


@pytest.fixture
def far() -> Iterator[Far]:
    with far_members("dot", "eve") as members:
        yield members


@pytest.fixture
def other_page(browser: Browser) -> Iterator[Page]:
    with open_page(browser) as fresh:
        yield fresh


def test_two_windows_join_store_fetch_and_talk(page: Page, other_page: Page, far: Far, tmp_path: Path, artefacts: Path):
    watched = [watch(page), watch(other_page)]
    with (
        running_app(tmp_path / "ada", "--name", "ada", "--join", far.address) as ada,
        running_app(tmp_path / "ben", "--name", "ben", "--theme", "dark") as ben,
    ):
        page.goto(ada.url)
        other_page.goto(ben.url)
        story.join(other_page, far.address)
        expect(story.dashboard(page)).to_contain_text("ada")
        for window in (page, other_page):
            expect(window).to_have_title("dfs")
        assert page.locator(".jp-InputArea, .jp-Cell-inputWrapper").count() == 0, "a notebook is in sight"

        source = tmp_path / "measurements.bin"
        source.write_bytes(random.Random(5).randbytes(SIZE))
        story.upload(page, source)
        story.turn_to(page, "Chunks")
        expect(story.dashboard(page)).to_contain_text("measurements.bin", timeout=story.STEP_MS)
        page.screenshot(path=artefacts / "app-chunks.png")

        story.fetch_by_link(other_page, story.read_link(page, source.name))
        fetched = ben.home / "Downloads" / "dfs_downloads" / source.name
        wait_until(lambda: fetched.exists() and fetched.stat().st_size == SIZE, "ben never got the file")
        assert fetched.read_bytes() == source.read_bytes()
        assert story.download(page, source.name) == source.read_bytes()

        story.say(page, "the numbers are in")
        story.hear(other_page, "the numbers are in")
        story.say(other_page, "thank you")
        story.hear(page, "thank you")
        other_page.screenshot(path=artefacts / "app-chat-dark.png")

        assert watched == [([], []), ([], [])], "a script failed, or something was asked of another server"


def note(page: Page, text: str) -> None:
    """Say something where nobody else is."""
    story.turn_to(page, "Chat")
    story.panel(page, "Chat").get_by_role("textbox", name="Message").fill(text)
    page.keyboard.press("Enter")
    expect(story.panel(page, "Chat").get_by_role("log")).to_contain_text("not confirmed yet")


def test_node_outlives_a_reload_and_ends_with_its_last_window(page: Page, other_page: Page, tmp_path: Path):
    """It keeps nothing on disk: another node would have another id, and would not know what was said."""
    with running_app(tmp_path / "ada", "--name", "ada", "--store", "memory") as app:
        page.goto(app.url)
        story.dashboard(page)
        expect(page.locator(".dfs-header-facts")).to_contain_text(ID_SHOWN)
        node_id = page.locator(".dfs-header-facts").inner_text().rsplit("·", 1)[-1].strip()
        note(page, "before the reload")
        moves = (
            story.panel(page, "Files").get_by_role("list", name="uploads and downloads of this browser").locator("li")
        )
        story.turn_to(page, "Files")
        nobody_to_keep_it = {"name": "alone.txt", "mimeType": "text/plain", "buffer": b"alone"}
        page.locator(".dfs-upload").set_input_files(nobody_to_keep_it)
        expect(moves).to_contain_text("failed: 0 of")
        page.reload()
        watched = [watch(page), watch(other_page)]
        story.hear(page, "before the reload")
        story.turn_to(page, "Files")
        expect(moves).to_contain_text("failed: 0 of")
        expect(moves.get_by_role("button", name="Choose again")).to_be_visible()
        expect(page.locator(".dfs-header-facts")).to_contain_text(node_id)
        note(page, "after the reload")

        other_page.goto(app.url)
        story.hear(other_page, "after the reload")
        other_page.set_viewport_size({"width": 700, "height": 900})
        other_page.wait_for_function(f"() => ({CUT_OFF})() === 0")
        note(other_page, "from the second window")
        story.hear(page, "from the second window")
        page.close()
        note(other_page, "the first one is closed")
        story.hear(other_page, "the first one is closed")
        assert app.process.poll() is None
        other_page.close()
        assert app.process.wait(40) == 0
        assert "Traceback" not in app.log
        assert watched == [([], []), ([], [])]


def test_window_needs_its_token(page: Page, tmp_path: Path):
    with running_app(tmp_path / "ada", "--store", "memory") as app:
        page.goto(app.url.partition("?")[0])
        assert page.locator(".dfs-dashboard").count() == 0
        answer = page.request.post(app.url.partition("?")[0] + "voila/api/shutdown/0")
        assert answer.status == FORBIDDEN
        assert app.end(signal.SIGINT) == 130


def test_second_program_on_a_store_says_so_and_ends(tmp_path: Path):
    with running_app(tmp_path / "ada", "--name", "ada"):
        second = start_app(tmp_path / "ada", "--name", "ada")
        out, _ = second.communicate(timeout=60)
        assert (second.returncode, out) == (7, "")
        assert "has a window already" in (tmp_path / "ada" / "app.log").read_text()


def test_port_that_is_taken_is_named_with_a_way_out():
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        pytest.raises(ConfigError, match="give another --port") as said,
    ):
        bind(port := other.getsockname()[1])
    assert f"127.0.0.1:{port}" in str(said.value)
