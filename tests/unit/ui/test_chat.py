import asyncio

import pytest

from dfs_sdk.ids import NodeId
from dfs_sdk.ui import ChatPanel
from dfs_sdk.ui import conversations as conversations_module
from tests.fakes.browser import press, states, told
from tests.fakes.node import SECRET, FakeNode
from tests.fakes.rows import NOW, empty_snapshot, full_snapshot, message_row, peer_id, peer_row
from tests.fakes.virtual import run_virtual, turns


def test_message_goes_to_everybody_or_to_one(traffic):
    async def scenario() -> None:
        async with FakeNode(full_snapshot()) as node:
            panel = ChatPanel(node)
            press(panel, "send", text="hello", to="")
            press(panel, "send", text="psst", to=peer_id(1))
            press(panel, "send", text="   ", to="")
            await turns()
            assert node.chat.sent == [("hello", None), ("psst", NodeId.from_hex(peer_id(1)))]
            shown = {(each["room"], each["text"]) for each in panel.messages}
            assert {("", "hello"), (peer_id(1), "psst")} <= shown
            panel.close()

    run_virtual(scenario())


def test_message_is_said_once_however_often_the_browser_sends_it(traffic):
    async def scenario() -> None:
        async with FakeNode(full_snapshot()) as node:
            panel = ChatPanel(node)
            for _ in range(3):
                press(panel, "send", text="hello", to="", ref="one")
            press(panel, "send", text="hello", to="", ref="two")
            await turns()
            press(panel, "send", text="hello", to="", ref="one")
            await turns()
            assert node.chat.sent == [("hello", None)] * 2
            assert all(each["fine"] for each in told(traffic, "done"))
            panel.close()

    run_virtual(scenario())


def test_message_that_failed_can_be_sent_again(traffic):
    async def scenario() -> None:
        async with FakeNode(full_snapshot()) as node:
            panel = ChatPanel(node)
            press(panel, "send", text="hello", to=peer_id(77), ref="one")
            await turns()
            assert not told(traffic, "done")[0]["fine"]
            node.change(peers=(*node.rows.peers, peer_row(77)))
            press(panel, "send", text="hello", to=peer_id(77), ref="one")
            await turns()
            assert told(traffic, "done")[1]["fine"]
            panel.close()

    run_virtual(scenario())


def test_effect_of_sending_is_shown_before_the_answer(traffic):
    async def scenario() -> None:
        async with FakeNode(full_snapshot()) as node:
            panel = ChatPanel(node)
            await turns()
            del traffic[:]
            press(panel, "send", text="hello", to="", ref="one")
            await asyncio.sleep(0)
            for _ in range(10):
                await asyncio.sleep(0)
            kinds = ["state" if "state" in each["data"] else each["data"]["content"]["kind"] for each in traffic]
            assert kinds == ["state", "done"]
            panel.close()

    run_virtual(scenario())


def test_delivery_shows(traffic):
    async def scenario() -> None:
        async with FakeNode(full_snapshot()) as node:
            panel = ChatPanel(node)
            mine = [each for each in panel.messages if each["mine"]]
            assert mine[0]["delivered"] == 2
            panel.close()

    run_virtual(scenario())


def test_rooms_are_everybody_and_each_member_by_id(traffic):
    rows = (
        peer_row(0, state="self"),
        peer_row(1, name="twin"),
        peer_row(2, name="twin", state="away"),
        peer_row(3, name="network"),
    )
    messages = (
        message_row("to one", room="twin", room_id=peer_id(1)),
        message_row("to the other", room="twin", room_id=peer_id(2)),
        message_row("old", room="long gone", room_id=peer_id(9)),
    )
    panel = ChatPanel(FakeNode(empty_snapshot(peers=rows, messages=messages)))
    assert [(each["id"], each["label"], each["state"], each["writable"]) for each in panel.rooms] == [
        ("", "Everybody", "room", True),
        (peer_id(3), "network", "alive", True),
        (peer_id(1), f"twin ({peer_id(1)[:8]})", "alive", True),
        (peer_id(2), f"twin ({peer_id(2)[:8]})", "away", True),
        (peer_id(9), "long gone", "gone", False),
    ]
    assert panel.rooms[0]["about"] == "3 peers: 2 here, 1 away"
    assert {each["text"]: each["room"] for each in panel.messages} == {
        "to one": peer_id(1),
        "to the other": peer_id(2),
        "old": peer_id(9),
    }
    panel.close()


