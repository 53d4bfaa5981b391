"""The trace of connections as a matplotlib figure: four pictures over one time, a line for each connection.

The colours are readable on white and on black, texts and grid are those of the user's style; peers are told apart by
colour and by sign, and foreign texts are never typeset. Where a picture would be empty, a sentence stands instead.

Source: Okabe and Ito, "Color Universal Design" (2008), for the palette; its orange and sky blue darkened until they
stand out on white.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from dfs_sdk.transport.trace import TRACE_INTERVAL
from dfs_sdk.views import words
from dfs_sdk.views.plots import matplotlib_part, short_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B27B00", "#3091C7")
SIGNS: Final = ("o", "s", "^", "D", "v", "P")
PEERS_SHOWN_MAX = len(COLORS)
SIGNS_SHOWN_MAX = 20
RATES_SHOWN_MAX = 150
DENSE_ROWS_MIN = 200
GREY = "#808080"
SOLID, DASHED, DOTTED = "-", "--", ":"
WAYS: Final = ("sent", "received")
# Of what went the other way; less is requests and acknowledgements.
WAY_RATIO_MIN = 0.2
# Half of the time between two samples.
RATE_SECONDS_MIN = TRACE_INTERVAL / 2
QUIET_SECONDS_MIN, QUIET_RATIO = 10 * TRACE_INTERVAL, 5.0
# Of the time shown; what begins sooner is shown from 0 on.
BEGIN_RATIO_MAX = 0.25
# Above the highest line, for its signs.
HEADROOM = 1.05
PICTURE_HEIGHT, SENTENCE_HEIGHT, BLANK_HEIGHT = 1.0, 0.2, 0.01
WIDTH_INCHES, PICTURE_INCHES = 8.0, 1.9
ONLY_RECEIVED = "Windows and losses are the senders' to tell: this node only received."
NOTHING_LOST = "No packet was lost."

Four = tuple["Axes", "Axes", "Axes", "Axes"]
Look = dict[str, Any]
Floats = npt.NDArray[np.float64]


def plot_trace(frame: pd.DataFrame, axes: Sequence[Axes] | None = None) -> Four:
    """Draw what connections went through: rates, windows and bytes in flight, round trips, packets lost.

    Of more than six peers the busiest are drawn.

    Args:
        frame: As `views.traces.trace` makes it, or rows of one.
        axes: Four axes to draw on, from the top; a fresh figure if None.

    Returns:
        The axes; those without anything to draw hold a sentence or nothing.

    Raises:
        MissingExtraError: matplotlib is not installed.
        ValueError: There are not four axes.
    """
    peer_ids = _busiest(frame)
    shown = frame[frame["peer_id"].isin(peer_ids[:PEERS_SHOWN_MAX])]
    ways = [] if shown.empty else _ways(shown)
    sends, loses = "sent" in ways, bool((shown["lost_packets"] > 0).any())
    drawn = (not shown.empty, sends, not shown.empty, sends and loses)
    said = _sentences(frame, is_empty=shown.empty, sends=sends, loses=loses)
    four = _four(axes, drawn, said)
    rates, windows, trips, losses = four
    for each, is_drawn, sentence in zip(four, drawn, said, strict=True):
        _prepare(each, sentence, is_drawn=is_drawn)
    _title(rates, frame, peers=len(peer_ids))
    if shown.empty:
        return four
    lines = _Lines(shown, peer_ids[:PEERS_SHOWN_MAX])
    _draw_rates(rates, _Lines(_rate_rows(shown), peer_ids[:PEERS_SHOWN_MAX]), ways)
    _draw_trips(trips, lines)
    if sends:
        _draw_windows(windows, lines)
    if sends and loses:
        _draw_losses(losses, lines)
    _time_axis(losses if drawn[3] else trips, shown)
    return four


class _Lines:
    """The rows of each connection, and the looks of its peer.

    Args:
        frame: The rows of some peers.
        peer_ids: These peers, the busiest first.
    """

    def __init__(self, frame: pd.DataFrame, peer_ids: Sequence[str]) -> None:
        looks = [{"color": color, "marker": sign} for color, sign in zip(COLORS, SIGNS, strict=True)]
        self._looks = dict(zip(peer_ids, looks, strict=False))
        self._connections = [rows for _, rows in frame.groupby("connection")]
        self.legend = list(zip(_names(frame, peer_ids), looks, strict=False))

    def top(self, *columns: str) -> float:
        """The largest value of some columns; 0 where none is known."""
        tops = [float(rows[column].max()) for rows in self._connections for column in columns]
        return max((top for top in tops if top > 0), default=0.0)

    def draw(
        self, axes: Axes, column: str, *, unit: float = 1.0, line: str = SOLID, signs: bool = True, **how: Any
    ) -> None:
        """Draw a column over time, a line for each connection, broken where nothing moved.

        Args:
            axes: Where.
            column: Which.
            unit: What the axis counts in, in units of the column.
            line: Its style.
            signs: Whether with the signs of the peers.
            how: Further arguments of `Axes.plot`.
        """
        for rows in self._connections:
            look = self._looks[str(rows["peer_id"].iloc[0])]
            every = max(1, len(rows) // SIGNS_SHOWN_MAX)
            marks: Look = {"marker": look["marker"], "markersize": 3.5, "markevery": every} if signs else {}
            seconds, values = _broken(rows["seconds"].to_numpy(), rows[column].to_numpy() / unit)
            width = 1.2 if len(rows) < DENSE_ROWS_MIN else 0.8
            axes.plot(seconds, values, line, color=look["color"], linewidth=width, **marks, **how)


def _rate_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Take the rows of which rates are drawn: where there are many, each stands for those before it, too."""
    return pd.concat([_with_plain_rates(rows) for _, rows in frame.groupby("connection")])


