import asyncio
import sys

import pytest

from dfs_sdk.errors import ConfigError
from dfs_sdk.node.news import JoinStep
from dfs_sdk.ui import JoinPanel
from dfs_sdk.ui.join import STEPS_SHOWN_MAX
from dfs_sdk.ui.qr import QUIET_MODULES, modules
from tests.fakes.browser import press, states, told
from tests.fakes.node import SECRET, FakeNode
from tests.fakes.rows import empty_snapshot, peer_row
from tests.fakes.virtual import run_virtual, turns


def test_join_hands_on_what_was_typed_and_says_the_outcome(traffic):
    async def scenario() -> None:
        async with FakeNode() as node:
            panel = JoinPanel(node)
            press(panel, "join", target=" 127.0.0.1:4001 ", passphrase="", timeout=20, ref="r")
            await turns()
            assert node.calls == [("join", ("127.0.0.1:4001", None, 20.0))]
            assert panel.status["outcome"] == "Joined through node-1 in 400 ms: 2 other members."
            assert panel.status["members"] == 3
            assert told(traffic, "done")[0]["fine"]
            panel.close()

    run_virtual(scenario())


def test_countdown_runs_and_cancel_ends_it(traffic):
    async def scenario() -> None:
        async with FakeNode() as node:
            node.gate = asyncio.Event()
            panel = JoinPanel(node)
            press(panel, "join", target="127.0.0.1:4001", timeout=20, ref="r")
            left = []
            for _ in range(5):
                await turns(1, seconds=1.0)
                left.append(panel.status["left"])
            assert left == sorted(left, reverse=True)
            assert 14 <= left[-1] <= 16
            assert panel.status["joining"] == "127.0.0.1:4001"
            press(panel, "cancel")
            await turns()
            assert (panel.status["joining"], panel.status["outcome"]) == ("", "Cancelled.")
            assert not told(traffic, "done")[0]["fine"]
            assert panel.problems == []
            panel.close()

    run_virtual(scenario())


def test_second_join_waits_for_the_first(traffic):
    async def scenario() -> None:
        async with FakeNode() as node:
            node.gate = asyncio.Event()
            panel = JoinPanel(node)
            press(panel, "join", target="a:1", timeout=20)
            press(panel, "join", target="b:1", timeout=20)
            await turns()
            assert "under way" in panel.problems[0]["text"]
            assert [call[1][0] for call in node.calls] == ["a:1"]
            node.gate.set()
            await turns()
            assert panel.status["outcome"].startswith("Joined")
            panel.close()

    run_virtual(scenario())


def test_closing_the_panel_ends_the_join(traffic):
    async def scenario() -> None:
        async with FakeNode() as node:
            node.gate = asyncio.Event()
            panel = JoinPanel(node)
            press(panel, "join", target="a:1", timeout=20)
            await turns()
            panel.close()
            await turns(1)
            assert len(asyncio.all_tasks()) == 1

    run_virtual(scenario())


@pytest.mark.parametrize("target", ["", "   "])
def test_empty_target_is_explained(traffic, target):
    async def scenario() -> None:
        async with FakeNode() as node:
            panel = JoinPanel(node)
            press(panel, "join", target=target, timeout=20)
            await turns()
            assert "enter the address" in panel.problems[0]["text"]
            assert node.calls == []
            panel.close()

    run_virtual(scenario())


def test_no_secret_is_ever_in_a_trait(traffic):
    async def scenario() -> None:
        async with FakeNode() as node:
            node.gate = asyncio.Event()
            panel = JoinPanel(node)
            press(panel, "join", target=f"dfs-join:{SECRET}", passphrase=SECRET, timeout=20)
            await turns()
            assert panel.status["joining"] == "by your invite"
            node.gate.set()
            await turns()
            press(panel, "join", target=f"dfs-join:{SECRET}nowhere", passphrase=SECRET, timeout=20)
            await turns()
            assert panel.problems
            press(panel, "invite", ref="r")
            await turns()
            panel.close()

    run_virtual(scenario())
    assert told(traffic, "invite")[0]["text"] == f"dfs-join:{SECRET}"
    assert SECRET not in repr(states(traffic))
    without_invite = [each for each in traffic if "invite" not in repr(each)]
    assert SECRET not in repr(without_invite)


