"""The shipped quickstart in a real JupyterLab: every cell, the dashboard at its end, and a picture to look at."""

import json
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab import ROOT, Lab, watch

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SOURCE = ROOT / "notebooks" / "01_quickstart.ipynb"


def test_every_cell_of_the_quickstart_runs_and_the_dashboard_shows_its_file(lab: Lab, page: Page, artefacts: Path):
    shutil.copy(SOURCE, lab.folder / "01_quickstart.ipynb")
    errors, strangers = watch(page)
    notebook = lab.open(page, "01_quickstart")
    cells = json.loads(SOURCE.read_text(encoding="utf-8"))["cells"]
    code = [place for place, cell in enumerate(cells) if cell["cell_type"] == "code"]
    *story, last = code
    for place in story:
        output = notebook.run(place)
    dashboard = output.locator(".dfs-dashboard")
    expect(dashboard).to_contain_text("ada", timeout=20_000)
    expect(dashboard).to_contain_text("in network")
    dashboard.locator(".dfs-nav [role=tab]", has_text="Chunks").click()
    expect(dashboard).to_contain_text("topics.py", timeout=10_000)
    dashboard.scroll_into_view_if_needed()
    page.screenshot(path=artefacts / "notebook-01.png")
    notebook.run(last)
    assert errors == []
    assert strangers == []
