"""Every notebook runs from top to bottom on a fresh kernel, quietly, and in less than its readers are promised."""

import asyncio
import os
import time
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = [pytest.mark.notebooks, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SECONDS_MAX = 240.0


def run(path: Path, **environment: str) -> nbformat.NotebookNode:
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=SECONDS_MAX, kernel_name="python3", resources={"metadata": {"path": path.parent}}
    )
    begun = time.monotonic()
    asyncio.run(client.async_execute(env=kernel_environment() | environment))
    assert time.monotonic() - begun < SECONDS_MAX
    return notebook


def kernel_environment() -> dict[str, str]:
    """What a kernel started by hand would have: under pytest ipykernel does not show what child processes print."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTEST_CURRENT_TEST"}
    paths = [str(NOTEBOOKS.parent), *filter(None, [environment.get("PYTHONPATH")])]
    return environment | {"PYTHONPATH": os.pathsep.join(paths)}


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def assert_quiet(notebook: nbformat.NotebookNode) -> None:
    noise = [output.text for output in outputs(notebook) if output.get("name") == "stderr"]
    assert noise == []


def printed(notebook: nbformat.NotebookNode) -> str:
    return "".join(output.text for output in outputs(notebook) if output.get("name") == "stdout")


def shown(notebook: nbformat.NotebookNode, kind: str) -> list[str]:
    return [output.data[kind] for output in outputs(notebook) if kind in output.get("data", {})]


@pytest.mark.parametrize("far_peers", ["processes", "kernel"])
def test_the_quickstart_runs_with_far_peers_in(far_peers: str) -> None:
    notebook = run(NOTEBOOKS / "01_quickstart.ipynb", DFS_FAR_PEERS=far_peers)
    assert_quiet(notebook)
    assert "bytes, the same ones" in printed(notebook)
    assert "joined network" in printed(notebook)
    assert any("I have a copy. It is safe here." in table for table in shown(notebook, "text/html"))
    assert len(shown(notebook, "image/png")) == 1
    assert len(shown(notebook, "application/vnd.jupyter.widget-view+json")) == 1


def test_the_laboratory_runs() -> None:
    notebook = run(NOTEBOOKS / "02_where_are_my_chunks.ipynb")
    assert_quiet(notebook)
    assert "and is gone" in printed(notebook)
    assert "whole again after" in printed(notebook)
    assert len(shown(notebook, "image/png")) == 3


def test_a_file_goes_from_one_kernel_to_another_and_back() -> None:
    notebook = run(NOTEBOOKS / "03_between_two_kernels.ipynb")
    assert_quiet(notebook)
    assert "50,331,648 bytes are there, the same ones" in printed(notebook)
    assert "Thank you, the data are fine." in printed(notebook)
    assert len(shown(notebook, "image/png")) == 4
    assert any("received_bytes" in table for table in shown(notebook, "text/html"))


def test_the_talk_runs() -> None:
    notebook = run(NOTEBOOKS / "04_chat.ipynb")
    assert_quiet(notebook)
    assert "ben: Here they are. (85,000 bytes)" in printed(notebook)
    known = next(line for line in printed(notebook).splitlines() if line.startswith("cyd knows:"))
    assert "calibrate" not in known, "a third one read a direct message"
    assert not any("<img" in table for table in shown(notebook, "text/html")), "a foreign text became markup"
    assert len(shown(notebook, "application/vnd.jupyter.widget-view+json")) == 1
    assert len(shown(notebook, "image/png")) == 1


def test_nothing_is_lost_in_the_classroom() -> None:
    notebook = run(NOTEBOOKS / "05_classroom.ipynb")
    assert_quiet(notebook)
    assert sum("passed: 8 h" in text for text in shown(notebook, "text/plain")) == 1
    assert "has read everything, byte for byte" in printed(notebook)
    assert len(shown(notebook, "image/png")) == 4
