"""The server behind `dfs app`: Voilà with one page, on a free port of this machine, for whoever has the token.

There is one kernel, and in it the node. Every window shows that node, one that is loaded again as well; when the last
is closed, node and server end. Importing this module takes Voilà.
"""

from __future__ import annotations

import asyncio
import html
import json
import math
import socket
import sys
import webbrowser
from collections.abc import Callable
from pathlib import Path
from queue import Empty
from string import Template
from typing import Any, ClassVar

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from tornado import web
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop, PeriodicCallback
from traitlets.config import Config
from voila.app import Voila
from voila.shutdown_kernel_handler import VoilaShutdownKernelHandler

from dfs_sdk.errors import ConfigError

HOST = "127.0.0.1"
TEMPLATE_FOLDER = Path(__file__).parent / "voila"
PAGE_NAME = "dfs"
PAGE_CODE = "from dfs_sdk.cli.window import show_window\nawait show_window()"
KERNEL_NAME = "dfs"
EXTENSIONS = ("@jupyter-widgets/jupyterlab-manager", "@voila-dashboards/widgets-manager8", "anywidget")
# After the goodbye of the last window; one that is loaded again says goodbye first. Without a goodbye, minutes: the
# computer of a window that fell silent may sleep, and one that was asked for may wait for its node to join.
EMPTY_SECONDS_MAX = 5
GOODBYE_SECONDS_MAX = 5
LOOK_SECONDS = 1
UNSEEN_SECONDS_MAX = 600
PING_MS = 30_000
DOOR = Template(
    '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url=$url"><title>dfs</title>'
)


class OwnKernelSpecs(KernelSpecManager):
    """Knows one kernel: the Python that runs this program, whatever else the user has installed."""

    def get_all_specs(self) -> dict[str, Any]:
        """As the base class: name → where and what."""
        return {KERNEL_NAME: {"resource_dir": "", "spec": self.get_kernel_spec(KERNEL_NAME).to_dict()}}

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """As the base class; the name decides nothing."""
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=ERROR"]
        return KernelSpec(argv=argv, display_name=kernel_name, language="python")


