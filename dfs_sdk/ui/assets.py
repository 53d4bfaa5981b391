"""The front-end code of the panels, as the wheel ships it: plain files, no build step, nothing fetched."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "static"


@cache
def script(*names: str) -> str:
    """One module for the browser: the common kit, then the panel's own code, which ends in its export."""
    return "\n".join(_read(name) for name in ("kit.js", *names))


@cache
def style(*names: str) -> str:
    """One style sheet: what all panels share, then the panel's own rules."""
    return "\n".join(_read(name) for name in ("kit.css", *names))


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
