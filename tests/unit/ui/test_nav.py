import asyncio
from bisect import bisect_left
from typing import Any

import ipywidgets
import pytest
from ipywidgets.widgets import widget as registry

from dfs_sdk.ui import Dashboard, FilesPanel, NavPanel, PlacementPanel
from dfs_sdk.ui.dashboard import PAGES
from dfs_sdk.ui.nav import Mark
from dfs_sdk.ui.outlet import MESSAGES_PER_SECOND_MAX
from tests.fakes.browser import press, told
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


def changed(number: int) -> dict[str, Any]:
    """A node of which everything has changed: copies, peers, transfers, messages and events."""
    return {
        "health": f"state {number}",
        "used_bytes": number * 1_000_000,
        "peers": tuple(peer_row(n, load=number, state="self" if n == 0 else "alive") for n in range(9)),
        "files": tuple(file_row(f"file-{number}-{n}") for n in range(9)),
        "transfers": tuple(transfer_row(transfer_id=n, bytes_done=number) for n in range(4)),
        "chunks": tuple(chunk_row(n, number % 3) for n in range(9)),
        "events": tuple(event_row(text=f"event {number + n}") for n in range(9)),
        "messages": tuple(message_row(f"message {number + n}", sent_at_wall=NOW + number + n) for n in range(9)),
    }


def busiest_second(traffic: list[dict[str, Any]], since: int) -> int:
    """The most messages in any second, wherever it begins."""
    times = [each["at"] for each in traffic[since:] if each["type"] == "comm_msg"]
    return max(bisect_left(times, at + 1.0) - place for place, at in enumerate(times))


@pytest.mark.parametrize("clicks", [0, 4, 50], ids=["nobody", "somebody", "a broken page"])
def test_no_second_holds_more_than_twenty_messages_of_all_panels_of_a_node(traffic, clicks):
    """With everything changing all the time, in a dashboard, two panels of their own and four views of the files."""

    async def scenario() -> None:
        async with FakeNode(full_snapshot()) as node:
            dashboard, panels = Dashboard(node), (FilesPanel(node), PlacementPanel(node))
            for view in range(4):
                press(dashboard.files, "look", view=f"v{view}", first=0, count=20, descending=0)
            press(panels[1], "look", view="v", version=0)
            await turns()
            before, seconds = len(traffic), 8
            for number in range(seconds * 50):
                node.change(**changed(number))
                for click in range(-(-clicks // 50) if number % 50 < clicks else 0):
                    press(dashboard.chat, "read", room="", ref=f"r{number}-{click}")
                await asyncio.sleep(0.02)
            asked, answered = seconds * clicks, len(told(traffic, "done"))
            busiest, sent = busiest_second(traffic, before), len(traffic) - before
            shown = {each["comm"] for each in traffic[before:]}
            moving = (dashboard.header, dashboard.files, dashboard.peers, dashboard.chat, dashboard.network, *panels)
            starved = [panel for panel in moving if panel.comm.comm_id not in shown]
            dashboard.close()
            for panel in panels:
                panel.close()
        assert busiest <= MESSAGES_PER_SECOND_MAX
        assert sent > 5 * seconds
        if clicks < 50:
            assert answered == asked
            assert starved == []

    run_virtual(scenario())


def test_click_is_answered_at_once_while_everything_changes(traffic):
    async def scenario() -> list[float]:
        async with FakeNode(full_snapshot()) as node:
            dashboard, loop, waited = Dashboard(node), asyncio.get_running_loop(), []
            for number in range(400):
                node.change(**changed(number))
                if number % 25 == 0:
                    begun = loop.time()
                    press(dashboard.chat, "read", room="", ref=f"r{number}")
                await asyncio.sleep(0.02)
                if number % 25 == 0:
                    (done,) = [each["at"] for each in traffic if _is_done(each, f"r{number}")]
                    waited.append(done - begun)
            dashboard.close()
        return waited

    assert max(run_virtual(scenario())) <= 0.001


def _is_done(sent: dict[str, Any], reference: str) -> bool:
    content = sent["data"].get("content") or {}
    return content.get("kind") == "done" and content["ref"] == reference
