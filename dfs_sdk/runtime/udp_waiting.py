"""How a socket waits for datagrams and for room: the two kinds of event loops there are.

asyncio's own datagram transports are not used, since some of those in circulation lose their way: that of Proactor
loops reads no more after a reset and never sends again after an error met a full queue, and both kinds of CPython 3.13
miscount their queue until they take it to be full for good.

Source: https://github.com/python/cpython/issues/91227, 127057, 135444 and 156698.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Protocol

from dfs_sdk.runtime.tasks import TaskScope, settle
from dfs_sdk.runtime.udp_addressing import SocketAddress

RECEIVE_BYTES = 65_535  # more than any datagram holds
# A queue of 4 MiB that is full has room again after some milliseconds of any network.
ROOM_RETRY_SECONDS = 0.001
# Windows reports each refused datagram by one error of a read; one that stays must not keep the loop busy.
ERRORS_AT_ONCE = 64
ERROR_PAUSE_SECONDS = 0.05


class Waiting(Protocol):
    """Waits on behalf of one socket, and closes it."""

    def await_room(self) -> None:
        """Call back, again and again, when there may be room to send, until `room_found`."""
        ...

    def room_found(self) -> None:
        """End what `await_room` began."""
        ...

    def close(self) -> None:
        """Close the socket; no callback comes afterwards."""
        ...

    async def closed(self) -> None:
        """Wait until the closed socket's address is free."""
        ...


class WatchedSocket:
    """A socket watched by the loop's selector.

    Args:
        sock: Bound and non-blocking.
        on_readable: Called as long as something waits to be read.
        on_room: See `Waiting.await_room`.

    Raises:
        NotImplementedError: The running loop has no selector.
    """

    def __init__(self, sock: socket.socket, *, on_readable: Callable[[], None], on_room: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = sock
        self._on_room = on_room
        self._loop.add_reader(sock.fileno(), on_readable)

    def await_room(self) -> None:
        """See `Waiting.await_room`."""
        self._loop.add_writer(self._socket.fileno(), self._on_room)

    def room_found(self) -> None:
        """See `Waiting.room_found`."""
        self._loop.remove_writer(self._socket.fileno())

    def close(self) -> None:
        """See `Waiting.close`."""
        if not self._loop.is_closed():
            self._loop.remove_reader(self._socket.fileno())
            self._loop.remove_writer(self._socket.fileno())
        self._socket.close()

    async def closed(self) -> None:
        """See `Waiting.closed`: `close` frees the address at once."""


class AwaitedSocket:
    """A socket on a loop without a selector, as Windows has them: each wait for a datagram is a call of the loop.

    Args:
        sock: Bound and non-blocking.
        on_arrived: Called with a datagram that was waited for; more may be there.
        on_error: Called with what a wait ended in; reading goes on.
        on_room: See `Waiting.await_room`.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        on_arrived: Callable[[bytes, SocketAddress], None],
        on_error: Callable[[OSError], None],
        on_room: Callable[[], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = sock
        self._on_arrived = on_arrived
        self._on_error = on_error
        self._on_room = on_room
        self._timer: asyncio.TimerHandle | None = None
        self._task = TaskScope("dfs-udp", on_error=_ignore).spawn("receive", self._receive())

    def await_room(self) -> None:
        """See `Waiting.await_room`; such a loop cannot say when."""
        self._timer = self._loop.call_later(ROOM_RETRY_SECONDS, self._look_for_room)

    def room_found(self) -> None:
        """See `Waiting.room_found`."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        """See `Waiting.close`."""
        self.room_found()
        if self._task.done() or self._loop.is_closed():
            self._socket.close()
        else:
            # What is waited for holds the descriptor until the loop has heard of its end.
            self._task.add_done_callback(lambda _task: self._socket.close())
            self._task.cancel()

    async def closed(self) -> None:
        """See `Waiting.closed`."""
        await settle(self._task)

    def _look_for_room(self) -> None:
        self.await_room()
        self._on_room()

    async def _receive(self) -> None:
        errors_in_a_row = 0
        while True:
            try:
                data, source = await self._loop.sock_recvfrom(self._socket, RECEIVE_BYTES)
            except OSError as error:
                errors_in_a_row += 1
                self._on_error(error)
            else:
                errors_in_a_row = 0
                if data:  # an empty datagram carries no packet
                    self._on_arrived(data, source)
            # What is there already comes without a wait: the loop must have its turn all the same.
            pauses = errors_in_a_row and errors_in_a_row % ERRORS_AT_ONCE == 0
            await asyncio.sleep(ERROR_PAUSE_SECONDS if pauses else 0)


def _ignore(_name: str, _error: BaseException) -> None:
    """The task raises nothing: what handlers raise is counted where they are called."""
