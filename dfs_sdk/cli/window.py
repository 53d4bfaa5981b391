"""What runs in the kernel behind the windows of `dfs app`: the node, and its dashboard.

The program that serves the window hands over its options in one environment variable; nothing of them is in a URL or
on a command line.
"""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import asdict
from functools import cache
from pathlib import Path

import platformdirs

from dfs_sdk.cli.exits import words_for
from dfs_sdk.cli.session import Options
from dfs_sdk.errors import DfsError, StoreLockedError
from dfs_sdk.node.node import Node

OPTIONS_VARIABLE = "DFS_APP_OPTIONS"
# A program that was just ended and started again finds the store in use by the kernel of before, which says goodbye.
LOCK_WAIT_SECONDS = 10.0
LOCK_RETRY_SECONDS = 0.2


def options_as_text(options: Options) -> str:
    """Put options into words for the environment of the window's kernel."""
    return json.dumps(asdict(options))


def options_from_text(text: str) -> Options:
    """Read what `options_as_text` wrote."""
    return Options(**json.loads(text))


class Windows:
    """The node behind the windows of one program, which all show it.

    Args:
        options: What the user asked for.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._node: Node | None = None

    async def show(self) -> None:
        """Display the dashboard of the node, which the first window starts, or say in words why that cannot be."""
        from IPython.display import display

        first = self._node is None
        try:
            node = self._node = self._node or await start_patiently(self._options)
        except (DfsError, OSError) as error:
            print(f"The node could not start: {words_for(error)}\n\nThen load this page again.")  # noqa: T201 - the page
            return
        display(node.dashboard())  # type: ignore[no-untyped-call]  # IPython's
        if first and self._options.join:
            await self._join(node, self._options.join)

    async def _join(self, node: Node, target: str) -> None:
        try:
            await node.join(target, passphrase=self._options.passphrase, timeout=self._options.timeout)
        except (DfsError, OSError) as error:
            print(f"Could not join: {words_for(error)}")  # noqa: T201 - the page


@cache
def _windows() -> Windows:
    """Those of this kernel; the options, with their secrets, leave its environment."""
    options = options_from_text(os.environ.pop(OPTIONS_VARIABLE))
    os.environ.pop("DFS_PASSPHRASE", None)
    work_in_downloads()
    return Windows(options)


async def show_window() -> None:
    """Show the node in the window that asks: each loaded page runs this, in the one kernel of the program."""
    await _windows().show()


def work_in_downloads() -> Path:
    """Make the user's folder for downloads the one that files are fetched below; returns it."""
    folder = platformdirs.user_downloads_path()
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    return folder


async def start_patiently(options: Options, *, patience: float = LOCK_WAIT_SECONDS) -> Node:
    """Start the node, waiting for a kernel that is about to let go of the store.

    Args:
        options: What the user asked for.
        patience: Seconds to wait for the store.

    Raises:
        StoreLockedError: It is still in use after that.
        DfsError: The node cannot start.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    while True:
        try:
            return await options.new_node().start()
        except StoreLockedError:
            if loop.time() >= deadline:
                raise
        await asyncio.sleep(LOCK_RETRY_SECONDS)
