"""The widget of a long run: a bar, what there is to say, and a button that stops it."""

from __future__ import annotations

from typing import Self

import ipywidgets as widgets
from IPython.display import display

from dfs_sdk.views import words

STEPS = 1000


class RunBar:
    """Shown while something runs; afterwards the bar stays and the button goes. Only on the kernel's own thread."""

    def __init__(self) -> None:
        self._stopped = False
        self._bar = widgets.IntProgress(value=0, max=STEPS, layout=widgets.Layout(width="16em"))
        self._label = widgets.Label(value="")
        self._button = widgets.Button(
            description="Stop",
            icon="stop",
            tooltip="Stop here; the swarm stays usable",
            layout=widgets.Layout(width="6em"),
        )
        self._button.on_click(self._stop)
        self.widget = widgets.HBox([self._bar, self._button, self._label])

    @property
    def is_stopped(self) -> bool:
        """Whether the button was pressed."""
        return self._stopped

    def __enter__(self) -> Self:
        display(self.widget)  # type: ignore[no-untyped-call] # IPython has no types here
        return self

    def __exit__(self, *_exc: object) -> None:
        self._button.close()
        self.widget.children = (self._bar, self._label)

    def show(self, ratio: float, text: str) -> None:
        """Draw how far it is; nothing is sent where nothing changed.

        Args:
            ratio: From 0 to 1.
            text: What there is to say.
        """
        self._bar.value = round(STEPS * min(1.0, max(0.0, ratio)))
        self._label.value = words.visible(text)

    def _stop(self, _button: widgets.Button) -> None:
        self._stopped = True
        self._button.disabled = True
