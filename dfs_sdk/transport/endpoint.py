"""The endpoint: all sessions and handshakes of one node behind one socket, without I/O.

Datagrams and instants go in, bursts, notices and deadlines come out. Bytes that mean nothing to us change a counter
and nothing else; no exception leaves `receive_datagrams`.

Source: the sans-IO shape of aioquic and quinn-proto, made batched: a burst is the unit in both directions.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from typing import assert_never

from dfs_sdk.crypto.identity import Identity
from dfs_sdk.errors import ForkedNodeError, NodeClosedError, ProtocolError
from dfs_sdk.ids import Address, NodeId
from dfs_sdk.runtime.buffers import Buffers
from dfs_sdk.runtime.ports import Entropy, Rng
from dfs_sdk.transport.config import DATAGRAM_BYTES_MAX, TransportConfig
from dfs_sdk.transport.congestion import CongestionFactory
from dfs_sdk.transport.contact import Contact
from dfs_sdk.transport.frames import CloseCode
from dfs_sdk.transport.handshake import Agreement, Network
from dfs_sdk.transport.handshakes import Handshakes
from dfs_sdk.transport.inbox import Budget
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
from dfs_sdk.transport.outbox import OutgoingMessage
from dfs_sdk.transport.packet import ASIDE_BYTES_MAX, DATA_BYTES_MIN, DATA_PREFIX, Kind
from dfs_sdk.transport.receiving import SCRATCH_BYTES
from dfs_sdk.transport.registry import Registry
from dfs_sdk.transport.sending import BURST_BYTES_MAX
from dfs_sdk.transport.session import Burst, Session
from dfs_sdk.transport.slots import Slots
from dfs_sdk.transport.timers import TimerQueue

__all__ = ["Endpoint", "Network"]


class Endpoint:
    """The transport of one node."""

    def __init__(
        self,
        *,
        identity: Identity,
        network: Network,
        config: TransportConfig,
        rng: Rng,
        entropy: Entropy,
        congestion: CongestionFactory | None = None,
    ) -> None:
        """Make an endpoint that knows nobody.

        Args:
            identity: Our keys.
            network: Whom we talk to: HELLOs of other networks are not answered.
            config: Settings.
            rng: For jitter and skipped numbers.
            entropy: For ephemeral keys, tokens and indices.
            congestion: Makes the congestion control of a path; None for the default one.
        """
        self.identity = identity
        self.config = config
        self.counters: Counter[str] = Counter()
        self._rng = rng
        self._entropy = entropy
        self._congestion = congestion
        self._budget = Budget(config.window_bytes_total)
        self._releases_seen = 0
        self._registry = Registry(config, identity.node_id)
        self._timers: TimerQueue[Session] = TimerQueue()
        self._ready: dict[Session, None] = {}
        self._hungry: dict[Session, None] = {}
        self._notices: deque[Notice] = deque()
        self._out = Slots(BURST_BYTES_MAX)
        self._scratch = Slots(SCRATCH_BYTES)
        self._arrived = Slots(SCRATCH_BYTES)
        self._buffers = Buffers()
        self._wiped = False
        self._handshakes = Handshakes(
            identity=identity,
            config=config,
            entropy=entropy,
            counters=self.counters,
            is_taken=lambda index: self._registry.by_index(index) is not None,
            first_window=self._budget.first_window,
        )
        self.set_network(network)

    @property
    def network(self) -> Network:
        """The network it belongs to."""
        return self._network

    @property
    def sessions(self) -> tuple[Session, ...]:
        """The open sessions, in the order in which they were opened."""
        return self._registry.sessions

    def session(self, node_id: NodeId) -> Session | None:
        """Return the open session with a peer."""
        return self._registry.by_node(node_id)

    def set_network(self, network: Network) -> None:
        """Belong to another network; dials under way are given up.

        Raises:
            NodeClosedError: There are connections.
        """
        if self._registry.sessions:
            raise NodeClosedError("a node with connections cannot change its network")
        self._network = network
        self._handshakes.join(network)

    def connect(self, contact: Contact, address: Address, now: float) -> None:
        """Begin a handshake with a peer at one address, or try one more address of a peer being dialled.

        `SessionOpened` tells of success. There is no notice of failure: the caller gives up with `abandon`.

        Raises:
            ConfigError: The contact is our own.
            ForkedNodeError: The keys were wiped.
        """
        self._check_usable()
        self._handshakes.dial(contact, address, now)

    def abandon(self, node_id: NodeId) -> None:
        """Give a handshake up that `connect` began; harmless when there is none."""
        self._handshakes.abandon(node_id)

    def identify(self, address: Address, token: bytes | None = None) -> bytes:
        """Ask who is at an address; ask again with the same token when no answer came.

        Returns:
            The token that `PeerIdentified` will carry.
        """
        self._check_usable()
        return self._handshakes.ask(address, token)

    def forget_question(self, token: bytes) -> None:
        """Ignore answers to a question from here on."""
        self._handshakes.forget_question(token)

    def send(self, session: Session, message: OutgoingMessage) -> None:
        """Queue a message.

        Raises:
            PeerUnreachableError: The session is closed.
            ConfigError: The message is empty.
            MessageTooLargeError: It is too long.
            ForkedNodeError: The keys were wiped.
        """
        self._check_usable()
        session.send(message)
        self._ready[session] = None

    def cancel(self, session: Session, message: OutgoingMessage) -> None:
        """Give a message up."""
        session.cancel(message)
        self._ready[session] = None

    def close_session(self, session: Session, reason: str, code: CloseCode = CloseCode.DONE) -> None:
        """End a session; the peer is told, and told again while it goes on sending or `repeat_farewells` is called."""
        if session.is_open:
            session.close(code, reason)
        self._end(session)

    def close(self) -> None:
        """End everything; the packets that tell the peers are left for `datagrams_to_send`."""
        self._handshakes.stop()
        for session in self.sessions:
            self.close_session(session, "the node left")

    def owes_farewells(self, now: float) -> bool:
        """Say whether a peer may not know yet that its session ended."""
        return bool(self._registry.unanswered(now))

    def repeat_farewells(self, now: float) -> None:
        """Tell again those peers that did not confirm the end of their session."""
        for grave in self._registry.unanswered(now):
            grave.told += 1
            self._handshakes.reply(grave.farewell, grave.address)

    def wipe(self) -> None:
        """Forget all keys: a forked child must never seal with them. Later use raises `ForkedNodeError`."""
        self._wiped = True
        for session in self.sessions:
            session.wipe()
        self._handshakes.wipe()
        self._registry, self._timers = Registry(self.config, self.identity.node_id), TimerQueue()
        for table in (self._ready, self._hungry, self._notices):
            table.clear()

    def is_foreign(self, datagram: memoryview) -> bool:
        """Say whether a datagram, of at least a byte, cannot mean us: by its form, its index, the question it answers.

        What is foreign is counted here and need not be handed to `receive_datagrams`, which would count it and no more.
        """
        kind, size = datagram[0], len(datagram)
        if kind & ~1 == Kind.DATA and size >= DATA_BYTES_MIN:
            index = DATA_PREFIX.unpack_from(datagram)[1]
            means_us = self._registry.is_known(index) or self._handshakes.find(index) is not None
            counted = "index unknown"
        elif kind == Kind.ASIDE:
            means_us, counted = self._session_aside(datagram) is not None, "aside dropped"
        else:
            return self._handshakes.is_foreign(datagram)
        if not means_us:
            self.counters[counted] += 1
        return not means_us

    def receive_datagrams(self, buffer: memoryview, segment_bytes: int, source: Address, now: float) -> None:
        """Take a burst that arrived: datagrams end to end, each `segment_bytes` long but the last.

        Nothing in it can raise; what is not understood is counted.
        """
        position, total = 0, len(buffer)
        segment_bytes = segment_bytes if 0 < segment_bytes < total else total
        while position < total and not self._wiped:
            packet = buffer[position : position + segment_bytes]
            if packet[0] & ~1 == Kind.DATA and len(packet) >= DATA_BYTES_MIN:
                position = self._receive_data(buffer, position, segment_bytes, source, now)
                continue
            position += segment_bytes
            if packet[0] == Kind.ASIDE:
                self._receive_aside(packet, now)
                continue
            try:
                self._receive_handshake(packet, source, now)
            except (ProtocolError, ValueError):
                # ValueError: a source that the kernel names in a form that is no IP address.
                self.counters["handshake dropped"] += 1

    def datagrams_to_send(self, now: float) -> Iterator[Burst]:
        """Yield bursts until nothing more may leave now; each is lent until the next one is asked for."""
        for datagram, destination in self._handshakes.datagrams():
            yield Burst(buffer=memoryview(datagram), segment_bytes=len(datagram), destination=destination)
        self._feed_hungry()
        while self._ready:
            # Sessions take turns, a burst each.
            session = next(iter(self._ready))
            del self._ready[session]
            burst = session.next_burst(now, self._out)
            if burst is None:
                self._rearm(session)
                continue
            self._ready[session] = None
            if not session.is_open:
                self._registry.bury(session, bytes(burst.buffer), burst.destination, now)
            yield burst

    def next_deadline(self) -> float | None:
        """Return when `handle_timer` wants to be called, None for never."""
        deadlines = (self._timers.next_deadline(), self._handshakes.next_deadline())
        return min((at for at in deadlines if at is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        self._handshakes.handle_timer(now)
        self._buffers.rest(now)
        for session in self._timers.expired(now):
            session.handle_timer(now)
            self._ready[session] = None
            if not session.is_open:
                self._end(session)
            elif session.falls_mute(now):
                self._notices.append(SessionMute(session=session))

    def next_event(self) -> Notice | None:
        """Return the next thing that happened, None when all was told."""
        return self._notices.popleft() if self._notices else None

    def _receive_data(self, buffer: memoryview, position: int, segment_bytes: int, source: Address, now: float) -> int:
        index = DATA_PREFIX.unpack_from(buffer, position)[1]
        session = self._registry.by_index(index)
        if session is None:
            session = self._confirm(index, buffer[position : position + segment_bytes], now)
        if session is None:
            self._answer_buried(index, buffer[position : position + segment_bytes], source, now)
            return position + segment_bytes
        try:
            position, completed = session.receive(buffer, position, segment_bytes, source, now)
        except ProtocolError as error:
            self.counters["protocol violation"] += 1
            self.close_session(session, str(error), CloseCode.PROTOCOL_VIOLATION)
            return len(buffer)
        for data in completed:
            self._notices.append(MessageArrived(session=session, data=data))
        for message in session.settled():
            self._notices.append(MessageSettled(message=message))
        self._ready[session] = None
        if session.is_hungry:
            self._hungry[session] = None
        if not session.is_open:
            self._end(session)
        return position

    def _receive_aside(self, packet: memoryview, now: float) -> None:
        session = self._session_aside(packet)
        content = session.receive_aside(packet, now) if session is not None else None
        if session is None or content is None:
            self.counters["aside dropped"] += 1
        else:
            self._notices.append(AsideArrived(session=session, content=content))

    def _session_aside(self, packet: memoryview) -> Session | None:
        """Find the session beside which an ASIDE claims to be said."""
        fits = DATA_BYTES_MIN <= len(packet) <= ASIDE_BYTES_MAX
        return self._registry.by_index(DATA_PREFIX.unpack_from(packet)[1]) if fits else None

    def _confirm(self, index: int, packet: memoryview, now: float) -> Session | None:
        """Turn a half-open handshake into a session if the packet is authentic under its keys."""
        half = self._handshakes.find(index)
        if half is None:
            return None
        # Before anything is made: a session costs ten times what a trial does, and whoever began knows the index.
        if not half.keys.authenticates(packet, self._scratch.view):
            self.counters["confirmation forged"] += 1
            return None
        half.agreement.rtt = now - half.answered_at if half.resends == 0 else None
        try:
            session = self._make_session(half.agreement, half.address, now)
        except NodeClosedError:
            self.counters["connection refused"] += 1
            return None
        self._handshakes.confirm(index)
        return session if self._admit(session, now) else None

    def _receive_handshake(self, packet: memoryview, source: Address, now: float) -> None:
        result = self._handshakes.receive(packet, source, now)
        match result:
            case PeerIdentified():
                self._notices.append(result)
            case Agreement() if self._still_knows_us(result):
                self.counters["session asked"] += 1
            case Agreement():
                try:
                    session = self._make_session(result, source, now)
                except NodeClosedError:
                    self.counters["connection refused"] += 1
                else:
                    self._admit(session, now)
            case None:
                pass
            case _:
                assert_never(result)

    def _still_knows_us(self, agreement: Agreement) -> bool:
        """Say whether a mute session is asked before another one replaces it.

        The same process answered: if it still has that session, it is awake and goes on with it, and nothing that is
        under way is lost. If it is asked in vain until the next handshake, the new session counts.
        """
        mute = self._registry.by_node(agreement.peer.node_id)
        if mute is None or mute.is_doubted or mute.instance != agreement.instance:
            return False
        mute.doubt()
        self._ready[mute] = None
        return True

    def _make_session(self, agreement: Agreement, address: Address, now: float) -> Session:
        return Session(
            agreement=agreement,
            address=address,
            config=self.config,
            budget=self._budget,
            rng=self._rng,
            entropy=self._entropy,
            scratch=self._scratch,
            arrived=self._arrived,
            buffers=self._buffers,
            now=now,
            congestion=self._congestion,
        )

    def _admit(self, session: Session, now: float) -> bool:
        """Enter a session in the tables, or refuse it; others may have to go for it."""
        losers = self._registry.admit(session, now)
        for loser, reason in losers:
            self.close_session(loser, reason, CloseCode.REPLACED)
        if session.close_reason is not None:
            self._ready[session] = None
            return False
        self._handshakes.abandon(session.node_id)
        session.begin()
        self._ready[session] = None
        self._notices.append(SessionOpened(session=session))
        return True

    def _end(self, session: Session) -> None:
        """Take an ended session out of the tables; its CLOSE packet, if any, still leaves."""
        self._timers.cancel(session)
        self._hungry.pop(session, None)
        self._ready[session] = None
        if self._registry.remove(session):
            unsettled = tuple(session.sender.outbox.fail_all())
            reason = session.close_reason or ""
            self._notices.append(SessionClosed(session=session, reason=reason, unsettled=unsettled))
        if not self._registry.sessions:
            self._buffers.clear()

    def _rearm(self, session: Session) -> None:
        if session.is_open:
            self._timers.set(session, session.next_deadline())

    def _feed_hungry(self) -> None:
        if self._budget.releases == self._releases_seen:
            return
        self._releases_seen = self._budget.releases
        # Who lacks little goes first: one that asks for everything must not keep the others waiting.
        for session in sorted(self._hungry, key=lambda one: one.lacking_bytes):
            if session.extend_window():
                self._ready[session] = None
            if not session.is_hungry:
                del self._hungry[session]

    def _answer_buried(self, index: int, packet: memoryview, source: Address, now: float) -> None:
        farewell = self._registry.farewell(index, packet, source, now)
        if farewell is None:
            self.counters["index unknown"] += 1
        else:
            self._handshakes.reply(farewell, source)

    def _check_usable(self) -> None:
        if self._wiped:
            raise ForkedNodeError("this node was forked: start a new one in this process")


assert SCRATCH_BYTES >= BURST_BYTES_MAX > DATAGRAM_BYTES_MAX  # noqa: S101 - an invariant between two constants