def test_unread_messages_are_counted_until_somebody_looks(traffic):
    async def scenario() -> None:
        async with FakeNode(full_snapshot()) as node:
            panel = ChatPanel(node)
            assert panel.unread == 0, "what was there before counts as read"
            mine = message_row("mine", mine=True, sent_at_wall=NOW + 1)
            direct = message_row("psst", room="node-1", room_id=peer_id(1), sent_at_wall=NOW + 2)
            node.change(messages=(*node.rows.messages, message_row("new", sent_at_wall=NOW), mine, direct))
            await turns()
            assert {each["id"]: each["unread"] for each in panel.rooms} == {"": 1, peer_id(1): 1, peer_id(2): 0}
            press(panel, "read", room="", ref="r")
            await turns()
            assert panel.unread == 1
            press(panel, "read", room=peer_id(5), ref="r")
            press(panel, "read", room=peer_id(1), ref="r")
            await turns()
            assert panel.unread == 0
            panel.close()

    run_virtual(scenario())


def test_quiet_room_is_not_washed_away_by_a_loud_one(traffic):
    quiet = message_row("precious", room="node-1", room_id=peer_id(1))
    loud = tuple(message_row(f"noise {n}", sent_at_wall=1.0 + n) for n in range(2_000))
    panel = ChatPanel(FakeNode(empty_snapshot(messages=(quiet, *loud))))
    assert panel.messages[0]["text"] == "precious"
    assert len(panel.messages) == conversations_module.MESSAGES_PER_ROOM_MAX + 1
    assert panel.messages[-1]["text"] == "noise 1999"
    panel.close()


def test_earlier_messages_come_by_pages(traffic):
    async def scenario() -> None:
        newest = tuple(message_row(f"new {n}", sent_at_wall=NOW + n) for n in range(3))
        async with FakeNode(full_snapshot(messages=newest)) as node:
            node.chat.archive = tuple(message_row(f"old {n}", sent_at_wall=NOW - 200 + n) for n in range(70))
            panel = ChatPanel(node)
            press(panel, "older", room="", before=newest[0].message_id, ref="a")
            await turns()
            first = told(traffic, "older")[0]
            assert [each["text"] for each in first["messages"]] == [f"old {n}" for n in range(20, 70)]
            assert first["more"]
            press(panel, "older", room="", before=first["messages"][0]["key"], ref="b")
            await turns()
            second = told(traffic, "older")[1]
            assert [each["text"] for each in second["messages"]] == [f"old {n}" for n in range(20)]
            assert not second["more"]
            panel.close()

    run_virtual(scenario())


