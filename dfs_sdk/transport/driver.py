"""The async shell around the endpoint: one socket, one timer, one `_transmit`.

It reads the clock once a wake-up, gives control back to the loop after 1 ms of packet work, and turns notices into
handler calls and futures. Whatever is decided is decided below.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import assert_never

from dfs_sdk.crypto.identity import Identity
from dfs_sdk.errors import DeadlineError, NodeClosedError, PeerUnreachableError
from dfs_sdk.ids import Address, NodeId
from dfs_sdk.runtime.ports import Runtime, UdpSocket
from dfs_sdk.transport.asides import Whisper
from dfs_sdk.transport.config import TransportConfig
from dfs_sdk.transport.connection import Connection
from dfs_sdk.transport.contact import Contact
from dfs_sdk.transport.dial_terms import check_dialable, done_within
from dfs_sdk.transport.endpoint import Endpoint
from dfs_sdk.transport.handshake import Network
from dfs_sdk.transport.identify import Identified
from dfs_sdk.transport.notices import (
    AsideArrived,
    MessageArrived,
    MessageSettled,
    Notice,
    PeerIdentified,
    SessionClosed,
    SessionMute,
    SessionOpened,
)
from dfs_sdk.transport.session import Session

__all__ = ["Connection", "Transport"]

logger = logging.getLogger(__name__)

ANY_ADDRESS = Address("0.0.0.0", 0)  # noqa: S104 - a peer listens on every interface unless told otherwise
WORK_SECONDS_MAX = 0.001
# Of a thousand messages queued in one turn of the loop the first shall not wait for the last.
QUEUED_MESSAGES_MAX = 64
ADDRESS_STAGGER = 0.25  # RFC 8305 section 5, connection attempt delay
IDENTIFY_INTERVAL = 0.5
# Longer than most bursts of loss, and a few times within the time that closing may take.
FAREWELL_INTERVAL = 0.05
# A timer that rounding lets fire a hair early would do nothing and be set again.
TIMER_MARGIN = 1e-6


def _ignore(*_arguments: object) -> None:
    """Do nothing: the handler until somebody sets one."""


class Transport:
    """Sealed messages over one UDP socket.

    Attributes:
        on_connection: Called with each connection that opened.
        on_closed: Called with each that ended, and the reason in words.
        on_message: Called with the connection and a whole message, which is the handler's own.
        on_mute: Called now and then with a connection whose peer acknowledges nothing: it may have been restarted.

        on_aside: Called with a peer and what it said beside its packets, which may be anything.

    All five are called on the loop `start` ran on, must be quick, and are set before `start`.
    """

    def __init__(
        self,
        *,
        runtime: Runtime,
        identity: Identity,
        network: Network,
        config: TransportConfig | None = None,
        bind: Address = ANY_ADDRESS,
    ) -> None:
        self.on_connection: Callable[[Connection], None] = _ignore
        self.on_closed: Callable[[Connection, str], None] = _ignore
        self.on_message: Callable[[Connection, memoryview], None] = _ignore
        self.on_mute: Callable[[Connection], None] = _ignore
        self.on_aside: Callable[[NodeId, bytes], None] = _ignore
        self._runtime = runtime
        self._clock = runtime.clock
        self._config = config or TransportConfig()
        self._bind = bind
        self.endpoint = Endpoint(
            identity=identity,
            network=network,
            config=self._config,
            rng=runtime.rng.child("transport"),
            entropy=runtime.entropy,
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._socket: UdpSocket | None = None
        self._connections: dict[Session, Connection] = {}
        self._dial_waiters: dict[NodeId, list[asyncio.Future[Connection]]] = {}
        self._identify_waiters: dict[bytes, asyncio.Future[Identified]] = {}
        self._parked: tuple[bytes, int, Address] | None = None
        self._scheduled = False
        self._queued_messages = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._watched: dict[Connection, None] = {}
        self._drained = asyncio.Event()
        self._finished = False
        self._closed = False

    @property
    def local_address(self) -> Address:
        """The address the socket is bound to; once closed, the one it was bound to.

        Raises:
            NodeClosedError: It was never started.
        """
        if self._socket is None:
            raise NodeClosedError("the transport is not running")
        return self._socket.local_address

    @property
    def connections(self) -> tuple[Connection, ...]:
        """The open connections, in the order in which they were opened."""
        return tuple(connection for connection in self._connections.values() if connection.is_open)

    @property
    def statistics(self) -> Counter[str]:
        """How often what was dropped or refused."""
        return self.endpoint.counters.copy()

    def connection(self, node_id: NodeId) -> Connection | None:
        """Return the open connection to a peer."""
        session = self.endpoint.session(node_id)
        return self._connections.get(session) if session is not None else None

    async def start(self) -> None:
        """Bind the socket.

        Raises:
            OSError: The address is taken or not ours.
            NodeClosedError: It was started before.
        """
        if self._loop is not None:
            raise NodeClosedError("a transport starts once")
        self._loop = asyncio.get_running_loop()
        self._socket = await self._runtime.udp.bind(
            self._bind,
            on_datagrams=self._on_datagrams,
            on_writable=self._on_writable,
            is_foreign=self.endpoint.is_foreign,
        )

    async def close(self) -> None:
        """Tell the peers and release the socket.

        Takes a round trip, or where somebody does not confirm that it was told, the configured drain time.
        """
        if self._socket is None or self._closed:
            self._closed = True
            return
        self._closed = True
        self.endpoint.close()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._config.close_drain):
                    await self._say_farewell()
        finally:
            self._release(self._socket)
        await self._socket.closed()

    async def _say_farewell(self) -> None:
        """Send what waits, and tell the peers that we leave until all have confirmed it."""
        self._drained.clear()
        self._transmit()
        while True:
            try:
                async with asyncio.timeout(FAREWELL_INTERVAL):
                    await self._drained.wait()
                return
            except TimeoutError:
                self.endpoint.repeat_farewells(self._clock.monotonic())
                self._transmit()

    def abort(self) -> None:
        """Vanish like a killed process: the socket is released and nobody is told."""
        self._closed = True
        if self._socket is not None and not self._finished:
            self.wipe()
            self._release(self._socket)

    def _release(self, socket: UdpSocket) -> None:
        self._finished = True
        if self._timer is not None:
            self._timer.cancel()
        socket.close()
        self._fail_waiters()

    def set_network(self, network: Network) -> None:
        """Belong to another network.

        Raises:
            NodeClosedError: There are connections.
        """
        self.endpoint.set_network(network)

    def wipe(self) -> None:
        """Forget all keys, because this is a forked child or the node is to vanish; only `close` works afterwards."""
        self.endpoint.wipe()
        self._parked = None

    async def connect(self, contact: Contact, *, timeout: float, anew: bool = False) -> Connection:
        """Open a connection to a peer, or return the open one.

        Its addresses are tried 0.25 s apart, and go on being tried together.

        Args:
            contact: The peer.
            timeout: Seconds.
            anew: Dial though a connection is open, because that one is mute. It goes on where the peer still knows it,
                and is replaced where the peer was restarted.

        Raises:
            PeerUnreachableError: It has no address, or none answered for the handshake's whole time.
            DeadlineError: None answered within `timeout`.
            ConfigError: The contact is our own.
            NodeClosedError: The transport is not running.
        """
        loop, _ = self._running()
        known = self.connection(contact.node_id)
        if known is not None and not anew:
            return known
        check_dialable(contact, self.endpoint.identity.node_id)
        waiter: asyncio.Future[Connection] = loop.create_future()
        waiters = self._dial_waiters.setdefault(contact.node_id, [])
        waiters.append(waiter)
        limit = min(timeout, self._config.handshake_timeout)
        try:
            async with asyncio.timeout(limit):
                return await self._try_addresses(contact, waiter)
        except TimeoutError:
            text = f"none of the addresses of peer {contact.node_id.short} answered within {limit:g} s"
            raise (DeadlineError(text) if limit == timeout else PeerUnreachableError(text)) from None
        finally:
            waiters.remove(waiter)
            if not waiters and self._dial_waiters.pop(contact.node_id, None) is not None:
                self.endpoint.abandon(contact.node_id)

    async def identify(self, address: Address, *, timeout: float) -> Identified:
        """Ask who listens at an address; nothing in the answer is proven.

        Raises:
            DeadlineError: No answer within `timeout`.
            NodeClosedError: The transport is not running.
        """
        loop, _ = self._running()
        waiter: asyncio.Future[Identified] = loop.create_future()
        token = self.endpoint.identify(address)
        self._identify_waiters[token] = waiter
        try:
            async with asyncio.timeout(timeout):
                while True:
                    self._schedule()
                    if await done_within(waiter, IDENTIFY_INTERVAL):
                        return waiter.result()
                    self.endpoint.identify(address, token)
        except TimeoutError:
            raise DeadlineError(f"nobody answered at {address} within {timeout:g} s") from None
        finally:
            del self._identify_waiters[token]
            self.endpoint.forget_question(token)

    def whispers(self, count: int) -> tuple[Whisper, ...]:
        """List ways to say something aside to at most `count` connected peers, the latest connections first.

        They may be used on another thread, by one at a time, also after their connection has ended: then in vain.
        """
        _, socket = self._running()
        latest = islice(reversed(self._connections), count)
        return tuple(partial(_whisper, socket, session) for session in latest)

    def flush(self) -> None:
        """See that what was queued leaves soon, and at once when it is much; connections call this."""
        self._schedule()
        self._queued_messages += 1
        if self._queued_messages >= QUEUED_MESSAGES_MAX and not self._finished:
            self._emit(self._clock.monotonic())

    def watch(self, connection: Connection) -> None:
        """Wake the senders that wait at a connection when there is room; connections call this."""
        self._watched[connection] = None

    async def _try_addresses(self, contact: Contact, waiter: asyncio.Future[Connection]) -> Connection:
        for address in contact.addresses:
            self.endpoint.connect(contact, address, self._clock.monotonic())
            self._schedule()
            if await done_within(waiter, ADDRESS_STAGGER):
                break
        return await waiter

    def _on_datagrams(self, burst: memoryview, segment_bytes: int, source: Address) -> None:
        self.endpoint.receive_datagrams(burst, segment_bytes, source, self._clock.monotonic())
        # At once: what waits for the next turn of the loop waits behind everybody else's work in this one.
        self._tell()
        self._schedule()

    def _on_writable(self) -> None:
        self._schedule()

    def _on_timer(self) -> None:
        self._timer = None
        self.endpoint.handle_timer(self._clock.monotonic())
        # Not at once: one turn of the loop has one spell of packet work, whatever woke us.
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled and self._loop is not None:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        if not self._finished:
            self._transmit()

    def _transmit(self) -> None:
        """Tell what happened, send what may leave, and see to what follows from both."""
        self._tell()
        now = self._clock.monotonic()
        self._emit(now)
        self._tell()
        for connection in tuple(self._watched):
            if not connection.wake_senders():
                del self._watched[connection]
        self._arm(now)
        if self._closed and self._parked is None and not self._scheduled and not self.endpoint.owes_farewells(now):
            self._drained.set()

    def _emit(self, now: float) -> None:
        """Send what may leave, for at most 1 ms and a burst."""
        self._queued_messages = 0
        if not self._send_parked():
            return
        for burst in self.endpoint.datagrams_to_send(now):
            if not self._send(burst.buffer, burst.segment_bytes, burst.destination):
                self._parked = (bytes(burst.buffer), burst.segment_bytes, burst.destination)
                break
            if self._clock.monotonic() - now > WORK_SECONDS_MAX:
                self._schedule()
                break

    def _send(self, data: memoryview | bytes, segment_bytes: int, destination: Address) -> bool:
        return self._socket is None or self._socket.send(data, segment_bytes, destination)

    def _send_parked(self) -> bool:
        if self._parked is not None and self._send(*self._parked):
            self._parked = None
        return self._parked is None

    def _arm(self, now: float) -> None:
        deadline = self.endpoint.next_deadline()
        if deadline is None or self._closed or self._loop is None:
            return
        if self._timer is not None:
            if self._timer_at <= deadline:
                return
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = self._loop.call_later(max(deadline - now, 0.0) + TIMER_MARGIN, self._on_timer)

    def _tell(self) -> None:
        while (notice := self.endpoint.next_event()) is not None:
            try:
                self._handle(notice)
            except Exception:
                logger.exception("a handler of %s failed", type(notice).__name__)

    def _handle(self, notice: Notice) -> None:
        match notice:
            case MessageArrived(session=session, data=data):
                self.on_message(self._connections[session], data)
            case MessageSettled(message=message):
                Connection.settle(message)
            case SessionOpened(session=session):
                self._on_opened(session)
            case SessionClosed():
                self._on_session_closed(notice)
            case SessionMute(session=session):
                if session in self._connections:
                    self.on_mute(self._connections[session])
            case AsideArrived(session=session, content=content):
                self.on_aside(session.node_id, content)
            case PeerIdentified(token=token, identified=identified):
                waiter = self._identify_waiters.get(token)
                if waiter is not None and not waiter.done():
                    waiter.set_result(identified)
            case _:
                assert_never(notice)

    def _on_opened(self, session: Session) -> None:
        connection = Connection(session, self.endpoint, self)
        self._connections[session] = connection
        for waiter in self._dial_waiters.get(session.node_id, ()):
            if not waiter.done():
                waiter.set_result(connection)
        self.on_connection(connection)

    def _on_session_closed(self, notice: SessionClosed) -> None:
        connection = self._connections.pop(notice.session)
        connection.fail(notice.unsettled, notice.reason)
        self.on_closed(connection, notice.reason)

    def _fail_waiters(self) -> None:
        for waiters in self._dial_waiters.values():
            for waiter in waiters:
                _fail(waiter)
        for identify_waiter in self._identify_waiters.values():
            _fail(identify_waiter)

    def _running(self) -> tuple[asyncio.AbstractEventLoop, UdpSocket]:
        if self._loop is None or self._socket is None or self._closed:
            raise NodeClosedError("the transport is not running")
        return self._loop, self._socket


def _whisper(socket: UdpSocket, session: Session, content: bytes) -> None:
    socket.throw(session.asides.seal(content), session.address)


def _fail(waiter: asyncio.Future[Connection] | asyncio.Future[Identified]) -> None:
    if not waiter.done():
        waiter.set_exception(NodeClosedError("the transport was closed"))
