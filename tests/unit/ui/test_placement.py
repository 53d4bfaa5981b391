from __future__ import annotations

import asyncio
import base64
from dataclasses import replace

from dfs_sdk.ui import PlacementPanel
from dfs_sdk.ui import placement as placement_module
from tests.fakes.browser import press, told
from tests.fakes.node import FakeNode
from tests.fakes.rows import chunk_row, empty_snapshot, file_row, hex_id
from tests.fakes.virtual import run_virtual, turns

ROWS = (
    chunk_row(-1, 0, chunk_id=hex_id(1)),
    chunk_row(0, 0),
    chunk_row(0, 1, role="surplus", why="stand-in for node-9"),
    chunk_row(0, 2, role="cache", state="away"),
    chunk_row(7, 1, file="other.bin"),
)


def maps(traffic: list, kind: str = "map") -> list[list[bytes]]:
    found = [each for each in traffic if each["data"].get("content", {}).get("kind") == kind]
    return [[bytes(buffer) for buffer in each["buffers"]] for each in found]


def test_view_gets_the_picture_and_then_what_changes(traffic):
    async def scenario() -> None:
        async with FakeNode(empty_snapshot(chunks=ROWS)) as node:
            panel = PlacementPanel(node)
            press(panel, "look", view="v", version=0)
            await turns(1)
            (first,) = told(traffic, "map")
            assert first["files"] == ["data.bin", "other.bin"]
            assert [holder["state"] for holder in first["holders"]] == ["alive", "alive", "away"]
            assert maps(traffic)[0][1] == bytes([1, 0, 0, 1, 2, 3, 0, 1, 0])
            node.change(chunks=tuple(replace(row, role="primary") if row.role == "surplus" else row for row in ROWS))
            await turns(1)
            assert maps(traffic, "map-patch") == [[bytes([4, 0, 0, 0]), bytes([1])]]
            node.change(chunks=(*ROWS, chunk_row(8, 1)))
            await turns(1)
            assert [each["version"] for each in told(traffic, "map")] == [1, 2]
            panel.close()

    run_virtual(scenario())


def test_view_out_of_sight_is_sent_nothing(traffic):
    async def scenario() -> None:
        async with FakeNode(empty_snapshot(chunks=ROWS)) as node:
            panel = PlacementPanel(node)
            press(panel, "look", view="v", version=0)
            press(panel, "unlook", view="v")
            await turns(1)
            node.change(chunks=ROWS[:2])
            await turns(1)
            assert len(told(traffic, "map")) == 1
            assert "2 chunks" in panel.summary
            press(panel, "look", view="v", version=1)
            await turns(1)
            assert len(told(traffic, "map")) == 2
            panel.close()

    run_virtual(scenario())


def test_many_changes_in_a_row_are_told_together(traffic):
    async def scenario() -> None:
        async with FakeNode(empty_snapshot(chunks=ROWS)) as node:
            panel = PlacementPanel(node)
            press(panel, "look", view="v", version=0)
            await turns(1)
            for step in range(40):
                node.change(chunks=tuple(replace(row, role=("primary", "cache")[step % 2]) for row in ROWS))
                await asyncio.sleep(0.1)
            await turns(1)
            assert 1 <= len(told(traffic, "map-patch")) <= 9
            panel.close()

    run_virtual(scenario())


def test_one_file_can_be_chosen(traffic):
    async def scenario() -> None:
        async with FakeNode(empty_snapshot(chunks=ROWS)) as node:
            panel = PlacementPanel(node)
            press(panel, "look", view="v", version=0)
            press(panel, "show", file=2)
            await turns()
            assert (panel.file, panel.summary[:8]) == ("other.bin", "1 chunk ")
            assert maps(traffic)[-1][1] == bytes([1])
            press(panel, "show", file=9)
            await turns()
            assert panel.problems
            node.change(chunks=ROWS[:4])
            await turns()
            assert (panel.file, panel.summary[:8]) == ("", "2 chunks")
            panel.close()

    run_virtual(scenario())


def test_reason_of_a_copy_is_told(traffic):
    async def scenario() -> None:
        async with FakeNode(empty_snapshot(chunks=ROWS)) as node:
            panel = PlacementPanel(node)
            press(panel, "look", view="v", version=0)
            await turns(1)
            for row, column, version in ((1, 1, 1), (0, 1, 1), (1, 1, 9), (50, 1, 1), (1, 50, 1)):
                press(panel, "why", row=row, column=column, version=version)
            await turns()
            assert [each["text"] for each in told(traffic, "why")] == ["stand-in for node-9", "no copy there"]
            assert panel.problems == []
            panel.close()

    run_virtual(scenario())


def test_views_are_bounded(traffic):
    async def scenario() -> None:
        async with FakeNode(empty_snapshot(chunks=ROWS)) as node:
            panel = PlacementPanel(node)
            for number in range(placement_module.VIEWS_MAX + 5):
                press(panel, "look", view=f"v{number}", version=0)
            await turns(1)
            assert len(panel._views) == placement_module.VIEWS_MAX
            panel.close()

    run_virtual(scenario())


def test_picture_is_drawn_once_for_each_change(traffic, monkeypatch):
    drawn = []
    draw = placement_module.chunkmap.picture
    monkeypatch.setattr(placement_module.chunkmap, "picture", lambda *args: drawn.append(1) or draw(*args))

    async def scenario() -> None:
        async with FakeNode(empty_snapshot(chunks=ROWS, files=(file_row(),))) as node:
            panel = PlacementPanel(node)
            press(panel, "look", view="v", version=0)
            await turns(5)
            node.change(events=())
            await turns(2)
            assert len(drawn) == 1
            panel.close()

    run_virtual(scenario())


def test_saved_notebook_keeps_the_picture_and_a_table(traffic):
    panel = PlacementPanel(FakeNode(empty_snapshot(chunks=ROWS)))
    bundle = panel._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert data["image/png"] in data["text/html"]
    assert "node-1: surplus (alive)" in data["text/html"]
    panel.close()
    empty = PlacementPanel(FakeNode(empty_snapshot()))
    assert "image/png" not in empty._repr_mimebundle_()
    empty.close()
