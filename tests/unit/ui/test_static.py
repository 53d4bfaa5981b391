import re
import shutil
import subprocess
from pathlib import Path

import pytest

from dfs_sdk.ui import (
    ChatPanel,
    FilesPanel,
    HeaderPanel,
    JoinPanel,
    PeersPanel,
    PlacementPanel,
    assets,
)
from dfs_sdk.ui.dashboard import PAGES
from tests.fakes.node import FakeNode

STATIC = Path(assets.__file__).parent / "static"
SCRIPTS = sorted(STATIC.glob("*.js"))
FORBIDDEN = [
    r"innerHTML", r"outerHTML", r"insertAdjacentHTML", r"document\.write", r"DOMParser", r"createContextualFragment",
    r"\beval\b", r"new Function", r"srcdoc", r"\bfetch\(", r"XMLHttpRequest", r"WebSocket", r"https?://", r"\bimport\b",
    r"@import", r"url\(", r"localStorage", r"save_changes", r"model\.set\(",
]  # fmt: skip


@pytest.mark.parametrize("path", [*SCRIPTS, *sorted(STATIC.glob("*.css"))], ids=lambda path: path.name)
@pytest.mark.parametrize("pattern", FORBIDDEN)
def test_front_end_parses_no_html_and_loads_nothing(path: Path, pattern: str):
    assert not re.search(pattern, path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("kind", [ChatPanel, FilesPanel, HeaderPanel, JoinPanel, PeersPanel, PlacementPanel])
def test_each_panel_carries_its_code(traffic, kind):
    panel = kind(FakeNode())
    state = panel.get_state()
    assert "export default panel(" in state["_esm"]
    assert "function el(" in state["_esm"]
    assert ".dfs-panel" in state["_css"]
    panel.close()


@pytest.mark.skipif(shutil.which("node") is None, reason="node (the JavaScript runtime) checks the syntax: install it")
@pytest.mark.parametrize("name", [path.name for path in SCRIPTS if path.name != "kit.js"])
def test_scripts_are_valid_modules(tmp_path: Path, name: str):
    module = tmp_path / "module.mjs"
    module.write_text(assets.script(name), encoding="utf-8")
    result = subprocess.run(["node", "--check", str(module)], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr


def test_every_control_says_what_it_does():
    for path in SCRIPTS:
        text = path.read_text(encoding="utf-8")
        for match in re.finditer(r'el\("(?:input|select|textarea)", \{(.*?)\}', text, re.DOTALL):
            assert "title" in match.group(1), f"{path.name}: {match.group(0)[:60]}"
        assert not re.search(r'(?<!function )button\("[^"]+", ""', text)


def test_every_rule_of_a_style_sheet_is_for_something_that_is_made() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in [*SCRIPTS, *STATIC.parent.glob("*.py")])
    made = set(re.findall(r"dfs-[a-z0-9-]*[a-z0-9]", code))
    made |= {f"dfs-{name}" for name in re.findall(r'export default panel\("([a-z-]+)"', code)}
    made |= {f"dfs-page-{name}" for name in PAGES}
    for path in STATIC.glob("*.css"):
        ruled = set(re.findall(r"\.(dfs-[a-z0-9-]+)", path.read_text(encoding="utf-8")))
        assert ruled <= made, f"{path.name} has rules for what nobody makes"


def test_accent_is_told_from_its_ground_and_white_text_from_it_in_both_themes() -> None:
    found = re.search(r"--dfs-accent: light-dark\((#\w+), (#\w+)\)", (STATIC / "kit.css").read_text(encoding="utf-8"))
    assert found
    for accent, ground in zip(found.groups(), ("#ffffff", "#111111"), strict=True):
        assert contrast("#ffffff", accent) >= 4.5
        assert contrast(accent, ground) >= 3


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2.2."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(color: str) -> float:
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
