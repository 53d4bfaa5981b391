import asyncio
import json
import math
import threading
from dataclasses import replace

import anywidget
import ipywidgets
import pytest
from ipywidgets.widgets import widget as registry

from dfs_sdk.errors import LinkError, PeerUnreachableError
from dfs_sdk.ui import (
    ChatPanel,
    Dashboard,
    FilesPanel,
    HeaderPanel,
    JoinPanel,
    NetworkPanel,
    PeersPanel,
    PlacementPanel,
    TransfersPanel,
    close_panels,
    panel_of,
)
from dfs_sdk.ui import base as base_module
from dfs_sdk.ui.base import Panel, close_tree, in_words
from dfs_sdk.views import plots
from tests.fakes.browser import press, states, told
from tests.fakes.hostile import HOSTILE, SURROGATES, active_content
from tests.fakes.node import SECRET, FakeNode
from tests.fakes.rows import empty_snapshot, full_snapshot, peer_row, snapshot_saying
from tests.fakes.virtual import run_virtual, turns

PANELS = [
    HeaderPanel,
    JoinPanel,
    PeersPanel,
    NetworkPanel,
    FilesPanel,
    TransfersPanel,
    ChatPanel,
    PlacementPanel,
]


def texts_in(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for each in value.values() for text in texts_in(each)]
    if isinstance(value, list | tuple):
        return [text for each in value for text in texts_in(each)]
    return []


def own_state(panel: Panel) -> dict[str, object]:
    state = panel.get_state()
    return {name: value for name, value in state.items() if not name.startswith("_") and name != "layout"}


@pytest.mark.parametrize("kind", PANELS)
@pytest.mark.parametrize("snapshot", [empty_snapshot(), full_snapshot()])
def test_panel_shows_without_a_running_node(traffic, kind, snapshot):
    panel = kind(FakeNode(snapshot))
    json.dumps(own_state(panel), allow_nan=False)
    data = panel._repr_mimebundle_()[0]
    assert {"text/plain", "text/html", "application/vnd.jupyter.widget-view+json"} <= set(data)
    assert panel.title in data["text/plain"]
    panel.close()


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        (FilesPanel, "notes.txt"),
        (TransfersPanel, "too few peers confirmed"),
        (PeersPanel, "node-2"),
        (ChatPanel, "me too"),
        (NetworkPanel, "node-2 left"),
    ],
)
def test_saved_notebook_shows_of_each_panel_what_it_is_about(traffic, kind, kept):
    panel = kind(FakeNode(full_snapshot()))
    _, _, unfolded = panel._repr_mimebundle_()[0]["text/html"].partition("<details open>")
    assert kept in unfolded.partition("</details>")[0]
    panel.close()


@pytest.mark.parametrize("kind", PANELS)
def test_quiet_node_makes_a_silent_panel(traffic, kind):
    async def scenario() -> int:
        async with FakeNode(full_snapshot()) as node:
            panel = kind(node)
            await turns()
            before, begun = len(traffic), node.rows.at_wall
            for number in range(50):  # smoothed times waver, clocks run: nothing of it is news
                rows = tuple(
                    replace(row, rtt=0.0018 + number % 5 * 1e-4, uptime=60 + number, last_heard_wall=number)
                    for row in node.rows.peers
                )
                node.change(peers=rows, at_wall=begun + number)
                await asyncio.sleep(1)
            sent = len(traffic) - before
            panel.close()
        return sent

    assert run_virtual(scenario()) == 0


@pytest.mark.parametrize("kind", PANELS)
def test_hostile_text_in_traits_is_visible_text(traffic, kind, monkeypatch):
    monkeypatch.setattr(plots, "chunks_png", lambda _frame: b"as if drawn")  # drawing takes a while for each text
    for text in (*HOSTILE, *SURROGATES):
        panel = kind(FakeNode(snapshot_saying(text)))
        for shown in texts_in(own_state(panel)):
            assert not {"\x1b", "\x00", "\x07", "\r", "\u202e", "\u200b"} & set(shown)
            shown.encode()
        data = panel._repr_mimebundle_()[0]
        assert active_content(data["text/html"]) == []
        assert not {"\x1b", "\u202e"} & set(data["text/plain"] + repr(panel))
        panel.close()


