"""Everything before a session: our dials and questions, strangers' HELLOs, and the answers that wait for the socket.

Datagrams that are not DATA come here. What comes out is an `Agreement` when a dial of ours was answered, a notice when
a question was, and datagrams to send.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator

from dfs_sdk.crypto.identity import Identity, PublicIdentity
from dfs_sdk.errors import ConfigError
from dfs_sdk.ids import Address, NodeId
from dfs_sdk.runtime.ports import Entropy
from dfs_sdk.transport.acceptor import Acceptor, HalfOpen
from dfs_sdk.transport.config import TransportConfig
from dfs_sdk.transport.contact import Contact
from dfs_sdk.transport.cookies import PrefixLimiter
from dfs_sdk.transport.dialing import Dial
from dfs_sdk.transport.handshake import INSTANCE_BYTES, WELCOME_BYTES, Agreement, Initiation, Network
from dfs_sdk.transport.identify import TOKEN_BYTES, build_answer, build_question, read_answer, token_of
from dfs_sdk.transport.notices import PeerIdentified
from dfs_sdk.transport.packet import COOKIE_LAYOUT, IDENTIFIED_LAYOUT, IDENTIFY_BYTES, WELCOME_HEADER, Kind

# Answers to strangers that wait for the socket; the oldest give way.
REPLIES_MAX = 1024
QUESTIONS_MAX = 256
INDEX_BYTES = 4
# As what foreign datagrams are counted: those of other kinds as unknown, and HELLOs by the acceptor.
_FOREIGN: dict[int, str] = {
    Kind.WELCOME: "welcome unexpected",
    Kind.COOKIE: "cookie unexpected",
    Kind.IDENTIFY: "identify malformed",
    Kind.IDENTIFIED: "identified unexpected",
}


class Handshakes:
    """The handshakes of one identity in one network."""

    def __init__(
        self,
        *,
        identity: Identity,
        config: TransportConfig,
        entropy: Entropy,
        counters: Counter[str],
        is_taken: Callable[[int], bool],
        first_window: Callable[[int], int],
    ) -> None:
        """Take the parts; `join` says of which network.

        Args:
            identity: Our keys.
            config: Settings.
            entropy: For keys, tokens and indices.
            counters: Where dropped datagrams are counted.
            is_taken: Says whether a receiver index belongs to a session.
            first_window: See `Acceptor`.
        """
        self._identity = identity
        self._config = config
        self._entropy = entropy
        self._counters = counters
        self._is_taken = is_taken
        self._first_window = first_window
        self._instance = entropy.token(INSTANCE_BYTES)
        self._dials: dict[NodeId, Dial] = {}
        self._questions: dict[bytes, Address] = {}
        self._replies: deque[tuple[bytes, Address]] = deque(maxlen=REPLIES_MAX)
        self._limiter = PrefixLimiter(rate=config.handshakes_per_second, burst=config.handshake_burst)

    @property
    def half_open(self) -> int:
        """How many handshakes were answered and not confirmed."""
        return len(self._acceptor)

    def join(self, network: Network) -> None:
        """Belong to a network from here on; dials under way are given up."""
        self._network = network
        self._dials.clear()
        self._acceptor = Acceptor(
            identity=self._identity,
            network=network,
            config=self._config,
            instance=self._instance,
            entropy=self._entropy,
            counters=self._counters,
            first_window=self._first_window,
        )

    def dial(self, contact: Contact, address: Address, now: float) -> None:
        """Begin a handshake, or try one more address of a peer being dialled.

        Raises:
            ConfigError: The contact is our own.
        """
        node_id = contact.node_id
        if node_id == self._identity.node_id:
            raise ConfigError("a node does not connect to itself")
        dial = self._dials.get(node_id)
        if dial is None:
            dial = self._dials[node_id] = Dial(contact.identity, self._initiate, now)
        dial.add(address, now)

    def abandon(self, node_id: NodeId) -> None:
        """Give a dial up; harmless when there is none."""
        self._dials.pop(node_id, None)

    def ask(self, address: Address, token: bytes | None) -> bytes:
        """Ask who is at an address; returns the token that names the question."""
        token = token or self._entropy.token(TOKEN_BYTES)
        self._questions[token] = address
        while len(self._questions) > QUESTIONS_MAX:
            del self._questions[next(iter(self._questions))]
        self.reply(build_question(token), address)
        return token

    def forget_question(self, token: bytes) -> None:
        """Ignore answers to a question."""
        self._questions.pop(token, None)

    def reply(self, datagram: bytes, destination: Address) -> None:
        """Queue a datagram outside of sessions."""
        self._replies.append((datagram, destination))

    def receive(self, packet: memoryview, source: Address, now: float) -> Agreement | PeerIdentified | None:
        """Take a datagram that is not DATA.

        Returns:
            What it completed.

        Raises:
            ProtocolError: It is not worth an answer.
            ValueError: The source is not an IP address.
        """
        if self.is_foreign(packet):
            return None
        kind = packet[0]
        if kind == Kind.HELLO:
            self._on_hello(packet, source, now)
        elif kind == Kind.IDENTIFY:
            if self._limiter.allows(source, now):
                self.reply(build_answer(packet, identity=self._identity, network=self._network, source=source), source)
        elif kind == Kind.IDENTIFIED:
            return self._on_identified(packet, source)
        elif (dial := self._dial_answered(packet)) is not None:
            return self._on_answer(dial, packet, source, now)
        return None

    def is_foreign(self, packet: memoryview) -> bool:
        """Say whether a datagram but DATA is no question to us and answers none of ours; if so, count it."""
        kind = packet[0]
        if kind == Kind.HELLO:
            return not self._acceptor.is_addressed(packet)
        if kind in _FOREIGN and self._means_us(packet):
            return False
        self._counters[_FOREIGN.get(kind, "datagram unknown")] += 1
        return True

    def find(self, index: int) -> HalfOpen | None:
        """Return the half-open handshake with that receiver index."""
        return self._acceptor.find(index)

    def confirm(self, index: int) -> None:
        """Remove a half-open handshake because it became a session."""
        self._acceptor.take(index)

    def datagrams(self) -> Iterator[tuple[bytes, Address]]:
        """Yield what should leave now."""
        while self._replies:
            yield self._replies.popleft()
        for dial in tuple(self._dials.values()):
            yield from dial.datagrams()

    def next_deadline(self) -> float | None:
        """Return when `handle_timer` wants to be called."""
        deadlines = [dial.next_deadline() for dial in self._dials.values()]
        half_open_at = self._acceptor.next_deadline()
        if half_open_at is not None:
            deadlines.append(half_open_at)
        return min(deadlines, default=None)

    def handle_timer(self, now: float) -> None:
        """Repeat HELLOs, forget what was not confirmed."""
        self._acceptor.expire(now)
        for dial in self._dials.values():
            dial.handle_timer(now)

    def stop(self) -> None:
        """Give up dials, questions and half-open handshakes; replies that wait still leave."""
        self._dials.clear()
        self._questions.clear()
        self._acceptor.wipe()

    def wipe(self) -> None:
        """Forget everything that holds a key or would send."""
        self.stop()
        self._replies.clear()

    def _on_hello(self, packet: memoryview, source: Address, now: float) -> None:
        answer, half = self._acceptor.answer(packet, source=source, index=self._new_index(), now=now)
        if half is not None:
            dial = self._dials.get(half.agreement.peer.node_id)
            if dial is not None and dial.insists(source, now) and self._identity.node_id < dial.node_id:
                # Both dial: the handshake of the lower id is the one that counts, and it is ours.
                self._acceptor.take(half.agreement.local_index)
                return
        self.reply(answer, source)

    def _on_answer(self, dial: Dial, packet: memoryview, source: Address, now: float) -> Agreement | None:
        if packet[0] == Kind.COOKIE:
            dial.on_cookie(packet, source)
            return None
        agreement = dial.on_welcome(packet, now)
        del self._dials[dial.node_id]
        return agreement

    def _on_identified(self, packet: memoryview, source: Address) -> PeerIdentified | None:
        token = token_of(packet)
        if self._questions.get(token) != source:
            self._counters["identified unexpected"] += 1
            return None
        identified = read_answer(packet, source)
        del self._questions[token]
        return PeerIdentified(token=token, identified=identified)

    def _initiate(self, peer: PublicIdentity) -> Initiation:
        return Initiation(
            identity=self._identity,
            network=self._network,
            peer=peer,
            local_index=self._new_index(),
            instance=self._instance,
            entropy=self._entropy,
        )

    def _means_us(self, packet: memoryview) -> bool:
        kind, size = packet[0], len(packet)
        if kind == Kind.IDENTIFY:
            return size == IDENTIFY_BYTES
        if kind == Kind.IDENTIFIED:
            return size == IDENTIFIED_LAYOUT.size and token_of(packet) in self._questions
        return self._dial_answered(packet) is not None

    def _dial_answered(self, packet: memoryview) -> Dial | None:
        """Find the dial that a WELCOME or a COOKIE claims to answer."""
        kind, size = packet[0], len(packet)
        if kind == Kind.WELCOME and size == WELCOME_BYTES:
            return self._dial_with(WELCOME_HEADER.unpack_from(packet)[2])
        if kind == Kind.COOKIE and size == COOKIE_LAYOUT.size:
            return self._dial_with(COOKIE_LAYOUT.unpack(packet)[1])
        return None

    def _dial_with(self, index: int) -> Dial | None:
        return next((dial for dial in self._dials.values() if dial.local_index == index), None)

    def _new_index(self) -> int:
        while True:
            index = int.from_bytes(self._entropy.token(INDEX_BYTES), "big")
            if not self._is_taken(index) and index not in self._acceptor and self._dial_with(index) is None:
                return index
