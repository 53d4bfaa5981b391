"""The pages of a dashboard: which there are, and what on them waits for somebody.

Turning to a page happens in the browser alone, in each view for itself, also while the kernel is busy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import traitlets

from dfs_sdk.node.snapshot import NodeSnapshot
from dfs_sdk.ui.assets import script, style
from dfs_sdk.ui.base import Panel
from dfs_sdk.ui.face import NodeFace
from dfs_sdk.ui.pump import Pump

COUNT_SHOWN_MAX = 99


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What waits on a page.

    Attributes:
        count: How many things, from 1.
        words: What they are, such as `2 unread messages`.
    """

    count: int
    words: str


MarkOf = Callable[[NodeSnapshot], Mark | None]


class NavPanel(Panel):
    """The list of pages, with a mark where something waits.

    Args:
        node: Whose dashboard it is.
        pages: Title by key, in order; the element of a page has the class `dfs-page-KEY`.
        marks: Says by key what waits on a page.
        first: The page that a new view begins with.
        pump: Fills it.
    """

    title: ClassVar[str] = "Pages"
    _esm = traitlets.Unicode(script("nav.js")).tag(sync=True)
    _css = traitlets.Unicode(style("nav.css")).tag(sync=True)
    pages: traitlets.List[Any] = traitlets.List().tag(sync=True)
    first = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        node: NodeFace,
        *,
        pages: Mapping[str, str],
        marks: Mapping[str, MarkOf],
        first: str,
        pump: Pump | None = None,
    ) -> None:
        self._titles, self._marks, self._first = dict(pages), dict(marks), first
        super().__init__(node, pump=pump)

    def render(self, snapshot: NodeSnapshot) -> dict[str, Any]:
        """Show the pages and their marks."""
        return {
            "pages": [self._page(key, title, snapshot) for key, title in self._titles.items()],
            "first": self._first,
        }

    def _page(self, key: str, title: str, snapshot: NodeSnapshot) -> dict[str, str]:
        mark = self._marks[key](snapshot) if key in self._marks else None
        if mark is None:
            return {"key": key, "title": title, "mark": "", "words": ""}
        shown = str(mark.count) if mark.count <= COUNT_SHOWN_MAX else f"{COUNT_SHOWN_MAX}+"
        return {"key": key, "title": title, "mark": shown, "words": mark.words}
