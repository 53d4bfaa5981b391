"""A transport without cryptography and packets, for large simulated worlds: whole messages straight over the network.

It stands behind the same port as the real one (`rpc.ports.TransportPort`) and keeps its promises: connections are
opened by a round trip, a message is delivered once or not at all, lost ones are sent again, a peer that was restarted
is noticed, one that falls silent is closed. What it leaves out is most of what a datagram costs: handshake mathematics,
sealing, packets, acknowledgement ranges, congestion control, pings. Keys are believed, not proven: it is for
worlds in which nobody lies below the calls. It is never made by a node itself, only handed to one.

A message is one datagram of any size here; where a path loses datagrams it loses messages with the same ratio.
"""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections import Counter
from collections.abc import Callable
from typing import Any

from dfs_sdk.crypto.hashing import blake3_256
from dfs_sdk.crypto.identity import Identity, PublicIdentity
from dfs_sdk.errors import DeadlineError, NodeClosedError, PeerUnreachableError, ProtocolError
from dfs_sdk.ids import Address, NetworkId, NodeId
from dfs_sdk.runtime.ports import Runtime, UdpSocket
from dfs_sdk.sim.shortcut_link import ShortcutConnection
from dfs_sdk.transport.config import TransportConfig
from dfs_sdk.transport.contact import Contact
from dfs_sdk.transport.dial_terms import check_dialable, done_within
from dfs_sdk.transport.dialing import HELLO_BACKOFF, HELLO_INTERVAL, HELLO_INTERVAL_MAX
from dfs_sdk.transport.driver import ANY_ADDRESS
from dfs_sdk.transport.handshake import Network
from dfs_sdk.transport.identify import Identified

ASK, ANSWER, HELLO, WELCOME, DATA, ACK, CLOSE = range(0x71, 0x78)

_NUMBERS = struct.Struct(">BQQ")  # kind, whose session (theirs), number (of the message, or our session)
_HELLO = struct.Struct(">BQQ32s32s32s")  # kind, our session, theirs that we know, network, keys; a proof comes last
_DATA = struct.Struct(">BQQQI")  # kind, their session, ours, number of the message, checksum
_ASK = struct.Struct(">BQ")
_ANSWER = struct.Struct(">BQ32s?32s32s")

IDENTIFY_INTERVAL = 0.5
GLARE_SECONDS = 1.0
"""A question of the other side that crossed ours may be under way for so long."""
PROOF_BYTES = 8
CHECKSUM_BYTES = 4
_ACK_BYTES = _NUMBERS.size + CHECKSUM_BYTES


def _ignore(*_arguments: object) -> None:
    """Do nothing: the handler until somebody sets one."""


