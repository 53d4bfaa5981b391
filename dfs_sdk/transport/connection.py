"""The handle of a session that the floors above hold: asynchronous sending, and figures."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol

from dfs_sdk.crypto.identity import PublicIdentity
from dfs_sdk.errors import MessageTooLargeError, PeerUnreachableError
from dfs_sdk.ids import Address, NodeId
from dfs_sdk.runtime.memory import is_settled
from dfs_sdk.runtime.ports import Buffer
from dfs_sdk.transport.config import MESSAGE_BYTES_MAX
from dfs_sdk.transport.endpoint import Endpoint
from dfs_sdk.transport.outbox import NO_BODY, OutgoingMessage, SendState
from dfs_sdk.transport.priority import Priority
from dfs_sdk.transport.session import ConnectionStatistics, Session
from dfs_sdk.transport.trace import Samples

# Less is copied faster than it is kept track of.
LENT_BYTES_MIN = 64 * 1024


class Driver(Protocol):
    """Whoever moves queued messages on."""

    def flush(self) -> None:
        """See that they leave soon."""
        ...

    def watch(self, connection: Connection) -> None:
        """Call `wake_senders` of a connection after each turn, until nobody waits there."""
        ...


class SentMessage(OutgoingMessage):
    """A message that was handed to a connection."""

    __slots__ = ("_acked", "_connection", "_loop")

    def __init__(
        self,
        head: memoryview,
        body: memoryview,
        priority: Priority,
        *,
        connection: Connection,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(head, priority, body=body)
        self._connection = connection
        self._loop = loop
        self._acked: asyncio.Future[None] | None = None

    @property
    def acked(self) -> asyncio.Future[None]:
        """Done when the peer has all its bytes; fails with `PeerUnreachableError` if the connection ends before.

        Cancelled when the message is.
        """
        if self._acked is None:
            self._acked = self._loop.create_future()
            self.resolve()
        return self._acked

    def cancel(self) -> None:
        """Stop sending it where it is not delivered yet; calling it again or too late is harmless."""
        self._connection.cancel(self)
        self.resolve()

    def resolve(self) -> None:
        """Bring the future, if somebody asked for it, in line with the state."""
        future = self._acked
        if future is None or future.done():
            return
        if self.state is SendState.ACKED:
            future.set_result(None)
        elif self.state is SendState.CANCELLED:
            future.cancel()
        elif self.state is SendState.FAILED:
            future.set_exception(PeerUnreachableError("the connection ended before the message had arrived"))
            future.exception()  # marks it as seen: not everybody who asked for the future still looks at it


class Connection:
    """An authenticated connection with one peer; carries whole messages, each delivered once or not at all."""

    def __init__(self, session: Session, endpoint: Endpoint, driver: Driver) -> None:
        self._session = session
        self._endpoint = endpoint
        self._driver = driver
        self._loop = asyncio.get_running_loop()
        self._queue_bytes_max = endpoint.config.send_queue_bytes_max
        self._waiting: deque[asyncio.Future[None]] = deque()

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed"
        return f"Connection({self.node_id.short}… at {self.address}, {state}, rtt {self.rtt * 1000:.1f} ms)"

    @property
    def peer(self) -> PublicIdentity:
        """The keys of the peer, proven in the handshake."""
        return self._session.peer

    @property
    def node_id(self) -> NodeId:
        """The peer's name."""
        return self._session.node_id

    @property
    def address(self) -> Address:
        """Where the peer is reached at present."""
        return self._session.address

    @property
    def observed_address(self) -> Address | None:
        """How the peer sees us, None until it said so."""
        return self._session.observed_address

    @property
    def rtt(self) -> float:
        """Smoothed round-trip time in seconds."""
        return self._session.rtt

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self._session.is_open

    @property
    def statistics(self) -> ConnectionStatistics:
        """Figures of this moment."""
        return self._session.statistics

    @property
    def arrived_bytes(self) -> int:
        """Bytes of messages that the peer has acknowledged."""
        return self._session.sender.outbox.arrived_bytes

    @property
    def received_bytes(self) -> int:
        """Bytes of authentic packets that came."""
        return self._session.receiver.received_bytes

    @property
    def trace(self) -> Samples:
        """What it went through while data moved, oldest first."""
        return self._session.trace

    async def send(self, parts: Sequence[Buffer], *, priority: Priority) -> SentMessage:
        """Queue the concatenation of `parts` as one message; waits while too much is queued already.

        Args:
            parts: 1 byte … 4 MiB + 64 KiB in all. They may be changed when this returns.
            priority: Its place among the messages of this connection.

        Raises:
            MessageTooLargeError: It is longer than that.
            ConfigError: It is empty.
            PeerUnreachableError: The connection is closed.
        """
        while (sent := self.send_now(parts, priority=priority)) is None:
            await self._wait_for_room()
        return sent

    def send_now(self, parts: Sequence[Buffer], *, priority: Priority) -> SentMessage | None:
        """Queue the concatenation of `parts` as `send` does; None, and nothing is sent, while too much is queued.

        Raises:
            MessageTooLargeError: It is longer than a message may be.
            ConfigError: It is empty.
            PeerUnreachableError: The connection is closed.
        """
        total = sum(map(len, parts))
        if total > MESSAGE_BYTES_MAX:
            raise MessageTooLargeError(f"a message has at most {MESSAGE_BYTES_MAX} bytes, not {total}")
        if self._must_wait(priority):
            return None
        head, body = split(parts)
        message = SentMessage(head, body, priority, connection=self, loop=self._loop)
        self._endpoint.send(self._session, message)
        self._driver.flush()
        return message

    def cancel(self, message: OutgoingMessage) -> None:
        """Give a message up."""
        self._endpoint.cancel(self._session, message)
        self._driver.flush()

    def close(self, reason: str) -> None:
        """Say goodbye and end the session; harmless when it is closed."""
        if self._session.is_open:
            self._endpoint.close_session(self._session, reason)
            self._driver.flush()

    def wake_senders(self) -> bool:
        """Let the next waiting sender look again when there is room, all of them when the connection is closed.

        Returns:
            Whether some still wait.
        """
        while self._waiting and (not self.is_open or self._has_room()):
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                if self.is_open:
                    break
        return bool(self._waiting)

    def fail(self, messages: Iterable[OutgoingMessage], _reason: str) -> None:
        """Resolve what never arrived, because the session ended."""
        for message in messages:
            self.settle(message)
        self.wake_senders()

    @staticmethod
    def settle(message: OutgoingMessage) -> None:
        """Resolve the future of a message that is over."""
        if isinstance(message, SentMessage):
            message.resolve()

    def _must_wait(self, priority: Priority) -> bool:
        # Calls may fill the queue twice as far, so that they never wait behind bulk.
        factor = 1 if priority >= Priority.TRANSFER else 2
        return self.is_open and self._session.sender.outbox.unsent_bytes >= factor * self._queue_bytes_max

    def _has_room(self) -> bool:
        return self._session.sender.outbox.unsent_bytes < self._queue_bytes_max

    async def _wait_for_room(self) -> None:
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(waiter)
        self._driver.watch(self)
        try:
            await waiter
        finally:
            if waiter.cancelled() and waiter in self._waiting:
                self._waiting.remove(waiter)


def split(parts: Sequence[Buffer]) -> tuple[memoryview, memoryview]:
    """Make a message of parts: all but a large last one joined, that one left where it is.

    What is left there must never change, or it would change on the wire when it is sent again. Where that is not
    certain, as of memory that its owner goes on writing to, it is copied here.
    """
    body = memoryview(parts[-1]).cast("B") if parts else NO_BODY
    if len(body) < LENT_BYTES_MIN or not is_settled(body):
        return memoryview(b"".join(parts)), NO_BODY
    return memoryview(b"".join(parts[:-1])), body
