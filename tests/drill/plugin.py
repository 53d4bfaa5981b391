"""A pytest plugin that reports what failed with a bug planted: `pytest -p tests.drill.plugin --drill-report FILE`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.drill.planting import Planter


class _Drill:
    """Keeps what failed, and writes it down at the end.

    Args:
        planter: Knows whether the bug was there.
        report: Where to write.
    """

    def __init__(self, planter: Planter, report: Path) -> None:
        self._planter = planter
        self._report = report
        self._failed: list[dict[str, str]] = []

    @pytest.hookimpl
    def pytest_exception_interact(
        self, node: pytest.Item | pytest.Collector, call: pytest.CallInfo[object], report: pytest.TestReport
    ) -> None:
        """Note a failure and what it was."""
        error = call.excinfo
        if error is not None:
            self._failed.append(
                {"test": node.nodeid, "when": call.when, "error": error.typename, "message": str(error.value)[:500]}
            )

    @pytest.hookimpl
    def pytest_sessionfinish(self) -> None:
        """Write the report."""
        found = {"failed": self._failed, "missing": self._planter.missing}
        self._report.write_text(json.dumps(found), encoding="utf-8")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.getgroup("drill").addoption("--drill-report", type=Path, help="where to say what failed")


def pytest_configure(config: pytest.Config) -> None:
    """Begin to take notes."""
    planter = next(finder for finder in sys.meta_path if isinstance(finder, Planter))
    config.pluginmanager.register(_Drill(planter, config.getoption("--drill-report")), "drill")
