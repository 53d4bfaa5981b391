import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from dfs_sdk.errors import QuotaExceededError
from dfs_sdk.ids import NodeId
from dfs_sdk.node.snapshot import FileRow
from dfs_sdk.ui import FilesPanel
from dfs_sdk.ui import moves as moves_module
from dfs_sdk.ui.transfer import PIECE_BYTES, SILENCE_SECONDS_MAX, WINDOW_PIECES
from tests.fakes.browser import press, states, told
from tests.fakes.node import SECRET, FakeNode
from tests.fakes.rows import empty_snapshot, file_row, full_snapshot, peer_id, transfer_row
from tests.fakes.virtual import run_virtual, turns

CONTENT = bytes(range(256)) * (4 * 2**10 * 12) + b"end"  # a little more than 12 MiB


class Tab:
    """What the script in the browser does for one upload or download, without the browser."""

    def __init__(self, panel: FilesPanel, traffic: list) -> None:
        self.panel, self.traffic = panel, traffic

    def ended(self) -> list[str]:
        kinds = ("move-done", "move-stopped", "move-failed")
        return [each["kind"] for kind in kinds for each in told(self.traffic, kind)]

    async def upload(self, name: str, content: bytes, *, until: int | None = None) -> None:
        press(self.panel, "upload", move="u1", name=name, size=len(content))
        count = -(-len(content) // PIECE_BYTES)
        sent = 0
        while not self.ended() and sent < (count if until is None else until):
            taken = max((each["next"] for each in told(self.traffic, "upload-next")), default=-WINDOW_PIECES)
            while sent < min(count, taken + WINDOW_PIECES):
                press(
                    self.panel, "piece", content[sent * PIECE_BYTES : (sent + 1) * PIECE_BYTES], move="u1", index=sent
                )
                sent += 1
            await asyncio.sleep(0.01)
        await turns(1)

    async def download(self, file_id: str) -> bytes:
        press(self.panel, "download", move="d1", first=0, file=file_id)
        parts: list[bytes] = []
        while not self.ended():
            await asyncio.sleep(0.01)
            for each in self.pieces()[len(parts) :]:
                parts.append(each)
                press(self.panel, "ack", move="d1", next=len(parts))
        return b"".join(parts)

    def pieces(self) -> list[bytes]:
        found = [each for each in self.traffic if each["data"].get("content", {}).get("kind") == "download-piece"]
        return [bytes(each["buffers"][0]) for each in found]


def file_ids(node: FakeNode) -> list[str]:
    return [row.file_id for row in node.rows.files]


def test_upload_of_more_than_ten_mebibytes_arrives_whole(traffic):
    async def scenario() -> None:
        async with FakeNode() as node:
            panel = FilesPanel(node)
            await Tab(panel, traffic).upload("big.bin", CONTENT)
            (file_id,) = node.contents
            assert node.contents[file_id] == CONTENT
            assert panel.files_total == 1
            assert told(traffic, "move-done") == [{"kind": "move-done", "move": "u1"}]
            (transfer,) = node.rows.transfers
            assert transfer.state == "done"
            (known,) = told(traffic, "upload-transfer")
            assert known == {"kind": "upload-transfer", "move": "u1", "transfer": transfer.transfer_id}
            await turns(1)
            assert [each["id"] for each in panel.transfers] == [transfer.transfer_id]
            assert len(panel._moves) == 0
            panel.close()

    run_virtual(scenario())


def test_transfer_of_an_upload_is_listed_only_after_its_page_knows_that_it_is_its_own(traffic):
    """The node shows it a second before it asks for the first piece; another transfer is listed meanwhile."""

    async def scenario() -> None:
        async with FakeNode() as node:
            panel, put = FilesPanel(node), node.put

            async def slow_put(source, *, name=None):
                other = transfer_row(transfer_id=8, direction="get")
                node.change(transfers=(transfer_row(transfer_id=101, bytes_done=0), other))
                await asyncio.sleep(1)
                assert [each["id"] for each in panel.transfers] == [8]
                return await put(source, name=name)

            node.put = slow_put
            await Tab(panel, traffic).upload("big.bin", CONTENT)
            (known,) = told(traffic, "upload-transfer")
            assert known["transfer"] == 101
            kinds = [each["data"].get("content", {}).get("kind") for each in traffic]
            listed = [
                place
                for place, each in enumerate(traffic)
                if 101 in [row["id"] for row in each["data"].get("state", {}).get("transfers", ())]
            ]
            assert listed[0] > kinds.index("upload-transfer")
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
            assert node.rows.transfers[0].state == "cancelled"
            assert panel.problems == []
            assert told(traffic, "move-stopped") == [{"kind": "move-stopped", "move": "u1"}]
            panel.close()

    run_virtual(scenario())


def test_tab_that_vanished_ends_the_upload_in_words(traffic):
    async def scenario() -> None:
        async with FakeNode() as node:
            panel = FilesPanel(node)
            await Tab(panel, traffic).upload("big.bin", CONTENT, until=4)
            await asyncio.sleep(SILENCE_SECONDS_MAX + 1)
            await turns()
            assert "browser stopped sending" in panel.problems[0]["text"]
            assert node.contents == {}
            panel.close()

    run_virtual(scenario())


def test_download_to_the_browser_is_byte_equal(traffic):
    async def scenario() -> None:
        async with FakeNode() as node:
            await node.put(CONTENT, name="big.bin")
            panel = FilesPanel(node)
            assert await Tab(panel, traffic).download(file_ids(node)[0]) == CONTENT
            assert told(traffic, "download-begin")[0]["pieces"] == 13
            assert told(traffic, "move-done")
            assert node.readers[0].closed
            panel.close()

    run_virtual(scenario())


def test_stopped_download_closes_the_file(traffic):
    async def scenario() -> None:
        async with FakeNode() as node:
            await node.put(CONTENT, name="big.bin")
            panel = FilesPanel(node)
            press(panel, "download", move="d1", first=0, file=file_ids(node)[0])
            await turns(1)
            assert len(Tab(panel, traffic).pieces()) == WINDOW_PIECES
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
            press(panel, "link", file=file_ids(node)[0], ref="r")
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
            for kind, fields in (("get-link", {"text": f" {file.link} "}), ("save", {"file": file_ids(node)[0]})):
                press(panel, kind, **fields)
                await turns()
                assert panel.problems == []
                assert panel.notice.startswith(f"Saved to {tmp_path}/dfs_downloads/")
            panel.close()

    run_virtual(scenario())
    saved = sorted((tmp_path / "dfs_downloads").iterdir())
    assert [path.read_bytes() for path in saved] == [b"content"] * 2
    assert saved[1].name == f"{saved[0].name} (2)", "what was there already was to stay"


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
            file_id = file_ids(node)[0]
            press(panel, "members")
            press(panel, "share", file=file_id, peer=peer_id(1))
            press(panel, "pin", file=file_id)
            await turns()
            members = told(traffic, "members")[0]["members"]
            assert [(each["id"], each["label"]) for each in members] == [
                (peer_id(2), f"node-2 ({peer_id(2)[:8]}, away)"),
                (peer_id(1), f"node-1 ({peer_id(1)[:8]}, suspect)"),
            ][::-1]
            assert panel.notice == "Shared a.txt with node-1."
            assert node.calls == [("share", (file_id, NodeId.from_hex(peer_id(1))))]
            assert node.rows.files[0].pinned
            press(panel, "unpin", file=file_id)
            await turns()
            assert not node.rows.files[0].pinned
            press(panel, "remove", file=file_id)
            await turns()
            assert panel.files_total == 0
            press(panel, "remove", file=file_id)
            await turns()
            assert "no longer in the catalog" in panel.problems[0]["text"]
            panel.close()

    run_virtual(scenario())


def test_too_many_moves_are_refused_at_the_file(traffic, monkeypatch):
    monkeypatch.setattr(moves_module, "MOVES_MAX", 1)

    async def scenario() -> None:
        async with FakeNode() as node:
            panel = FilesPanel(node)
            press(panel, "upload", move="u1", name="a", size=5)
            press(panel, "upload", move="u2", name="b", size=5)
            await turns(1)
            (failed,) = told(traffic, "move-failed")
            assert failed["move"] == "u2"
            assert "are the most" in failed["text"]
            assert panel.problems == []
            panel.close()

    run_virtual(scenario())


def test_failed_put_is_told_at_the_file_with_its_traceback(traffic):
    async def scenario() -> None:
        async with FakeNode() as node:
            panel = FilesPanel(node)

            async def refuse(source: object, *, name: str | None = None) -> None:
                raise QuotaExceededError(f"no room for it, says dfs:{SECRET}")

            node.put = refuse
            await Tab(panel, traffic).upload("big.bin", CONTENT)
            (failed,) = told(traffic, "move-failed")
            assert failed["text"].startswith("no room for it")
            assert "QuotaExceededError" in failed["trace"]
            assert SECRET not in repr(failed)
            assert panel.problems == []
            panel.close()

    run_virtual(scenario())


def test_piece_that_cannot_be_right_ends_the_upload(traffic):
    async def scenario() -> None:
        async with FakeNode() as node:
            panel = FilesPanel(node)
            press(panel, "upload", move="u1", name="a", size=5)
            press(panel, "piece", b"too long for it", move="u1", index=0)
            await turns(1)
            assert "the file changed" in told(traffic, "move-failed")[0]["text"]
            assert node.contents == {}
            panel.close()

    run_virtual(scenario())


def test_upload_that_is_unknown_here_is_told_so(traffic):
    async def scenario() -> None:
        async with FakeNode() as node:
            panel = FilesPanel(node)
            press(panel, "where", move="of another kernel")
            await turns(1)
            assert "knows nothing of it" in told(traffic, "move-failed")[0]["text"]
            panel.close()

    run_virtual(scenario())


def test_page_that_asks_again_hears_how_its_moves_ended(traffic):
    async def scenario() -> None:
        async with FakeNode() as node:
            await node.put(CONTENT, name="big.bin")
            panel = FilesPanel(node)
            await Tab(panel, traffic).download(file_ids(node)[0])
            press(panel, "upload", move="u1", name="empty", size=0)
            await turns(1)
            press(panel, "where", move="u1")
            press(panel, "ack", move="d1", next=13)
            await turns(1)
            assert [each["move"] for each in told(traffic, "move-done")] == ["d1", "u1", "u1", "d1"]
            assert told(traffic, "move-failed") == []
            panel.close()

    run_virtual(scenario())


def test_only_the_newest_ends_are_remembered(traffic, monkeypatch):
    monkeypatch.setattr(moves_module, "ENDS_REMEMBERED_MAX", 2)

    async def scenario() -> None:
        async with FakeNode() as node:
            panel = FilesPanel(node)
            for number in range(3):
                press(panel, "upload", move=f"u{number}", name="empty", size=0)
                await turns(1)
            for number in range(3):
                press(panel, "where", move=f"u{number}")
                await turns(1)
            assert [each["move"] for each in told(traffic, "move-failed")] == ["u0"]
            panel.close()

    run_virtual(scenario())


@pytest.mark.parametrize("size", [-1, 2**51, "5", None])
def test_absurd_sizes_are_refused(traffic, size):
    async def scenario() -> None:
        async with FakeNode() as node:
            panel = FilesPanel(node)
            press(panel, "upload", move="u1", name="a", size=size)
            await turns(1)
            assert len(told(traffic, "move-failed")) == 1
            panel.close()

    run_virtual(scenario())


def look(panel: FilesPanel, **fields: object) -> None:
    press(
        panel, "look", **{"view": "v", "first": 0, "count": 10, "sort": "name", "descending": 0, "search": ""} | fields
    )


def many(count: int) -> tuple[FileRow, ...]:
    return tuple(file_row(f"f{n:05}", file_id=f"{n:05}") for n in range(count))


def test_view_gets_its_window_and_then_only_what_changes(traffic):
    rows = many(10_000)

    async def scenario() -> None:
        async with FakeNode(empty_snapshot(files=rows)) as node:
            panel = FilesPanel(node)
            look(panel, first=5_000)
            await turns(1)
            (window,) = told(traffic, "rows")
            assert (window["first"], window["matching"], window["total"]) == (5_000, 10_000, 10_000)
            assert [row["name"] for row in window["rows"]] == [f"f{n:05}" for n in range(5_000, 5_010)]
            node.change(files=(*rows[:5_003], replace(rows[5_003], copies_min=1), *rows[5_004:]))
            await turns(1)
            node.change(files=(*rows[:9], replace(rows[9], copies_min=1), *rows[10:5_003], *node.rows.files[5_003:]))
            await turns(1)
            changes = told(traffic, "rows-changed")
            assert [[place, row["held"]] for each in changes for place, row in each["rows"]] == [[3, 1]]
            panel.close()

    run_virtual(scenario())
    assert max(len(repr(each["data"])) for each in traffic[1:] if each["type"] == "comm_msg") < 5_000


def test_window_out_of_sight_is_sent_nothing(traffic):
    async def scenario() -> None:
        async with FakeNode(empty_snapshot(files=many(20))) as node:
            panel = FilesPanel(node)
            look(panel)
            look(panel, count=0)
            await turns(1)
            node.change(files=many(15))
            await turns(1)
            assert told(traffic, "rows-changed") == []
            assert panel.files_total == 15
            panel.close()

    run_virtual(scenario())


@pytest.mark.parametrize(
    "wrong", [{"sort": "colour"}, {"count": 201}, {"first": -1}, {"search": "x" * 201}, {"descending": 2}]
)
def test_looks_are_checked(traffic, wrong):
    async def scenario() -> None:
        async with FakeNode(empty_snapshot(files=many(20))) as node:
            panel = FilesPanel(node)
            look(panel, **wrong)
            await turns(1)
            assert told(traffic, "rows") == []
            assert len(panel.problems) == 1
            panel.close()

    run_virtual(scenario())
