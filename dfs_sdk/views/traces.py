"""What connections went through as a DataFrame, with a title and what is missing of it in words."""

from __future__ import annotations

from typing import Any, Final

import pandas as pd

from dfs_sdk.node.snapshot import TransferRow
from dfs_sdk.node.tracing import Gap, Traced
from dfs_sdk.views import words
from dfs_sdk.views.frames import INSTANT, TEXT, tabulate

NAME_LENGTH_MAX = 40

_OWN: Final[dict[str, str | tuple[str, ...]]] = {
    "peer": TEXT,
    "peer_id": TEXT,
    "connection": "int64",
    "at": INSTANT,
    "seconds": "float64",
    "sent_rate": "float64",
    "received_rate": "float64",
}
_SAMPLED: Final[dict[str, str | tuple[str, ...]]] = {
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
TRACE_COLUMNS: Final = _OWN | _SAMPLED
"""Column → dtype of `node.trace()`; what each means is said at `node.tracing.TraceRow` and
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
    own = tabulate(_OWN, traced.rows)
    frame = pd.concat([own, tabulate(_SAMPLED, [row.sample for row in traced.rows])], axis="columns")
    frame.attrs = {"about": _about(traced), "note": _note(traced)}
    return frame


def _about(traced: Traced) -> str:
    if traced.transfer is not None:
        return _of_transfer(traced.transfer)
    peers = {row.peer_id: row.peer for row in traced.rows}
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
    return _ALL_FORGOTTEN if traced.gap is Gap.FORGOTTEN and not traced.rows else _NOTES[traced.gap]
