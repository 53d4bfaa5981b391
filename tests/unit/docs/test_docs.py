"""What the documents say of the code is true of the code."""

import ast
import builtins
import dataclasses
import importlib
import os
import re
import subprocess
import sys
import textwrap
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

from dfs_sdk import errors
from dfs_sdk.cli import main
from dfs_sdk.sim import errors as simulator_errors
from dfs_sdk.views.frames import COLUMNS
from dfs_sdk.views.traces import TRACE_COLUMNS

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
PROSE = [DOCS / "architecture.md", DOCS / "known-issues.md", *sorted((DOCS / "how-to").glob("*.md"))]


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def reference(name: str) -> str:
    return text(DOCS / "reference" / f"{name}.md")


def first_cells(page: str) -> list[str]:
    return re.findall(r"^\| `([^`]+)` \|", page, flags=re.MULTILINE)


def slug(heading: str) -> str:
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower())


def anchors(page: Path) -> set[str]:
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", text(page), flags=re.MULTILINE)}


def test_tables_of_the_reference_are_in_step_with_the_code():
    result = subprocess.run(
        [sys.executable, str(DOCS / "tables.py"), "--check"],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert result.returncode == 0, f"{result.stdout}{result.stderr}run: python docs/tables.py"


def test_every_column_of_every_frame_is_described_with_its_dtype():
    page = reference("dataframes")
    for name, columns in {**COLUMNS, "trace": TRACE_COLUMNS}.items():
        section = page.split(f"<!-- table: columns {name} -->")[1].split("<!-- end -->")[0]
        assert first_cells(section) == list(columns)
        for column, dtype in columns.items():
            (shown,) = re.findall(rf"^\| `{column}` \| ([^|]+) \| [^|]+", section, flags=re.MULTILINE)
            assert re.findall(r"`([^`]+)`", shown) == ([dtype] if isinstance(dtype, str) else list(dtype))


def test_every_error_is_described():
    ours = [name for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, errors.DfsError)]
    assert first_cells(reference("errors")) == ours


def test_every_setting_is_described():
    page = reference("config")
    classes = [("replication.policy", "Policy")]
    for path in sorted((ROOT / "dfs_sdk").glob("*/config.py")):
        names = re.findall(r"^class (\w+Config)\b", text(path), flags=re.MULTILINE)
        classes += [(f"{path.parent.name}.config", name) for name in names]
    assert len(classes) >= 11
    for module, name in classes:
        section = page.split(f"<!-- table: settings {module}:{name} -->")[1].split("<!-- end -->")[0]
        kind = getattr(importlib.import_module(f"dfs_sdk.{module}"), name)
        assert first_cells(section) == [field.name for field in dataclasses.fields(kind)]


def test_every_event_is_described():
    defined = set()
    for path in (ROOT / "dfs_sdk").rglob("*.py"):
        for node in ast.walk(ast.parse(text(path))):
            if isinstance(node, ast.ClassDef) and any(
                isinstance(base, ast.Name) and re.fullmatch(r"Event|\w+News|\w+Event", base.id) for base in node.bases
            ):
                defined.add(node.name)
    assert set(first_cells(reference("events"))) == defined


def test_every_command_and_option_is_described():
    page = reference("cli")
    for name, command in main.commands.items():
        assert re.search(rf"^\| `dfs {name}[ `]", page, flags=re.MULTILINE), name
        for option in command.params:
            if option.param_type_name == "option":
                assert f"| `{option.opts[0]}" in page, f"{name} {option.name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_links_lead_somewhere(page: Path):
    for target, anchor in re.findall(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)", text(page)):
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), target
        if anchor:
            assert anchor in anchors(path), f"{target}#{anchor}"


def test_links_of_the_readme_lead_somewhere():
    for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", text(ROOT / "README.md")):
        if not target.endswith((".png", ".svg")):
            assert (ROOT / target).exists(), target


def test_every_page_is_in_the_navigation():
    listed = set(
        re.findall(r"^ +- (?:[^:\n]+: )?([\w/-]+\.(?:md|ipynb))$", text(ROOT / ".mkdocs.yml"), flags=re.MULTILINE)
    )
    pages = {page.relative_to(DOCS).as_posix() for page in PAGES}
    decisions = {page for page in pages if page.startswith("decisions/")}  # .mkdocs.yml: not_in_nav
    notebooks = {f"notebooks/{path.name}" for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert listed - decisions == (pages - decisions) | notebooks
    assert listed & decisions <= pages


def test_every_attack_names_tests_that_exist():
    cited = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", text(DOCS / "attacks.md"))
    assert len(cited) >= 60
    for path, name in cited:
        assert re.search(rf"^(?:async )?def {name}\(", text(ROOT / path), flags=re.MULTILINE), f"{path}::{name}"


def test_architecture_has_the_floors_of_the_import_contract():
    contract = tomllib.loads(text(ROOT / "pyproject.toml"))["tool"]["importlinter"]["contracts"][0]
    layers = [sorted(re.findall(r"dfs_sdk\.(\w+)", layer)) for layer in contract["layers"]]
    rows = re.findall(r"^\| \d+ \| ([^|]+) \|", text(DOCS / "architecture.md"), flags=re.MULTILINE)
    assert [sorted(re.findall(r"`(\w+)`", row)) for row in rows] == layers


def test_every_request_is_in_the_protocol_with_its_tag():
    known = 0
    for path in sorted((ROOT / "dfs_sdk").glob("*/messages.py")):
        requests = re.findall(r"(?ms)^class (\w+)\(Request\[.*?tag: ClassVar\[int\] = (\w+)", text(path))
        page = text(DOCS / "protocol" / f"{path.parent.name}.md") if requests else ""
        for name, tag in requests:
            assert re.search(rf"(?m)^(?:\| `?{tag}`? \| {name}\b|`{name}`, tag `{tag}`)", page), f"{name} {tag}"
            known += 1
    assert known >= 18


def test_modules_that_the_prose_names_exist():
    for page in PROSE:
        for name in re.findall(r"`([a-z_]+/[a-z_]+)(?:\.py)?`", text(page)):
            assert (ROOT / "dfs_sdk" / f"{name}.py").exists() or (ROOT / name).exists(), f"{page.name}: {name}"


def test_lists_and_tables_follow_an_empty_line():
    """Without one the site shows them as part of the paragraph before."""
    begins = re.compile(r"[-*] |\d+\. |\|")
    for page in PAGES:
        lines = re.sub(r"(?ms)^```.*?^```$", "", text(page)).splitlines()
        for before, line in pairwise(["", *lines]):
            is_prose = before[:1].strip() and not begins.match(before) and not before.startswith(("#", "<!--"))
            assert not (begins.match(line) and is_prose), f"{page.name}: an empty line before {line!r}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_errors_that_a_page_names_exist(page: Path):
    known = {*vars(errors), *vars(builtins), *vars(simulator_errors)}
    assert set(re.findall(r"`(\w+Error)\b", text(page))) <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_python_of_the_pages_is_valid_and_imports_what_exists(page: Path):
    for block in re.findall(r"^ *```python\n(.*?)^ *```", text(page), flags=re.DOTALL | re.MULTILINE):
        tree = compile(
            textwrap.dedent(block), page.name, "exec", flags=ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        )
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dfs_sdk"):
                module = importlib.import_module(node.module)
                assert all(hasattr(module, alias.name) for alias in node.names)
