"""Handshakes that we began: HELLOs repeated to one or several addresses of a peer until one is answered."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from dfs_sdk.crypto.identity import PublicIdentity
from dfs_sdk.errors import ProtocolError
from dfs_sdk.ids import Address, NodeId
from dfs_sdk.transport.handshake import Agreement, Initiation

HELLO_INTERVAL = 0.5
HELLO_INTERVAL_MAX = 4.0
HELLO_BACKOFF = 1.5
ADDRESSES_MAX = 8
# How long the lower node id insists on its own HELLO when both dial at once: HELLOs that crossed arrive within a round
# trip, and the repetition of one that was ignored must be answered.
GLARE_PATIENCE = 0.4

InitiationFactory = Callable[[PublicIdentity], Initiation]


class Dial:
    """One handshake with one peer, at all addresses we know of it."""

    def __init__(self, peer: PublicIdentity, make: InitiationFactory, now: float) -> None:
        self.peer = peer
        self.started_at = now
        self._make = make
        self._initiation = make(peer)
        self._addresses: list[Address] = []
        self._due: deque[Address] = deque()
        self._interval = HELLO_INTERVAL
        self._next_at = now
        self._spoiled = False
        self._cookie_taken = False
        self._repeated = False

    @property
    def node_id(self) -> NodeId:
        """Whom it dials."""
        return self.peer.node_id

    @property
    def local_index(self) -> int:
        """The index the answer must name."""
        return self._initiation.local_index

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The addresses tried so far."""
        return tuple(self._addresses)

    def add(self, address: Address, now: float) -> None:
        """Try another address at once; beyond eight the rest is ignored."""
        if address in self._addresses or len(self._addresses) >= ADDRESSES_MAX:
            return
        if not self._addresses:
            self._next_at = now + self._interval
        self._addresses.append(address)
        self._due.append(address)

    def insists(self, source: Address, now: float) -> bool:
        """Say whether a HELLO of the same peer may be ignored, because it should answer ours.

        One from elsewhere comes of a peer that was restarted or moved: it may never get ours.
        """
        return source in self._addresses and now < self.started_at + GLARE_PATIENCE

    def datagrams(self) -> list[tuple[bytes, Address]]:
        """Return the HELLOs that should leave now."""
        hello = self._initiation.hello() if self._due else b""
        due = [(hello, address) for address in self._due]
        self._due.clear()
        return due

    def next_deadline(self) -> float:
        """Return when the HELLO is repeated."""
        return self._next_at

    def handle_timer(self, now: float) -> None:
        """Repeat the HELLO to all addresses, at growing intervals."""
        if now < self._next_at:
            return
        if self._spoiled:
            self._initiation, self._spoiled = self._make(self.peer), False
        self._cookie_taken = False
        self._repeated = True
        self._due.extend(address for address in self._addresses if address not in self._due)
        self._interval = min(self._interval * HELLO_BACKOFF, HELLO_INTERVAL_MAX)
        self._next_at = now + self._interval

    def on_cookie(self, datagram: memoryview, source: Address) -> None:
        """Answer a demand for a cookie at once.

        Raises:
            ProtocolError: It does not answer our HELLO.
        """
        if source not in self._addresses or self._cookie_taken:
            raise ProtocolError("a COOKIE nobody asked for")
        self._initiation.on_cookie(datagram)
        # One a repetition: a copied COOKIE of 64 bytes must not draw HELLOs of 1,200 at will.
        self._cookie_taken = self._repeated = True
        self._due.append(source)

    def on_welcome(self, datagram: memoryview, now: float) -> Agreement:
        """Finish the handshake.

        Raises:
            ProtocolError: The datagram is no answer to it. A forged one costs a new HELLO, not the attempt.
        """
        if self._spoiled:
            raise ProtocolError("a WELCOME for a handshake that was spoiled")
        try:
            agreement = self._initiation.on_welcome(datagram)
        except ProtocolError:
            self._spoiled = True
            raise
        if not self._repeated and len(self._addresses) == 1:
            agreement.rtt = now - self.started_at
        return agreement
