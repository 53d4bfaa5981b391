"""The front-end code of the panels, as the wheel ships it: plain files, no build step, nothing fetched."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "static"


@cache
def script(name: str) -> str:
    """One module for the browser: the common kit, then the panel's own code, which ends in its export."""
    return _read("kit.js") + "\n" + _read(name)


@cache
def style() -> str:
    """The style sheet that all panels share."""
    return _read("kit.css")


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
