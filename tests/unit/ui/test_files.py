import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from dfs_sdk.ids import NodeId
from dfs_sdk.ui import FilesPanel
from dfs_sdk.ui import files as files_module
from dfs_sdk.ui.transfer import PIECE_BYTES
from tests.fakes.browser import press, states, told
from tests.fakes.node import SECRET, FakeNode
from tests.fakes.rows import empty_snapshot, file_row, full_snapshot, peer_id
from tests.fakes.virtual import run_virtual, turns

CONTENT = bytes(range(256)) * (4 * 2**10 * 12) + b"end"  # a little more than 12 MiB


class Tab:
    """What the script in the browser does for one upload or download, without the browser."""

    def __init__(self, panel: FilesPanel, traffic: list) -> None:
        self.panel, self.traffic = panel, traffic

    async def upload(self, name: str, content: bytes, *, until: int | None = None) -> None:
        press(self.panel, "upload", move="u1", name=name, size=len(content), ref="up")
        count = -(-len(content) // PIECE_BYTES)
        sent = 0
        while not told(self.traffic, "done") and sent < (count if until is None else until):
            wanted = max((each["next"] for each in told(self.traffic, "upload-next")), default=-4)
            while sent < min(count, wanted + 4):
                press(
                    self.panel, "piece", content[sent * PIECE_BYTES : (sent + 1) * PIECE_BYTES], move="u1", index=sent
                )
                sent += 1
            await asyncio.sleep(0.01)
        await turns(1)

    async def download(self, file_id: str) -> bytes:
        press(self.panel, "download", move="d1", file=file_id, ref="down")
        parts: list[bytes] = []
        while not told(self.traffic, "done"):
            await asyncio.sleep(0.01)
            for each in self.pieces()[len(parts) :]:
                parts.append(each)
                press(self.panel, "ack", move="d1", next=len(parts))
        return b"".join(parts)

    def pieces(self) -> list[bytes]:
        found = [each for each in self.traffic if each["data"].get("content", {}).get("kind") == "download-piece"]
        return [bytes(each["buffers"][0]) for each in found]


def test_upload_of_more_than_ten_mebibytes_arrives_whole(traffic):
    async def scenario() -> None:
        async with FakeNode() as node:
            panel = FilesPanel(node)
            await Tab(panel, traffic).upload("big.bin", CONTENT)
            (file_id,) = node.contents
            assert node.contents[file_id] == CONTENT
            assert panel.files[0]["name"] == "big.bin"
            assert panel.notice == "Put big.bin into the network."
            assert panel.transfers[0]["state"] == "done"
            assert panel._running == {}
            panel.close()

    run_virtual(scenario())


def test_empty_file_can_be_uploaded(traffic):
    async def scenario() -> None:
        async with FakeNode() as node:
            panel = FilesPanel(node)
            await Tab(panel, traffic).upload("empty", b"")
            assert list(node.contents.values()) == [b""]
            panel.close()

    run_virtual(scenario())


def test_stopped_upload_puts_nothing(traffic):
    async def scenario() -> None:
        async with FakeNode() as node:
            panel = FilesPanel(node)
            await Tab(panel, traffic).upload("big.bin", CONTENT, until=4)
            press(panel, "stop", move="u1")
            await turns()
            press(panel, "piece", CONTENT[:PIECE_BYTES], move="u1", index=5)
            await turns()
            assert node.contents == {}
            assert panel.transfers[0]["state"] == "cancelled"
            assert panel.problems == []
            assert not told(traffic, "done")[0]["fine"]
            panel.close()

    run_virtual(scenario())


def test_tab_that_vanished_ends_the_upload_in_words(traffic):
    async def scenario() -> None:
        async with FakeNode() as node:
            panel = FilesPanel(node)
            await Tab(panel, traffic).upload("big.bin", CONTENT, until=4)
            await asyncio.sleep(61)
            await turns()
            assert "browser stopped sending" in panel.problems[0]["text"]
            assert node.contents == {}
            panel.close()

    run_virtual(scenario())


def test_transfer_is_cancelled_by_its_number(traffic):
    async def scenario() -> None:
        async with FakeNode() as node:
            panel = FilesPanel(node)
            await Tab(panel, traffic).upload("big.bin", CONTENT, until=4)
            press(panel, "cancel", transfer=panel.transfers[0]["id"])
            await turns()
            assert panel.transfers[0]["state"] == "cancelled"
            panel.close()

    run_virtual(scenario())


def test_download_to_the_browser_is_byte_equal(traffic):
    async def scenario() -> None:
        async with FakeNode() as node:
            await node.put(CONTENT, name="big.bin")
            panel = FilesPanel(node)
            assert await Tab(panel, traffic).download(panel.files[0]["id"]) == CONTENT
            begin = told(traffic, "download-begin")[0]
            assert (begin["name"], begin["pieces"]) == ("big.bin", 13)
            assert node.readers[0].closed
            panel.close()

    run_virtual(scenario())


def test_stopped_download_closes_the_file(traffic):
    async def scenario() -> None:
        async with FakeNode() as node:
            await node.put(CONTENT, name="big.bin")
            panel = FilesPanel(node)
            press(panel, "download", move="d1", file=panel.files[0]["id"])
            await turns(1)
            assert len(Tab(panel, traffic).pieces()) == 4
            press(panel, "stop", move="d1")
            await turns(1)
            assert node.readers[0].closed
            assert panel.problems == []
            panel.close()

    run_virtual(scenario())


def test_link_is_told_on_request_and_never_in_a_trait(traffic):
    async def scenario() -> str:
        async with FakeNode() as node:
            await node.put(b"content", name="a.txt")
            panel = FilesPanel(node)
            press(panel, "link", file=panel.files[0]["id"], ref="r")
            await turns()
            link = str(next(iter(node.links.values())))
            press(panel, "get-link", text=f"dfs:{SECRET}ffff")
            await turns()
            assert panel.problems
            panel.close()
            return link

    link = run_virtual(scenario())
    assert told(traffic, "link") == [{"kind": "link", "ref": "r", "text": link}]
    assert SECRET not in repr(states(traffic))


def test_get_by_link_and_save_name_the_path(traffic, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    async def scenario() -> None:
        async with FakeNode() as node:
            file = await node.put(b"content", name="a.txt")
            panel = FilesPanel(node)
            for kind, fields in (("get-link", {"text": f" {file.link} "}), ("save", {"file": panel.files[0]["id"]})):
                press(panel, kind, **fields)
                await turns()
                assert panel.problems == []
                assert panel.notice.startswith(f"Saved to {tmp_path}/dfs_downloads/")
            panel.close()

    run_virtual(scenario())
    assert [path.read_bytes() for path in (tmp_path / "dfs_downloads").iterdir()] == [b"content"]


def test_put_of_a_kernel_path(traffic, tmp_path: Path):
    (tmp_path / "here.bin").write_bytes(b"123")

    async def scenario() -> None:
        async with FakeNode() as node:
            panel = FilesPanel(node)
            press(panel, "put-path", path=str(tmp_path / "here.bin"))
            press(panel, "put-path", path=str(tmp_path / "missing.bin"))
            press(panel, "put-path", path="")
            await turns()
            assert list(node.contents.values()) == [b"123"]
            assert ["there is no file" in each["text"] for each in panel.problems] == [True, True]
            panel.close()

    run_virtual(scenario())


def test_share_pin_and_remove_reach_the_node(traffic):
    async def scenario() -> None:
        async with FakeNode(full_snapshot(files=(), chunks=(), transfers=())) as node:
            await node.put(b"content", name="a.txt")
            panel = FilesPanel(node)
            file_id = panel.files[0]["id"]
            assert [each["id"] for each in panel.members] == [peer_id(1), peer_id(2)]
            press(panel, "share", file=file_id, peer=peer_id(1))
            press(panel, "pin", file=file_id)
            await turns()
            assert node.calls == [("share", (file_id, NodeId.from_hex(peer_id(1))))]
            assert panel.files[0]["pinned"]
            press(panel, "unpin", file=file_id)
            await turns()
            assert not panel.files[0]["pinned"]
            press(panel, "remove", file=file_id)
            await turns()
            assert panel.files == []
            press(panel, "remove", file=file_id)
            await turns()
            assert "no longer in the catalog" in panel.problems[0]["text"]
            panel.close()

    run_virtual(scenario())


def test_too_many_transfers_with_the_browser_are_refused(traffic, monkeypatch):
    monkeypatch.setattr(files_module, "BROWSER_TRANSFERS_MAX", 1)

    async def scenario() -> None:
        async with FakeNode() as node:
            panel = FilesPanel(node)
            press(panel, "upload", move="u1", name="a", size=5)
            press(panel, "upload", move="u2", name="b", size=5)
            await turns(1)
            assert "are the most" in panel.problems[0]["text"]
            panel.close()

    run_virtual(scenario())


@pytest.mark.parametrize("size", [-1, 2**51, "5", None])
def test_absurd_sizes_are_refused(traffic, size):
    async def scenario() -> None:
        async with FakeNode() as node:
            panel = FilesPanel(node)
            press(panel, "upload", move="u1", name="a", size=size)
            await turns(1)
            assert len(panel.problems) == 1
            panel.close()

    run_virtual(scenario())


def test_long_lists_are_cut_and_counted(traffic):
    rows = tuple(file_row(f"f{n:04}", file_id=f"{n:04}") for n in range(700))
    panel = FilesPanel(FakeNode(empty_snapshot(files=rows)))
    assert (len(panel.files), panel.files_total) == (files_module.FILES_SHOWN_MAX, 700)
    panel.close()


def test_running_transfers_come_first(traffic):
    rows = full_snapshot().transfers
    many = tuple(replace(rows[1], transfer_id=10 + n) for n in range(40))
    panel = FilesPanel(FakeNode(full_snapshot(transfers=(*rows, *many))))
    assert panel.transfers[0]["state"] == "running"
    assert len(panel.transfers) == files_module.TRANSFERS_SHOWN_MAX
    panel.close()
