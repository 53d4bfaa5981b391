"""Numbers and foreign texts as people read them: sizes, durations, and strings that cannot play tricks.

Everything a face shows passes `visible` (or `masked`) first, although it was cleaned where it came in: a face trusts no
row. Escaping for HTML is `views.html`'s work, on top of this.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from dfs_sdk.node.snapshot import PeerRow
from dfs_sdk.wire.text import safe_text

TEXT_LENGTH_MAX = 10_000
SECRET_SHOWN_LENGTH = 4

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_UNIT_STEP = 1_023.5  # from here on three digits would read 1024
_STATE_MEANINGS: Final = {
    "self": "this node",
    "alive": "it answers",
    "lagging": "it answers late",
    "busy": "it said that it computes and will be back",
    "suspect": "it has not answered lately",
    "away": "it is silent; its copies count as long as it will probably return",
    "gone": "it has been silent for so long that its copies are made again elsewhere",
    "left": "it left for good",
}
_SECRET = re.compile(r"\b(dfs(?:-[a-z]+)?:)([A-Za-z0-9_\-+/=%.~]{8,})", re.IGNORECASE)


def visible(text: str, *, lines: bool = False, length_max: int = TEXT_LENGTH_MAX) -> str:
    """Make a foreign text safe to show as text: idempotent, and never longer than `length_max` characters.

    Args:
        text: Anything, lone surrogates included.
        lines: Keep line breaks; otherwise they become signs, too.
        length_max: Longer texts end in `…`; at least 1.
    """
    if len(text) <= length_max and text.isascii() and text.isprintable():
        return text  # nearly every text: a frame of many rows asks for each of them
    return safe_text(text, length_max=length_max, keep_newlines=lines)


def masked(text: str, *, lines: bool = False, length_max: int = TEXT_LENGTH_MAX) -> str:
    """Make a text safe to show and to keep: as `visible`, and links and invites lose all but their first digits."""
    return visible(_SECRET.sub(_mask, text), lines=lines, length_max=length_max)


def size(count: int) -> str:
    """Write a number of bytes: `0 B`, `1.5 KiB`, `12 MiB`; negative numbers mean unknown."""
    if count < 0:
        return "?"
    value = float(count)
    for unit in _UNITS:
        if value < _UNIT_STEP or unit == _UNITS[-1]:
            break
        value /= 1024
    shown = f"{value:.0f}" if value >= 100 else f"{value:.1f}".removesuffix(".0")
    return f"{shown} {unit}"


def unit_of(count: float) -> tuple[int, str]:
    """The largest unit of which `count` bytes hold at least one: its bytes, and its name."""
    power = min(int(math.log(count, 1024)), len(_UNITS) - 1) if count >= 1 else 0
    return 1024**power, _UNITS[power]


def duration(seconds: float) -> str:
    """Write a span of time: `3 ms`, `4 s`, `2 min 5 s`, `3 h 20 min`, `2 d 4 h`; NaN and infinity are `?`."""
    if not math.isfinite(seconds) or seconds < 0:
        return "?"
    if seconds < 1:
        return f"{max(1, round(seconds * 1000))} ms" if seconds > 0 else "0 s"
    whole = round(seconds)
    for big, small, big_name, small_name in ((86_400, 3_600, "d", "h"), (3_600, 60, "h", "min"), (60, 1, "min", "s")):
        if whole >= big:
            rest = whole % big // small
            return f"{whole // big} {big_name}" + (f" {rest} {small_name}" if rest else "")
    return f"{whole} s"


def ago(at_wall: float, now_wall: float) -> str:
    """Write how long before `now_wall` something was: `just now`, `5 min ago`, or `never` for 0 and NaN."""
    if not math.isfinite(at_wall) or at_wall <= 0:
        return "never"
    elapsed = now_wall - at_wall
    if elapsed < 10:
        return "just now"
    return f"{duration(_coarse(elapsed))} ago"


def share(part: float, whole: float) -> str:
    """Write a part of a whole in per cent: `42 %`; `-` when there is no whole."""
    return f"{100 * part / whole:.0f} %" if whole > 0 else "-"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Write a number with its noun: `1 peer`, `3 peers`, `2 copies`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def state(name: str) -> str:
    """Say the state of a member; this node's own is `this node`."""
    return "this node" if name == "self" else visible(name)


def state_meaning(name: str) -> str:
    """Say what the state of a member means; empty for a word that is no state."""
    return _STATE_MEANINGS.get(name, "")


def presence(rows: Sequence[PeerRow]) -> str:
    """Say how many peers there are and how they are: `3 peers: 2 here, 1 away`.

    Args:
        rows: The members; this node among them is not counted.
    """
    states = Counter(row.state for row in rows if row.state != "self")
    total = states.total()
    if not total:
        return "No peers yet"
    here = states.pop("alive", 0)
    parts = [f"{here} here", *(f"{number} {visible(each)}" for each, number in sorted(states.items()))]
    return f"{count(total, 'peer')}: {', '.join(parts)}"


def short_id(hex_id: str) -> str:
    """The first 8 digits of an id."""
    return visible(hex_id[:8])


def _coarse(elapsed: float) -> float:
    for unit in (86_400, 3_600, 60, 10):
        if elapsed >= unit:
            return elapsed // unit * unit
    return elapsed


def _mask(match: re.Match[str]) -> str:
    return f"{match.group(1)}{match.group(2)[:SECRET_SHOWN_LENGTH]}…"
