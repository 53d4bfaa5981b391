"""The notebooks are what their sources say, and Binder's folder holds what Binder needs."""

import ast
import json
import os
import re
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NOTEBOOKS = ROOT / "notebooks"
BINDER = ROOT / "binder"
SOURCES = sorted(NOTEBOOKS.glob("[0-9]*.py"))


def script(name: str) -> str:
    return (BINDER / name).read_text(encoding="utf-8")


def cells(source: Path) -> list[dict]:
    return json.loads(source.with_suffix(".ipynb").read_text(encoding="utf-8"))["cells"]


def test_notebooks_are_in_step_with_their_sources():
    result = subprocess.run(
        [sys.executable, str(NOTEBOOKS / "build.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, f"{result.stdout}{result.stderr}run: python notebooks/build.py"


def test_every_source_has_a_notebook_and_the_other_way_round():
    assert len(SOURCES) == 5
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == [path.stem for path in SOURCES]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_notebooks_keep_no_outputs_and_short_cells(source: Path):
    for cell in cells(source):
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
            assert len("".join(cell["source"]).splitlines()) <= 30
    assert [cell["id"] for cell in cells(source)] == [f"cell-{number}" for number in range(len(cells(source)))]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_notebooks_begin_with_words_and_end_by_closing_what_they_started(source: Path):
    told = cells(source)
    assert told[0]["cell_type"] == "markdown"
    assert "".join(told[0]["source"]).startswith("# ")
    code = ["".join(cell["source"]) for cell in told if cell["cell_type"] == "code"]
    assert ".close()" in code[-1] or ".abort()" in code[-1]
    for text in code:
        compile(text, source.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_links_between_notebooks_lead_somewhere(source: Path):
    for target in re.findall(r"\]\(([^)#:]+)\)", source.read_text(encoding="utf-8")):
        assert (NOTEBOOKS / target).exists(), target


@pytest.mark.parametrize("name", ["postBuild", "start"])
def test_binder_scripts_can_be_run_and_stop_at_the_first_error(name: str):
    assert script(name).startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in script(name)
    assert "\r" not in script(name)
    if os.name == "posix":
        assert (BINDER / name).stat().st_mode & stat.S_IXUSR


def test_binder_installs_the_project_with_what_notebooks_need():
    assert '".[notebook]"' in script("postBuild")
    assert "-r binder/requirements.txt" in script("postBuild")


def test_binder_raises_what_its_base_image_pins_too_low():
    wanted = dict(re.findall(r"^([a-z0-9-]+)>=([0-9.]+)$", script("requirements.txt"), flags=re.MULTILINE))
    assert tuple(map(int, wanted["ipykernel"].split("."))) >= (7, 3)
    assert tuple(map(int, wanted["nest-asyncio2"].split("."))) >= (1, 7, 3)


def test_binder_runs_a_python_that_the_project_supports():
    version = re.fullmatch(r"python-3\.(\d+)\n", script("runtime.txt"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert version is not None
    assert f"Programming Language :: Python :: 3.{version[1]}" in project["classifiers"]


def test_binder_keeps_all_peers_in_the_kernel_and_starts_what_it_was_told_to():
    assert "export DFS_FAR_PEERS=kernel\n" in script("start")
    assert script("start").rstrip().endswith('exec "$@"')
    assert 'os.environ.get("DFS_FAR_PEERS") == "kernel"' in (NOTEBOOKS / "01_quickstart.py").read_text(encoding="utf-8")
