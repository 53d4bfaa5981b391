"""What a panel says when its kernel is busy, restarts or dies, and that nothing written meanwhile is lost."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab import BLOCK, Lab, tab, wait_until, watch

pytestmark = pytest.mark.browser

START = """
import os
from pathlib import Path
from tests.fakes.node import FakeNode
from tests.fakes.rows import full_snapshot
from dfs_sdk.ui import Dashboard
node = await FakeNode(full_snapshot()).start()
Path("kernel.pid").write_text(str(os.getpid()))
dashboard = Dashboard(node)
dashboard
"""
HEART = ".dfs-header .dfs-heart"


def test_held_loop_is_said_and_what_was_written_meanwhile_is_sent_once(lab: Lab, page: Page):
    errors, _ = watch(page)
    lab.write_notebook("held", [START, BLOCK, "assert node.chat.sent == [('while you slept', None)], node.chat.sent"])
    notebook = lab.open(page, "held")
    notebook.run(0)
    tab(page, "Chat")
    expect(page.locator(HEART)).to_be_hidden()
    notebook.hold(1)
    page.get_by_role("textbox", name="Message").fill("while you slept")
    page.keyboard.press("Enter")
    expect(page.locator(".dfs-waiting")).to_contain_text("while you slept")
    expect(page.locator(HEART)).to_contain_text("has not answered for")
    notebook.let_go()
    expect(page.locator(".dfs-waiting")).to_have_count(0)
    expect(page.locator(".dfs-mine .dfs-message-text").last).to_have_text("while you slept")
    expect(page.locator(HEART)).to_be_hidden(timeout=10_000)
    notebook.run(2)
    assert errors == []


def test_kernel_that_died_is_said(lab: Lab, page: Page):
    lab.write_notebook("died", [START])
    notebook = lab.open(page, "died")
    notebook.run(0)
    expect(page.locator(HEART)).to_be_hidden()
    pid = lab.folder / "kernel.pid"
    wait_until(pid.exists, "the kernel did not say its process")
    os.kill(int(Path(pid).read_text()), signal.SIGKILL)
    expect(page.locator(HEART)).to_contain_text("run the cell again", timeout=30_000)


def test_idle_panel_asks_the_kernel_nothing(lab: Lab, page: Page):
    """On the page it begins with, and when it was turned to another: its list of files is out of sight then."""
    lab.write_notebook("idle", [START])
    notebook = lab.open(page, "idle")
    notebook.run(0)
    expect(page.locator(".dfs-header .dfs-title")).to_have_text("node-0")
    page.wait_for_timeout(4_500)  # the second greeting of each view is over
    page.evaluate("""() => {
        const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
        window.messagesSeen = 0;
        kernel.anyMessage.connect((_, args) => {
            if (args.msg.header.msg_type.startsWith("comm")) window.messagesSeen += 1;
        });
    }""")
    page.wait_for_timeout(4_500)
    assert page.evaluate("window.messagesSeen") == 0
    tab(page, "Chat")
    page.wait_for_timeout(1_000)  # what the turn itself asks for
    page.evaluate("window.messagesSeen = 0")
    page.wait_for_timeout(4_500)
    assert page.evaluate("window.messagesSeen") == 0
