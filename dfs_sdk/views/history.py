"""A swarm over time as tables and pictures: who was there, what could be read, how many copies, how much traffic.

`HISTORY_COLUMNS` says which columns there are, as `frames.COLUMNS` does for the views of a node; the times are those
that passed in the swarm, virtual ones in a simulated world.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import pandas as pd

from dfs_sdk.node.snapshot import EventRow
from dfs_sdk.views import words
from dfs_sdk.views.frames import COLUMNS, INSTANT, TEXT, tabulate
from dfs_sdk.views.plots import fresh_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS_SHOWN_MAX = 20
HOUR = 3600.0

HISTORY_COLUMNS: Final[dict[str, str | tuple[str, ...]]] = {
    "at": INSTANT,
    "seconds": "float64",
    "nodes": "int64",
    "up": "int64",
    "answering": "int64",
    "files": "int64",
    "readable": "int64",
    "chunks": "int64",
    "copies_min": "int64",
    "copies_mean": "float64",
    "copies_kept": "float64",
    "delivered": "int64",
    "lost": "int64",
    "bytes_delivered": "int64",
    "repairs": "int64",
    "events": "int64",
}
"""Column → dtype of `Swarm.history()`; what each means is said at `sim.chronicle.Standing`."""

BLUE: Final = "#0072B2"
ORANGE: Final = "#E69F00"
GREEN: Final = "#009E73"
RED: Final = "#D55E00"


def history(standings: Sequence[Any]) -> pd.DataFrame:
    """List how a swarm stood, oldest first.

    Args:
        standings: As `sim.chronicle.Chronicle.standings` gives them.
    """
    return tabulate(HISTORY_COLUMNS, standings)


def events(rows: Sequence[tuple[str, EventRow]]) -> pd.DataFrame:
    """List news of several nodes, oldest first, with a first column `node`.

    Args:
        rows: The name of a node, and what it told.
    """
    frame = tabulate(COLUMNS["events"], [row for _, row in rows])
    frame.insert(0, "node", pd.Series([words.visible(name) for name, _ in rows], dtype=TEXT))
    return frame


def plot_availability(frame: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw how many nodes answered, and below the ratio of files that could be read.

    Args:
        frame: As `history` makes it.
        ax: Where to draw; a fresh figure if None.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    axes, hours = _axes(ax), frame["seconds"] / HOUR
    axes.step(hours, frame["nodes"], where="post", color="#808080", linestyle=":", label="nodes")
    axes.step(hours, frame["up"], where="post", color=ORANGE, linestyle="--", label="running")
    axes.step(hours, frame["answering"], where="post", color=BLUE, label="answering")
    axes.set(xlabel="hours", ylabel="nodes", ylim=(0, None))
    ratio = frame["readable"] / frame["files"].where(frame["files"] > 0)
    other = axes.twinx()
    other.step(hours, 100 * ratio, where="post", color=GREEN, label="files readable")
    other.set(ylabel="% of files", ylim=(0, 105))
    _legend_of_both(axes, other, loc="lower right")
    axes.set_title("Who answers, and what can be read")
    return axes


def plot_copies(frame: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw how many copies of a chunk there were, on average and of the scarcest.

    Args:
        frame: As `history` makes it.
        ax: Where to draw; a fresh figure if None.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    axes, hours = _axes(ax), frame["seconds"] / HOUR
    known = frame["chunks"] > 0
    axes.plot(hours[known], frame["copies_kept"][known], color="#808080", linestyle=":", label="kept, asleep or not")
    axes.plot(hours[known], frame["copies_mean"][known], color=BLUE, label="within reach")
    axes.step(hours[known], frame["copies_min"][known], where="post", color=RED, label="of the scarcest chunk")
    axes.set(xlabel="hours", ylabel="copies of a chunk", ylim=(0, None))
    axes.legend(loc="lower right", fontsize=8)
    axes.set_title("Copies")
    return axes


def plot_traffic(frame: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw bytes a second between one look and the next, and copies that were made again.

    Args:
        frame: As `history` makes it.
        ax: Where to draw; a fresh figure if None.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    axes, hours, pause = _axes(ax), frame["seconds"] / HOUR, frame["seconds"].diff()
    moved = pause > 0
    rate = frame["bytes_delivered"].diff()[moved] / pause[moved]
    unit_bytes, unit = words.unit_of(float(rate.max()) if len(rate) else 0.0)
    axes.plot(hours[moved], rate / unit_bytes, color=BLUE, label="traffic")
    axes.set(xlabel="hours", ylabel=f"{unit}/s", ylim=(0, None))
    other = axes.twinx()
    other.step(hours, frame["repairs"], where="post", color=RED, linestyle="--", label="copies made again")
    other.set(ylabel="repairs so far", ylim=(0, None))
    _legend_of_both(axes, other, loc="upper left")
    axes.set_title("Traffic")
    return axes


def plot_events(frame: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw a mark for each piece of news, a row for each kind, the most frequent ones.

    Args:
        frame: As `events` makes it.
        ax: Where to draw; a fresh figure if None.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    kinds = list(frame["kind"].value_counts().index[:KINDS_SHOWN_MAX])
    axes = _axes(ax, height=max(2.0, 0.9 + 0.25 * len(kinds)))
    begin = frame["at"].min()
    for row, kind in enumerate(kinds):
        at = (frame["at"][frame["kind"] == kind] - begin).dt.total_seconds() / HOUR
        axes.plot(at, [row] * len(at), "|", color=BLUE, markersize=8, alpha=0.5)
    axes.set_yticks(range(len(kinds)), [words.visible(str(kind)) for kind in kinds], size=8, parse_math=False)
    axes.set_ylim(max(len(kinds), 1) - 0.5, -0.5)
    axes.set_xlabel("hours")
    axes.set_title(words.count(len(frame), "piece of news", "pieces of news"))
    return axes


def _axes(ax: Axes | None, *, height: float = 3.2) -> Axes:
    return ax if ax is not None else fresh_axes(8.0, height)


def _legend_of_both(axes: Axes, other: Axes, *, loc: Literal["lower right", "upper left"]) -> None:
    lines = [*axes.get_lines(), *other.get_lines()]
    axes.legend(lines, [str(line.get_label()) for line in lines], loc=loc, fontsize=8)
