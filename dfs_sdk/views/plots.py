"""Frames as matplotlib figures: who holds which chunk, and who stores how much.

Role and state are told apart by colour and by sign, so that nothing is lost in grey or to colour-blind readers; foreign
texts are never typeset. matplotlib is imported on first use.

Source: Okabe and Ito, "Color Universal Design" (2008), for the palette.
"""

from __future__ import annotations

import importlib
import io
from typing import TYPE_CHECKING, Any, Final

from dfs_sdk.errors import MissingExtraError
from dfs_sdk.views import words

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

CHUNKS_SHOWN_MAX = 20_000
HOLDERS_SHOWN_MAX = 1_000
SIGNS_CHUNKS_MAX = 400
SIGNS_HOLDERS_MAX = 60
LABELS_SHOWN_MAX = 40
LABEL_LENGTH_MAX = 24
DOTS_PER_INCH = 90
OFFERED_SHOWN_RATIO = 0.05

ROLE_COLORS: Final = {"primary": "#0072B2", "surplus": "#E69F00", "cache": "#56B4E9"}
ROLE_SIGNS: Final = {"primary": "s", "surplus": "D", "cache": "o"}
STATE_SIGNS: Final = {"lagging": "~", "busy": "b", "suspect": "?", "away": "x", "gone": "X", "left": "X"}
PALE = 90
_PRESENT: Final = frozenset({"alive", "self", "lagging", "busy"})

Cell = tuple[int, int, str, str]
"""A copy: its column, its row, its role, the state of its holder."""


def plot_chunks(frame: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw which holder has which chunk: a row per chunk, a column per holder, one mark per copy.

    Colour and shape give the role; a filled mark is on a holder that answers, a hollow one on a holder that does
    not, with the holder's state as a sign inside. Where there are too many for marks, each copy is a dot of its colour,
    pale on a holder that does not answer.

    Args:
        frame: As `views.frames.chunks` makes it.
        ax: Where to draw; a fresh figure if None.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    holders = sorted(set(zip(frame["holder"], frame["holder_id"], strict=True)))[:HOLDERS_SHOWN_MAX]
    names = sorted(set(zip(frame["file"], frame["chunk"], frame["chunk_id"], strict=True)))
    shown = names[:CHUNKS_SHOWN_MAX]
    axes = ax if ax is not None else fresh_axes(*_map_size(len(shown), len(holders)))
    columns = {holder_id: x for x, (_, holder_id) in enumerate(holders)}
    rows = {(file, chunk_id): y for y, (file, _, chunk_id) in enumerate(shown)}
    cells = _cells(frame, rows, columns)
    if len(shown) <= SIGNS_CHUNKS_MAX and len(holders) <= SIGNS_HOLDERS_MAX:
        _draw_signs(axes, cells, small=len(shown) > LABELS_SHOWN_MAX)
    else:
        _draw_dots(axes, cells, (len(shown), len(holders)))
    _label(axes, "x", [short_label(name) for name, _ in holders])
    _label(axes, "y", [f"{short_label(file)} {_chunk(index)}" for file, index, _ in shown])
    axes.set_xlim(-0.6, max(len(holders), 1) - 0.4)
    axes.set_ylim(max(len(shown), 1) - 0.4, -0.6)
    axes.set_xlabel("holder")
    more = f" (first {len(shown)} of {len(names):,})" if len(names) > len(shown) else ""
    axes.set_title(f"Copies of {words.count(len(names), 'chunk')}{more}")
    return axes


def chunks_png(frame: pd.DataFrame) -> bytes:
    """Draw the same as a PNG, on a figure of its own that pyplot does not know.

    Args:
        frame: As `views.frames.chunks` makes it.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    size = _map_size(frame["chunk_id"].nunique(), frame["holder_id"].nunique())
    figure = matplotlib_part("figure").Figure(figsize=size, layout="constrained")
    plot_chunks(frame, figure.add_subplot())
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DOTS_PER_INCH)
    return drawn.getvalue()


def plot_load(frame: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw how many bytes each node stores of what it offers: one bar per node.

    Args:
        frame: As `views.frames.peers` makes it.
        ax: Where to draw; a fresh figure if None.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    shown = frame.head(HOLDERS_SHOWN_MAX)
    axes = ax if ax is not None else fresh_axes(8.0, max(2.0, 1 + 0.3 * len(shown)))
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
    of_swarm = "node" in shown.columns  # where everybody is "this node"
    members = zip(shown["name"], shown["state"].astype(str), strict=True)
    _label(axes, "y", [_member(name, "" if of_swarm and state == "self" else state) for name, state in members])
    axes.set_ylim(max(len(shown), 1) - 0.4, -0.6)
    axes.set_xlabel(unit)
    axes.set_title(f"Stored on {words.count(len(frame), 'node')}")
    if len(shown):
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    return axes


def _map_size(chunks: int, holders: int) -> tuple[float, float]:
    """Inches, wide and high, in which a map of so many rows and columns can be read."""
    return max(7.0, 5.0 + 0.4 * min(holders, SIGNS_HOLDERS_MAX)), max(2.5, min(12.0, 1 + 0.22 * chunks))


def _cells(frame: pd.DataFrame, rows: dict[tuple[str, str], int], columns: dict[str, int]) -> list[Cell]:
    copies = zip(
        frame["file"], frame["chunk_id"], frame["holder_id"], frame["role"].astype(str), frame["state"].astype(str),
        strict=True,
    )  # fmt: skip
    return [
        (columns[holder], rows[file, chunk], role, state)
        for file, chunk, holder, role, state in copies
        if (file, chunk) in rows and holder in columns
    ]


def _draw_signs(axes: Axes, cells: list[Cell], *, small: bool) -> None:
    area = 16.0 if small else 90.0
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


def _draw_dots(axes: Axes, cells: list[Cell], shape: tuple[int, int]) -> None:
    numpy = importlib.import_module("numpy")
    colors = {role: [int(color[at : at + 2], 16) for at in (1, 3, 5)] for role, color in ROLE_COLORS.items()}
    image = numpy.zeros((*shape, 4), dtype="uint8")
    for x, y, role, state in cells:
        image[y, x] = [*colors.get(role, colors["primary"]), 255 if state in _PRESENT else PALE]
    axes.imshow(image, interpolation="nearest", aspect="auto")
    for role in sorted({role for _, _, role, _ in cells}, key=list(ROLE_COLORS).index):
        _scatter(axes, [], role, 90.0, present=True)  # only its line in the legend
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


def short_label(name: str) -> str:
    """Make a foreign name fit beside a picture."""
    return words.visible(str(name), length_max=LABEL_LENGTH_MAX)


def _member(name: str, state: str) -> str:
    return f"{short_label(name)} ({words.state(state)})" if state else short_label(name)


def _chunk(index: int) -> str:
    return "manifest" if index < 0 else str(index)


def fresh_axes(width: float, height: float) -> Axes:
    """Make axes on a figure of their own.

    Args:
        width: Inches.
        height: Inches.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    axes: Axes = matplotlib_part("pyplot").subplots(figsize=(width, height), layout="constrained")[1]
    return axes


def matplotlib_part(part: str) -> Any:
    """Load a module of matplotlib.

    Args:
        part: Its name, such as `pyplot`.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        return importlib.import_module(f"matplotlib.{part}")
    except ImportError as error:
        raise MissingExtraError('Plots need matplotlib: pip install "dfs-sdk[notebook]"') from error