def test_leaving_is_said(traffic):
    async def scenario() -> None:
        async with FakeNode() as node:
            panel = JoinPanel(node)
            press(panel, "join", target="a:1", timeout=20)
            press(panel, "leave", ref="r")
            await turns()
            assert panel.status["outcome"].startswith("Left the network")
            assert panel.status["state"] == "closed"
            assert panel.status["members"] == 1
            panel.close()

    run_virtual(scenario())


def test_steps_of_an_attempt_are_shown_as_they_are_taken(traffic):
    async def scenario() -> None:
        async with FakeNode() as node:
            node.gate = asyncio.Event()
            panel = JoinPanel(node)
            press(panel, "join", target="a:1", timeout=20)
            await turns(1)
            for number in range(30):
                node.events.publish(JoinStep(at_wall=0.0, sentence=f"step {number} dfs-join:{SECRET}"))
            await turns(1)
            assert len(panel.status["steps"]) == STEPS_SHOWN_MAX
            assert panel.status["steps"][-1].startswith("step 29 dfs-join:")
            assert panel.status["timeout"] == 20
            node.gate.set()
            await turns()
            node.events.publish(JoinStep(at_wall=0.0, sentence="late"))
            await turns()
            assert panel.status["steps"] == []
            assert not [entry for entry in node.events._entries if entry[0] is JoinStep]
            panel.close()

    run_virtual(scenario())
    assert SECRET not in repr(states(traffic))


def test_network_is_created_with_a_passphrase_and_its_invite_is_shown(traffic):
    async def scenario() -> None:
        async with FakeNode() as node:
            panel = JoinPanel(node)
            press(panel, "found", passphrase=SECRET, ref="r")
            await turns()
            assert node.calls == [("found", SECRET)]
            assert panel.status["outcome"] == "Created a network. It is private: whoever joins needs the passphrase."
            assert panel.status["private"]
            press(panel, "found", passphrase="", ref="s")
            await turns()
            assert node.calls[-1] == ("found", None)
            panel.close()

    run_virtual(scenario())
    assert len(told(traffic, "invite")) == 2
    assert SECRET not in repr(states(traffic))


def test_invite_comes_with_a_code_that_says_the_same(traffic):
    async def scenario() -> None:
        async with FakeNode() as node:
            panel = JoinPanel(node)
            press(panel, "invite", ref="r")
            await turns()
            panel.close()

    run_virtual(scenario())
    (message,) = told(traffic, "invite")
    assert message["code"] == modules(message["text"])
    assert message["remark"] == ""


def test_code_is_a_square_with_a_quiet_zone_and_its_three_marks():
    rows = modules("dfs-join:" + "x" * 200)
    assert {len(row) for row in rows} == {len(rows)}
    assert set("".join(rows)) == {"0", "1"}
    border = "0" * len(rows)
    assert rows[:QUIET_MODULES] == [border] * QUIET_MODULES == rows[-QUIET_MODULES:]
    end = len(rows) - QUIET_MODULES
    for row, column in ((QUIET_MODULES, QUIET_MODULES), (QUIET_MODULES, end - 7), (end - 7, QUIET_MODULES)):
        assert rows[row][column : column + 7] == "1111111"
        assert rows[row + 1][column : column + 7] == "1000001"


def test_what_is_too_long_for_a_code_is_explained():
    with pytest.raises(ConfigError, match="copy it instead"):
        modules("x" * 5_000)


def test_missing_encoder_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "segno", None)
    with pytest.raises(ConfigError, match="notebook"):
        modules("x")


def test_members_appear_with_their_state(traffic):
    rows = (peer_row(0, state="self"), peer_row(2, state="busy"), peer_row(1))
    panel = JoinPanel(FakeNode(empty_snapshot(peers=rows)))
    assert [(each["name"], each["state"]) for each in panel.members] == [("node-1", "alive"), ("node-2", "busy")]
    panel.close()
