"""What the files list, the chunk map and a trace cost the kernel and the connection: CPU time and bytes, no browser.

    python tests/bench/bench_panels.py

Prints milliseconds of processor time, the median of several runs, and the bytes that a view is sent.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import pandas as pd

from dfs_sdk.ids import NodeId
from dfs_sdk.node.snapshot import ChunkRow
from dfs_sdk.node.traces import Traces
from dfs_sdk.node.tracing import trace_connections
from dfs_sdk.transport.trace import TRACE_INTERVAL, TRACE_LENGTH_MAX
from dfs_sdk.ui import chunkmap
from dfs_sdk.ui.listing import Listing, Look, Order, Sort, weight
from dfs_sdk.views import traces as views
from tests.fakes.rows import chunk_row, file_row, hex_id
from tests.fakes.samples import FakeConnections, peer, samples

RUNS = 7
FILES = 10_000
CHUNKS, HOLDERS = 5_000, 20
CONNECTIONS = 20
WINDOW = 74


def milliseconds(work: Callable[[], object]) -> float:
    """The median of the processor time of some runs."""
    took = []
    for _ in range(RUNS):
        begun = time.process_time()
        work()
        took.append(1000 * (time.process_time() - begun))
    return statistics.median(took)


def files() -> None:
    """A list of 10,000 files."""
    rows = tuple(file_row(f"measurement-{n:05}.parquet", file_id=f"{n:016x}", size=n) for n in range(FILES))
    changed = (*rows[:40], replace(rows[40], copies_min=1), *rows[41:])

    def look(order: Order) -> dict[str, object]:
        listing = Listing()
        listing.update(rows)
        return listing.look("v", Look(count=WINDOW, order=order), 0.0)

    listing = Listing()

    def change() -> None:
        listing.update(rows)
        listing.look("v", Look(count=WINDOW), 0.0)
        listing.update(changed)
        told.extend(listing.changes(1.0))

    told: list[dict[str, object]] = []
    print(f"{FILES:,} files: by name {milliseconds(lambda: look(Order())):.1f} ms, "
          f"by size and searched {milliseconds(lambda: look(Order(sort=Sort.SIZE, search='99'))):.1f} ms")  # fmt: skip
    print(f"a window of {WINDOW} rows: {weight(look(Order())):,} B; looked at and one row changed "
          f"{milliseconds(change):.1f} ms, {weight(told[0]):,} B")  # fmt: skip


def chunks() -> None:
    """A map of 100,000 cells; then one holder goes away and its copies are made again elsewhere."""
    rows = [
        chunk_row(chunk, (chunk + 7 * copy) % HOLDERS, chunk_id=hex_id(chunk + 5))
        for chunk in range(CHUNKS)
        for copy in range(3)
    ]
    wanted = {"data.bin": 3}
    before = chunkmap.picture(rows, wanted)
    lost = [replace(row, state="away") if row.holder == "node-3" else row for row in rows]
    made = [again(row) for row in lost if row.holder == "node-3"]
    after = chunkmap.picture([*lost, *made], wanted)
    content, buffers = chunkmap.full(before, 1)
    change = chunkmap.patch(before, after, 1)
    assert change is not None
    print(f"{len(before.cells):,} cells, {len(rows):,} copies: drawn in "
          f"{milliseconds(lambda: chunkmap.picture(rows, wanted)):.1f} ms, {size(content, buffers):,} B")  # fmt: skip
    print(f"a holder lost and {len(made)} copies made again: compared in "
          f"{milliseconds(lambda: chunkmap.patch(before, after, 1)):.1f} ms, {size(*change):,} B")  # fmt: skip


def traces() -> None:
    """The trace of twenty connections that moved data for a minute, and after earlier transfers over each of them."""
    connections = FakeConnections()
    kept = Traces(connections)

    def frame() -> pd.DataFrame:
        return views.trace(trace_connections(kept.of(), name=NodeId.hex, epoch_wall=1.7e9))

    for begin in (0.0, 100.0):
        for number in range(1, CONNECTIONS + 1):
            connection = connections.open.get(peer(number)) or connections.connect(number)
            connection.trace = samples(begin, begin + TRACE_INTERVAL * (TRACE_LENGTH_MAX - 1), step=TRACE_INTERVAL)
        print(f"{CONNECTIONS} connections: a trace of {len(frame()):,} rows in {milliseconds(frame):.1f} ms")
        kept.keep(list(connections.open))


def again(row: ChunkRow) -> ChunkRow:
    """A copy that stands in for a lost one."""
    number = (row.chunk + 2) % HOLDERS
    return replace(chunk_row(row.chunk, number, chunk_id=row.chunk_id), role="surplus")


def size(content: dict[str, object], buffers: list[bytes]) -> int:
    """Bytes of a message."""
    return weight(content) + sum(map(len, buffers))


if __name__ == "__main__":
    files()
    chunks()
    traces()
