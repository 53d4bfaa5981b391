"""`dfs doctor`: what this machine offers a node, found by trying. Nothing in it is secret, but for the addresses."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import platform
import shutil
from pathlib import Path

import platformdirs
from rich.table import Table
from rich.text import Text

from dfs_sdk._version import __version__
from dfs_sdk.cli import show
from dfs_sdk.cli.exits import Exit, words_for
from dfs_sdk.errors import DfsError
from dfs_sdk.node.node import Node
from dfs_sdk.runtime.ports import Runtime
from dfs_sdk.runtime.system import system_runtime
from dfs_sdk.views import words

LOOPBACK = "127.0.0.1:0"
MEET_TIMEOUT = 5.0
PACKAGES = (
    "ipykernel",
    "jupyterlab",
    "ipywidgets",
    "anywidget",
    "matplotlib",
    "pandas",
    "nest-asyncio",
    "nest-asyncio2",
)


async def examine(*, as_json: bool) -> int:
    """Examine and print.

    Returns:
        OK, or FAILED where two nodes on this machine cannot meet.
    """
    runtime = system_runtime()
    problem, seconds = await _two_nodes_meet(runtime)
    await runtime.offload.close()
    findings = {
        "dfs_sdk": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": platform.platform(),
        "loop": type(asyncio.get_running_loop()).__name__,
        "udp": type(runtime.udp).__name__,
        "addresses": ", ".join(runtime.machine.addresses()) or "none but loopback",
        "two nodes on loopback": problem or f"met in {seconds * 1000:.0f} ms",
        "stores": str(data_folder()),
        "free there": words.size(_free_bytes(data_folder())),
        **{f"package {name}": _version(name) for name in PACKAGES},
    }
    warning = _warning()
    if warning:
        findings["warning"] = warning
    if as_json:
        show.as_json(findings)
    else:
        table = Table(box=None, pad_edge=False, show_header=False)
        for name, value in findings.items():
            table.add_row(Text(name, style="bold"), Text(value, overflow="fold"))
        show.out.print(table)
    return Exit.FAILED if problem else Exit.OK


def data_folder() -> Path:
    """Where the stores of nodes are that were given none."""
    return platformdirs.user_data_path("dfs-sdk", appauthor=False)


async def _two_nodes_meet(runtime: Runtime) -> tuple[str, float]:
    """Let two nodes join over loopback UDP; returns the problem in words, and the seconds it took."""
    begun = asyncio.get_running_loop().time()
    try:
        one, other = (Node(store="memory", listen=LOOPBACK, home="loop", runtime=runtime) for _ in range(2))
        async with one, other:
            await other.join(str(one.address), timeout=MEET_TIMEOUT)
            return "", asyncio.get_running_loop().time() - begun
    except (DfsError, OSError) as error:
        return words_for(error), 0.0


def _free_bytes(folder: Path) -> int:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(existing).free


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _warning() -> str:
    kernel = _version("ipykernel")
    if importlib.util.find_spec("nest_asyncio") is not None and kernel.split(".")[0] not in ("not installed", "6"):
        return "nest_asyncio is installed beside ipykernel 7: we do not use it, and its apply() loses cells there"
    return ""
