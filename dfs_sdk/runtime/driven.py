"""A home whose thread does not wait for the system's events but drives a world of its own: virtual time.

The thread works in turns and sleeps while nobody wants anything. A call from outside is *held* until it has ended: as
long as any is, the world's time goes on. Between calls it stands still, so what a notebook looks at does not change
while somebody reads it.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from dfs_sdk.errors import NodeClosedError, SyncCallError
from dfs_sdk.runtime.calls import Call, called
from dfs_sdk.runtime.daemon import DaemonHome
from dfs_sdk.runtime.home import GOODBYE_SECONDS, Home

logger = logging.getLogger(__name__)

T = TypeVar("T")

TURN_SECONDS = 0.05
"""Real seconds of one turn; between two of them the thread looks whether it is to end."""


class Driver(Protocol):
    """What gives the loops of a world their turns. `turn` and `end` are called on the home's thread, `stop` on any."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop of the home itself."""
        ...

    def turn(self, seconds: float, *, wanted: bool) -> bool:
        """Let things happen for at most so many real seconds.

        Args:
            seconds: Real seconds.
            wanted: Whether time may go on; otherwise only what is ready now is done.

        Returns:
            Whether there is more to do at once.
        """
        ...

    def stop(self) -> None:
        """Let `turn` come back soon."""
        ...

    def end(self) -> None:
        """End the world: no turn comes after."""
        ...


class DrivenHome(DaemonHome):
    """A daemon thread that drives a world while calls from outside are under way.

    Args:
        driver: The world.
        name: The thread's.
    """

    def __init__(self, driver: Driver, *, name: str = "dfs-world") -> None:
        super().__init__(name)
        self._driver = driver
        self._loop: asyncio.AbstractEventLoop = driver.loop
        self._wakened = threading.Event()
        self._held: dict[Call[Any], None] = {}
        self._failure: BaseException | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The world's own loop; asking for it starts the thread."""
        self.start()
        return self._loop

    @property
    def is_wanted(self) -> bool:
        """Whether somebody outside waits for something of the world."""
        return bool(self._held)

    def start(self) -> None:
        """Start the thread; calling it again is harmless.

        Raises:
            NodeClosedError: The home was closed, or its world failed.
        """
        self._check_process()
        with self._guard:
            if self._failure is not None:
                raise NodeClosedError(f"the simulated world failed: {self._failure}") from self._failure
            if self._stopping:
                raise NodeClosedError("the simulated world has ended: start a new one")
            self._launch()

    def wake(self) -> None:
        """Tell the thread that there may be something to do; from any thread."""
        self._wakened.set()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Call[T]:
        """See `Home.submit`; time goes on until the call has ended."""
        return self.hold(super().submit(coroutine))

    def hold(self, call: Call[T]) -> Call[T]:
        """Let time go on until a call from outside has ended; one of the world itself is part of another's.

        Returns:
            The call.
        """
        if not self.on_thread:
            with self._guard:
                self._held[call] = None
            call.add_done_callback(self._let_go)
            self.wake()
        return call

    def look(self, function: Callable[[], T], timeout: float | None = None) -> T:
        """See `Home.look`; no virtual time passes."""
        if self.on_thread:
            return function()
        return self._wait(super().submit(called(function)), timeout, None)

    def block(self, coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """See `Home.block`; a caller inside the world is refused."""
        if self.on_thread:
            coroutine.close()
            raise SyncCallError("this runs inside the simulated world: write `await` instead of `.sync`")
        return self._wait(self.submit(coroutine), timeout, None)

    async def close(self) -> None:
        """End all calls, the world and the thread; from inside the world, after the calling task."""
        with self._guard:
            self._stopping = True
            started = self._thread is not None
        self._disarm_exit()
        if not started:
            self._driver.end()
        elif self.on_thread:
            await self._scope.close()
            self._driver.stop()
        else:
            self.wake()
            self._driver.stop()
            await self._ended()

    def _main(self) -> None:
        try:
            while not self._stopping:
                self._wakened.clear()
                if not self._driver.turn(TURN_SECONDS, wanted=self.is_wanted) and not self._stopping:
                    self._wakened.wait()
            self._driver.turn(TURN_SECONDS, wanted=False)  # what has just ended is still to be told
        except BaseException as error:
            logger.exception("a simulated world failed")
            self._failure = error
        finally:
            self._give_up()
            self._stopped.set_result(None)

    def _give_up(self) -> None:
        """End the world, and whoever still waits for something of it."""
        try:
            self._driver.end()
        except Exception:
            logger.exception("a simulated world did not end in order")
        with self._guard:
            held = list(self._held)
        error = self._failure or NodeClosedError("the simulated world has ended")
        for call in held:
            if not call.done():
                call.set_exception(error)

    def _let_go(self, call: concurrent.futures.Future[Any]) -> None:
        with self._guard:
            self._held.pop(call, None)  # type: ignore[call-overload] # the callback's type says any future
            if not self._held:
                self._driver.stop()

    def _part(self) -> Callable[[], None]:
        self._stopping = True
        self.wake()
        self._driver.stop()

        def end() -> None:
            if self._thread is not None:
                self._thread.join(GOODBYE_SECONDS)

        return end


class GuestHome(Home):
    """A loop of a driven world: that of one of its hosts.

    Args:
        world: The home that drives it.
        loop: The loop.
    """

    def __init__(self, world: DrivenHome, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._world = world
        self._loop: asyncio.AbstractEventLoop = loop
        self._calls: dict[Call[Any], None] = {}

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The host's loop."""
        if self._loop.is_closed():
            raise NodeClosedError("the host of this node crashed: ask the swarm for the node of its next life")
        return self._loop

    @property
    def thread_id(self) -> int:
        """The thread of the world."""
        return self._world.thread_id

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Call[T]:
        """See `Home.submit`; from outside, time goes on until the call has ended."""
        call = super().submit(coroutine)
        self._calls[call] = None
        call.add_done_callback(self._forget)
        return self._world.hold(call)

    def look(self, function: Callable[[], T], timeout: float | None = None) -> T:
        """See `Home.look`; no virtual time passes, and a host that is blocked or asleep is looked at all the same."""
        return self._world.look(function, timeout)

    def block(self, coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """See `Home.block`; a caller inside the world is refused."""
        if self.on_thread:
            coroutine.close()
            raise SyncCallError("this runs inside the simulated world: write `await` instead of `.sync`")
        return self._wait(self.submit(coroutine), timeout, None)

    async def close(self) -> None:
        """End all submitted calls."""
        if self._loop.is_closed():
            self.abandon()
        elif self.is_here:
            await self._scope.close()
        elif not self._scope.closed:
            await self.run(self.close())

    def abandon(self) -> None:
        """End the calls of a host that crashed: nothing will run them."""
        for call in tuple(self._calls):
            call.cancel()

    def _forget(self, call: concurrent.futures.Future[Any]) -> None:
        self._calls.pop(call, None)  # type: ignore[call-overload] # the callback's type says any future

    def _part(self) -> Callable[[], None]:
        return _nothing


def _nothing() -> None:
    """A guest says no goodbye of its own."""
