"""Runs the tests of one bug in a process in which it is planted, and judges what came of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.drill.planting import ROOT, Bug, as_text, check

SITE = Path(__file__).parent / "at_start"
SECONDS_MAX = 240
TEST_SECONDS_MAX = 90

# What a slip in the planted text raises, or a machine that is too busy: a test that meets one has caught nothing.
SLIPS = frozenset(
    {
        "NameError",
        "UnboundLocalError",
        "ImportError",
        "ModuleNotFoundError",
        "SyntaxError",
        "DriftError",
        "TimeoutExpired",
    }
)


class DrillError(Exception):
    """The drill itself went wrong: it says nothing about the tests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one bug.

    Attributes:
        bug: The bug.
        caught_by: The test that failed first; None if the bug survived.
        error: What it failed with.
        seconds: Processor seconds of its process.
    """

    bug: Bug
    caught_by: str | None
    error: str
    seconds: float


def run_drill(bug: Bug) -> Outcome:
    """Plant a bug and run its tests until one fails.

    Raises:
        DriftError: The bug does not fit the code.
        DrillError: The tests could not be run, or the planted text is not what it should be.
    """
    check(bug)
    begin = children_seconds()
    with tempfile.TemporaryDirectory(prefix="dfs-drill-") as folder:
        report = Path(folder) / "report.json"
        ended = run_pytest("-p", "tests.drill.plugin", "--drill-report", str(report), *bug.tests, bug=bug)
        seconds = children_seconds() - begin
        found = json.loads(report.read_text(encoding="utf-8")) if report.exists() else None
    failed = found["failed"] if found else []
    if found is None or ended.returncode not in (0, 1) or bool(failed) != bool(ended.returncode):
        raise DrillError(f"{bug.name}: pytest ended with {ended.returncode}\n{ended.stdout}{ended.stderr}")
    if found["missing"]:
        raise DrillError(f"{bug.name}: its tests never import {', '.join(found['missing'])}")
    if not failed:
        return Outcome(bug=bug, caught_by=None, error="", seconds=seconds)
    first = failed[0]
    if first["error"] in SLIPS or first["message"].startswith("Timeout "):
        raise DrillError(f"{bug.name}: {first['test']} failed with {first['error']}: {first['message']}")
    return Outcome(bug=bug, caught_by=first["test"], error=first["error"], seconds=seconds)


def require_sound(bugs: Iterable[Bug]) -> float:
    """Run the tests of all bugs with none planted; returns the seconds it took.

    Raises:
        DrillError: One fails as it is: then its failing says nothing.
    """
    begin = time.monotonic()
    ended = run_pytest(*dict.fromkeys(test for bug in bugs for test in bug.tests), seconds=2 * SECONDS_MAX)
    if ended.returncode != 0:
        raise DrillError(f"with no bug planted the tests fail\n{ended.stdout}{ended.stderr}")
    return time.monotonic() - begin


def run_pytest(
    *arguments: str, bug: Bug | None = None, seconds: float = SECONDS_MAX
) -> subprocess.CompletedProcess[str]:
    """Run pytest in a process of its own, the same examples each time, until the first failure.

    Raises:
        DrillError: It did not end in time.
    """
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "--tb=short", "-p", "no:cacheprovider"]
    try:
        return subprocess.run(
            [*command, f"--timeout={TEST_SECONDS_MAX}", *arguments],
            cwd=ROOT, env=environment(bug), capture_output=True, text=True, timeout=seconds, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise DrillError(f"pytest did not end within {seconds:.0f} s: {' '.join(arguments)}") from error


def children_seconds() -> float:
    """Processor seconds of all processes of ours that have ended: they do not depend on what else runs."""
    times = os.times()
    return times.children_user + times.children_system


def environment(bug: Bug | None) -> dict[str, str]:
    """Make the environment of a process in which a bug is planted, and in all that it starts."""
    drawn = os.environ | {"CI": "true"}
    if bug is None:
        return drawn
    paths = [str(SITE), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return drawn | {"PLANTED_BUG": as_text(bug.edits), "PYTHONPATH": os.pathsep.join(paths)}
