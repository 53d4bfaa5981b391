"""How far a long run is, as one line that is drawn over again: in a terminal here, in a notebook by a widget."""

from __future__ import annotations

import sys
import threading
from types import TracebackType
from typing import Any, Protocol, Self

from dfs_sdk.runtime.door import face
from dfs_sdk.views import words

BAR_WIDTH = 24


class Bar(Protocol):
    """What is shown while something runs."""

    @property
    def is_stopped(self) -> bool:
        """Whether somebody asked to stop."""
        ...

    def show(self, ratio: float, text: str) -> None:
        """Draw how far it is.

        Args:
            ratio: From 0 to 1.
            text: What there is to say.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


class SilentBar:
    """Shows nothing."""

    is_stopped = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        """There is nothing to take away."""

    def show(self, ratio: float, text: str) -> None:
        """Show nothing."""


class TerminalBar(SilentBar):
    """One line on a terminal; Ctrl-C is what stops there.

    Args:
        out: The terminal; by default standard error.
    """

    def __init__(self, out: Any = None) -> None:
        self._out = out if out is not None else sys.stderr
        self._width = 0

    def show(self, ratio: float, text: str) -> None:
        """See `Bar`."""
        done = round(BAR_WIDTH * min(1.0, max(0.0, ratio)))
        line = f"{'█' * done}{'░' * (BAR_WIDTH - done)} {words.visible(text)}"
        self._out.write("\r" + line.ljust(self._width))
        self._out.flush()
        self._width = len(line)

    def __exit__(self, *_exc: object) -> None:
        """Leave the last line standing."""
        if self._width:
            self._out.write("\n")
            self._out.flush()


def make_bar(wanted: bool | None) -> Bar:  # noqa: FBT001 - passed through from `progress=`
    """Make the bar that suits where we are.

    Args:
        wanted: True or False; None shows one in notebooks and terminals, and nothing in a pipe or a log.
    """
    if wanted is False:
        return SilentBar()
    if _in_kernel():
        # Widgets belong to the kernel's own thread; a blocking call that runs elsewhere goes without.
        if threading.current_thread() is not threading.main_thread():
            return SilentBar()
        widget: Bar = face("ui.runbar").RunBar()
        return widget
    if wanted or sys.stderr.isatty():
        return TerminalBar()
    return SilentBar()


def _in_kernel() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None
