"""Two endpoints on a wire, driven by hand: a virtual clock, and a lossy wire that draws from a seed.

The wire moves bursts as the driver would. It splits them into datagrams, loses, repeats, delays and damages some,
and hands what arrives at one instant from one source over as one burst, as a kernel with GRO does.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable

from dfs_sdk.crypto.identity import Identity
from dfs_sdk.ids import Address, NetworkId
from dfs_sdk.runtime.system import SeededRng
from dfs_sdk.transport.config import TransportConfig
from dfs_sdk.transport.congestion import CongestionFactory
from dfs_sdk.transport.contact import Contact
from dfs_sdk.transport.endpoint import Endpoint
from dfs_sdk.transport.handshake import Network
from dfs_sdk.transport.notices import MessageArrived, MessageSettled, Notice, SessionClosed, SessionOpened
from dfs_sdk.transport.outbox import OutgoingMessage
from dfs_sdk.transport.priority import Priority
from dfs_sdk.transport.session import Session
from tests.fakes.wire import Wire

__all__ = ["NETWORK", "Pair", "Peer", "SeededEntropy", "Wire"]

SOCKET_BUFFER_PACKETS = 90  # what the kernel keeps for a process that is blocked
NETWORK = Network(network_id=NetworkId(b"n" * 32))


class SeededEntropy:
    """Predictable bytes, for replays only."""

    def __init__(self, seed: int | str) -> None:
        self._random = random.Random(f"entropy {seed}")

    def token(self, size: int) -> bytes:
        return self._random.randbytes(size)


class Peer:
    """One endpoint and what it reported."""

    def __init__(
        self,
        name: str,
        address: Address,
        *,
        config: TransportConfig,
        network: Network = NETWORK,
        congestion: CongestionFactory | None = None,
        life: str = "",
    ) -> None:
        entropy = SeededEntropy(name)
        self.name = name
        self.address = address
        self.identity = Identity.generate(entropy)
        if life:
            entropy = SeededEntropy(f"{name} in {life}")
        self.endpoint = Endpoint(
            identity=self.identity,
            network=network,
            config=config,
            rng=SeededRng(7).child(name),
            entropy=entropy,
            congestion=congestion,
        )
        self.notices: list[Notice] = []
        self.asleep = False

    @property
    def contact(self) -> Contact:
        public = self.identity.public
        return Contact(ed=public.ed, x=public.x, addresses=(self.address,))

    @property
    def session(self) -> Session:
        (session,) = self.endpoint.sessions
        return session

    @property
    def messages(self) -> list[bytes]:
        return [bytes(notice.data) for notice in self.notices if isinstance(notice, MessageArrived)]

    @property
    def settled(self) -> list[OutgoingMessage]:
        return [notice.message for notice in self.notices if isinstance(notice, MessageSettled)]

    @property
    def opened(self) -> list[Session]:
        return [notice.session for notice in self.notices if isinstance(notice, SessionOpened)]

    @property
    def closed(self) -> list[SessionClosed]:
        return [notice for notice in self.notices if isinstance(notice, SessionClosed)]

    def send(self, data: bytes, priority: Priority = Priority.TRANSFER) -> OutgoingMessage:
        message = OutgoingMessage(memoryview(data), priority)
        self.endpoint.send(self.session, message)
        return message


class Pair:
    """Peers by address on one wire; `left` and `right` are the first two.

    Those of another `life` have the same identities and draw other secrets, as after a restart.
    """

    def __init__(
        self,
        *,
        wire: Wire | None = None,
        config: TransportConfig | None = None,
        right_config: TransportConfig | None = None,
        right_network: Network = NETWORK,
        life: str = "",
    ) -> None:
        config = config or TransportConfig()
        self.wire = wire or Wire()
        self.now = 1000.0
        self.left = Peer("left", Address("192.0.2.1", 4001), config=config, life=life)
        self.right = Peer(
            "right", Address("198.51.100.2", 4001), config=right_config or config, network=right_network, life=life
        )
        self.peers = [self.left, self.right]
        self.sent: list[tuple[Address, Address, bytes]] = []
        self.record = False
        self.filter: Callable[[Address, Address, bytes], bool] = lambda *_: True
        self._queue: list[tuple[float, int, Address, Address, bytes]] = []
        self._count = 0
        self._deadlines: dict[Peer, float | None] = {}

    def add(
        self,
        name: str,
        address: Address,
        config: TransportConfig | None = None,
        congestion: CongestionFactory | None = None,
    ) -> Peer:
        peer = Peer(name, address, config=config or TransportConfig(), congestion=congestion)
        self.peers.append(peer)
        return peer

    def connect(self) -> None:
        """Open a session from left to right."""
        self.left.endpoint.connect(self.right.contact, self.right.address, self.now)
        self.run_until(lambda: bool(self.left.opened and self.right.opened))

    def inject(self, source: Address, destination: Address, datagram: bytes, *, delay: float = 0.0) -> None:
        """Put a datagram on the wire that an attacker made."""
        self._push(self.now + delay, source, destination, datagram)

    def run_until(self, condition: Callable[[], bool], *, limit: float = 60.0) -> float:
        """Let time pass until the condition holds and return how long it took."""
        started_at = self.now
        self._transmit_all()
        while not condition():
            assert self._step(started_at + limit), f"not within {limit} s"
        return self.now - started_at

    def run_for(self, duration: float) -> None:
        """Let time pass."""
        end = self.now + duration
        self._transmit_all()
        while self._step(end):
            pass
        self.now = end

    def _step(self, end: float) -> bool:
        deadlines = [at for peer in self.peers if not peer.asleep and (at := self._deadlines[peer]) is not None]
        if self._queue:
            deadlines.append(self._queue[0][0])
        if not deadlines or max(min(deadlines), self.now) > end:
            return False
        self.now = max(min(deadlines), self.now)
        touched = self._deliver()
        for peer in self.peers:
            at = peer.endpoint.next_deadline() if peer in touched else self._deadlines[peer]
            if not peer.asleep and at is not None and at <= self.now:
                peer.endpoint.handle_timer(self.now)
                touched.add(peer)
        self._transmit([peer for peer in self.peers if peer in touched])
        return True

    def _deliver(self) -> set[Peer]:
        """Hand over what is due; returns the peers that got something."""
        touched: set[Peer] = set()
        due: list[tuple[Address, Address, bytes]] = []
        kept = []
        while self._queue and self._queue[0][0] <= self.now:
            entry = heapq.heappop(self._queue)
            if any(peer.address == entry[3] and peer.asleep for peer in self.peers):
                if sum(waiting[3] == entry[3] for waiting in kept) < SOCKET_BUFFER_PACKETS:
                    kept.append((self.now + 0.1, *entry[1:]))
                continue
            due.append(entry[2:])
        for entry in kept:
            heapq.heappush(self._queue, entry)
        while due:
            source, destination, first = due[0]
            batch = [first]
            del due[0]
            while due and due[0][:2] == (source, destination) and len(batch[-1]) == len(first) and len(batch) < 64:
                if len(due[0][2]) > len(first):
                    break
                batch.append(due.pop(0)[2])
            data = memoryview(b"".join(batch))
            for peer in self.peers:
                # Like the sockets, which let the endpoint judge single datagrams before they are gathered.
                if peer.address == destination and not (len(batch) == 1 and peer.endpoint.is_foreign(data)):
                    peer.endpoint.receive_datagrams(data, len(first), source, self.now)
                    touched.add(peer)
        return touched

    def _transmit_all(self) -> None:
        # Tests do things to any peer between two runs.
        self._transmit(self.peers)

    def _transmit(self, peers: list[Peer]) -> None:
        for peer in peers:
            if peer.asleep:
                self._deadlines[peer] = None
                continue
            for burst in peer.endpoint.datagrams_to_send(self.now):
                for start in range(0, len(burst.buffer), burst.segment_bytes):
                    datagram = bytes(burst.buffer[start : start + burst.segment_bytes])
                    self._send(peer.address, burst.destination, datagram)
            while (notice := peer.endpoint.next_event()) is not None:
                peer.notices.append(notice)
            self._deadlines[peer] = peer.endpoint.next_deadline()

    def _send(self, source: Address, destination: Address, datagram: bytes) -> None:
        if self.record:
            self.sent.append((source, destination, datagram))
        if self.filter(source, destination, datagram):
            for at, arrived in self.wire.arrivals(datagram, destination, self.now):
                self._push(at, source, destination, arrived)

    def _push(self, at: float, source: Address, destination: Address, datagram: bytes) -> None:
        self._count += 1
        heapq.heappush(self._queue, (at, self._count, source, destination, datagram))
