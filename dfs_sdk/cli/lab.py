"""`dfs lab`: JupyterLab with the tutorial notebooks, in a folder of the user's."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from rich.text import Text

from dfs_sdk.cli import show
from dfs_sdk.cli.exits import Exit
from dfs_sdk.errors import ConfigError, StoreError

MISSING = "`dfs lab` needs JupyterLab: python -m pip install 'dfs-sdk[notebook]'"
NOTES_FILE = ".dfs-lab.json"
FIRST = "01_quickstart.ipynb"
ENDING_SECONDS_MAX = 20.0  # kernels say goodbye in it
# Windows does not interrupt a wait: Ctrl-C is seen between two of them.
LOOK_SECONDS = 0.5 if sys.platform == "win32" else None
PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """What became of the tutorial notebooks.

    Attributes:
        fresh: Copied, for the first time or because the user had not touched the older ones.
        kept: Left alone, because the user's copy is no longer what was copied.
    """

    fresh: tuple[str, ...]
    kept: tuple[str, ...]


def open_lab(folder: Path | None, *, port: int, browser: bool) -> int:
    """Copy the notebooks and run JupyterLab until Ctrl-C.

    Args:
        folder: Where to; made if need be. None for `dfs-lab` among the user's documents.
        port: 0 picks a free one.
        browser: Open it, not only say where it is.

    Returns:
        JupyterLab's exit code.

    Raises:
        ConfigError: JupyterLab is not installed.
        StoreError: The notebooks cannot be copied there.
    """
    if importlib.util.find_spec("jupyterlab") is None:
        raise ConfigError(MISSING)
    chosen = (folder or platformdirs.user_documents_path() / "dfs-lab").expanduser().absolute()
    copies = copy_notebooks(tutorial(), chosen)
    show.out.print(Text(f"notebooks in {chosen}: {in_words(copies)}"), soft_wrap=True)
    show.out.print("JupyterLab starts; Ctrl-C ends it and the nodes in it")
    sys.stdout.flush()
    return _run(_command(chosen, port=port, browser=browser, root=_is_root()))


def tutorial() -> Path:
    """The folder of the notebooks as they were shipped: in the wheel, or in a clone of the repository."""
    shipped = PACKAGE / "tutorial"
    return shipped if shipped.is_dir() else PACKAGE.parent / "notebooks"


def copy_notebooks(source: Path, folder: Path) -> Copies:
    """Copy every notebook that is not there, and those of before that nobody has changed since.

    Args:
        source: Where the shipped notebooks are.
        folder: Where the user's are to be.

    Raises:
        StoreError: They cannot be read or written.
    """
    fresh: list[str] = []
    kept: list[str] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        notes = _read_notes(folder / NOTES_FILE)
        for path in sorted(source.glob("[0-9]*.ipynb")):
            content, copy = path.read_bytes(), folder / path.name
            if copy.exists() and notes.get(path.name) != _digest(copy.read_bytes()):
                kept.append(path.name)
                continue
            copy.write_bytes(content)
            notes[path.name] = _digest(content)
            fresh.append(path.name)
        (folder / NOTES_FILE).write_text(json.dumps(notes, indent=1), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot copy the notebooks to {folder} ({error.strerror}): give another folder") from error
    if not fresh and not kept:
        raise StoreError(f"no notebooks in {source}: install dfs_sdk again")
    return Copies(fresh=tuple(fresh), kept=tuple(kept))


def in_words(copies: Copies) -> str:
    """Say what became of the notebooks."""
    parts = [f"{len(copies.fresh)} as shipped"] if copies.fresh else []
    if copies.kept:
        parts.append(f"{len(copies.kept)} of your own kept ({', '.join(copies.kept)})")
    return ", ".join(parts)


def _is_root() -> bool:
    """Whether the user is root, as in most containers; Windows knows no such user."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _command(folder: Path, *, port: int, browser: bool, root: bool = False) -> list[str]:
    options = [
        "--ip=127.0.0.1", f"--port={port}", f"--ServerApp.root_dir={folder}", f"--LabApp.default_url=/lab/tree/{FIRST}",
        "--ServerApp.answer_yes=True",  # Ctrl-C is an answer, not a question
    ]  # fmt: skip
    if root:  # JupyterLab refuses otherwise; with a token and this machine only, root gains nothing it had not
        options.append("--allow-root")
    return [sys.executable, "-m", "jupyterlab", *options, *([] if browser else ["--no-browser"])]


def _run(command: Sequence[str]) -> int:
    """Run JupyterLab; Ctrl-C reaches it by the terminal, SIGTERM by us, and its end is ours.

    Once it was told it has `ENDING_SECONDS_MAX`: a worker thread of its server that nobody wakes any more may keep the
    process for ever, though the server has stopped.
    """
    with subprocess.Popen(command) as process:  # noqa: S603 - this interpreter, and no shell

        def pass_on(_number: int, _frame: object) -> None:
            process.terminate()
            raise KeyboardInterrupt

        signal.signal(signal.SIGTERM, pass_on)
        patience: float | None = None
        while True:
            try:
                return Exit.OK if process.wait(patience or LOOK_SECONDS) == 0 else Exit.FAILED
            except KeyboardInterrupt:
                patience = ENDING_SECONDS_MAX
            except subprocess.TimeoutExpired:
                if patience is None:
                    continue
                process.kill()
                return Exit.OK


def _read_notes(path: Path) -> dict[str, str]:
    """What was copied before: name → digest; nothing where the file is missing or damaged."""
    try:
        notes = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(name): str(value) for name, value in notes.items()} if isinstance(notes, dict) else {}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
