import asyncio

import pytest

from dfs_sdk.ui import JoinPanel
from tests.fakes.browser import press, states, told
from tests.fakes.node import SECRET, FakeNode
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
