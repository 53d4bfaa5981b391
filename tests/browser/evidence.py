"""What a failed browser test leaves for whoever looks for the cause: consoles and texts of pages, logs of programs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from playwright.sync_api import Page

CONSOLE_LINES_MAX = 100
LOG_CHARACTERS_MAX = 8_000
TEXT_CHARACTERS_MAX = 4_000
LOOK_MS_MAX = 2_000

_tellers: list[tuple[str, Callable[[], str]]] = []


@contextmanager
def kept(title: str, tell: Callable[[], str]) -> Iterator[None]:
    """While this is open, a failed test is told with what `tell` gives."""
    entry = (title, tell)
    _tellers.append(entry)
    try:
        yield
    finally:
        _tellers.remove(entry)


@contextmanager
def kept_page(page: Page) -> Iterator[None]:
    """Keep what a page says on its console, and what stands on it."""
    said: deque[str] = deque(maxlen=CONSOLE_LINES_MAX)
    page.on("console", lambda entry: said.append(f"{entry.type}: {entry.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))

    def text() -> str:
        return page.inner_text("body", timeout=LOOK_MS_MAX)[:TEXT_CHARACTERS_MAX]

    with kept("console of a page", lambda: "\n".join(said)), kept("text of a page", text):
        yield


def kept_log(title: str, path: Path) -> AbstractContextManager[None]:
    """Keep the end of a program's log."""
    return kept(title, lambda: path.read_text(encoding="utf-8", errors="replace")[-LOG_CHARACTERS_MAX:])


def sections() -> list[tuple[str, str]]:
    """Tell all that is kept at this moment; what cannot be told says why."""
    told = []
    for title, tell in _tellers:
        try:
            told.append((title, tell()))
        except Exception as error:  # noqa: BLE001 - whatever fails here, the failure that is told of comes first
            told.append((title, repr(error)))
    return told
