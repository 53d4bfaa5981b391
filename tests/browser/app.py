"""`dfs app` as a process of its own, with a home folder of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.browser.evidence import kept_log
from tests.browser.lab import ROOT

END_SECONDS_MAX = 30


class App:
    """A running `dfs app`.

    Attributes:
        url: Where its window is, token included.
        home: The home folder of its user.
        process: The program.
    """

    def __init__(self, process: subprocess.Popen[str], home: Path, log: Path) -> None:
        self.process = process
        self.home = home
        self._log = log
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, self.log
        self.url = str(json.loads(line)["url"])

    @property
    def log(self) -> str:
        """What it said on stderr."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def end(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(END_SECONDS_MAX)


def start_app(home: Path, *options: str) -> subprocess.Popen[str]:
    """Start the program; it says where it is on stdout, in JSON."""
    home.mkdir(parents=True, exist_ok=True)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("DFS_", "XDG_", "JUPYTER"))}
    environment |= {"HOME": str(home), "PYTHONPATH": str(ROOT), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    command = [sys.executable, "-m", "dfs_sdk.cli", "app", "--no-browser", "--json", "--listen", "127.0.0.1:0"]
    with (home / "app.log").open("ab") as log:
        return subprocess.Popen(
            [*command, *options], cwd=home, env=environment, text=True, stdout=subprocess.PIPE, stderr=log,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip


@contextmanager
def running_app(home: Path, *options: str) -> Iterator[App]:
    """Run the program and end it at the end."""
    process = start_app(home, *options)
    try:
        with kept_log(f"log of dfs app in {home.name}", home / "app.log"):
            yield App(process, home, home / "app.log")
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(END_SECONDS_MAX)
        finally:
            process.kill()
            assert process.stdout is not None
            process.stdout.close()
