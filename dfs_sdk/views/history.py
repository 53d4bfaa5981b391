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
TIME_UNITS: Final = {"seconds": 1.0, "minutes": 60.0, "hours": 3600.0}
# Of a unit: what lasted less is drawn in the next smaller one.
SPAN_MIN = 2.0
NO_FILES = "no look at a stored file yet: `await swarm.settled()`\nand `await swarm.run(seconds=10)` take looks"

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
GREY: Final = "#808080"


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
    axes = _axes(ax)
    times = _times(axes, frame["seconds"])
    axes.step(times, frame["answering"], where="post", color=BLUE, label="answering")
    axes.step(times, frame["up"], where="post", color=ORANGE, linestyle="--", label="running")
    axes.step(times, frame["nodes"], where="post", color=GREY, linestyle=":", label="nodes")
    axes.set_ylabel("nodes")
    _from_zero(axes, counts=True)
    ratio = frame["readable"] / frame["files"].where(frame["files"] > 0)
    other = axes.twinx()
    other.step(times, 100 * ratio, where="post", color=GREEN, linestyle="-.", label="files readable")
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
    axes, has_files = _axes(ax), frame["chunks"] > 0
    known, times = frame[has_files], _times(axes, frame["seconds"])[has_files]
    axes.step(times, known["copies_mean"], where="post", color=BLUE, label="within reach, on average")
    axes.step(times, known["copies_kept"], where="post", color=GREY, linestyle=":", label="kept, asleep or not")
    axes.step(times, known["copies_min"], where="post", color=RED, linestyle="--", label="of the scarcest chunk")
    axes.set_ylabel("copies of a chunk")
    _from_zero(axes)
    if known.empty:
        axes.text(0.5, 0.5, NO_FILES, ha="center", va="center", transform=axes.transAxes, size=9)
    else:
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
    axes, pause = _axes(ax), frame["seconds"].diff()
    times = _times(axes, frame["seconds"])
    moved = pause > 0
    rate = frame["bytes_delivered"].diff()[moved] / pause[moved]
    unit_bytes, unit = words.unit_of(float(rate.max()) if len(rate) else 0.0)
    axes.plot(times[moved], rate / unit_bytes, color=BLUE, label="traffic")
    axes.set_ylabel(f"{unit}/s")
    _from_zero(axes)
    other = axes.twinx()
    other.step(times, frame["repairs"], where="post", color=RED, linestyle="--", label="copies made again")
    other.set_ylabel("repairs so far")
    _from_zero(other, counts=True)
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
    times = _times(axes, (frame["at"] - frame["at"].min()).dt.total_seconds())
    for row, kind in enumerate(kinds):
        at = times[frame["kind"] == kind]
        axes.plot(at, [row] * len(at), "|", color=BLUE, markersize=8, alpha=0.5)
    axes.set_yticks(range(len(kinds)), [words.visible(str(kind)) for kind in kinds], size=8, parse_math=False)
    axes.set_ylim(max(len(kinds), 1) - 0.5, -0.5)
    axes.set_title(words.count(len(frame), "piece of news", "pieces of news"))
    return axes


def _axes(ax: Axes | None, *, height: float = 3.2) -> Axes:
    return ax if ax is not None else fresh_axes(8.0, height)


def _times(axes: Axes, seconds: pd.Series[float]) -> pd.Series[float]:
    """Turn seconds into the unit of the time axis, and name it: that of what is drawn there already, if any."""
    drawn = [axes, *axes.get_shared_x_axes().get_siblings(axes)]
    unit = next((label for each in drawn if (label := each.get_xlabel()) in TIME_UNITS), None)
    if unit is None:
        span = float(seconds.max()) if len(seconds) else 0.0
        unit = next((name for name, size in reversed(TIME_UNITS.items()) if span >= SPAN_MIN * size), "seconds")
    axes.set_xlabel(unit)
    return seconds / TIME_UNITS[unit]


def _from_zero(axes: Axes, *, counts: bool = False) -> None:
    """Let the vertical axis begin at 0 and end above all that is drawn, also on axes that share it."""
    axes.autoscale(axis="y")  # somebody's limits from before end at that one's highest line
    axes.set_ylim(0.0, max(1.0, axes.get_ylim()[1]))
    if counts:
        axes.locator_params(axis="y", integer=True)


def _legend_of_both(axes: Axes, other: Axes, *, loc: Literal["lower right", "upper left"]) -> None:
    lines = [*axes.get_lines(), *other.get_lines()]
    axes.legend(lines, [str(line.get_label()) for line in lines], loc=loc, fontsize=8)
