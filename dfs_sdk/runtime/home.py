"""What every home of a node offers: three ways onto its loop, and a goodbye when the interpreter exits.

`submit` from anywhere, `await run(...)` from any loop, `block(...)` for callers that cannot await. The two kinds of
home are in `homes`.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import logging
import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from dfs_sdk.errors import ConfigError, DeadlineError, ForkedNodeError, NodeClosedError, SyncCallError
from dfs_sdk.runtime.calls import Call, called, outcome
from dfs_sdk.runtime.nesting import UNWIND_SECONDS
from dfs_sdk.runtime.tasks import TaskScope, background

logger = logging.getLogger(__name__)

T = TypeVar("T")
ExitAction = Callable[[], Awaitable[object]]

GOODBYE_SECONDS = 1.0  # all homes of the process share it: a frontend kills a kernel that takes its time
EXIT_ACTIONS_MAX = 64
POLL_SECONDS = 0.5  # Windows does not interrupt a wait on a lock: Ctrl-C is seen between two of them


_open_homes: dict[Home, None] = {}
_exit_hook = {"registered": False}


def _say_goodbyes() -> None:
    """Let all open homes say goodbye side by side: their second is one second for all."""
    endings: list[Callable[[], None]] = []
    for home in tuple(_open_homes):
        if home._pid == os.getpid():  # noqa: SLF001 - homes and this hook are one unit
            with _logged():
                endings.append(home._part())  # noqa: SLF001 - as above
    for end in endings:
        with _logged():
            end()


@contextmanager
def _logged() -> Iterator[None]:
    try:
        yield
    except Exception:
        logger.exception("could not say goodbye")


def _ignore(_name: str, _error: BaseException) -> None:
    """The error of a call is in its future."""


class Home(ABC):
    """The loop a node lives on. Objects with a `_home` get their hop from `facade.hops`."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._scope = TaskScope("dfs-home", on_error=_ignore)
        self._exit_actions: dict[int, ExitAction] = {}
        self._next_action = 0

    @property
    @abstractmethod
    def loop(self) -> asyncio.AbstractEventLoop:
        """The home loop.

        Raises:
            NodeClosedError: It is not there any more.
        """

    @property
    @abstractmethod
    def thread_id(self) -> int:
        """The `threading.get_ident` of the thread that runs the loop."""

    @property
    def is_here(self) -> bool:
        """Whether the caller runs on the home loop."""
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    @property
    def on_thread(self) -> bool:
        """Whether the caller is on the home's thread, inside its loop or, as in a plain cell or a signal, not."""
        return threading.get_ident() == self.thread_id

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Call[T]:
        """Start a coroutine on the home loop, from any thread; never blocks.

        Returns:
            A future that ends when the coroutine has ended; cancelling it cancels the coroutine.

        Raises:
            NodeClosedError: The home is closed; the coroutine is closed, too.
            ForkedNodeError: This is a forked child.
        """
        try:
            self._check_process()
            call = Call(coroutine, self.loop, self.thread_id)
        except BaseException:
            coroutine.close()
            raise
        name = getattr(coroutine, "__qualname__", "call")
        if self.is_here:
            call.begin(self._scope, name)
            return call
        try:
            self.loop.call_soon_threadsafe(call.begin, self._scope, name)
        except RuntimeError as error:
            call.cancel()
            raise NodeClosedError("the loop of this node is closed: start a new node") from error
        return call

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Await a coroutine on the home loop, from any loop of any thread.

        A cancelled caller cancels the coroutine and waits until it has ended.

        Raises:
            NodeClosedError: The home is closed.
            SyncCallError: The home loop is stopped under another loop of the same thread: it could never answer.
        """
        if self.is_here:
            with background():
                return await coroutine
        if threading.get_ident() == self.thread_id and not self._shares_driver():
            coroutine.close()
            raise SyncCallError('the node\'s loop stands still below this one: start it with Node(home="thread")')
        return await outcome(self.submit(coroutine))

    @abstractmethod
    def block(self, coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run a coroutine on the home loop and wait for it without `await`.

        Args:
            coroutine: What to run; closed when the call is refused.
            timeout: Seconds, at the end of which the coroutine is cancelled; None waits as long as it takes.

        Raises:
            SyncCallError: Waiting here would hang.
            DeadlineError: The time is over.
            KeyboardInterrupt: Ctrl-C; the coroutine was cancelled.
            NodeClosedError: The home is closed.
        """

    def look(self, function: Callable[[], T], timeout: float | None = None) -> T:
        """Call a function that takes no time on the home's thread, from any thread.

        Args:
            function: What to call.
            timeout: Seconds to wait for another thread; None waits as long as it takes.

        Raises:
            SyncCallError: The loop of the other thread is blocked.
            DeadlineError: The time is over.
            NodeClosedError: The home is closed.
        """
        if self.is_here or self.on_thread:
            return function()
        return self.block(called(function), timeout)

    @abstractmethod
    async def close(self) -> None:
        """End all submitted calls and let go of the loop; from any loop, also from a call of the home itself."""

    def on_exit(self, action: ExitAction) -> Callable[[], None]:
        """Run `action` when the interpreter exits with the home still open; all homes together get 1 s.

        Returns:
            A function that takes it back.

        Raises:
            ConfigError: More than 64 actions.
        """
        if len(self._exit_actions) >= EXIT_ACTIONS_MAX:
            raise ConfigError(f"a home takes at most {EXIT_ACTIONS_MAX} exit actions")
        if getattr(self._loop, "driver", None) is None:  # simulated nodes have nobody to say goodbye to
            self._arm_exit()
        key = self._next_action
        self._next_action += 1
        self._exit_actions[key] = action

        def forget() -> None:
            self._exit_actions.pop(key, None)

        return forget

    @abstractmethod
    def _part(self) -> Callable[[], None]:
        """Begin the goodbye at interpreter exit without waiting; the result waits for its end."""

    def _shares_driver(self) -> bool:
        """Say whether the running loop and the home's take turns: those of one simulated world have one `driver`."""
        driver = getattr(self._loop, "driver", None)
        return driver is not None and getattr(asyncio.get_running_loop(), "driver", None) is driver

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise ForkedNodeError("this node belongs to the parent process: start a new node in the child")

    def _arm_exit(self) -> None:
        _open_homes[self] = None
        if not _exit_hook["registered"]:
            _exit_hook["registered"] = True
            atexit.register(_say_goodbyes)

    def _disarm_exit(self) -> None:
        self._exit_actions.clear()
        _open_homes.pop(self, None)

    async def _goodbye(self) -> None:
        """Run the exit actions one after the other within their second, each whatever the others did."""
        actions = list(self._exit_actions.values())
        self._exit_actions.clear()
        try:
            async with asyncio.timeout(GOODBYE_SECONDS):
                for action in actions:
                    try:
                        await action()
                    except Exception:
                        logger.exception("an exit action failed")
        except TimeoutError:
            logger.warning("the goodbye took longer than %s s and was cut short", GOODBYE_SECONDS)

    def _wait(self, call: Call[T], timeout: float | None, start_seconds: float | None) -> T:
        """Wait for a call from a thread that is not the home's."""
        begin = time.monotonic()
        try:
            while not call.done():
                waited = time.monotonic() - begin
                if timeout is not None and waited >= timeout:
                    raise DeadlineError(f"not finished after {timeout} s: try again, or give it more time")
                if start_seconds is not None and waited >= start_seconds and not call.begun.is_set():
                    raise SyncCallError(
                        f"the notebook's loop took up nothing for {start_seconds} s because a cell blocks it: "
                        'write `await` there, or start the node with Node(home="thread")'
                    )
                pause = POLL_SECONDS if timeout is None else min(POLL_SECONDS, timeout - waited)
                concurrent.futures.wait((call,), timeout=pause)
        except BaseException:
            call.cancel()
            concurrent.futures.wait((call,), timeout=UNWIND_SECONDS)
            raise
        if call.cancelled():
            raise NodeClosedError("the call was cancelled: its node was closed")
        return call.result()
