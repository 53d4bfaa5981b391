"""What connections went through as a DataFrame, with a title and what is missing of it in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from dfs_sdk.node.snapshot import TransferRow
from dfs_sdk.node.tracing import Gap, Traced
from dfs_sdk.views import words
from dfs_sdk.views.frames import INSTANT, TEXT, instants

NAME_LENGTH_MAX = 40

TRACE_COLUMNS: Final = {
    "peer": TEXT,
    "peer_id": TEXT,
    "connection": "int64",
    "at": INSTANT,
    "seconds": "float64",
    "sent_rate": "float64",
    "received_rate": "float64",
    "rtt": "float64",
    "rtt_min": "float64",
    "window_bytes": "int64",
    "background_window_bytes": "int64",
    "in_flight_bytes": "int64",
    "pacing_rate": "float64",
    "sent_bytes": "int64",
    "received_bytes": "int64",
    "lost_packets": "int64",
    "state": TEXT,
}
"""Column → dtype of `node.trace()`; what each means is said at `TracedConnection` and `Traced` of `node.tracing` and at
`transport.trace.TraceSample`."""

_NOTES: Final = {
    Gap.NOTHING: "",
    Gap.ALONE: "Nothing to show: no other node has taken part.",
    Gap.ABSENT: "Nothing to show: this peer has taken no part.",
    Gap.LITTLE: (
        "Nothing to show: less than 16 KiB went over each connection, or messages travel whole,\n"
        "as in a simulated world without `fidelity=Fidelity()`."
    ),
    Gap.FORGOTTEN: "Part of what the connections noted has made room for what came later.",
}
_ALL_FORGOTTEN: Final = "Nothing to show: what the connections noted has made room for what came later."


def trace(traced: Traced) -> pd.DataFrame:
    """List what connections went through while data moved, oldest first.

    Args:
        traced: As `node.tracing` makes it.

    Returns:
        The frame; its `attrs` hold `about`, a title, and `note`, what is missing in words, or nothing.
    """
    columns: dict[str, Any] = dict(traced.figures)
    columns |= {
        "peer": _texts([each.peer for each in traced.connections], traced.which),
        "peer_id": _texts([each.peer_id for each in traced.connections], traced.which),
        "connection": np.array([each.connection for each in traced.connections], dtype="int64")[traced.which],
        "at": instants(traced.at_wall),
        "seconds": traced.seconds,
        "sent_rate": traced.sent_rate,
        "received_rate": traced.received_rate,
        "state": _texts(traced.states, columns["state"]),
    }
    frame = pd.DataFrame({name: columns[name] for name in TRACE_COLUMNS}, pd.RangeIndex(len(traced)), copy=False)
    frame.attrs = {"about": _about(traced), "note": _note(traced)}
    return frame


def _texts(texts: Sequence[str], which: npt.NDArray[Any]) -> Any:
    """Make a column of few different texts, each of which is made safe to show once."""
    return pd.array([words.visible(text) for text in texts], dtype=TEXT).take(which)


def _about(traced: Traced) -> str:
    if traced.transfer is not None:
        return _of_transfer(traced.transfer)
    peers = {each.peer_id: each.peer for each in traced.connections}
    if len(peers) == 1:
        return f"Connection with {_name(*peers.values())}"
    return f"Connections with {words.count(len(peers), 'peer')}"


def _of_transfer(row: TransferRow) -> str:
    kind = "Upload" if row.direction == "put" else "Download"
    moved = words.size(row.bytes_done)
    if row.state not in ("running", "paused"):
        moved += f" in {words.duration(row.ended_at_wall - row.started_at_wall)}"
    ending = "" if row.state == "done" else f", {words.visible(row.state)}"
    return f"{kind} of {_name(row.file)}: {moved}{ending}"


def _name(name: Any) -> str:
    return words.visible(str(name), length_max=NAME_LENGTH_MAX)


def _note(traced: Traced) -> str:
    return _ALL_FORGOTTEN if traced.gap is Gap.FORGOTTEN and not len(traced) else _NOTES[traced.gap]
