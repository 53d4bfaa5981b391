"""`dfs app`: the dashboard alone, in a window of the browser, with a node of its own."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock
from rich.text import Text

from dfs_sdk.cli import show
from dfs_sdk.cli.exits import Exit
from dfs_sdk.cli.session import Options
from dfs_sdk.cli.window import OPTIONS_VARIABLE, options_as_text
from dfs_sdk.errors import ConfigError, StoreLockedError
from dfs_sdk.node.node import store_folder

MISSING = "`dfs app` needs Voilà: python -m pip install 'dfs-sdk[app]'"


def open_window(options: Options, *, port: int, theme: str, browser: bool) -> int:
    """Serve the window until it is closed.

    Args:
        options: Of the node.
        port: Of the window's server; 0 picks a free one.
        theme: "light" or "dark".
        browser: Open the window, not only say where it is.

    Returns:
        The exit code.

    Raises:
        ConfigError: Voilà is not installed.
        StoreLockedError: Another window has this store.
    """
    try:
        from dfs_sdk.cli import server
    except ImportError as error:
        raise ConfigError(f"{MISSING} ({error})") from error

    with _only_window(options), tempfile.TemporaryDirectory(prefix="dfs-app-", ignore_cleanup_errors=True) as made:
        os.environ[OPTIONS_VARIABLE] = options_as_text(options)

        def ready(url: str) -> None:
            _say_where(url, options, opened=browser and server.open_browser(url, Path(made)))

        interrupted = server.serve(Path(made), port=port, theme=theme, on_ready=ready)
    if not options.json:
        show.out.print("the window is closed and the node has said goodbye")
    return Exit.INTERRUPTED if interrupted else Exit.OK


def _say_where(url: str, options: Options, *, opened: bool) -> None:
    if options.json:
        show.as_json({"url": url})
    else:
        start = "the window opens in your browser" if opened else "open this in a browser"
        show.out.print(f"{start} (closing it, or Ctrl-C here, ends the node):")
        show.out.print(Text(url), soft_wrap=True)
    sys.stdout.flush()


@contextmanager
def _only_window(options: Options) -> Iterator[None]:
    """Hold the lock that says that a store has a window."""
    folder = store_folder(options.store, options.name)
    if folder is None:
        yield
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder.with_name(f"{folder.name}.window.lock"), blocking=False)
    try:
        with lock:
            yield
    except filelock.Timeout:
        raise StoreLockedError(
            f"the store {folder} has a window already: use that one, or open another node with --store FOLDER"
        ) from None