class ShortcutTransport:
    """The transport of one node; the arguments are those of `transport.driver.Transport`.

    Attributes:
        on_connection: See `Transport`.
        on_closed: See `Transport`.
        on_message: See `Transport`.
        on_mute: See `Transport`.
        statistics: How often what was dropped.
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
        self.on_connection: Callable[[Any], None] = _ignore
        self.on_closed: Callable[[Any, str], None] = _ignore
        self.on_message: Callable[[Any, memoryview], None] = _ignore
        self.on_mute: Callable[[Any], None] = _ignore
        self.statistics: Counter[str] = Counter()
        self.config = config or TransportConfig()
        self._runtime = runtime
        self._rng = runtime.rng.child("transport")
        self._public = identity.public
        self._network = network
        self._bind = bind
        self._socket: UdpSocket | None = None
        self._sessions: dict[int, ShortcutConnection] = {}
        self._by_node: dict[NodeId, ShortcutConnection] = {}
        self._dials: dict[NodeId, _Dial] = {}
        self._questions: dict[int, asyncio.Future[Identified]] = {}
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
    def connections(self) -> tuple[ShortcutConnection, ...]:
        """The open connections."""
        return tuple(self._by_node.values())

    async def start(self) -> None:
        """Bind the socket.

        Raises:
            OSError: The address is taken or not ours.
        """
        self._socket = await self._runtime.udp.bind(self._bind, on_datagrams=self._on_datagrams, on_writable=_ignore)

    async def close(self) -> None:
        """Tell the peers and release the socket."""
        for connection in tuple(self._by_node.values()):
            connection.close("this node closes")
        self.abort()

    def abort(self) -> None:
        """Vanish like a killed process."""
        self._closed = True
        if self._socket is not None:
            self._socket.close()
        for connection in tuple(self._sessions.values()):
            connection.end("the transport was closed")
        self._fail_waiters()

    def wipe(self) -> None:
        """Forget everything: this is a forked child."""
        self._closed = True

    def set_network(self, network: Network) -> None:
        """Belong to another network.

        Raises:
            NodeClosedError: There are connections.
        """
        if self._sessions:
            raise NodeClosedError("a node with connections cannot change its network")
        self._network = network

    async def connect(self, contact: Contact, *, timeout: float, anew: bool = False) -> ShortcutConnection:
        """Open a connection, or return the open one: see `Transport.connect`.

        Raises:
            PeerUnreachableError: It has no address, or none answered.
            DeadlineError: None answered within `timeout`.
            ConfigError: The contact is our own.
            NodeClosedError: The transport is not running.
        """
        self._running()
        known = self._by_node.get(contact.node_id)
        if known is not None and not anew:
            return known
        check_dialable(contact, self._public.node_id)
        dial = self._dials.get(contact.node_id)
        if dial is None:
            dial = self._dials[contact.node_id] = _Dial(self._new_number(), contact)
        waiter: asyncio.Future[ShortcutConnection] = asyncio.get_running_loop().create_future()
        dial.waiters[waiter] = None
        limit = min(timeout, self.config.handshake_timeout)
        try:
            async with asyncio.timeout(limit):
                interval = HELLO_INTERVAL
                while True:
                    # One HELLO speaks for all who wait; those of the first, until it gives up.
                    if waiter is next(iter(dial.waiters)):
                        self._say_hello(dial, known)
                    if await done_within(waiter, interval):
                        return waiter.result()
                    interval = min(interval * HELLO_BACKOFF, HELLO_INTERVAL_MAX)
        except TimeoutError:
            text = f"none of the addresses of peer {contact.node_id.short} answered within {limit:g} s"
            raise (DeadlineError(text) if limit == timeout else PeerUnreachableError(text)) from None
        finally:
            dial.waiters.pop(waiter, None)
            if not dial.waiters and self._dials.get(contact.node_id) is dial:
                del self._dials[contact.node_id]

    async def identify(self, address: Address, *, timeout: float) -> Identified:
        """Ask who listens at an address.

        Raises:
            DeadlineError: No answer within `timeout`.
            NodeClosedError: The transport is not running.
        """
        self._running()
        token = self._new_number()
        waiter: asyncio.Future[Identified] = asyncio.get_running_loop().create_future()
        self._questions[token] = waiter
        try:
            async with asyncio.timeout(timeout):
                while True:
                    self.transmit(_ASK.pack(ASK, token), address)
                    if await done_within(waiter, IDENTIFY_INTERVAL):
                        return waiter.result()
        except TimeoutError:
            raise DeadlineError(f"nobody answered at {address} within {timeout:g} s") from None
        finally:
            del self._questions[token]

    # What its connections use

    def transmit(self, datagram: bytes, destination: Address) -> None:
        """Send one datagram."""
        if self._socket is not None and not self._closed:
            self._socket.send(datagram, len(datagram), destination)

    def transmit_data(self, connection: ShortcutConnection, number: int, payload: bytes) -> None:
        """Send one message."""
        header = _DATA.pack(DATA, connection.remote_number, connection.number, number, zlib.crc32(payload))
        self.transmit(header + payload, connection.address)

    def forget(self, connection: ShortcutConnection, reason: str, *, tell: bool) -> None:
        """Drop a connection that ended."""
        if self._sessions.get(connection.number) is connection:
            del self._sessions[connection.number]
        if tell:
            self.transmit(_NUMBERS.pack(CLOSE, connection.remote_number, 0), connection.address)
        if self._by_node.get(connection.node_id) is connection:
            del self._by_node[connection.node_id]
        self.on_closed(connection, reason)

    # Inside

    def _on_datagrams(self, burst: memoryview, segment_bytes: int, source: Address) -> None:
        for start in range(0, len(burst), segment_bytes):
            self._on_datagram(burst[start : start + segment_bytes], source)

    def _on_datagram(self, datagram: memoryview, source: Address) -> None:
        kind = datagram[0]
        try:
            if kind == DATA:
                self._on_data(datagram, source)
            elif kind in (ACK, CLOSE):
                self._on_numbers(kind, datagram, source)
            elif kind == HELLO:
                self._on_hello(datagram, source)
            elif kind == WELCOME:
                self._on_welcome(datagram, source)
            elif kind == ASK:
                self._on_ask(datagram, source)
            elif kind == ANSWER:
                self._on_answer(datagram, source)
        except (struct.error, ValueError, ProtocolError):
            self.statistics["malformed"] += 1

    def _on_data(self, datagram: memoryview, source: Address) -> None:
        _, index, theirs, number, checksum = _DATA.unpack_from(datagram)
        connection = self._sessions.get(index)
        payload = datagram[_DATA.size :]
        if zlib.crc32(payload) != checksum:
            self.statistics["damaged"] += 1
            return
        if connection is None:
            # Of two dials that crossed, one side may take the other one for good: it has to hear of it.
            self.statistics["no session"] += 1
            self.transmit(_NUMBERS.pack(CLOSE, theirs, 0), source)
            return
        connection.heard(source)
        connection.received_bytes += len(datagram)
        self._acknowledge(connection, number)
        if connection.is_first(number):
            self.on_message(connection, payload)

    def _acknowledge(self, connection: ShortcutConnection, number: int) -> None:
        """Say that a message came, and to a peer that moved, from where: it may not know."""
        text = _NUMBERS.pack(ACK, connection.remote_number, number)
        if connection.moved:
            seen = _address(connection.address)
            text += zlib.crc32(seen).to_bytes(CHECKSUM_BYTES, "big") + seen
        self.transmit(text, connection.address)

    def _on_numbers(self, kind: int, datagram: memoryview, source: Address) -> None:
        _, index, number = _NUMBERS.unpack_from(datagram)
        connection = self._sessions.get(index)
        if connection is None:
            return
        if kind == CLOSE:
            connection.end("closed by peer")
        else:
            connection.heard(source)
            connection.on_ack(number)
            if len(datagram) > _ACK_BYTES:  # few do: most peers stay where they are
                checksum, seen = datagram[_NUMBERS.size : _ACK_BYTES], datagram[_ACK_BYTES:]
                if zlib.crc32(seen) == int.from_bytes(checksum, "big"):
                    connection.observed_address = _parse_address(seen)

    def _on_hello(self, datagram: memoryview, source: Address) -> None:
        greeting = self._read_greeting(datagram)
        if greeting is None:
            return
        theirs, ours, peer, _ = greeting
        known = self._sessions.get(ours)
        connection = self._by_node.get(peer.node_id)
        if known is not None and known.node_id == peer.node_id:
            known.heard(source)
            connection = known
        elif connection is None or connection.remote_number != theirs:
            if self._public.node_id < peer.node_id and self._insists(peer.node_id, connection, source):
                return  # both dial at once: ours is the one that counts
            connection = self._open(self._new_number(), theirs, peer, source)
        self.transmit(self._greeting(WELCOME, connection.number, theirs, peer.node_id, _address(source)), source)

    def _greeting(self, kind: int, number: int, theirs: int, reader: NodeId, more: bytes = b"") -> bytes:
        public = self._public
        text = _HELLO.pack(kind, number, theirs, self._network.network_id, public.ed, public.x) + more
        return text + self._proof(text, reader)

    def _read_greeting(self, datagram: memoryview) -> tuple[int, int, PublicIdentity, memoryview] | None:
        """Take a greeting apart; None if it is damaged, foreign, or meant for another: a real handshake fails then."""
        text = datagram[:-PROOF_BYTES]
        _, number, ours, network_id, ed, x = _HELLO.unpack_from(text)
        if network_id != self._network.network_id or datagram[-PROOF_BYTES:] != self._proof(text, self._public.node_id):
            self.statistics["foreign"] += 1
            return None
        return number, ours, Contact(ed=ed, x=x).identity, text[_HELLO.size :]

    def _proof(self, text: memoryview | bytes, reader: NodeId) -> bytes:
        return blake3_256(b"dfs/sim/greeting/1", b"".join((self._network.psk, reader, text)))[:PROOF_BYTES]

    def _insists(self, peer: NodeId, connection: ShortcutConnection | None, source: Address) -> bool:
        """Whether a dial of ours comes before theirs: one that reaches them, not one to where they were before."""
        young = connection is not None and self._runtime.clock.monotonic() - connection.opened_at < GLARE_SECONDS
        dial = self._dials.get(peer)
        return young or (dial is not None and source in dial.contact.addresses)

    def _on_welcome(self, datagram: memoryview, source: Address) -> None:
        greeting = self._read_greeting(datagram)
        if greeting is None:
            return
        theirs, ours, peer, observed = greeting
        dial = self._dials.get(peer.node_id)
        if dial is None or dial.number != ours:
            return
        known = self._by_node.get(peer.node_id)
        if known is not None and known.remote_number == theirs:
            known.heard(source)
        else:
            known = self._open(dial.number, theirs, peer, source)
        known.observed_address = _parse_address(observed)
        self._answer_dial(dial, known)

    def _open(self, number: int, theirs: int, peer: PublicIdentity, address: Address) -> ShortcutConnection:
        before = self._by_node.get(peer.node_id)
        if before is None and len(self._by_node) >= self.config.connections_max:
            quiet = min(self._by_node.values(), key=lambda each: each.heard_at)
            quiet.close("too many connections")
        connection = ShortcutConnection(self, number, theirs, peer=peer, address=address, clock=self._runtime.clock)
        self._sessions[number] = self._by_node[peer.node_id] = connection
        self.on_connection(connection)
        if before is not None:
            # After its heir is known: else both sides take it for a loss, probe, and replace each other for ever.
            before.end("replaced by a later connection")
        dial = self._dials.get(peer.node_id)
        if dial is not None:
            self._answer_dial(dial, connection)
        return connection

    @staticmethod
    def _answer_dial(dial: _Dial, connection: ShortcutConnection) -> None:
        for waiter in dial.waiters:
            if not waiter.done():
                waiter.set_result(connection)

    def _say_hello(self, dial: _Dial, known: ShortcutConnection | None) -> None:
        theirs = known.remote_number if known is not None and known.is_open else 0
        hello = self._greeting(HELLO, dial.number, theirs, dial.contact.node_id)
        for address in dial.contact.addresses:
            self.transmit(hello, address)

    def _on_ask(self, datagram: memoryview, source: Address) -> None:
        _, token = _ASK.unpack_from(datagram)
        answer = _ANSWER.pack(
            ANSWER, token, self._network.network_id, self._network.is_private, self._public.ed, self._public.x
        )
        self.transmit(answer + _address(source), source)

    def _on_answer(self, datagram: memoryview, source: Address) -> None:
        _, token, network_id, private, ed, x = _ANSWER.unpack_from(datagram)
        waiter = self._questions.get(token)
        if waiter is not None and not waiter.done():
            waiter.set_result(
                Identified(
                    contact=Contact(ed=ed, x=x, addresses=(source,)),
                    network_id=NetworkId(network_id),
                    private=private,
                    observed=_parse_address(datagram[_ANSWER.size :]),
                )
            )

    def _new_number(self) -> int:
        return self._rng.randrange(1, 2**63)

    def _running(self) -> UdpSocket:
        if self._socket is None or self._closed:
            raise NodeClosedError("the transport is not running")
        return self._socket

    def _fail_waiters(self) -> None:
        waiters: list[asyncio.Future[Any]] = list(self._questions.values())
        for dial in self._dials.values():
            waiters.extend(dial.waiters)
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(NodeClosedError("the transport was closed"))
                waiter.exception()


class _Dial:
    """A peer being dialled, and who waits for it."""

    __slots__ = ("contact", "number", "waiters")

    def __init__(self, number: int, contact: Contact) -> None:
        self.number = number
        self.contact = contact
        self.waiters: dict[asyncio.Future[ShortcutConnection], None] = {}


def _address(address: Address) -> bytes:
    return address.port.to_bytes(2, "big") + address.host.encode()


def _parse_address(data: memoryview) -> Address:
    return Address(bytes(data[2:]).decode(), int.from_bytes(data[:2], "big"))
