"""What the command line prints: tables for people, one JSON document for programs.

Text of peers reaches the terminal only as `rich.text.Text`, which interprets no markup, and was stripped of control
characters when it entered the snapshot.
"""

from __future__ import annotations

import io
import json
import math
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dfs_sdk.node.snapshot import ChunkRow, FileRow, PeerRow
from dfs_sdk.views import words

# A file or pipe has no width: tables go there unfolded.
WIDTH_OF_FILES = 200

out = Console(width=None if sys.stdout.isatty() else WIDTH_OF_FILES)
err = Console(stderr=True)


def waiting(text: str, *, quiet: bool) -> AbstractContextManager[object]:
    """Show on a terminal that something is awaited."""
    # Not `err.is_terminal`: inside a notebook FORCE_COLOR is set, and rich then takes every pipe for a terminal.
    return nullcontext() if quiet or not sys.stderr.isatty() else err.status(text)


def accept_any_text() -> None:
    """Escape what a stream's encoding lacks instead of failing: outside UTF-8, as on Windows, most of what peers write.

    What comes in and is no text in that encoding becomes a mark.
    """
    for stream, errors in ((sys.stdout, "backslashreplace"), (sys.stderr, "backslashreplace"), (sys.stdin, "replace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)


def as_json(value: Any) -> None:
    """Print a value as one line of JSON; numbers that JSON lacks become null."""
    # Escapes of a stream are not those of JSON.
    speaks_all = str(getattr(sys.stdout, "encoding", None)).lower().replace("-", "") == "utf8"
    click.echo(json.dumps(_plain(value), ensure_ascii=not speaks_all, allow_nan=False))


def files(rows: Sequence[FileRow]) -> None:
    """Print a catalog."""
    table = _table("file", "id", "size", "chunks", "copies", "health", "origin", "since")
    for row in rows:
        copies = f"{row.copies_min} of {row.copies_wanted}"
        since = datetime.fromtimestamp(row.created_at_wall, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
        _add(table, row.name, row.file_id, words.size(row.size), row.chunks, copies, row.health, row.origin, since)
    _print(table, len(rows), "no files yet: put one with `dfs put FILE`")


def peers(rows: Sequence[PeerRow]) -> None:
    """Print the members of the network."""
    table = _table("peer", "id", "state", "address", "rtt", "stored", "offered", "up")
    for row in rows:
        who = (row.name, words.short_id(row.node_id), words.state(row.state), row.address)
        rtt = "" if math.isnan(row.rtt) else f"{row.rtt * 1000:.1f} ms"
        stored, offered = words.size(row.used_bytes), words.size(row.capacity_bytes)
        _add(table, *who, rtt, stored, offered, words.duration(row.uptime))
    _print(table, len(rows), "no peers: join one with `--join HOST:PORT`")


def chunks(rows: Sequence[ChunkRow]) -> None:
    """Print where every chunk is and why; the id and the cell are in the JSON and in the reason."""
    table = _table("file", "chunk", "size", "holder", "role", "state", "why")
    for row in rows:
        index = "manifest" if row.chunk < 0 else row.chunk
        _add(table, row.file, index, words.size(row.size), row.holder, row.role, words.state(row.state), row.why)
    _print(table, len(rows), "no chunks: put a file first")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in ("id", "size", "state", "role"))
    return table


def _add(table: Table, *cells: object) -> None:
    table.add_row(*(Text(str(cell)) for cell in cells))


def _print(table: Table, count: int, empty: str) -> None:
    out.print(table if count else Text(empty, style="dim"))


def _plain(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
