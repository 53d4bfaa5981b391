"""Frames as matplotlib figures: who holds which chunk, and who stores how much.

Role and state are told apart by colour and by sign, so that nothing is lost in grey or to colour-blind readers; foreign
texts are never typeset. matplotlib is imported on first use.

Source: Okabe and Ito, "Color Universal Design" (2008), for the palette.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from dfs_sdk.errors import MissingExtraError
from dfs_sdk.views import words

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

CHUNKS_SHOWN_MAX = 400
HOLDERS_SHOWN_MAX = 60
LABELS_SHOWN_MAX = 40
LABEL_LENGTH_MAX = 24
OFFERED_SHOWN_RATIO = 0.05

ROLE_COLORS: Final = {"primary": "#0072B2", "surplus": "#E69F00", "cache": "#56B4E9"}
ROLE_SIGNS: Final = {"primary": "s", "surplus": "D", "cache": "o"}
STATE_SIGNS: Final = {"lagging": "~", "busy": "b", "suspect": "?", "away": "x", "gone": "X", "left": "X"}
_PRESENT: Final = frozenset({"alive", "self", "lagging", "busy"})


def plot_chunks(frame: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw which holder has which chunk: a row per chunk, a column per holder, one mark per copy.

    Colour and shape give the role; a filled mark is on a holder that answers, a hollow one on a holder that does
    not, with the holder's state as a sign inside.

    Args:
        frame: As `views.frames.chunks` makes it.
        ax: Where to draw; a fresh figure if None.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    holders = sorted(set(zip(frame["holder"], frame["holder_id"], strict=True)))[:HOLDERS_SHOWN_MAX]
    names = sorted(set(zip(frame["file"], frame["chunk"], frame["chunk_id"], strict=True)))
    shown = names[:CHUNKS_SHOWN_MAX]
    axes = (
        ax if ax is not None else _axes(max(7.0, 5.0 + 0.4 * len(holders)), max(2.5, min(12.0, 1 + 0.22 * len(shown))))
    )
    columns = {holder_id: x for x, (_, holder_id) in enumerate(holders)}
    rows = {chunk_id: y for y, (_, _, chunk_id) in enumerate(shown)}
    _draw_copies(axes, frame, rows, columns)
    _label(axes, "x", [_label_text(name) for name, _ in holders])
    _label(axes, "y", [f"{_label_text(file)} {_chunk(index)}" for file, index, _ in shown])
    axes.set_xlim(-0.6, max(len(holders), 1) - 0.4)
    axes.set_ylim(max(len(shown), 1) - 0.4, -0.6)
    axes.set_xlabel("holder")
    more = f" (first {len(shown)} of {len(names):,})" if len(names) > len(shown) else ""
    axes.set_title(f"Copies of {words.count(len(names), 'chunk')}{more}")
    return axes


def plot_load(frame: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw how many bytes each node stores of what it offers: one bar per node.

    Args:
        frame: As `views.frames.peers` makes it.
        ax: Where to draw; a fresh figure if None.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    shown = frame.head(HOLDERS_SHOWN_MAX)
    axes = ax if ax is not None else _axes(8.0, max(2.0, 1 + 0.3 * len(shown)))
    used, offered = shown["used_bytes"].astype(float), shown["capacity_bytes"].astype(float)
    whole_shown = used.max() > OFFERED_SHOWN_RATIO * offered.max()  # else the bars of what is stored could not be seen
    unit_bytes, unit = words.unit_of(float(offered.max() if whole_shown else used.max()) if len(shown) else 0.0)
    places = range(len(shown))
    if whole_shown:
        axes.barh(places, offered / unit_bytes, color="none", edgecolor="#808080", height=0.7, label="offered")
    axes.barh(places, used / unit_bytes, color=ROLE_COLORS["primary"], height=0.7, label="stored")
    for place, part, whole in zip(places, used, offered, strict=True):
        words_of_it = f" {words.size(int(part))} of {words.size(int(whole))}"
        axes.text(part / unit_bytes, place, words_of_it, va="center", size=8)
    axes.margins(x=0.25)
    _label(axes, "y", [_member(name, state) for name, state in zip(shown["name"], shown["state"], strict=True)])
    axes.set_ylim(max(len(shown), 1) - 0.4, -0.6)
    axes.set_xlabel(unit)
    axes.set_title(f"Stored on {words.count(len(frame), 'node')}")
    if len(shown):
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    return axes


def _draw_copies(axes: Axes, frame: pd.DataFrame, rows: dict[str, int], columns: dict[str, int]) -> None:
    cells = [
        (columns[holder], rows[chunk], str(role), str(state))
        for chunk, holder, role, state in zip(
            frame["chunk_id"], frame["holder_id"], frame["role"], frame["state"], strict=True
        )
        if chunk in rows and holder in columns
    ]
    area = 90.0 if len(rows) <= LABELS_SHOWN_MAX else 16.0
    for role in ROLE_COLORS:
        for present in (True, False):
            found = [(x, y) for x, y, r, s in cells if r == role and (s in _PRESENT) == present]
            if found:
                _scatter(axes, found, role, area, present=present)
    for x, y, _, state in cells:
        if state in STATE_SIGNS:
            axes.text(x, y, STATE_SIGNS[state], ha="center", va="center", size=7, color="#000000")
    if cells:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)


def _scatter(axes: Axes, cells: list[tuple[int, int]], role: str, area: float, *, present: bool) -> None:
    color = ROLE_COLORS[role]
    axes.scatter(
        [x for x, _ in cells],
        [y for _, y in cells],
        s=area,
        marker=ROLE_SIGNS[role],
        facecolors=color if present else "none",
        edgecolors=color,
        label=role if present else f"{role}, holder does not answer",
    )


def _label(axes: Axes, axis: str, labels: list[str]) -> None:
    step = max(1, -(-len(labels) // LABELS_SHOWN_MAX))
    places, shown = list(range(len(labels)))[::step], labels[::step]
    plain: dict[str, Any] = {"parse_math": False, "usetex": False, "size": 8}
    if axis == "x":
        axes.set_xticks(places, shown, rotation=60, ha="right", rotation_mode="anchor", **plain)
    else:
        axes.set_yticks(places, shown, **plain)


def _label_text(name: str) -> str:
    return words.visible(str(name), length_max=LABEL_LENGTH_MAX)


def _member(name: str, state: str) -> str:
    return f"{_label_text(name)} ({words.state(state)})"


def _chunk(index: int) -> str:
    return "manifest" if index < 0 else str(index)


def _axes(width: float, height: float) -> Axes:
    try:
        pyplot = importlib.import_module("matplotlib.pyplot")
    except ImportError as error:
        raise MissingExtraError('Plots need matplotlib: pip install "dfs-sdk[notebook]"') from error
    axes: Axes = pyplot.subplots(figsize=(width, height), layout="constrained")[1]
    return axes
