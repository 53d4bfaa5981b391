from dfs_sdk.ids import NodeId
from dfs_sdk.ui import ChatPanel
from dfs_sdk.ui import chat as chat_module
from tests.fakes.browser import press, states, told
from tests.fakes.node import SECRET, FakeNode
from tests.fakes.rows import empty_snapshot, full_snapshot, message_row, peer_id, peer_row
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
            assert {("network", "hello"), ("node-1", "psst")} <= shown
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


def test_rooms_are_everybody_and_each_member(traffic):
    rows = (
        peer_row(0, state="self"),
        peer_row(1, name="twin"),
        peer_row(2, name="twin", state="away"),
        peer_row(3, name="network"),
    )
    messages = (message_row("old", room="long gone"),)
    panel = ChatPanel(FakeNode(empty_snapshot(peers=rows, messages=messages)))
    assert panel.rooms == [
        {"key": "network", "to": "", "label": "Everybody"},
        {"key": "network", "to": peer_id(3), "label": f"network ({peer_id(3)[:8]})"},
        {"key": "twin", "to": peer_id(1), "label": f"twin ({peer_id(1)[:8]})"},
        {"key": "twin", "to": peer_id(2), "label": f"twin ({peer_id(2)[:8]}), away"},
        {"key": "long gone", "to": "", "label": "long gone, gone"},
    ]
    panel.close()


def test_quiet_room_is_not_washed_away_by_a_loud_one(traffic):
    quiet = message_row("precious", room="node-1")
    loud = tuple(message_row(f"noise {n}", sent_at_wall=1.0 + n) for n in range(2_000))
    panel = ChatPanel(FakeNode(empty_snapshot(messages=(quiet, *loud))))
    assert panel.messages[0]["text"] == "precious"
    assert len(panel.messages) == chat_module.MESSAGES_PER_ROOM_MAX + 1
    assert panel.messages[-1]["text"] == "noise 1999"
    panel.close()


def test_links_in_messages_are_masked_and_fetched_by_the_message(traffic, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    async def scenario() -> None:
        async with FakeNode(full_snapshot(files=())) as node:
            file = await node.put(b"content", name="a.txt")
            row = message_row(f"look: {file.link}", link=str(file.link))
            node.change(messages=(row,))
            panel = ChatPanel(node)
            assert panel.messages[0]["file"]
            press(panel, "fetch", message=panel.messages[0]["key"])
            press(panel, "fetch", message="unknown")
            await turns()
            assert told(traffic, "saved")[0]["text"].startswith(f"Saved to {tmp_path}/dfs_downloads/")
            assert "no longer remembered" in panel.problems[0]["text"]
            panel.close()

    run_virtual(scenario())
    assert SECRET not in repr(states(traffic))


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
