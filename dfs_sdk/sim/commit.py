"""The name of the state of the code, for books and ledgers of long runs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
DIGITS = 10


def commit(*paths: str) -> str:
    """Name the commit that is checked out, with "+" at its end if something under `paths` differs from it.

    Args:
        paths: What the run depends on, from the root of the repository.

    Returns:
        The first ten digits; nothing where the package does not come from a repository or there is no git.
    """
    name = _git("rev-parse", f"--short={DIGITS}", "HEAD")
    return name + ("+" if name and _git("status", "--porcelain", "--", *paths) else "")


def _git(*arguments: str) -> str:
    git = shutil.which("git")
    if git is None:
        return ""
    command = [git, "-C", str(ROOT), *arguments]
    found = subprocess.run(command, capture_output=True, text=True)  # noqa: S603 - nothing of it comes from outside
    return found.stdout.strip() if found.returncode == 0 else ""