class Client(AsyncKernelClient):
    """Runs the page's cell for Voilà, in a kernel that may be talking to other windows."""

    async def wait_for_ready(self, timeout: float | None = None) -> None:
        """As the base class, which also waits for a fifth of a second of silence: a node that works keeps none.

        Args:
            timeout: Seconds.

        Raises:
            RuntimeError: The kernel did not answer.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (math.inf if timeout is None else timeout)
        while not await self._is_ready():
            if loop.time() > deadline:
                raise RuntimeError(f"the kernel did not answer in {timeout} seconds")

    async def _is_ready(self) -> bool:
        """Whether it answers, and what it says to all arrives here as well."""
        self.kernel_info()
        try:
            await self.get_shell_msg(timeout=1)
            await self.get_iopub_msg(timeout=0.2)
        except Empty:
            return False
        return True


class OneKernel(AsyncMappingKernelManager):
    """Has one kernel, which all windows share, and knows when the last of them said goodbye."""

    _kernel_id: str | None = None
    _awaited = False
    _left_at: float | None = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]  # jupyter_server's
        self._starting = asyncio.Lock()

    @property
    def is_begun(self) -> bool:
        """Whether a window was ever asked for."""
        return self._kernel_id is not None

    @property
    def windows(self) -> int:
        """How many windows are connected."""
        return sum(self._kernel_connections.values())

    def is_left(self, since: float) -> bool:
        """Whether the window that was the last one, which was gone at `since`, had said goodbye, and none is to come.

        A window that said goodbye while others stayed open says nothing about them.
        """
        return self._left_at is not None and since - self._left_at <= GOODBYE_SECONDS_MAX

    async def start_kernel(self, **kwargs: Any) -> str:  # type: ignore[override]  # only Voilà calls it
        """A window was asked for: give it the kernel there is; the first one, or one whose kernel died, a new one."""
        self._awaited, self._left_at = True, None
        async with self._starting:
            self._kernel_id = await super().start_kernel(kernel_id=self._kernel_id, **kwargs)
        return self._kernel_id

    def notify_connect(self, kernel_id: str) -> None:
        """As the base class: a window is connected."""
        super().notify_connect(kernel_id)  # type: ignore[no-untyped-call]  # jupyter_server's
        self._awaited, self._left_at = False, None

    def say_goodbye(self, kernel_id: str) -> None:
        """A window is closing, or is loaded again, and then one is awaited, or will be in a moment."""
        if kernel_id == self._kernel_id and not self._awaited:
            self._left_at = asyncio.get_running_loop().time()


class Goodbye(VoilaShutdownKernelHandler):  # type: ignore[misc]  # Voilà ships no types
    """Takes the message of a window that is closing.

    A browser sends it without the token against forged requests, which Voilà's own handler therefore refuses; what
    stands in for that token is the kernel's id, 128 random bits that only its page knows.
    """

    def check_xsrf_cookie(self) -> None:
        """As the base class; anything goes."""

    @web.authenticated
    async def post(self, kernel_id: str) -> None:
        """Note it; the kernel ends with its last window."""
        self.kernel_manager.say_goodbye(kernel_id)
        self.set_status(204)
        self.finish()


class WindowServer(Voila):  # type: ignore[misc]  # Voilà ships no types
    """Voilà with our page template, bound to this machine only; ends with its last window."""

    name = "dfs-app"
    config_file_paths: ClassVar[list[str]] = []  # the user's own Voilà is configured for other pages
    port: int
    template_paths: list[str]
    on_ready: Callable[[str], None]
    interrupted = False

    def setup_template_dirs(self) -> None:
        """As Voilà, with our page in front of its own."""
        super().setup_template_dirs()
        self.template_paths = [str(TEMPLATE_FOLDER), *self.template_paths]

    def init_handlers(self) -> list[Any]:
        """As Voilà; with a goodbye that is heard."""
        handlers = super().init_handlers()
        return [(route, Goodbye, *rest) if kind is VoilaShutdownKernelHandler else (route, kind, *rest)
                for route, kind, *rest in handlers]  # fmt: skip

    def listen(self) -> None:
        """Bind, say where, and serve until the last window closes, Ctrl-C or SIGTERM."""
        listening = bind(self.port)
        self.port = listening.getsockname()[1]
        server = HTTPServer(self.app)
        server.add_socket(listening)
        self.ioloop = IOLoop.current()
        watch = PeriodicCallback(_Watch(self).look, LOOK_SECONDS * 1000)
        watch.start()
        self.on_ready(f"http://{HOST}:{self.port}/?token={self.identity_provider.token}")
        try:
            self.ioloop.start()
        except KeyboardInterrupt:
            self.interrupted = True
        finally:
            watch.stop()
            server.stop()
            self.stop()


def bind(port: int) -> socket.socket:
    """Listen on a port of this machine.

    Args:
        port: 0 picks a free one.

    Raises:
        ConfigError: It is taken, or not for this user.
    """
    try:
        listening = socket.create_server((HOST, port))
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {HOST}:{port} ({error.strerror}): give another --port, or none for a free one"
        ) from error
    listening.setblocking(False)
    return listening


class _Watch:
    """Ends a server some time after its last window."""

    def __init__(self, server: WindowServer) -> None:
        self._server = server
        self._empty_since: float | None = None

    def look(self) -> None:
        """Look once."""
        kernels, now = self._server.kernel_manager, asyncio.get_running_loop().time()
        if kernels.windows or not kernels.is_begun:
            self._empty_since = None
            return
        self._empty_since = now if self._empty_since is None else self._empty_since
        patience = EMPTY_SECONDS_MAX if kernels.is_left(self._empty_since) else UNSEEN_SECONDS_MAX
        if now - self._empty_since >= patience:
            self._server.ioloop.stop()


def serve(folder: Path, *, port: int, theme: str, on_ready: Callable[[str], None]) -> bool:
    """Serve the window until it is closed.

    Args:
        folder: A private folder for what the server writes.
        port: 0 picks a free one.
        theme: "light" or "dark".
        on_ready: Called with the address, token included, once it can be opened.

    Returns:
        Whether Ctrl-C ended it.
    """
    page = folder / f"{PAGE_NAME}.ipynb"
    page.write_text(json.dumps(_page()), encoding="utf-8")
    if sys.version_info >= (3, 12):  # tornado asks for the current loop, which later Pythons no longer make by asking
        asyncio.set_event_loop(asyncio.new_event_loop())
    server = WindowServer(config=_config(folder, port=port, theme=theme))
    server.on_ready = on_ready
    server.initialize([str(page)])
    server.start()
    return server.interrupted


def open_browser(url: str, folder: Path) -> bool:
    """Open the window; through a file, since a command line, and with it the token, can be read by others.

    Returns:
        Whether there is a browser to open it in.
    """
    door = folder / "open.html"
    door.write_text(
        DOOR.substitute(url=html.escape(url)),
        encoding="utf-8",
    )
    try:
        return webbrowser.open(door.as_uri())
    except webbrowser.Error:
        return False


def _config(folder: Path, *, port: int, theme: str) -> Config:
    config = Config()
    config.WindowServer.port = port
    config.WindowServer.open_browser = False
    config.WindowServer.auto_token = True
    config.WindowServer.log_level = "ERROR"
    config.WindowServer.connection_dir_root = str(folder)
    config.WindowServer.tornado_settings = {"ws_ping_timeout": PING_MS}  # Voilà's own default is one tornado warns of
    config.VoilaConfiguration.theme = theme
    config.VoilaConfiguration.kernel_spec_manager_class = OwnKernelSpecs
    config.VoilaConfiguration.multi_kernel_manager_class = OneKernel
    config.AsyncKernelManager.client_class = f"{__name__}.{Client.__name__}"
    config.VoilaConfiguration.allow_template_override = "NO"
    config.VoilaConfiguration.show_tracebacks = True  # to whom the machine belongs
    config.VoilaConfiguration.extension_allowlist = list(EXTENSIONS)
    return config


def _page() -> dict[str, Any]:
    cell: dict[str, Any] = {"cell_type": "code", "id": "window", "metadata": {}, "outputs": [], "execution_count": None,
            "source": PAGE_CODE}  # fmt: skip
    kernel = {"name": KERNEL_NAME, "display_name": KERNEL_NAME, "language": "python"}
    return {"cells": [cell], "metadata": {"kernelspec": kernel, "title": PAGE_NAME}, "nbformat": 4, "nbformat_minor": 5}
