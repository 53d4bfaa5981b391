import asyncio

import ipywidgets
import pytest
from ipywidgets.widgets import widget as registry

from dfs_sdk.ui import Dashboard, NavPanel
from dfs_sdk.ui.dashboard import PAGES
from dfs_sdk.ui.nav import Mark
from tests.fakes.browser import press
from tests.fakes.node import FakeNode
from tests.fakes.rows import (
    NOW,
    chunk_row,
    empty_snapshot,
    event_row,
    file_row,
    full_snapshot,
    message_row,
    peer_id,
    peer_row,
    transfer_row,
)
from tests.fakes.virtual import run_virtual, turns


def test_marks_say_what_waits(traffic):
    marks = {"chat": lambda _snapshot: Mark(count=3, words="3 unread messages"), "files": lambda _snapshot: None}
    panel = NavPanel(FakeNode(), pages={"files": "Files", "chat": "Chat"}, marks=marks, first="files")
    assert panel.pages == [
        {"key": "files", "title": "Files", "mark": "", "words": ""},
        {"key": "chat", "title": "Chat", "mark": "3", "words": "3 unread messages"},
    ]
    panel.close()


def test_large_counts_are_cut_in_the_mark(traffic):
    marks = {"chat": lambda _snapshot: Mark(count=1_000, words="1,000 unread messages")}
    panel = NavPanel(FakeNode(), pages={"chat": "Chat"}, marks=marks, first="chat")
    assert panel.pages[0]["mark"] == "99+"
    panel.close()


@pytest.mark.parametrize(
    ("peers", "first"),
    [((), "network"), ((peer_row(0, state="self"),), "network"), ((peer_row(0), peer_row(1)), "files")],
)
def test_a_node_that_is_alone_begins_with_joining(traffic, peers, first):
    dashboard = Dashboard(FakeNode(empty_snapshot(peers=peers)))
    assert dashboard.nav.first == first
    dashboard.close()


def test_each_page_has_its_element_and_the_first_is_marked(traffic):
    dashboard = Dashboard(FakeNode(full_snapshot()))
    _nav, stack = dashboard.children[1].children
    classes = [set(page._dom_classes) for page in stack.children]
    assert [f"dfs-page-{key}" in found for key, found in zip(PAGES, classes, strict=True)] == [True] * len(PAGES)
    assert ["dfs-page-first" in found for found in classes] == [True, False, False, False, False]
    dashboard.close()


def test_unread_messages_and_lost_files_mark_their_pages(traffic):
    async def scenario() -> None:
        async with FakeNode(full_snapshot()) as node:
            dashboard = Dashboard(node)
            marks = {page["key"]: page["mark"] for page in dashboard.nav.pages}
            assert set(marks.values()) == {""}
            fresh = message_row("psst", room="node-1", room_id=peer_id(1), sent_at_wall=NOW)
            node.change(messages=(*node.rows.messages, fresh), files=(file_row(health="unavailable"),))
            await turns()
            found = {page["key"]: (page["mark"], page["words"]) for page in dashboard.nav.pages}
            assert found["chat"] == ("1", "1 unread message")
            assert found["files"] == ("1", "1 file cannot be read just now")
            press(dashboard.chat, "read", room=peer_id(1), ref="r")
            await turns(seconds=1)
            assert dashboard.nav.pages[3]["mark"] == ""
            dashboard.close()

    run_virtual(scenario())


def test_closing_leaves_no_model(traffic):
    before = set(registry._instances)
    dashboard = Dashboard(FakeNode(full_snapshot()))
    assert len(set(registry._instances) - before) > 20
    dashboard.close()
    dashboard.close()
    assert set(registry._instances) == before
    assert dashboard.closed
    assert all(panel.closed for panel in dashboard.panels)
    assert isinstance(dashboard, ipywidgets.VBox)


def test_all_panels_together_send_less_than_twenty_messages_a_second(traffic):
    """With everything changing all the time: copies, peers, transfers, messages and events."""

    async def scenario() -> float:
        async with FakeNode(full_snapshot()) as node:
            dashboard = Dashboard(node)
            await turns()
            before, seconds = len(traffic), 20
            for number in range(seconds * 50):
                node.change(
                    health=f"state {number}",
                    used_bytes=number * 1_000_000,
                    peers=tuple(peer_row(n, load=number, state="self" if n == 0 else "alive") for n in range(9)),
                    files=tuple(file_row(f"file-{number}-{n}") for n in range(9)),
                    transfers=tuple(transfer_row(transfer_id=n, bytes_done=number) for n in range(4)),
                    chunks=tuple(chunk_row(n, number % 3) for n in range(9)),
                    events=(*node.rows.events[-100:], event_row(text=f"event {number}")),
                    messages=(*node.rows.messages[-100:], message_row(f"message {number}", sent_at_wall=NOW + number)),
                )
                await asyncio.sleep(0.02)
            sent = len(traffic) - before
            dashboard.close()
        return sent / seconds

    assert 5 < run_virtual(scenario()) <= 20