def test_links_in_messages_are_masked_and_fetched_by_the_message(traffic, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    async def scenario() -> None:
        async with FakeNode(full_snapshot(files=())) as node:
            file = await node.put(b"content", name="a.txt")
            row = message_row(f"look: {file.link}", link=str(file.link))
            old = message_row("an older one", link=str(file.link), sent_at_wall=NOW - 9_000)
            node.change(messages=(row,))
            node.chat.archive = (old,)
            panel = ChatPanel(node)
            assert panel.messages[0]["file"]
            press(panel, "fetch", message=panel.messages[0]["key"], room="")
            press(panel, "fetch", message=old.message_id, room="")
            press(panel, "fetch", message="unknown", room="")
            await turns()
            assert told(traffic, "saved")[0]["text"].startswith(f"Saved to {tmp_path}/dfs_downloads/")
            assert told(traffic, "saved")[1]["message"] == old.message_id
            assert told(traffic, "saved")[0]["file"] is None, "a link that cannot be read names no file"
            assert "no longer remembered" in panel.problems[0]["text"]
            panel.close()

    run_virtual(scenario())
    assert SECRET not in repr(states(traffic))


def test_file_that_was_got_can_be_downloaded_by_the_browser(traffic, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    async def scenario() -> None:
        async with FakeNode(full_snapshot(files=())) as node:
            file = await node.put(b"content", name="a.txt")
            monkeypatch.setattr("dfs_sdk.ui.chat.Link.parse", staticmethod(lambda _text: file.link))
            node.change(messages=(message_row("look", link=str(file.link)),))
            panel = ChatPanel(node)
            press(panel, "fetch", message=panel.messages[0]["key"], room="")
            await turns()
            row = told(traffic, "saved")[0]["file"]
            assert (row["name"], row["bytes"]) == ("a.txt", 7)
            press(panel, "download", move="m", first=0, file=row["id"])
            await turns()
            pieces = [each for each in traffic if "download-piece" in repr(each["data"].get("content"))]
            assert bytes(pieces[0]["buffers"][0]) == b"content"
            press(panel, "ack", move="m", next=1)
            await turns()
            assert told(traffic, "move-done")
            press(panel, "download", move="n", first=0, file="0" * 16)
            await turns()
            assert "no longer in the catalog" in told(traffic, "move-failed")[0]["text"]
            panel.close()

    run_virtual(scenario())
    assert SECRET not in repr(states(traffic))


def test_file_of_the_catalog_goes_along(traffic):
    async def scenario() -> None:
        async with FakeNode(full_snapshot(files=())) as node:
            file = await node.put(b"content", name="a.txt")
            panel = ChatPanel(node)
            press(panel, "files", ref="r")
            await turns()
            (listed,) = told(traffic, "files")[0]["files"]
            assert listed["label"] == "a.txt, 7 B"
            press(panel, "send", text="", to="", file=listed["id"], ref="s")
            press(panel, "send", text="look", to="", file="0" * 16, ref="t")
            await turns()
            assert (node.rows.messages[-1].text, node.rows.messages[-1].link) == ("a.txt", str(file.link))
            assert "no longer in the catalog" in panel.problems[0]["text"]
            panel.close()

    run_virtual(scenario())
    assert SECRET not in repr(states(traffic))


@pytest.mark.parametrize(("typed", "text"), [("take {} please", "take please"), ("{}", "a file"), ("a\nb {}", "a\nb")])
def test_link_that_is_typed_travels_as_a_link(traffic, typed: str, text: str):
    link = "dfs:" + "x" * 40

    async def scenario(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("dfs_sdk.ui.chat.Link.parse", staticmethod(lambda found: found))
        async with FakeNode(full_snapshot()) as node:
            panel = ChatPanel(node)
            press(panel, "send", text=typed.format(link), to="", ref="one")
            await turns()
            assert (node.rows.messages[-1].text, node.rows.messages[-1].link) == (text, link)
            seen = [each["messages"][-1] for each in states(traffic) if each.get("messages")]
            assert {each["ref"] for each in seen if each["text"] == text} == {"one"}, "it stood twice for a moment"
            panel.close()

    with pytest.MonkeyPatch.context() as monkeypatch:
        run_virtual(scenario(monkeypatch))


def test_what_only_looks_like_a_link_stays_text(traffic):
    async def scenario() -> None:
        async with FakeNode(full_snapshot()) as node:
            panel = ChatPanel(node)
            press(panel, "send", text="dfs:notalinkatall", to="")
            await turns()
            assert node.chat.sent == [("dfs:notalinkatall", None)]
            panel.close()

    run_virtual(scenario())


def test_lines_of_a_message_are_kept(traffic):
    panel = ChatPanel(FakeNode(empty_snapshot(messages=(message_row("a\n\tb\x1b"),))))
    assert panel.messages[0]["text"] == "a\n␉b␛"
    panel.close()


def test_bad_addressee_is_explained(traffic):
    async def scenario() -> None:
        async with FakeNode() as node:
            panel = ChatPanel(node)
            press(panel, "send", text="x", to="zz")
            await turns()
            assert panel.problems
            assert node.chat.sent == []
            panel.close()

    run_virtual(scenario())