@pytest.mark.parametrize("kind", PANELS)
def test_absurd_numbers_are_still_json(traffic, kind):
    snapshot = full_snapshot(lag=math.nan, capacity_bytes=2**64 - 1)
    rows = (
        peer_row(1, rtt=math.nan, capacity_bytes=0),
        peer_row(2, rtt=math.inf, capacity_bytes=2**64 - 1, used_bytes=2**65),
    )
    messages = tuple(replace(row, sent_at_wall=math.nan, delivered=2**70) for row in snapshot.messages)
    transfers = tuple(replace(row, rate=math.inf, eta=math.nan, bytes_total=-1) for row in snapshot.transfers)
    events = tuple(replace(row, at_wall=math.inf) for row in snapshot.events)
    panel = kind(FakeNode(replace(snapshot, peers=rows, messages=messages, transfers=transfers, events=events)))
    json.dumps(own_state(panel), allow_nan=False)
    panel.close()


@pytest.mark.parametrize("kind", [*PANELS, Dashboard])
def test_closing_leaves_nothing(traffic, kind):
    async def scenario() -> None:
        before = len(registry._instances)
        async with FakeNode(full_snapshot()) as node:
            panel = kind(node)
            await turns(1)
            panel.close()
            panel.close()
            await turns(1)
            assert len(registry._instances) == before
            assert node.events._entries == []
            assert len(asyncio.all_tasks()) == 1
            assert panel.closed

    run_virtual(scenario())


def test_many_dashboards_leave_no_model(traffic):
    before = len(registry._instances)
    for _ in range(40):
        Dashboard(FakeNode()).close()
    assert len(registry._instances) == before


def test_close_tree_closes_every_model(traffic):
    before = len(registry._instances)
    box = ipywidgets.VBox([ipywidgets.HBox([ipywidgets.Button(), ipywidgets.IntSlider()]), ipywidgets.Text()])
    close_tree(box)
    close_tree(box)
    assert len(registry._instances) == before


def test_messages_after_close_are_harmless(traffic):
    async def scenario() -> None:
        async with FakeNode() as node:
            panel = JoinPanel(node)
            panel.close()
            count = len(traffic)
            panel._on_message(panel, {"kind": "invite"}, [])
            await turns()
            assert len(traffic) == count

    run_virtual(scenario())


def test_traits_are_written_on_the_home_thread_only(traffic):
    written: set[int] = set()

    async def scenario() -> None:
        node = FakeNode(home="thread")
        await node.start()
        panel = JoinPanel(node)
        panel.observe(lambda _change: written.add(threading.get_ident()), names=["status", "problems"])
        joined = asyncio.Event()
        loop = asyncio.get_running_loop()
        panel.observe(lambda _change: loop.call_soon_threadsafe(joined.set), names=["status"])
        caller = threading.Thread(
            target=press, args=(panel, "join"), kwargs={"target": "a:1", "timeout": 5, "ref": "r"}
        )
        caller.start()
        caller.join()
        async with asyncio.timeout(20):
            await joined.wait()
        press(panel, "join", target="a:1", timeout=5)
        press(panel, "nonsense")
        panel.close()
        home = node._thread.ident
        await node.close()
        assert written == {home}

    asyncio.run(scenario())


