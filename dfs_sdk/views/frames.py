"""Snapshots as tidy DataFrames: one row per copy, peer, file, transfer, event or message.

`COLUMNS` is the one place that says which columns each frame has, in which order, and of which dtype; an empty
snapshot gives the same ones. The columns are the fields of the rows in `node.snapshot`; a field `…_wall`, seconds
since the epoch, becomes the column without that ending, an instant in UTC (NaT where it is unknown or absurd).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from dfs_sdk.node.snapshot import NodeSnapshot
from dfs_sdk.views.words import visible

INSTANT: Final = "datetime64[ns, UTC]"
TEXT: Final = "string"

ROLES: Final = ("primary", "surplus", "cache")
PEER_STATES: Final = ("self", "alive", "lagging", "busy", "suspect", "away", "gone", "left")
DIRECTIONS: Final = ("put", "get")
TRANSFER_STATES: Final = ("running", "paused", "done", "failed", "cancelled")
HEALTHS: Final = ("healthy", "repairing", "under target", "only here", "unavailable")
TOPICS: Final = ("node", "peers", "files", "replication", "chat", "store", "transport")

COLUMNS: Final[dict[str, dict[str, str | tuple[str, ...]]]] = {
    "chunks": {
        "file": TEXT,
        "chunk": "int64",
        "chunk_id": TEXT,
        "size": "int64",
        "cell": "int64",
        "holder": TEXT,
        "holder_id": TEXT,
        "role": ROLES,
        "state": PEER_STATES,
        "why": TEXT,
        "confirmed_at": INSTANT,
    },
    "peers": {
        "name": TEXT,
        "node_id": TEXT,
        "state": PEER_STATES,
        "address": TEXT,
        "host": TEXT,
        "rtt": "float64",
        "used_bytes": "int64",
        "capacity_bytes": "int64",
        "load": "int64",
        "uptime": "float64",
        "last_heard": INSTANT,
        "p_return": "float64",
    },
    "files": {
        "name": TEXT,
        "file_id": TEXT,
        "size": "int64",
        "chunks": "int64",
        "copies_min": "int64",
        "copies_wanted": "int64",
        "health": HEALTHS,
        "pinned": "bool",
        "origin": TEXT,
        "created_at": INSTANT,
    },
    "transfers": {
        "transfer_id": "int64",
        "direction": DIRECTIONS,
        "file": TEXT,
        "state": TRANSFER_STATES,
        "bytes_done": "int64",
        "bytes_total": "int64",
        "rate": "float64",
        "eta": "float64",
        "sources": "int64",
        "started_at": INSTANT,
        "ended_at": INSTANT,
        "error": TEXT,
    },
    "events": {"at": INSTANT, "topic": TOPICS, "kind": TEXT, "text": TEXT},
    "messages": {
        "room": TEXT,
        "sender": TEXT,
        "sender_id": TEXT,
        "text": TEXT,
        "sent_at": INSTANT,
        "delivered": "int64",
        "mine": "bool",
        "link": TEXT,
        "room_id": TEXT,
        "message_id": TEXT,
    },
}
"""Frame → column → dtype; a tuple lists the categories of a categorical column."""

FORMULA_STARTS: Final = frozenset("=+-@\t\r\n\0\u2400\u2409\u240a\u240d\uff1d\uff0b\uff0d\uff20")
_INT64_MAX = 2**63 - 1
_EPOCH_SECONDS_MAX = 9_000_000_000  # the year 2255; int64 nanoseconds end in 2262


def chunks(snapshot: NodeSnapshot, *, file: str | None = None) -> pd.DataFrame:
    """List each copy of each chunk of the catalog, or of one file.

    Args:
        snapshot: What to show.
        file: Only rows of the file with this name.
    """
    rows = snapshot.chunks if file is None else tuple(row for row in snapshot.chunks if row.file == file)
    return _frame("chunks", rows)


def peers(snapshot: NodeSnapshot) -> pd.DataFrame:
    """List the members of the network, the node itself included."""
    return _frame("peers", snapshot.peers)


def files(snapshot: NodeSnapshot) -> pd.DataFrame:
    """List the files of the catalog."""
    return _frame("files", snapshot.files)


def transfers(snapshot: NodeSnapshot) -> pd.DataFrame:
    """List uploads and downloads, running and finished."""
    return _frame("transfers", snapshot.transfers)


def events(snapshot: NodeSnapshot, *, limit: int | None = None) -> pd.DataFrame:
    """List the remembered news, oldest first.

    Args:
        snapshot: What to show.
        limit: Only the newest so many, at least 0.
    """
    rows = snapshot.events if limit is None else snapshot.events[max(0, len(snapshot.events) - limit) :]
    return _frame("events", rows)


def messages(snapshot: NodeSnapshot) -> pd.DataFrame:
    """List the remembered chat messages, oldest first."""
    return _frame("messages", snapshot.messages)


def of_swarm(table: str, tables: Sequence[tuple[str, Sequence[object]]]) -> pd.DataFrame:
    """Put the rows of several nodes under each other in one frame, with a first column `node`.

    Args:
        table: A key of `COLUMNS`.
        tables: The name of each node, and its rows of that table.

    Raises:
        KeyError: No such frame.
    """
    joined = _frame(table, [row for _, rows in tables for row in rows])
    names = [shown for name, rows in tables for shown in [visible(name)] * len(rows)]
    joined.insert(0, "node", pd.Series(names, dtype=TEXT))
    return joined


def export_csv(frame: pd.DataFrame, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a frame as CSV that no spreadsheet takes for formulas: such texts get a leading apostrophe.

    Args:
        frame: Any frame; its index is not written.
        path: The file to make.
        overwrite: Replace an existing file.

    Returns:
        The path written.

    Raises:
        FileExistsError: The file is there and `overwrite` is False.

    Source: OWASP, "CSV Injection"; CWE-1236.
    """
    safe = pd.DataFrame({i: _neutral(frame.iloc[:, i]) for i in range(frame.shape[1])}, index=frame.index)
    safe.columns = pd.Index([_neutral_text(str(name)) for name in frame.columns])
    target = Path(path)
    with target.open("w" if overwrite else "x", encoding="utf-8", newline="") as file:
        safe.to_csv(file, index=False, quoting=csv.QUOTE_NONNUMERIC)
    return target


