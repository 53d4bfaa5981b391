"""`dfs lab` as a user meets it: a real JupyterLab with the notebooks, and an end at Ctrl-C without a question."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

import pytest

pytest.importorskip("jupyterlab", reason='pip install "dfs-sdk[notebook]"')

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(os.name != "posix", reason="signals to other processes: run this on Linux or macOS"),
]

ROOT = Path(__file__).parents[2]
SECONDS_MAX = 60.0


def server(runtime: Path, process: subprocess.Popen[str]) -> dict[str, str]:
    """What JupyterLab wrote down about itself, once it answers."""
    end = time.monotonic() + SECONDS_MAX
    while time.monotonic() < end:
        assert process.poll() is None, "dfs lab ended early"
        for path in runtime.glob("jpserver-*.json"):
            try:
                found = dict(json.loads(path.read_text()))
                with urlopen(f"{found['url']}api/contents?token={found['token']}", timeout=5) as answer:
                    return {**found, "contents": answer.read().decode()}
            except (OSError, ValueError):
                break
        time.sleep(0.1)
    raise AssertionError("JupyterLab did not come up")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_lab_serves_the_notebooks_on_this_machine_behind_a_token_and_ends_when_told(
    tmp_path: Path, number: signal.Signals
) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("DFS_", "XDG_", "JUPYTER"))}
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "jupyter_server_config.json").write_text('{"ServerApp": {"allow_root": true}}')
    environment |= {
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
        "HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "dfs_sdk.cli", "lab", "--no-browser", "mine"],
        cwd=tmp_path, env=environment, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    try:
        found = server(tmp_path / "runtime", process)
        assert found["url"].startswith("http://127.0.0.1:")
        assert found["token"]
        assert "01_quickstart.ipynb" in found["contents"]
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does
        else:
            process.send_signal(number)
        out, _ = process.communicate(timeout=SECONDS_MAX)
        assert process.returncode == 0
        assert "5 as shipped" in out
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # where the test fails, JupyterLab is left as well
        process.communicate()
    assert len(list((tmp_path / "mine").glob("*.ipynb"))) == 5
