"""The door to the faces: what users hold opens views and panels here, by name, when somebody looks.

No import runs upward between the floors; users still find `node.dashboard()` and cards where they look for them. This
module is the one exception, and the only one that loads modules of the package by name (docs/decisions/0003).
"""

from __future__ import annotations

import importlib
from typing import Any


def face(name: str) -> Any:
    """Load a module of the faces.

    Args:
        name: Below the package, such as `views.frames`.
    """
    return importlib.import_module(f"dfs_sdk.{name}")


class Shown:
    """A value that notebooks show as a card, and as readable text where they cannot; `views.cards` draws both."""

    __slots__ = ()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:  # noqa: ARG002 - IPython's
        bundle: dict[str, str] = face("views.cards").bundle(self)
        return bundle