def _frame(table: str, rows: Sequence[Any]) -> pd.DataFrame:
    return tabulate(COLUMNS[table], rows)


def tabulate(dtypes: Mapping[str, str | tuple[str, ...]], rows: Sequence[Any]) -> pd.DataFrame:
    """Put rows of one class under each other.

    Args:
        dtypes: Column → dtype, as in `COLUMNS`.
        rows: Objects with a field for each column.
    """
    columns: dict[str, Any] = {}
    for name, dtype in dtypes.items():
        field = f"{name}_wall" if dtype == INSTANT else name
        columns[name] = _column([getattr(row, field) for row in rows], dtype)
    return pd.DataFrame(columns, index=pd.RangeIndex(len(rows)))


def _column(values: list[Any], dtype: str | tuple[str, ...]) -> Any:
    if isinstance(dtype, tuple):
        return pd.Categorical(values, categories=list(dtype))
    if dtype == TEXT:
        return pd.array([visible(value) for value in values], dtype=TEXT)
    if dtype == INSTANT:
        return instants(values)
    if dtype == "int64":
        return np.array([max(-_INT64_MAX, min(int(value), _INT64_MAX)) for value in values], dtype="int64")
    return np.array(values, dtype=dtype)


def instants(values: npt.ArrayLike) -> pd.DatetimeIndex:
    """Make a column of instants; NaT where they are unknown or out of range.

    Args:
        values: Seconds since the epoch.
    """
    seconds = np.array(values, dtype="float64")
    known = np.isfinite(seconds) & (seconds > 0) & (seconds < _EPOCH_SECONDS_MAX)
    microseconds = np.round(np.where(known, seconds, 0.0) * 1e6).astype("int64")
    nanoseconds = (microseconds * 1_000).astype("datetime64[ns]")
    nanoseconds[~known] = np.datetime64("NaT", "ns")
    return pd.DatetimeIndex(nanoseconds).tz_localize("UTC")


def _neutral(column: pd.Series[Any]) -> pd.Series[Any]:
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
        return column
    return column.astype(object).map(lambda value: _neutral_text(value) if isinstance(value, str) else value)


def _neutral_text(text: str) -> str:
    first = text.lstrip(" \"';,")[:1]
    return f"'{text}" if text[:1] in FORMULA_STARTS or first in FORMULA_STARTS else text
