"""The tables of docs/protocol/transport.md say what the code says."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from dfs_sdk.transport.config import TransportConfig
from dfs_sdk.transport.frames import FrameKind
from dfs_sdk.transport.handshake import WELCOME_BYTES
from dfs_sdk.transport.packet import (
    COOKIE_BYTES,
    DATA_BYTES_MIN,
    HELLO_BYTES,
    IDENTIFIED_LAYOUT,
    IDENTIFY_BYTES,
    Kind,
)

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "protocol" / "transport.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading, without its two head lines."""
    section = TEXT.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_kinds_and_sizes_of_datagrams_are_those_of_the_code():
    table = {row[0]: row for row in rows("Datagrams")}
    assert {name: int(row[1], 16) for name, row in table.items()} == {kind.name: kind.value for kind in Kind}
    sizes = {
        "HELLO": HELLO_BYTES,
        "WELCOME": WELCOME_BYTES,
        "COOKIE": COOKIE_BYTES,
        "IDENTIFY": IDENTIFY_BYTES,
        "IDENTIFIED": IDENTIFIED_LAYOUT.size,
        "DATA": DATA_BYTES_MIN,
    }
    assert {name: int(table[name][2].split()[0]) for name in sizes} == sizes


def test_kinds_of_frames_are_those_of_the_code():
    assert {row[0]: int(row[1], 16) for row in rows("Frames")} == {kind.name: kind.value for kind in FrameKind}


def test_constants_are_those_of_the_code():
    config = TransportConfig()
    for name, value, where in rows("Constants"):
        module = importlib.import_module(f"dfs_sdk.transport.{where}")
        actual = getattr(module, name) if name.isupper() else getattr(config, name)
        assert float(value) == actual, name


def test_rules_are_numbered_once_and_those_that_tests_cite_exist():
    rules = re.findall(r"^- \*\*(P-[A-Z]+-\d+)\*\*", TEXT, re.MULTILINE)
    assert len(rules) == len(set(rules))
    tests = [*Path(__file__).parent.glob("test_*.py"), ROOT / "tests" / "system" / "test_transport.py"]
    cited = {rule for path in tests for rule in re.findall(r"\bP-[A-Z]+-\d+", path.read_text(encoding="utf-8"))}
    assert cited <= set(rules)
