"""What an open dashboard costs while nothing happens: a share of one processor, beside the node's own."""

from __future__ import annotations

import asyncio
import time

import pytest

from dfs_sdk import Node
from dfs_sdk.ui import Dashboard
from tests.fakes.browser import recorded

pytestmark = pytest.mark.bench

SECONDS = 8.0
FILES = 40


async def share_of_processor() -> float:
    begin, busy = time.perf_counter(), time.process_time()
    await asyncio.sleep(SECONDS)
    return (time.process_time() - busy) / (time.perf_counter() - begin)


async def test_idle_dashboard_is_nearly_free(capsys: pytest.CaptureFixture[str]):
    with recorded() as traffic:
        async with (
            Node("ada", store="memory", listen="127.0.0.1:0") as ada,
            Node("ben", store="memory", listen="127.0.0.1:0") as ben,
            Node("cyd", store="memory", listen="127.0.0.1:0") as cyd,
        ):
            for node in (ben, cyd):
                await node.join(str(ada.address))
            for number in range(FILES):
                await ada.put(bytes([number]) * 300_000, name=f"file-{number}", chunk_size=16_384)
            await asyncio.sleep(2)
            without = await share_of_processor()
            dashboard = Dashboard(ada)
            await asyncio.sleep(2)
            sent = len(traffic)
            beside = await share_of_processor()
            silent = len(traffic) - sent
            begin = time.perf_counter()
            snapshot = ada.snapshot()
            snapshot_seconds = time.perf_counter() - begin
            begin = time.perf_counter()
            for panel in dashboard.panels:
                panel.refresh(snapshot)
            refresh_seconds = time.perf_counter() - begin
            dashboard.close()
    with capsys.disabled():
        print(
            f"\n{len(snapshot.chunks)} copies of {FILES} files: three nodes take {without:.1%} of a processor, with a"
            f" dashboard {beside:.1%}; snapshot {snapshot_seconds * 1e3:.1f} ms, comparing it"
            f" {refresh_seconds * 1e3:.1f} ms; {silent} messages to the browser in {SECONDS:g} s"
        )
    assert beside - without < 0.15
