"""What a user does with a dashboard, step by step: by the roles and names of its controls, never by their looks."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

STEP_MS = 30_000
LONG_STEP_MS = 60_000


def dashboard(page: Page) -> Locator:
    """The dashboard, once it is there."""
    found = page.locator(".dfs-dashboard")
    expect(found.first).to_be_visible(timeout=STEP_MS)
    return found.first


def turn_to(page: Page, title: str) -> None:
    """Turn to a page of the dashboard; its tab may say more than the title, such as how much is unread."""
    dashboard(page).get_by_role("tab", name=re.compile(rf"^{title}\b")).first.click()


def panel(page: Page, name: str) -> Locator:
    """A panel by its label."""
    return dashboard(page).get_by_role("region", name=name, exact=True).first


def read_invite(page: Page) -> str:
    """Show the invite and read it."""
    turn_to(page, "Network")
    dashboard(page).get_by_role("button", name=re.compile("show the invite", re.IGNORECASE)).first.click()
    shown = dashboard(page).get_by_role("textbox", name="Invite", exact=True)
    expect(shown).to_have_value(re.compile("^dfs-join:"), timeout=STEP_MS)
    return shown.input_value()


def ask_to_join(page: Page, target: str, passphrase: str = "", *, seconds: int = 20) -> None:
    """Fill the form and send it."""
    turn_to(page, "Network")
    joining = panel(page, "Join or create a network")
    joining.get_by_label("Address or invite").fill(target)
    joining.get_by_label("Passphrase", exact=True).fill(passphrase)
    joining.get_by_label("Seconds").fill(str(seconds))
    joining.get_by_role("button", name="Join", exact=True).click()


def join(page: Page, target: str, passphrase: str = "") -> None:
    """Join a network and see that it worked."""
    ask_to_join(page, target, passphrase)
    expect(dashboard(page)).to_contain_text("Joined through", timeout=STEP_MS)


def upload(page: Page, path: Path) -> None:
    """Upload a file and see it in the list."""
    turn_to(page, "Files")
    files = panel(page, "Files")
    files.locator("input[type=file]").first.set_input_files(path)
    expect(file_row(page, path.name)).to_be_visible(timeout=LONG_STEP_MS)
    expect(file_row(page, path.name)).to_contain_text(re.compile(r"MiB|KiB"))


def file_row(page: Page, name: str) -> Locator:
    """The row of a file in the list."""
    return panel(page, "Files").locator("tbody").get_by_role("row").filter(has_text=name).first


def read_link(page: Page, name: str) -> str:
    """Show the link of a file and read it."""
    turn_to(page, "Files")
    file_row(page, name).get_by_role("button", name="More").click()
    about = dashboard(page).get_by_role("region", name="About the file")
    about.get_by_role("button", name="Show link").click()
    shown = about.get_by_role("textbox", name="Link", exact=True)
    expect(shown).to_have_value(re.compile("^dfs:"), timeout=STEP_MS)
    link = shown.input_value()
    about.get_by_role("button", name="Close", exact=True).click()
    return link


def fetch_by_link(page: Page, link: str) -> None:
    """Have the kernel get a file by its link."""
    turn_to(page, "Files")
    files = panel(page, "Files")
    files.get_by_label("Get a file by its link").fill(link)
    files.get_by_role("button", name="Get", exact=True).click()


def download(page: Page, name: str) -> bytes:
    """Download a listed file to the browser's disk and return its bytes."""
    turn_to(page, "Files")
    with page.expect_download(timeout=LONG_STEP_MS) as download:
        file_row(page, name).get_by_role("button", name="Download").click()
    return Path(download.value.path()).read_bytes()


def say(page: Page, text: str) -> None:
    """Say something to everybody and see that somebody has it."""
    turn_to(page, "Chat")
    chat = panel(page, "Chat")
    chat.get_by_role("textbox", name="Message").fill(text)
    page.keyboard.press("Enter")
    expect(chat.get_by_role("log")).to_contain_text(text, timeout=STEP_MS)
    expect(chat.get_by_role("log")).to_contain_text("delivered", timeout=STEP_MS)


def hear(page: Page, text: str) -> None:
    """See what somebody else has said."""
    turn_to(page, "Chat")
    expect(panel(page, "Chat").get_by_role("log")).to_contain_text(text, timeout=STEP_MS)


def see_problem(page: Page, words: str | re.Pattern[str]) -> None:
    """See an error in words, with its traceback behind a click, and dismiss it."""
    problem = dashboard(page).get_by_role("alert").filter(has_text=words).first
    expect(problem).to_be_visible(timeout=STEP_MS)
    problem.get_by_role("button", name="Details").first.click()
    expect(problem.get_by_label("traceback").first).to_contain_text("Error", timeout=STEP_MS)
    problem.get_by_role("button", name="Dismiss").first.click()
    expect(dashboard(page).get_by_role("alert").filter(has_text=words)).to_have_count(0, timeout=STEP_MS)
