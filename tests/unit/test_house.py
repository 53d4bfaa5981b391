"""The house stands: floors, types, lint, spelling and a light import are tests like all others."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)


def tool(name: str) -> str:
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    assert found, f"{name} is missing: python -m pip install -e '.[test]'"
    return found


def assert_clean(result: subprocess.CompletedProcess[str]) -> None:
    assert result.returncode == 0, result.stdout + result.stderr


def test_code_is_linted():
    assert_clean(run(tool("ruff"), "check", "."))


def test_code_is_formatted():
    assert_clean(run(tool("ruff"), "format", "--check", "."))


def test_code_is_typed_strictly():
    assert_clean(run(sys.executable, "-m", "mypy"))


def test_floors_are_kept():
    assert_clean(run(tool("lint-imports")))


def test_words_are_spelled_right():
    assert_clean(run(tool("codespell"), "dfs_sdk", "docs", "tests", "notebooks", "README.md"))


LIGHT = """
import json, sys, time
begin = time.process_time()  # what others do on the machine is not in it
import dfs_sdk
elapsed = time.process_time() - begin
slow = ("pandas", "ipywidgets", "fsspec", "matplotlib", "numpy", "cryptography")
heavy = [name for name in slow if name in sys.modules]
print(json.dumps([elapsed, heavy]))
"""


def test_import_is_light():
    fastest = None
    for _ in range(3):
        elapsed, heavy = json.loads(run(sys.executable, "-c", LIGHT).stdout)
        assert heavy == []
        fastest = elapsed if fastest is None else min(fastest, elapsed)
    assert fastest is not None
    assert fastest < 0.150


NODE_LIGHT = """
import json, sys
from dfs_sdk import Node
print(json.dumps([name for name in ("pandas", "ipywidgets", "fsspec", "matplotlib") if name in sys.modules]))
"""


def test_a_node_needs_no_face():
    result = run(sys.executable, "-c", NODE_LIGHT)
    assert json.loads(result.stdout) == [], result.stderr


def test_one_door_loads_modules_of_the_package_by_name():
    package = ROOT / "dfs_sdk"
    loading = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search(r"import_module|__import__", path.read_text(encoding="utf-8"))
    }
    # The package loads its public names lazily; the plots load matplotlib, which may be missing.
    assert loading - {"views/plots.py"} == {"__init__.py", "runtime/door.py"}


def test_every_exception_to_a_tool_has_its_reason():
    bare = re.compile(r"#\s*(?:noqa: [A-Z0-9, ]+|type: ignore\[[\w, -]+\])\s*$")
    offenders = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in (ROOT / "dfs_sdk").rglob("*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if bare.search(line)
    ]
    assert offenders == []
    assert bare.search("x = y  # noqa: S101")


def test_readme_has_exactly_two_commands():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^python -m pip .*$", readme, flags=re.MULTILINE)
    assert len(commands) == 2
    assert "dfs demo" in commands[0]
    assert "pytest" in commands[1]


@pytest.mark.parametrize("limit", [500])
def test_no_file_outgrows_its_reader(limit: int):
    long = {
        str(path.relative_to(ROOT)): lines
        for path in (ROOT / "dfs_sdk").rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > limit
    }
    assert long == {}