def test_error_of_an_action_is_shown_in_words_with_its_traceback_on_request(traffic):
    async def scenario() -> None:
        async with FakeNode() as node:
            panel = JoinPanel(node)
            press(panel, "join", target="nowhere:1", timeout=5, ref="r7")
            await turns()
            (problem,) = panel.problems
            assert problem["what"] == "join the network"
            assert problem["text"] == "nobody answered at nowhere:1: check the address"
            assert told(traffic, "done") == [{"kind": "done", "ref": "r7", "fine": False}]
            assert all("Traceback" not in json.dumps(state) for state in states(traffic))
            press(panel, "traceback", number=problem["number"])
            await turns()
            assert "JoinTimeoutError" in told(traffic, "traceback")[0]["text"]
            press(panel, "dismiss", number=problem["number"])
            await turns()
            assert panel.problems == []
            panel.close()

    run_virtual(scenario())


@pytest.mark.parametrize(
    "content", [None, 7, [], {}, {"kind": 3}, {"kind": "no such"}, {"kind": "join", "target": 7}, {"kind": "x" * 999}]
)
def test_broken_message_is_shown_and_breaks_nothing(traffic, content):
    async def scenario() -> None:
        async with FakeNode() as node:
            panel = JoinPanel(node)
            panel._on_message(panel, content, [])
            await turns()
            assert len(panel.problems) == 1
            press(panel, "invite")
            await turns()
            assert told(traffic, "invite")
            panel.close()

    run_virtual(scenario())


def test_problems_are_bounded(traffic):
    async def scenario() -> None:
        async with FakeNode() as node:
            panel = JoinPanel(node)
            for _ in range(50):
                press(panel, "nonsense")
            await turns()
            assert len(panel.problems) == base_module.PROBLEMS_SHOWN_MAX
            panel.close()

    run_virtual(scenario())


def test_node_that_does_not_run_is_said_in_the_panel(traffic):
    panel = JoinPanel(FakeNode())
    press(panel, "invite")
    assert "not running" in panel.problems[0]["text"]
    panel.close()


def test_view_that_appears_after_start_wakes_the_panel(traffic):
    async def scenario() -> None:
        node = FakeNode()
        panel = HeaderPanel(node)
        async with node:
            node.rows = replace(node.rows, health="wide awake")
            press(panel, "hello")
            await turns(1)
            assert panel.node["health"] == "wide awake"
            panel.close()

    run_virtual(scenario())


def test_errors_are_said_in_words():
    assert in_words(LinkError("bad link")) == "bad link"
    assert in_words(PeerUnreachableError()).startswith("No answer from a peer")
    assert in_words(KeyError("x")) == "KeyError: 'x'"
    assert in_words(RuntimeError("\x1b[31m<b>")) == "RuntimeError: ␛[31m<b>"
    assert SECRET not in in_words(LinkError(f"dfs:{SECRET} is no link"))


def test_same_panel_is_given_until_it_is_closed(traffic):
    node = FakeNode()
    one = panel_of(node, JoinPanel)
    assert panel_of(node, JoinPanel) is one
    one.close()
    two = panel_of(node, JoinPanel)
    assert two is not one
    assert panel_of(FakeNode(), JoinPanel) is not two
    for each in list(base_module.Panel.__subclasses__()):
        assert issubclass(each, anywidget.AnyWidget)
    assert close_panels(node) == 1
    close_tree(next(iter([w for w in registry._instances.values() if isinstance(w, JoinPanel)])))


def test_panels_override_nothing_of_ipywidgets_by_accident():
    meant = {"close", "_repr_mimebundle_", "_esm", "_css", "_anywidget_id", "title"}
    inherited = {name for base in anywidget.AnyWidget.__mro__[:-1] for name in vars(base)}
    for kind in (Panel, *PANELS):
        clash = {name for name in vars(kind) if name in inherited and not name.startswith("__")} - meant
        assert not {
            name
            for name in clash
            if not name.startswith("_trait")
            and name
            not in {
                "_all_trait_default_generators",
                "_traits",
                "_static_immutable_initial_values",
                "_descriptors",
                "_instance_inits",
                "_cross_validation_lock",
            }
        }, kind
    clash = {name for name in vars(Dashboard) if any(name in vars(base) for base in ipywidgets.VBox.__mro__[:-1])}
    assert {name for name in clash if not name.startswith("_")} == {"close"}
