"""What the package never does, whoever writes the next line of it: the source is read, nothing is run.

A linter bans importing pickle (pyproject.toml); here is what else runs, opens or typesets what a peer sent.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import dfs_sdk

ROOT = Path(dfs_sdk.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))
# Modules whose loaders run code that lies in the data.
RUNNING = frozenset({"pickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "yaml", "xml"})
# Calls that run code in the data, whatever they are called on.
RUNNING_CALLS = frozenset(
    {"eval", "exec", "read_pickle", "to_pickle", "PyExtensionType", "read_html", "unsafe_load", "allow_pickle"}
)
# These open a path or an address of the name they are given (ipython#13870), or hand the text to the page as it is.
SHOWING = frozenset(
    {"HTML", "Image", "Markdown", "SVG", "JSON", "Javascript", "Latex", "Math", "Audio", "Video", "IFrame"}
)
# Widgets that parse or typeset their value.
TYPESETTING = frozenset({"HTML", "HTMLMath", "Image", "Audio", "Video"})


def offences(source: str) -> list[str]:
    """List in words what a module does that it must not."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found += [f"imports {each.name}" for each in names if each.name.partition(".")[0] in RUNNING]
                found += [f"imports {each.name}" for each in names if each.name == "IPython.display"]
            case ast.ImportFrom(module=str(module), names=names):
                if module.partition(".")[0] in RUNNING:
                    found.append(f"imports from {module}")
                if module == "IPython.display":
                    found += [f"takes {each.name} of IPython.display" for each in names if each.name in SHOWING]
                if module == "ipywidgets":
                    found += [f"takes the widget {each.name}" for each in names if each.name in TYPESETTING]
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in RUNNING_CALLS:
                found.append(f"calls {name}")
            case ast.keyword(arg="allow_pickle", value=value) if not _is_false(value):
                found.append("allows pickles")
            case ast.keyword(arg="escape", value=value) if _is_false(value):
                found.append("turns escaping off")
            case ast.Attribute(value=ast.Name(id="widgets" | "ipywidgets"), attr=name) if name in TYPESETTING:
                found.append(f"takes the widget {name}")
            case ast.Attribute(attr="style", value=ast.Name(id="frame" | "df" | "table")):
                found.append("styles a frame, which escapes nothing")
    return found


def _is_false(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is False


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import xml.etree.ElementTree",
        "from cloudpickle import loads",
        "import pandas\npandas.read_pickle(path)",
        "import numpy\nnumpy.load(path, allow_pickle=True)",
        "eval(text)",
        "from IPython.display import HTML",
        "import IPython.display",
        "from ipywidgets import HTMLMath",
        "widgets.HTML(value=name)",
        "frame.to_html(escape=False)",
        "frame.style.format(str)",
    ],
)
def test_the_check_finds_what_it_looks_for(source: str) -> None:
    assert offences(source)


def test_nothing_received_is_run_opened_or_typeset() -> None:
    """No loader that runs code, no display that opens what it is told to show, no widget that parses markup."""
    assert len(SOURCES) > 250
    found = {str(path.relative_to(ROOT)): offences(path.read_text(encoding="utf-8")) for path in SOURCES}
    assert {path: problems for path, problems in found.items() if problems} == {}
