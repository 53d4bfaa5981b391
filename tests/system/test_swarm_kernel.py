"""A simulated swarm in a real kernel: a run shows a bar, can be interrupted, and the swarm goes on."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

pytestmark = pytest.mark.system

SECONDS = 60


@pytest.fixture
def kernel() -> Iterator[tuple[KernelManager, BlockingKernelClient]]:
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=SECONDS)
        yield manager, client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def run(client: BlockingKernelClient, code: str) -> dict[str, Any]:
    reply: dict[str, Any] = client.execute_interactive(code, timeout=SECONDS, output_hook=lambda _message: None)
    return dict(reply["content"])


def test_interrupted_run_leaves_the_swarm_usable(kernel: tuple[KernelManager, BlockingKernelClient]):
    manager, client = kernel
    made = run(client, "from dfs_sdk import Swarm\nswarm = await Swarm(3, net='lan', seed=1).start()")
    assert made["status"] == "ok", made
    client.execute("await swarm.run(hours=50_000)", stop_on_error=False)
    shown = None
    while shown is None:  # the bar is there: the run has begun
        message = client.get_iopub_msg(timeout=SECONDS)
        assert message["msg_type"] != "error", message["content"]
        if message["msg_type"] == "display_data":
            shown = message["content"]["data"]
    assert "application/vnd.jupyter.widget-view+json" in shown
    time.sleep(1.0)  # a real kernel, somewhere within its run
    manager.interrupt_kernel()
    while (reply := client.get_shell_msg(timeout=SECONDS))["msg_type"] != "execute_reply":
        pass
    assert reply["content"]["status"] in ("error", "aborted")
    shown = {}
    while "traceback" not in shown:
        shown = client.get_iopub_msg(timeout=SECONDS)["content"]
    (line,) = shown["traceback"]
    assert line.startswith("Stopped at ")
    assert "3 of 3 nodes answer" in line
    after = run(
        client, "file = await swarm[0].put(b'x' * 1000, name='x')\nassert await swarm[2].get(file.link) == b'x' * 1000"
    )
    assert after["status"] == "ok", after
    again = run(client, "report = await swarm.run(minutes=1)\nassert not report.stopped\nawait swarm.close()")
    assert again["status"] == "ok", again
