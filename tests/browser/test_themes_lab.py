"""The panels where JupyterLab's own themes do not rule: in VS Code's colours, and in forced ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab import Lab, watch
from tests.browser.test_access_lab import START, findings

pytestmark = pytest.mark.browser

# What VS Code 1.9x sets on the root of a notebook's outputs in its stock themes; `contrastBorder` in these two only.
VSCODE = {
    "vscode-light": {
        "foreground": "#3b3b3b", "descriptionForeground": "#3b3b3b", "editor-background": "#ffffff",
        "editorWidget-background": "#f8f8f8", "panel-border": "#e5e5e5", "focusBorder": "#005fb8",
    },
    "vscode-dark": {
        "foreground": "#cccccc", "descriptionForeground": "#9d9d9d", "editor-background": "#1f1f1f",
        "editorWidget-background": "#202020", "panel-border": "#2b2b2b", "focusBorder": "#0078d4",
    },
    "vscode-high-contrast": {
        "foreground": "#ffffff", "descriptionForeground": "rgba(255, 255, 255, 0.7)", "editor-background": "#000000",
        "editorWidget-background": "#0c141f", "contrastBorder": "#6fc3df", "focusBorder": "#f38518",
    },
    "vscode-high-contrast-light": {
        "foreground": "#292929", "descriptionForeground": "rgba(41, 41, 41, 0.7)", "editor-background": "#ffffff",
        "editorWidget-background": "#ffffff", "contrastBorder": "#0f4a85", "focusBorder": "#006bbd",
    },
}  # fmt: skip
# Its page carries JupyterLab's variables in their light values whatever the theme, and lays widgets on white.
AS_VSCODE = """([theme, colors]) => {
    const root = document.documentElement;
    root.removeAttribute("style");
    root.style.colorScheme = ["vscode-dark", "vscode-high-contrast"].includes(theme) ? "dark" : "light";
    for (const [name, value] of Object.entries(colors)) root.style.setProperty(`--vscode-${name}`, value);
    for (const node of [document.body, document.querySelector(".dfs-dashboard").closest(".jp-Notebook")])
        node.style.setProperty("background", colors["editor-background"], "important");
    delete document.body.dataset.jpThemeLight;
    document.body.classList.remove("vscode-light", "vscode-dark", "vscode-high-contrast", "vscode-high-contrast-light");
    document.body.classList.add(theme, ...(theme === "vscode-high-contrast-light" ? ["vscode-high-contrast"] : []));
    document.querySelector(".dfs-dashboard").parentElement.classList.add("cell-output-ipywidget-background");
}"""
ALL_PAGES_ON_WHITE = """
.cell-output-ipywidget-background { background: white; }
.dfs-dashboard .dfs-body .dfs-pages .dfs-page { display: flex !important; }
"""


def test_panels_are_readable_in_vscode_and_in_forced_colors(lab: Lab, page: Page, artefacts: Path):
    errors, _ = watch(page)
    lab.write_notebook("themes", [START.format(home="loop")])
    lab.open(page, "themes").run(0)
    board = page.locator(".dfs-dashboard")
    page.add_style_tag(content=ALL_PAGES_ON_WHITE)
    for theme, colors in VSCODE.items():
        page.evaluate(AS_VSCODE, [theme, colors])
        board.screenshot(path=artefacts / f"{theme}.png")
        text = tuple(bytes.fromhex(colors["foreground"][1:]))
        expect(page.locator(".dfs-header")).to_have_css("color", f"rgb{text}")
        expect(page.locator(".cell-output-ipywidget-background")).to_have_css("background-color", "rgba(0, 0, 0, 0)")
        assert findings(page) == [], theme

    page.emulate_media(forced_colors="active", reduced_motion="reduce")
    expect(page.get_by_role("tab", name="Files")).to_have_css("outline-style", "solid")
    expect(page.get_by_role("tab", name="Chunks")).to_have_css("outline-style", "none")
    board.screenshot(path=artefacts / "forced-colors.png")
    dots = page.locator(".dfs-peers .dfs-dot")
    fills = dots.evaluate_all("(all) => all.map((dot) => getComputedStyle(dot).backgroundColor)")
    assert len(set(fills)) > 1, "peers that answer and peers that do not look the same"
    bar = page.locator("progress").first
    assert bar.evaluate("(bar) => getComputedStyle(bar).forcedColorAdjust") == "none"
    assert errors == []
