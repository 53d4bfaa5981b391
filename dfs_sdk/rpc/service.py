"""Calls to peers: connects on demand, matches answers to calls, hands the calls of others to handlers.

There is one session for each connection and, in `_current`, one for each peer: its newest. Nothing here is ever sent
twice: whether a call that failed may be repeated is known only to the floor that made it.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Callable
from itertools import islice
from typing import Any, TypeVar

from dfs_sdk.crypto.identity import Identity
from dfs_sdk.errors import DeadlineError, DfsError, NodeClosedError, PeerUnreachableError, ProtocolError
from dfs_sdk.ids import Address, NodeId
from dfs_sdk.rpc.addressbook import AddressBook
from dfs_sdk.rpc.addresses import may_dial, scope_of
from dfs_sdk.rpc.base import CALL_TIMEOUT, HANDLER_CONCURRENCY, Answer, Handler, PlainHandler
from dfs_sdk.rpc.config import RpcConfig
from dfs_sdk.rpc.ports import ConnectionPort, IdentifiedPort, TransportPort
from dfs_sdk.rpc.router import Router
from dfs_sdk.rpc.session import Session
from dfs_sdk.rpc.unacked import ReplyBudget, ReplyWatch
from dfs_sdk.runtime.handlers import notify
from dfs_sdk.runtime.ports import Buffer, Runtime
from dfs_sdk.runtime.tasks import TaskScope, within
from dfs_sdk.transport.contact import ADDRESSES_MAX, Contact
from dfs_sdk.transport.priority import Priority
from dfs_sdk.wire.codec import Request

logger = logging.getLogger(__name__)

ReplyT = TypeVar("ReplyT")
RequestT = TypeVar("RequestT", bound=Request[Any])

OBSERVED_MAX = 4
# How long a mute peer is dialled at a time: long enough for four HELLOs.
REVIVE_TIMEOUT = 3.0
# An interface may come and go: a laptop moves.
HOSTS_LIFETIME = 10.0
LOCAL_LIFETIME = 2.0
# The latest connections say where we are seen now; asking all of a thousand costs more than it tells.
WITNESSES_MAX = 64
# From so many peers on, one of them alone is not believed about our own address.
WITNESSES_FROM = 3
# How often it is looked who takes the replies that are held for it, while memory for them is scarce.
REPLY_WATCH_INTERVAL = 5.0


class Rpc:
    """The `RpcService` over a transport.

    Args:
        runtime: Ports.
        transport: Not started yet: its handlers are set here.
        identity: Our keys, the ones the transport uses.
        scope: The parent of every task made here; its owner closes it after the transport.
        config: Limits.
    """

    def __init__(
        self,
        *,
        runtime: Runtime,
        transport: TransportPort,
        identity: Identity,
        scope: TaskScope,
        config: RpcConfig | None = None,
    ) -> None:
        self._clock = runtime.clock
        self._machine = runtime.machine
        self._transport = transport
        self._identity = identity
        self._scope = scope
        self._config = config or RpcConfig()
        self._router = Router(scope=scope, config=self._config)
        self._replies = ReplyBudget(self._config.total_reply_bytes_max)
        self._replies.on_freed = self._router.resume
        self._replies.on_scarce = self._on_scarce
        self._watching = False
        self._sessions: dict[ConnectionPort, Session] = {}
        self._current: dict[NodeId, Session] = {}
        self._dials: dict[NodeId, asyncio.Task[DfsError | None]] = {}
        self._reviving: set[NodeId] = set()
        self._connected_handlers: list[Callable[[NodeId], None]] = []
        self._disconnected_handlers: list[Callable[[NodeId, str], None]] = []
        self._closed_handlers: list[Callable[[ConnectionPort], None]] = []
        self._hosts: tuple[str, ...] = ()
        self._hosts_until = -math.inf
        self._local: tuple[Address, ...] = ()
        self._local_until = -math.inf
        self.book = AddressBook(identity.node_id, own_addresses=self._own_addresses, own_hosts=self._own_hosts)
        transport.on_connection = self._on_connection
        transport.on_closed = self._on_closed
        transport.on_message = self._on_message
        transport.on_mute = self._on_mute

    @property
    def node_id(self) -> NodeId:
        """The name of this node."""
        return self._identity.node_id

    @property
    def identity(self) -> Identity:
        """The keys of this node."""
        return self._identity

    def local_addresses(self) -> tuple[Address, ...]:
        """List where others can reach us: as configured, as peers see us, as bound; most promising first.

        Computed anew after one of the first connections came or went, and every few seconds, since a peer may come to
        see us elsewhere.
        """
        now = self._clock.monotonic()
        if now >= self._local_until:
            self._local, self._local_until = self._find_local_addresses(), now + LOCAL_LIFETIME
        return self._local

    def _find_local_addresses(self) -> tuple[Address, ...]:
        votes: Counter[Address] = Counter()
        for session in islice(reversed(self._current.values()), WITNESSES_MAX):
            seen, peer = session.connection.observed_address, session.connection.address
            if seen is not None and may_dial(seen, source=peer):
                votes[seen] += 1
        needed = 2 if len(self._current) >= WITNESSES_FROM else 1
        # Ties go by the address itself, so that the order does not depend on who connected first.
        ranked = sorted(votes.items(), key=lambda item: (-item[1], item[0]))
        observed = [address for address, count in ranked if count >= needed][:OBSERVED_MAX]
        own = self._own_addresses()
        every = dict.fromkeys((*self._config.advertised, *observed, *own))
        return tuple(every)[:ADDRESSES_MAX]

    def local_contact(self) -> Contact:
        """Describe ourselves: our keys and `local_addresses`."""
        public = self._identity.public
        return Contact(ed=public.ed, x=public.x, addresses=self.local_addresses())

    def serve(
        self,
        request_type: type[RequestT],
        handler: Handler[RequestT],
        *,
        concurrency_max: int = HANDLER_CONCURRENCY,
        bulk: bool = False,
    ) -> None:
        """Answer calls of one kind: see `RpcService.serve`.

        Raises:
            ValueError: The tag is served already.
        """
        self._router.serve(request_type, handler, concurrency_max=concurrency_max, bulk=bulk)

    def serve_at_once(self, request_type: type[RequestT], handler: PlainHandler[RequestT]) -> None:
        """Answer calls of one kind without a task: see `RpcService.serve_at_once`.

        Raises:
            ValueError: The tag is served already.
        """
        self._router.serve_at_once(request_type, handler)

    def refuse_calls(self) -> None:
        """Answer every further call with LEAVING; those under way go on."""
        self._router.refuse_all()

    async def call(
        self,
        peer: NodeId,
        request: Request[ReplyT],
        *,
        body: Buffer = b"",
        timeout: float = CALL_TIMEOUT,
        priority: Priority = Priority.INTERACTIVE,
    ) -> Answer[ReplyT]:
        """Ask a peer and wait for its answer: see `RpcService.call`.

        After a `PeerUnreachableError` without a connection the request was not sent; after a `DeadlineError` it may
        have been carried out.

        Raises:
            PeerUnreachableError: No address is known or answers, or the connection was lost meanwhile.
            DeadlineError: No answer in time.
            RemoteError: The peer refused.
            ProtocolError: The answer is malformed.
            MessageTooLargeError: The body is over the limit.
            NodeClosedError: This node is closed.
        """
        if self._scope.closed:
            raise NodeClosedError("this node is closed: it calls nobody")
        started = self._clock.monotonic()
        session = self._current.get(peer)
        if session is None:
            text = f"peer {peer.short} could not be reached within {timeout:.3g} s"
            session = await within(timeout, self._reach(peer), otherwise=lambda: PeerUnreachableError(text))
        rest = max(timeout - (self._clock.monotonic() - started), 0.001)
        try:
            reply, answer_body = await session.call(request, body=body, timeout=rest, priority=priority)
        except TimeoutError:
            what = type(request).__name__
            raise DeadlineError(f"peer {peer.short} did not answer {what} within {timeout:.3g} s") from None
        return Answer(reply=reply, body=answer_body, elapsed=self._clock.monotonic() - started)

    async def dial(self, address: Address, *, timeout: float = CALL_TIMEOUT) -> IdentifiedPort:
        """Ask who listens at an address the user gave, and remember it; nothing of it is authenticated.

        Raises:
            DeadlineError: No answer.
        """
        found = await self._transport.identify(address, timeout=timeout)
        contact = found.contact
        self.book.learn(Contact(ed=contact.ed, x=contact.x, addresses=(address,)), None)
        return found

    async def connect(self, contact: Contact, *, timeout: float = CALL_TIMEOUT) -> None:
        """Remember a contact that our own user or disk gave and connect to it.

        Raises:
            PeerUnreachableError: None of its usable addresses answers.
            DeadlineError: Not within `timeout`.
        """
        self.book.learn(contact, None)
        if contact.node_id in self._current:
            return
        text = f"peer {contact.node_id.short} did not answer within {timeout:.3g} s"
        await within(timeout, self._reach(contact.node_id), otherwise=lambda: DeadlineError(text))

    def connected(self) -> list[NodeId]:
        """List the peers with an open connection, oldest first."""
        return list(self._current)

    def rtt(self, peer: NodeId) -> float | None:
        """Give the smoothed round-trip time to a connected peer in seconds."""
        session = self._current.get(peer)
        return session.connection.rtt if session is not None else None

    def received_bytes(self, peer: NodeId) -> int:
        """Count the bytes that came over the connection to a peer; 0 without one."""
        session = self._current.get(peer)
        return session.connection.received_bytes if session is not None else 0

    def address(self, peer: NodeId) -> Address | None:
        """Give the address a connected peer is reached at."""
        session = self._current.get(peer)
        return session.connection.address if session is not None else None

    def connection(self, peer: NodeId) -> ConnectionPort | None:
        """Give the connection to a peer, for its statistics."""
        session = self._current.get(peer)
        return session.connection if session is not None else None

    def on_connected(self, handler: Callable[[NodeId], None]) -> None:
        """Call `handler` for each peer that becomes connected."""
        self._connected_handlers.append(handler)

    def on_disconnected(self, handler: Callable[[NodeId, str], None]) -> None:
        """Call `handler` with peer and reason when its last connection is gone."""
        self._disconnected_handlers.append(handler)

    def on_closed(self, handler: Callable[[ConnectionPort], None]) -> None:
        """Call `handler` with each connection that has closed, also where its peer has another one."""
        self._closed_handlers.append(handler)

    async def disconnect(self, peer: NodeId) -> None:
        """Close the connection to a peer, if there is one; calls under way fail."""
        session = self._current.get(peer)
        if session is not None:
            self._close(session.connection, "disconnected")

    async def _reach(self, peer: NodeId) -> Session:
        """Connect to a peer; callers that come meanwhile share the one attempt."""
        if peer == self.node_id:
            raise PeerUnreachableError("a node does not call itself")
        contact = self.book.contact(peer)
        if contact is None:
            raise PeerUnreachableError(f"no address of peer {peer.short} is known")
        dial = self._dials.get(peer)
        if dial is None:
            dial = self._dials[peer] = self._scope.spawn("dial", self._dial(contact))
            dial.add_done_callback(lambda _task: self._dials.pop(peer, None))
        # The attempt goes on when this caller gives up: others may wait for it, too.
        error = await asyncio.shield(dial)
        if error is not None:
            raise error
        session = self._current.get(peer)
        if session is None:
            raise PeerUnreachableError(f"the connection to {peer.short} ended at once")
        return session

    async def _dial(self, contact: Contact) -> DfsError | None:
        """Connect, and give back the error: every waiting caller raises it."""
        peer = contact.node_id
        try:
            connection = await self._transport.connect(contact, timeout=self._config.connect_timeout_max)
        except DeadlineError:
            return PeerUnreachableError(f"none of the addresses of peer {peer.short} answers")
        except DfsError as error:
            return error
        if connection.is_open:
            self._on_connection(connection)
        return None

    def _own_addresses(self) -> tuple[Address, ...]:
        """List where we listen for sure; what peers say they see is not among it."""
        try:
            bound = self._transport.local_address
        except NodeClosedError:  # not started yet, or closed
            return self._config.advertised
        if scope_of(bound) is not None:
            return (*self._config.advertised, bound)
        version = 6 if ":" in bound.host else 4
        # Those on this machine reach us over loopback, which comes last.
        hosts = (*self._own_hosts(), "::1" if version == 6 else "127.0.0.1")
        listening = (Address(host, bound.port) for host in hosts if (":" in host) is (version == 6))
        return (*self._config.advertised, *listening)

    def _own_hosts(self) -> tuple[str, ...]:
        """List the hosts of this machine's interfaces, loopback left out."""
        now = self._clock.monotonic()
        if now >= self._hosts_until:
            self._hosts = tuple(self._machine.addresses())
            self._hosts_until = now + HOSTS_LIFETIME
        return self._hosts

    def _on_connection(self, connection: ConnectionPort) -> None:
        if connection in self._sessions:
            return
        peer = connection.node_id
        session = Session(connection, router=self._router, scope=self._scope, config=self._config, budget=self._replies)
        self._sessions[connection] = session
        self._look_anew()
        self.book.confirm(connection.peer, connection.address)
        known = self._current.pop(peer, None)
        self._current[peer] = session
        if known is None:
            for handler in self._connected_handlers:
                notify(handler, peer, of="connections")

    def _on_closed(self, connection: ConnectionPort, reason: str) -> None:
        session = self._sessions.pop(connection, None)
        if session is None:
            return
        self._look_anew()
        peer = connection.node_id
        last = self._current.get(peer) is session
        if last:
            del self._current[peer]
        session.end(reason)
        for closed in self._closed_handlers:
            notify(closed, connection, of="connections")
        if last:
            for handler in self._disconnected_handlers:
                notify(handler, peer, reason, of="connections")

    def _look_anew(self) -> None:
        """Find our addresses anew where one connection more or less can change them; of many, none is so important."""
        if len(self._current) <= WITNESSES_FROM:
            self._local_until = -math.inf

    def _on_message(self, connection: ConnectionPort, message: memoryview) -> None:
        session = self._sessions.get(connection)
        # Between the end of our tasks and that of the socket nobody is here to answer.
        if session is None or self._scope.closed:
            return
        try:
            session.receive(message)
        except ProtocolError as error:
            logger.info("closing the connection to %s: %s", connection.node_id.short, error)
            self._close(connection, "protocol violation")

    def _on_scarce(self) -> None:
        """Watch who takes the replies that are held for it, until there is memory again."""
        if not self._watching and not self._scope.closed:
            self._watching = True
            self._scope.spawn("watch replies", self._watch_replies())

    async def _watch_replies(self) -> None:
        watch: ReplyWatch[ConnectionPort] = ReplyWatch()
        try:
            while self._replies.is_scarce:
                holders = [
                    (connection, session.replies.held_bytes, connection.arrived_bytes)
                    for connection, session in self._sessions.items()
                ]
                for connection in watch.find(holders, self._clock.monotonic()):
                    logger.info("closing the connection to %s: it does not take replies", connection.node_id.short)
                    self._close(connection, "replies are not taken while others wait")
                await asyncio.sleep(REPLY_WATCH_INTERVAL)
        finally:
            self._watching = False

    def _on_mute(self, connection: ConnectionPort) -> None:
        """Look for a peer that acknowledges nothing, at every address known of it: it may have been restarted."""
        contact = self.book.contact(connection.node_id)
        if contact is None or contact.node_id in self._reviving or self._scope.closed:
            return
        self._reviving.add(contact.node_id)
        task = self._scope.spawn("revive", self._revive(contact))
        task.add_done_callback(lambda _task: self._reviving.discard(contact.node_id))

    async def _revive(self, contact: Contact) -> None:
        try:
            await self._transport.connect(contact, timeout=REVIVE_TIMEOUT, anew=True)
        except DfsError as error:
            # Still blocked, gone, or the old connection goes on.
            logger.debug("no new connection to %s: %s", contact.node_id.short, error)

    def _close(self, connection: ConnectionPort, reason: str) -> None:
        connection.close(reason)
        self._on_closed(connection, reason)
