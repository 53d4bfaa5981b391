from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason='pip install "dfs-sdk[test]"')
pytest.importorskip("jupyterlab", reason='pip install "dfs-sdk[notebook]"')

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.evidence import sections
from tests.browser.lab import CHROMIUM_FLAGS, ROOT, Lab, find_chromium, open_page, running_lab

expect.set_options(timeout=15_000)  # a busy machine answers late; what never comes fails all the same


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put beside a failure what the pages and programs of that moment say: none of them is there afterwards."""
    report = yield
    if report.failed:
        report.sections += sections()
    return report


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium: apt-get install -y --no-install-recommends chromium fonts-dejavu-core")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="package")
def lab(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Lab]:
    """One JupyterLab for the whole session."""
    with running_lab(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with open_page(browser) as fresh:
        yield fresh


@pytest.fixture(scope="package")
def artefacts() -> Path:
    """Where screenshots go; git ignores it."""
    folder = ROOT / "artefacts"
    folder.mkdir(exist_ok=True)
    return folder
