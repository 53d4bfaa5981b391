"""Kernels of chosen ipykernel versions, driven over their own sockets without a browser."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import platformdirs
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

ROOT = Path(__file__).parents[2]
REPLY_SECONDS = 30.0
INSTALL_SECONDS = 120.0


class CannotInstallError(Exception):
    """This machine has no way to that version of ipykernel."""


def kernel_folder(version: str) -> Path:
    """A folder that holds exactly this ipykernel; put before all others on the kernel's path, it wins.

    Everything else comes from the running environment, so only ipykernel differs. Kept in DFS_KERNEL_ENVS or the
    user's cache between runs.
    """
    given = os.environ.get("DFS_KERNEL_ENVS")
    cache = Path(given) if given else Path(platformdirs.user_cache_dir("dfs-sdk-test-kernels"))
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"ipykernel-{version}"
    with filelock.FileLock(cache / "lock", timeout=120):
        if not folder.exists():
            _install(version, folder)
    return folder


def _install(version: str, folder: Path) -> None:
    fresh = folder.with_suffix(".new")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    try:
        run = subprocess.run(
            [*command, "--upgrade", "--target", str(fresh), f"ipykernel=={version}"],
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise CannotInstallError(f"pip has not installed ipykernel {version} in {INSTALL_SECONDS:.0f} s") from error
    if run.returncode != 0:
        last = run.stderr.strip().splitlines()[-1:] or ["pip failed"]
        raise CannotInstallError(f"pip cannot install ipykernel {version}: {last[0]}")
    fresh.rename(folder)


@dataclass
class Reply:
    """What a cell led to."""

    status: str
    error: str
    printed: str


class Kernel:
    """One running kernel."""

    def __init__(self, version: str) -> None:
        self.version = version
        self._manager = KernelManager(ip="127.0.0.1", shutdown_wait_time=REPLY_SECONDS)
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        self._manager._kernel_spec = KernelSpec(argv=argv, display_name="test", language="python")
        paths = [str(kernel_folder(version)), str(ROOT)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
        environment.pop("PYTEST_CURRENT_TEST", None)
        self._manager.start_kernel(env=environment)
        self._client: BlockingKernelClient | None = None
        self._connect()

    @property
    def client(self) -> BlockingKernelClient:
        assert self._client is not None
        return self._client

    def send(self, code: str, *, subshell: str | None = None) -> str:
        """Send a cell without waiting; return its message id."""
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False, "stop_on_error": True}
        message = self.client.session.msg("execute_request", content)
        if subshell is not None:
            message["header"]["subshell_id"] = subshell
        self.client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def wait(self, *message_ids: str) -> list[Reply]:
        """Collect the replies and the output of cells, in any order of arrival."""
        replies: dict[str, Reply] = {}
        idle: set[str] = set()
        printed = dict.fromkeys(message_ids, "")
        deadline = time.monotonic() + REPLY_SECONDS
        while not (replies.keys() >= set(message_ids) and idle >= set(message_ids)):
            assert time.monotonic() < deadline, f"no reply from ipykernel {self.version}; got {replies}"
            assert self._manager.is_alive(), f"ipykernel {self.version} died"
            for channel in (self.client.iopub_channel, self.client.shell_channel):
                while (message := self._next(channel)) is not None:
                    parent, kind, content = (
                        message["parent_header"].get("msg_id"),
                        message["msg_type"],
                        message["content"],
                    )
                    if parent not in printed:
                        continue
                    if kind == "stream":
                        printed[parent] += content["text"]
                    elif kind == "status" and content["execution_state"] == "idle":
                        idle.add(parent)
                    elif kind == "execute_reply":
                        error = (
                            f"{content.get('ename')}: {content.get('evalue')}" if content["status"] == "error" else ""
                        )
                        replies[parent] = Reply(content["status"], error, "")
        return [Reply(replies[m].status, replies[m].error, printed[m]) for m in message_ids]

    def run(self, code: str, *, subshell: str | None = None) -> str:
        """Run a cell that must succeed; return what it printed."""
        return self.run_out(self.send(code, subshell=subshell))

    def run_out(self, message_id: str) -> str:
        """Wait for the end of a cell that was sent, which must succeed; return what it printed."""
        [reply] = self.wait(message_id)
        assert reply.status == "ok", f"ipykernel {self.version}: {reply.error}\n{reply.printed}"
        return reply.printed.strip()

    def create_subshell(self) -> str:
        message = self.client.session.msg("create_subshell_request", {})
        self.client.control_channel.send(message)
        deadline = time.monotonic() + REPLY_SECONDS
        while time.monotonic() < deadline:
            reply = self._next(self.client.control_channel, 0.5)
            if reply is not None and reply["msg_type"] == "create_subshell_reply":
                assert reply["content"]["status"] == "ok", reply["content"]
                return str(reply["content"]["subshell_id"])
        raise AssertionError(f"ipykernel {self.version} made no subshell")

    def interrupt(self) -> None:
        self._manager.interrupt_kernel()

    def restart(self) -> None:
        self._disconnect()
        self._manager.restart_kernel(now=False)
        self._connect()

    def shut_down(self) -> None:
        self._disconnect()
        self._manager.shutdown_kernel(now=False)

    def kill(self) -> None:
        self._disconnect()
        with contextlib.suppress(RuntimeError):
            self._manager.shutdown_kernel(now=True)
        self._manager.cleanup_resources()
        self._manager.context.destroy(linger=0)

    def _connect(self) -> None:
        self._client = self._manager.client()
        self._client.start_channels(hb=False)
        self._client.wait_for_ready(timeout=REPLY_SECONDS)

    def _disconnect(self) -> None:
        if self._client is not None:
            self._client.stop_channels()
            self._client = None

    @staticmethod
    def _next(channel: Any, timeout: float = 0.01) -> dict[str, Any] | None:
        import queue

        try:
            return channel.get_msg(timeout=timeout)  # type: ignore[no-any-return]
        except queue.Empty:
            return None


@contextlib.contextmanager
def running_kernel(version: str) -> Iterator[Kernel]:
    kernel = Kernel(version)
    try:
        yield kernel
    finally:
        kernel.kill()
