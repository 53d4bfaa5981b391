"""Nothing that a peer can say runs, loads or hides anything in a notebook's page."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab import Lab, tab, watch

pytestmark = pytest.mark.browser

ACTIVE = """
img, script, iframe, svg, object, embed, link, meta, base, form[action], a, video, audio, marquee, mjx-container
"""
START = """
from dataclasses import replace
from tests.fakes.hostile import HOSTILE
from tests.fakes.node import FakeNode
from tests.fakes.rows import *
from dfs_sdk.ui import Dashboard
from dfs_sdk.views import frames, html
from IPython.display import HTML, display

rows = [snapshot_saying(text) for text in HOSTILE]
snapshot = empty_snapshot(
    name=HOSTILE[0], health=HOSTILE[1], address=HOSTILE[2], state="in network",
    chunks=tuple(replace(chunk_row(n, n, file=text, why=text), holder=text) for n, text in enumerate(HOSTILE[:90])),
    peers=tuple(peer_row(name=text, address=text, node_id=f"{n:064x}") for n, text in enumerate(HOSTILE)),
    files=tuple(file_row(text, origin=text, file_id=f"{n:016x}") for n, text in enumerate(HOSTILE)),
    transfers=tuple(transfer_row(transfer_id=n, file=text, error=text) for n, text in enumerate(HOSTILE)),
    events=tuple(event_row(text=text) for text in HOSTILE),
    messages=tuple(message_row(text, sender=text, sent_at_wall=NOW + n) for n, text in enumerate(HOSTILE)),
)
node = await FakeNode(snapshot).start()
Dashboard(node)
"""
CARDS = """
facts = [(text, text) for text in HOSTILE]
for card in (html.node_card(snapshot), html.peer_card(snapshot.peers[0]), html.swarm_card(rows),
             html.file_card(snapshot.files[0], snapshot.chunks), html.facts_card(HOSTILE[0], facts, HOSTILE[1])):
    display(HTML(card))
"""
FRAMES = """
for table in frames.COLUMNS:
    display(getattr(frames, table)(snapshot))
"""
ERRORS = """
for text in HOSTILE:
    try:
        raise ValueError(text)
    except ValueError as error:
        panel.report(text, error)
"""


def test_hostile_corpus_stays_text(lab: Lab, page: Page):
    errors, strangers = watch(page)
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    lab.write_notebook(
        "safety", [START, CARDS, FRAMES, "from dfs_sdk.ui import JoinPanel\npanel = JoinPanel(node)\npanel", ERRORS]
    )
    notebook = lab.open(page, "safety")
    for cell in range(5):
        notebook.run(cell)
    for title in ("Files", "Chunks", "Chat", "Network"):
        tab(page, title)
        expect(page.locator(".dfs-dashboard .dfs-panel:visible").nth(1)).not_to_be_empty()
    expect(page.locator(".dfs-problem")).to_have_count(5)
    expect(page.locator(".dfs-peers tbody tr")).to_have_count(164)

    for place in (".dfs-panel", ".dfs-card", ".dataframe"):
        assert page.locator(place).count() > 0
        assert page.locator(place).locator(ACTIVE).count() == 0, place
    assert page.evaluate("window.pwned") is None
    assert dialogs == []
    assert strangers == []
    assert errors == []
