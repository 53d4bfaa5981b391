"""The two places a node can live: the loop that already runs, or a loop on a thread of its own.

`LoopHome` is the running loop, in a notebook the kernel's own. `ThreadHome` is for long synchronous cells, scripts and
libraries that call from their own threads. What both offer is in `home`.

`block` never hangs. It nests the home loop only for a task that is not ours, one call at a time, and otherwise raises
`SyncCallError`: no re-entrant loop can finish an outer call before the inner one.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Literal, TypeVar

from dfs_sdk.errors import ConfigError, NodeClosedError, SyncCallError
from dfs_sdk.runtime.calls import Call
from dfs_sdk.runtime.daemon import DaemonHome
from dfs_sdk.runtime.home import GOODBYE_SECONDS, Home
from dfs_sdk.runtime.nesting import run_nested, warn_about_old_nesting
from dfs_sdk.runtime.tasks import in_background

__all__ = ["Home", "HomeKind", "LoopHome", "ThreadHome", "choose_home"]

logger = logging.getLogger(__name__)

T = TypeVar("T")
HomeKind = Literal["auto", "loop", "thread"]

START_SECONDS = 10.0  # a loop that takes up nothing for so long is blocked, perhaps by who waits for us


class LoopHome(Home):
    """The loop that runs when this is made; in a notebook the kernel's, which also runs between cells."""

    def __init__(self) -> None:
        super().__init__()
        self._loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self._thread_id = threading.get_ident()
        self._blocking = False

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop this was made on."""
        if self._loop.is_closed():
            raise NodeClosedError("the loop of this node is closed: start a new node")
        return self._loop

    @property
    def thread_id(self) -> int:
        """The thread this was made on."""
        return self._thread_id

    def block(self, coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """See `Home.block`; a caller on the home thread nests the loop."""
        if threading.get_ident() != self._thread_id:
            return self._wait(self.submit(coroutine), timeout, START_SECONDS)
        try:
            self._check_process()
            self._check_may_nest()
        except BaseException:
            coroutine.close()
            raise
        call: Call[T] = Call(coroutine, self._loop, self._thread_id)
        self._blocking = True
        try:
            return self._nest(call, timeout)
        except BaseException:
            call.cancel()
            raise
        finally:
            self._blocking = False

    async def close(self) -> None:
        """End all submitted calls."""
        if self._loop.is_closed():
            self._disarm_exit()
        elif self.is_here:
            self._disarm_exit()
            await self._scope.close()
        elif not self._scope.closed:
            await self.run(self.close())

    def _nest(self, call: Call[T], timeout: float | None) -> T:
        running = self._loop.is_running()
        if running:
            call.begin(self._scope, "blocking-call")
        else:
            self._loop.call_soon(call.begin, self._scope, "blocking-call")
            self._loop.run_until_complete(_turn())
        if call.task is None:
            return call.result()  # refused: the home is closed
        try:
            return run_nested(self._loop, call.task, timeout)
        finally:
            if call.done() and not call.cancelled():
                call.exception()  # seen: it was raised

    def _check_may_nest(self) -> None:
        if self._loop.is_closed():
            raise NodeClosedError("the loop of this node is closed: start a new node")
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            if self._loop.is_running():
                raise SyncCallError("the node's loop stands still below this call: write `await` there") from None
            return
        if running is not self._loop:
            raise SyncCallError("another loop runs on this thread: write `await node.…` instead of `node.sync.…`")
        if asyncio.current_task() is None or in_background():
            raise SyncCallError(
                "a callback or background task of the node cannot block: write `await node.…` instead of "
                "`node.sync.…`, or `node.submit(...)` where you cannot await"
            )
        if self._blocking:
            raise SyncCallError(
                "another blocking call of this node is still waiting below this one and could not finish: "
                "write `await node.…` instead of `node.sync.…`"
            )

    def _part(self) -> Callable[[], None]:
        loop = self._loop
        if loop.is_closed() or loop.is_running():
            return _nothing
        task = loop.create_task(self._goodbye())
        return lambda: _run_to_end(loop, task)


class ThreadHome(DaemonHome):
    """A loop on a daemon thread of its own, started with the first call or by `start`."""

    def __init__(self, name: str = "dfs-home") -> None:
        super().__init__(name)
        self._ready = threading.Event()
        self._stop: asyncio.Event | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop of the thread, which is started when it is not."""
        self.start()
        if self._loop is None or self._loop.is_closed():
            raise NodeClosedError("the thread of this node has ended: start a new node")
        return self._loop

    def start(self) -> None:
        """Start the thread and wait until its loop runs; calling it again is harmless.

        Raises:
            NodeClosedError: The home was closed.
        """
        if self._ready.is_set():
            return
        self._check_process()
        with self._guard:
            if self._stopping:
                raise NodeClosedError("the thread of this node has ended: start a new node")
            self._launch()
        self._ready.wait()

    def block(self, coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """See `Home.block`; a caller on the home thread is always one of ours and refused."""
        if self._thread is not None and threading.get_ident() == self._thread.ident:
            coroutine.close()
            raise SyncCallError("this runs on the node's own thread: write `await node.…` instead of `node.sync.…`")
        try:
            return self._wait(self.submit(coroutine), timeout, None)
        finally:
            if self._stopping:
                self._join()

    async def close(self) -> None:
        """End all calls and the thread; from the home itself, the thread ends after the calling task."""
        with self._guard:
            first, self._stopping = not self._stopping, True
            started = self._thread is not None
        self._disarm_exit()
        if not started:
            return
        if self.is_here:
            if first:
                self._stop_after(asyncio.current_task())
            return
        if first:
            self._stop_threadsafe()
        await self._ended()

    def _main(self) -> None:
        try:
            # not asyncio.run: nest-asyncio2, once applied, replaces it by one that may reuse another thread's loop
            with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
                runner.run(self._serve())
        except Exception:
            logger.exception("the thread of a node failed")
        finally:
            self._ready.set()
            self._stopped.set_result(None)

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._ready.set()
        await self._stop.wait()
        await self._scope.close()

    def _stop_after(self, task: asyncio.Task[Any] | None) -> None:
        stop = self._stop
        if stop is None or task is None:
            self._stop_threadsafe()
        else:
            task.add_done_callback(lambda _task: stop.set())

    def _stop_threadsafe(self) -> None:
        self._ready.wait()
        if self._loop is not None and self._stop is not None:
            try:
                self._loop.call_soon_threadsafe(self._stop.set)
            except RuntimeError:
                logger.debug("the loop of a node's thread was closed already")

    def _part(self) -> Callable[[], None]:
        thread = self._thread
        if thread is None or not thread.is_alive():
            return _nothing
        try:
            goodbye = self.submit(self._goodbye())
        except NodeClosedError:
            return _nothing

        def end() -> None:
            concurrent.futures.wait((goodbye,), timeout=GOODBYE_SECONDS)
            self._stop_threadsafe()
            thread.join(GOODBYE_SECONDS)

        return end


def choose_home(kind: HomeKind = "auto") -> Home:
    """Pick where a node lives.

    Args:
        kind: "loop" is the running loop; "thread" is a thread of its own; "auto" is the running loop where it keeps
            running between calls (a kernel's main loop, a program's), else a thread: in a script or a plain REPL no
            loop runs, terminal IPython stops its loop at the prompt, a kernel's subshell ends with its widget.

    Raises:
        ConfigError: An unknown kind, or "loop" where none runs.
    """
    try:
        asyncio.get_running_loop()
        running = True
    except RuntimeError:
        running = False
    warn_about_old_nesting()
    match kind:
        case "loop" if not running:
            raise ConfigError('home="loop" needs a running loop: start the node with `await`, or use home="thread"')
        case "loop":
            return LoopHome()
        case "thread":
            return ThreadHome()
        case "auto":
            return LoopHome() if running and _loop_keeps_running() else ThreadHome()
        case _:
            raise ConfigError(f'home must be "auto", "loop" or "thread", not {kind!r}')


def _loop_keeps_running() -> bool:
    if sys.platform == "emscripten":
        return True  # a browser has this one loop and no threads
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None:
        return True
    is_kernel = getattr(shell, "kernel", None) is not None
    return is_kernel and threading.current_thread() is threading.main_thread()


def _run_to_end(loop: asyncio.AbstractEventLoop, goodbye: asyncio.Task[None]) -> None:
    """Run a loop until a goodbye, which takes a second at most, is said.

    A kernel that ends tells its loop to stop; where it had no time to hear that, it hears it here, in the middle.
    """
    while not goodbye.done():
        try:
            loop.run_until_complete(goodbye)
        except RuntimeError:
            if goodbye.done() or loop.is_closed():
                raise
            loop.stop()
            loop.run_forever()  # one turn, after which the loop is stopped no longer: a nested one would stay so


def _nothing() -> None:
    """There is nobody to say goodbye to."""


async def _turn() -> None:
    """Let the loop run what is ready."""
    await asyncio.sleep(0)
