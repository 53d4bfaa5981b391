"""A progress bar on stderr that follows a transfer."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bars

from dfs_sdk.cli import show
from dfs_sdk.files.transfers import Transfer


class Progress:
    """Shows one transfer; silent when asked to be, or when stderr is not a terminal.

    Args:
        title: What is going on.
        quiet: Show nothing.
    """

    def __init__(self, title: str, *, quiet: bool) -> None:
        columns = (TextColumn("{task.fields[title]}", markup=False), BarColumn(), DownloadColumn(True),
                   TransferSpeedColumn(), TimeRemainingColumn())  # fmt: skip
        self._bars = Bars(*columns, console=show.err, transient=True, disable=quiet or not sys.stderr.isatty())
        self._task = self._bars.add_task(title, total=None, title=title)

    def __enter__(self) -> Progress:
        self._bars.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def update(self, transfer: Transfer) -> None:
        """Follow `transfer`; meant as the `progress` argument of `put` and `get`."""
        self._bars.update(self._task, completed=transfer.bytes_done, total=transfer.bytes_total)
