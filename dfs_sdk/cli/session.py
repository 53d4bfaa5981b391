"""How a command opens its node: options, joining, an orderly end, errors as words and exit codes."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import click
from rich.text import Text

from dfs_sdk.cli import show
from dfs_sdk.cli.exits import Exit, exit_for, words_for
from dfs_sdk.errors import ConfigError
from dfs_sdk.node.config import parse_size
from dfs_sdk.node.node import Node
from dfs_sdk.runtime.homes import HomeKind

TIMEOUT_DEFAULT = 20.0
LOG_VARIABLE = "DFS_LOG"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options every command that opens a node takes."""

    name: str | None
    store: str | None
    listen: str
    join: str | None
    passphrase: str | None = field(repr=False)
    quota: str | None
    timeout: float
    json: bool

    def new_node(self, *, home: HomeKind = "auto") -> Node:
        """Make the node that was asked for; it is not started."""
        return Node(
            self.name,
            store=self.store,
            listen=self.listen,
            passphrase=self.passphrase,
            quota=self.quota,
            home=home,
        )


def with_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the common options to a command; it receives them as one `Options`."""
    options = (
        click.option("--name", help="Name that the others see.", metavar="NAME"),
        click.option("--store", help="Folder of this node's store, or 'memory' to keep nothing.", metavar="FOLDER"),
        click.option("--listen", default="0.0.0.0:0", show_default=True, help="Address to bind.", metavar="HOST:PORT"),
        click.option("--join", help="A member's HOST:PORT or an invite (dfs-join:…).", metavar="PEER"),
        click.option(
            "--passphrase",
            envvar="DFS_PASSPHRASE",
            help="Of a private network. Better in DFS_PASSPHRASE: others on this machine can read a command line.",
            metavar="TEXT",
        ),
        click.option("--quota", callback=_checked_size, help="Bytes to offer, such as '2 GiB'.", metavar="SIZE"),
        click.option(
            "--timeout",
            default=TIMEOUT_DEFAULT,
            show_default=True,
            type=click.FloatRange(min=0.1),
            help="Seconds to wait for the network.",
            metavar="SECONDS",
        ),
        click.option("--json", is_flag=True, help="Print JSON, one document a line, instead of text."),
    )

    def wrapped(
        *, name: str | None, store: str | None, listen: str, join: str | None, passphrase: str | None,
        quota: str | None, timeout: float, json: bool, **rest: Any,
    ) -> Any:  # fmt: skip
        common = Options(
            name=name, store=store, listen=listen, join=join, passphrase=passphrase, quota=quota, timeout=timeout,
            json=json,
        )  # fmt: skip
        return command(common, **rest)

    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    wrapped.__click_params__ = list(getattr(command, "__click_params__", []))  # type: ignore[attr-defined] # click keeps options there
    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped


@asynccontextmanager
async def open_node(options: Options) -> AsyncIterator[Node]:
    """Start a node with its store, join as asked (or meet the peers of last time) and end in order."""
    async with options.new_node(home="loop") as node:
        if options.join:
            with show.waiting("joining …", quiet=options.json):
                await node.join(options.join, passphrase=options.passphrase, timeout=options.timeout)
        elif options.store != "memory":
            with show.waiting("looking for the peers of last time …", quiet=options.json):
                await node.rejoined(timeout=options.timeout)
        yield node


def run(command: Coroutine[Any, Any, int | None], *, on_terminate: Exit = Exit.TERMINATED) -> None:
    """Run a command and end the program with its exit code; errors a user can meet become one line on stderr.

    Args:
        command: What to do; its result is the exit code, None for `OK`.
        on_terminate: The exit code after SIGTERM.
    """
    run_plainly(lambda: asyncio.run(_until_terminated(command)), on_terminate=on_terminate)


def run_plainly(command: Callable[[], int | None], *, on_terminate: Exit = Exit.TERMINATED) -> None:
    """As `run`, for a command that brings a loop of its own."""
    _set_up_log()
    try:
        code: int = command() or Exit.OK
    except KeyboardInterrupt:
        code = Exit.INTERRUPTED
    except asyncio.CancelledError:
        code = on_terminate
    except Exception as error:
        known = exit_for(error)
        if known is None:
            raise
        show.err.print(Text.assemble(("error: ", "bold red"), words_for(error)), soft_wrap=True)
        code = known
    sys.exit(int(code))


def _set_up_log() -> None:
    """Log to stderr from the level in DFS_LOG on; without it not at all, since scripts expect our words only there."""
    level = os.environ.get(LOG_VARIABLE, "").upper()
    if level in logging.getLevelNamesMapping():
        logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    else:
        logging.getLogger("dfs_sdk").addHandler(logging.NullHandler())


async def _until_terminated(command: Coroutine[Any, Any, int | None]) -> int | None:
    """Await a command; SIGTERM, with which services are stopped, cancels it so that the node ends in order."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a coroutine that runs has a task
    with _on_terminate(task.cancel):
        return await command


@contextmanager
def _on_terminate(act: Callable[[], object]) -> Iterator[None]:
    """Call `act` on the loop when the program is to end while the block runs; on Windows that is Ctrl-Break."""
    loop = asyncio.get_running_loop()
    before: dict[int, Any] = {}
    try:
        loop.add_signal_handler(signal.SIGTERM, act)  # a loop that is closed takes its own handlers back
    except NotImplementedError:
        numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGBREAK") if hasattr(signal, name)]
        before = {
            number: signal.signal(number, lambda _number, _frame: loop.call_soon_threadsafe(act)) for number in numbers
        }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)  # None: not set by Python, and not to be set by it


def _checked_size(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    try:
        if value is not None:
            parse_size(value)
    except ConfigError as error:
        raise click.BadParameter(str(error)) from error
    return value
