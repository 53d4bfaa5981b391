import asyncio
import math

from dfs_sdk.ui import TransfersPanel
from tests.fakes.browser import press
from tests.fakes.node import FakeNode
from tests.fakes.rows import MIB, empty_snapshot, transfer_row
from tests.fakes.virtual import run_virtual, turns


def shown_of(*rows: object) -> list[dict[str, object]]:
    panel = TransfersPanel(FakeNode(empty_snapshot(transfers=rows)))
    try:
        return list(panel.transfers)
    finally:
        panel.close()


def test_those_under_way_come_first_and_the_newest_before_the_older(traffic):
    states = ("done", "running", "failed", "paused", "done")
    shown = shown_of(*(transfer_row(transfer_id=number, state=state) for number, state in enumerate(states)))
    assert [each["id"] for each in shown] == [3, 1, 4, 2, 0]
    assert [each["under_way"] for each in shown] == [True, True, False, False, False]


def test_rate_time_to_go_and_peers_are_said(traffic):
    (up,) = shown_of(transfer_row())
    assert (up["done"], up["rate"], up["eta"]) == ("3 MiB of 12 MiB", "1.5 MiB/s", "6 s to go")
    assert (up["sources"], up["part"]) == ("to 3 peers", 0.25)
    (down,) = shown_of(transfer_row(direction="get", sources=1, state="paused", eta=math.nan))
    assert (down["sources"], down["rate"], down["eta"]) == ("from 1 peer", "", "")


def test_unknown_size_is_no_progress_bar_that_lies(traffic):
    (row,) = shown_of(transfer_row(bytes_total=-1, eta=math.nan))
    assert (row["part"], row["done"]) == (-1.0, "3 MiB")
    (empty,) = shown_of(transfer_row(bytes_total=0, bytes_done=0))
    assert empty["part"] == 1.0


def test_ended_ones_stay_until_they_are_cleared(traffic):
    async def scenario() -> None:
        rows = [transfer_row(transfer_id=n, state=state) for n, state in enumerate(("done", "failed", "running"))]
        async with FakeNode(empty_snapshot(transfers=tuple(rows))) as node:
            panel = TransfersPanel(node)
            press(panel, "clear", transfer=2, ref="a")
            await turns()
            assert len(panel.transfers) == 3, "one that runs is not cleared away"
            press(panel, "clear", transfer=0, ref="b")
            await turns()
            assert [each["id"] for each in panel.transfers] == [2, 1]
            press(panel, "clear-all", ref="c")
            await turns()
            assert [each["id"] for each in panel.transfers] == [2]
            node.change(transfers=(*rows, transfer_row(transfer_id=3, state="done")))
            await turns()
            assert [each["id"] for each in panel.transfers] == [2, 3]
            panel.close()

    run_virtual(scenario())


def test_pause_resume_and_cancel_reach_the_transfer(traffic):
    async def scenario() -> None:
        async with FakeNode() as node:
            begun = asyncio.Event()

            async def endless():
                yield b"x" * MIB
                begun.set()
                await asyncio.Event().wait()

            task = asyncio.create_task(node.put(endless(), name="endless.bin"))
            await begun.wait()
            panel = TransfersPanel(node)
            (transfer,) = node.running_transfers()
            press(panel, "pause", transfer=transfer.transfer_id, ref="a")
            await turns()
            assert transfer.paused
            press(panel, "resume", transfer=transfer.transfer_id, ref="b")
            await turns()
            assert not transfer.paused
            press(panel, "cancel", transfer=transfer.transfer_id, ref="c")
            await turns()
            assert task.cancelled()
            press(panel, "pause", transfer=transfer.transfer_id, ref="d")
            await turns()
            assert "has ended already" in panel.problems[0]["text"]
            panel.close()

    run_virtual(scenario())
