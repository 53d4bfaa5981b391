"""Members in processes of their own, to join, to leave files with, and to kill."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.browser import holder
from tests.browser.lab import ROOT


class Far:
    """Processes with a member each."""

    def __init__(self) -> None:
        self.processes: dict[str, subprocess.Popen[str]] = {}
        self.address = ""

    def start(self, name: str, *options: str) -> str:
        """Start a member, which joins the first one; returns its address."""
        command = [sys.executable, holder.__file__, name, *options]
        if self.address:
            command += ["--join", self.address]
        process = subprocess.Popen(
            command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.processes[name] = process
        assert process.stdout is not None
        address = str(json.loads(process.stdout.readline())["address"])
        self.address = self.address or address
        return address

    def kill(self, name: str) -> None:
        """Have a member vanish without a goodbye."""
        process = self.processes.pop(name)
        process.kill()
        process.communicate()


@contextmanager
def far_members(*names: str, options: tuple[str, ...] = ()) -> Iterator[Far]:
    """Start members, the others through the first, and end those that still run."""
    far = Far()
    try:
        for name in names:
            far.start(name, *options)
        yield far
    finally:
        for process in far.processes.values():
            process.terminate()
            process.communicate()
