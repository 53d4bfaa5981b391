from dfs_sdk.ui import PlacementPanel
from dfs_sdk.ui import placement as placement_module
from tests.fakes.browser import press, told
from tests.fakes.node import FakeNode
from tests.fakes.rows import chunk_row, empty_snapshot, hex_id, peer_id
from tests.fakes.virtual import run_virtual, turns

ROWS = (
    chunk_row(-1, 0, chunk_id=hex_id(1)),
    chunk_row(0, 0),
    chunk_row(0, 1, role="surplus", why="stand-in for node-9"),
    chunk_row(0, 2, role="cache", state="away"),
    chunk_row(7, 1, file="other.bin"),
)


def test_map_has_a_sign_per_copy(traffic):
    panel = PlacementPanel(FakeNode(empty_snapshot(chunks=ROWS)))
    assert [holder["name"] for holder in panel.holders] == ["node-0", "node-1", "node-2"]
    assert [holder["state"] for holder in panel.holders] == ["alive", "alive", "away"]
    shown = [(chunk["file"], chunk["label"], chunk["copies"]) for chunk in panel.chunks]
    assert shown == [("data.bin", "manifest", "p.."), ("data.bin", "0", "psc"), ("other.bin", "7", ".p.")]
    panel.close()


def test_one_file_can_be_chosen(traffic):
    async def scenario() -> None:
        async with FakeNode(empty_snapshot(chunks=ROWS)) as node:
            panel = PlacementPanel(node)
            press(panel, "show", file=2)
            await turns()
            assert (panel.file, panel.chunks_total) == ("other.bin", 1)
            press(panel, "show", file=9)
            await turns()
            assert panel.problems
            node.change(chunks=ROWS[:4])
            await turns()
            assert (panel.file, panel.chunks_total) == ("", 2)
            panel.close()

    run_virtual(scenario())


def test_reason_of_a_copy_is_told(traffic):
    async def scenario() -> None:
        async with FakeNode(empty_snapshot(chunks=ROWS)) as node:
            panel = PlacementPanel(node)
            press(panel, "why", chunk=ROWS[2].chunk_id, holder=peer_id(1))
            press(panel, "why", chunk="none", holder=peer_id(1))
            await turns()
            assert [each["text"] for each in told(traffic, "why")] == ["stand-in for node-9", "no copy there"]
            panel.close()

    run_virtual(scenario())


def test_map_follows_the_node(traffic):
    async def scenario() -> None:
        async with FakeNode(empty_snapshot(chunks=ROWS)) as node:
            panel = PlacementPanel(node)
            node.change(chunks=(*ROWS, chunk_row(0, 3)))
            await turns()
            assert panel.chunks[1]["copies"] == "pscp"
            panel.close()

    run_virtual(scenario())


def test_large_maps_are_cut_and_counted(traffic):
    rows = tuple(chunk_row(n, n % 150) for n in range(3_000))
    panel = PlacementPanel(FakeNode(empty_snapshot(chunks=rows)))
    assert len(panel.chunks) == placement_module.CHUNKS_SHOWN_MAX
    assert len(panel.holders) == placement_module.HOLDERS_SHOWN_MAX
    assert panel.chunks_total == 3_000
    panel.close()


def test_chunk_of_two_files_shows_in_both(traffic):
    rows = (chunk_row(0, 0, file="a"), chunk_row(0, 1, file="b"))
    panel = PlacementPanel(FakeNode(empty_snapshot(chunks=rows)))
    assert [(chunk["file"], chunk["copies"]) for chunk in panel.chunks] == [("a", "p."), ("b", ".p")]
    panel.close()