def _with_plain_rates(rows: pd.DataFrame) -> pd.DataFrame:
    step = -(-len(rows) // RATES_SHOWN_MAX)
    if step > 1:
        few = rows.iloc[::-step][::-1]
        spans = few["seconds"].diff().where(lambda span: span > 0)
        return few.assign(**{f"{way}_rate": few[f"{way}_bytes"].diff() / spans for way in WAYS})
    # One burst sets the rate over a very short time.
    long = rows["seconds"].diff().fillna(rows["seconds"]) >= RATE_SECONDS_MIN
    return rows.assign(**{f"{way}_rate": rows[f"{way}_rate"].where(long) for way in WAYS}) if long.any() else rows


def _broken(seconds: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Break a line where its connection was quiet: for longer than between the rows before or those after."""
    spans = np.diff(seconds)
    around = np.minimum(np.append(np.inf, spans)[:-1], np.append(spans, np.inf)[1:])
    breaks = np.flatnonzero(spans > np.maximum(QUIET_SECONDS_MIN, QUIET_RATIO * around)) + 1
    return np.insert(seconds, breaks, np.nan), np.insert(values.astype(float), breaks, np.nan)


def _draw_rates(axes: Axes, lines: _Lines, ways: Sequence[str]) -> None:
    columns = {f"{way}_rate": style for way, style in zip(ways, (SOLID, DASHED), strict=False)}
    unit_bytes, unit = words.unit_of(lines.top(*columns))
    for column, style in columns.items():
        lines.draw(axes, column, unit=unit_bytes, line=style)
    both = len(ways) > 1
    _name_axis(axes, "rate" if both else ways[0], f"{unit}/s")
    styles = [(way, _grey(style)) for way, style in zip(ways, columns.values(), strict=True)] if both else []
    _legend(axes, [*lines.legend, *styles])


def _draw_windows(axes: Axes, lines: _Lines) -> None:
    unit_bytes, unit = words.unit_of(lines.top("window_bytes", "in_flight_bytes"))
    lines.draw(axes, "in_flight_bytes", unit=unit_bytes)
    lines.draw(axes, "window_bytes", unit=unit_bytes, line=DASHED, signs=False)
    _name_axis(axes, "under way", unit)
    _legend(axes, [("in flight", _grey(SOLID)), ("window", _grey(DASHED))])


def _draw_trips(axes: Axes, lines: _Lines) -> None:
    lines.draw(axes, "rtt", unit=0.001)
    lines.draw(axes, "rtt_min", unit=0.001, line=DOTTED, signs=False)
    _name_axis(axes, "round trip", "ms")
    _legend(axes, [("smoothed", _grey(SOLID)), ("shortest", _grey(DOTTED))])


def _draw_losses(axes: Axes, lines: _Lines) -> None:
    lines.draw(axes, "lost_packets", drawstyle="steps-post")
    _name_axis(axes, "lost", "packets")


def _busiest(frame: pd.DataFrame) -> list[str]:
    """The peers, those first over whose connections most went."""
    moved = (frame["sent_bytes"] + frame["received_bytes"]).groupby(frame["connection"]).max()
    peer_ids = frame.groupby("connection")["peer_id"].first()
    total = moved.groupby(peer_ids).sum()
    return [str(peer_id) for peer_id in total.sort_values(ascending=False, kind="stable").index]


def _ways(frame: pd.DataFrame) -> list[str]:
    """Which ways more than talk went: `sent`, `received`."""
    moved = frame.groupby("connection")[["sent_bytes", "received_bytes"]].max().sum()
    return [way for way in WAYS if moved[f"{way}_bytes"] >= WAY_RATIO_MIN * moved.max()]


def _names(frame: pd.DataFrame, peer_ids: Sequence[str]) -> list[str]:
    """Names for the legend; those of one name get the first digits of their ids."""
    named = dict(zip(frame["peer_id"], frame["peer"], strict=True))
    names = [short_label(named[peer_id]) for peer_id in peer_ids]
    return [
        name if names.count(name) == 1 else f"{name} ({words.short_id(peer_id)})"
        for name, peer_id in zip(names, peer_ids, strict=True)
    ]


def _sentences(frame: pd.DataFrame, *, is_empty: bool, sends: bool, loses: bool) -> tuple[str, str, str, str]:
    """What stands in the places of the pictures that would be empty."""
    if is_empty:
        return frame.attrs.get("note") or "Nothing to show.", "", "", ""
    if not sends:
        return "", ONLY_RECEIVED, "", ""
    return "", "", "", "" if loses else NOTHING_LOST


def _four(axes: Sequence[Axes] | None, drawn: Sequence[bool], said: Sequence[str]) -> Four:
    if axes is None:
        heights = [
            PICTURE_HEIGHT if picture else SENTENCE_HEIGHT if sentence else BLANK_HEIGHT
            for picture, sentence in zip(drawn, said, strict=True)
        ]
        size = (WIDTH_INCHES, 0.6 + PICTURE_INCHES * sum(heights))
        figure = matplotlib_part("pyplot").figure(figsize=size, layout="constrained")
        axes = figure.subplots(4, 1, sharex=True, height_ratios=heights)
    rates, windows, trips, losses = axes
    return rates, windows, trips, losses


def _prepare(axes: Axes, sentence: str, *, is_drawn: bool) -> None:
    if is_drawn:
        axes.grid(visible=True, alpha=0.3)
        return
    axes.set_axis_off()
    if sentence:
        plain: Look = {"parse_math": False, "usetex": False}
        axes.text(0.5, 0.5, sentence, transform=axes.transAxes, ha="center", va="center", **plain)


def _title(axes: Axes, frame: pd.DataFrame, *, peers: int) -> None:
    title = frame.attrs.get("about", "")
    if peers > PEERS_SHOWN_MAX:
        title += f" (the busiest {PEERS_SHOWN_MAX} of {peers} peers)"
    if not frame.empty and frame.attrs.get("note"):
        title += f"\n{frame.attrs['note']}"
    axes.set_title(title, parse_math=False, usetex=False, size="medium")


def _name_axis(axes: Axes, what: str, unit: str) -> None:
    axes.set_ylabel(f"{what}\n{unit}")
    axes.set_ylim(0, HEADROOM * axes.get_ylim()[1])


def _time_axis(axes: Axes, shown: pd.DataFrame) -> None:
    axes.set_xlabel("seconds")
    axes.tick_params(labelbottom=True)
    if shown["seconds"].min() <= BEGIN_RATIO_MAX * shown["seconds"].max():
        axes.set_xlim(left=0)


def _grey(line: str) -> Look:
    return {"color": GREY, "linestyle": line}


def _legend(axes: Axes, entries: Sequence[tuple[str, Look]]) -> None:
    line = matplotlib_part("lines").Line2D
    # Texts are set afterwards: a label that begins with an underscore would be left out.
    handles = [line([], [], markersize=3.5, label=f"line {number}", **look) for number, (_, look) in enumerate(entries)]
    legend = axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    for text, (name, _) in zip(legend.get_texts(), entries, strict=True):
        text.set(text=name, parse_math=False, usetex=False)
