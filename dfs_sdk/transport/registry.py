"""The tables of sessions: by index, by peer, and the graves of those that ended.

Here is decided which of two sessions with one peer stays, and who has to go when there are too many. A grave keeps the
sealed CLOSE of a session for a while: a peer that missed it and goes on sending is told again. The CLOSE that answers
ours is never answered, so two graves cannot keep each other awake.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass

from dfs_sdk.ids import Address, NodeId
from dfs_sdk.transport.config import TransportConfig
from dfs_sdk.transport.frames import CloseCode
from dfs_sdk.transport.packet import is_private, source_prefix
from dfs_sdk.transport.receiving import Receiver
from dfs_sdk.transport.session import Session

# Two handshakes that crossed end within this time of each other.
GLARE_WINDOW = 10.0
GRAVES_MAX = 256
GRAVE_LIFETIME = 30.0
FAREWELLS_MAX = 8


@dataclass(slots=True, kw_only=True)
class Grave:
    """What is left of an ended session.

    Attributes:
        farewell: Its sealed CLOSE packet.
        address: Where the peer was; nobody else gets it.
        dug_at: When it ended.
        receiver: Opens the peer's answer; None once that came, or when it was the peer that ended the session.
        told: How often the packet was sent again.
    """

    farewell: bytes
    address: Address
    dug_at: float
    receiver: Receiver | None
    told: int = 0


class Registry:
    """All sessions of one endpoint."""

    def __init__(self, config: TransportConfig, own_id: NodeId) -> None:
        self._config = config
        self._own_id = own_id
        self._by_index: dict[int, Session] = {}
        self._by_node: dict[NodeId, Session] = {}
        self._graves: OrderedDict[int, Grave] = OrderedDict()

    @property
    def sessions(self) -> tuple[Session, ...]:
        """The open sessions, in the order in which they were opened."""
        return tuple(self._by_index.values())

    def by_index(self, index: int) -> Session | None:
        """Return the session that peers address with `index`."""
        return self._by_index.get(index)

    def is_known(self, index: int) -> bool:
        """Say whether a session has or had that index."""
        return index in self._by_index or index in self._graves

    def by_node(self, node_id: NodeId) -> Session | None:
        """Return the session with a peer."""
        return self._by_node.get(node_id)

    def admit(self, session: Session, now: float) -> list[tuple[Session, str]]:
        """Enter a session.

        Returns:
            Other sessions that have to be closed for it, with reasons. The new one itself may be the loser: it is
            then closed and not entered.
        """
        rival = self._by_node.get(session.node_id)
        if rival is not None and self._keeps(rival, session, now):
            session.close(CloseCode.REPLACED, "another connection with this peer is open")
            return []
        losers = [(rival, "replaced by another connection with this peer")] if rival is not None else []
        crowded = self._crowded(session, besides=rival)
        if crowded is not None:
            losers.append((crowded, "too many connections"))
        self._by_index[session.local_index] = session
        self._by_node[session.node_id] = session
        return losers

    def remove(self, session: Session) -> bool:
        """Take a session out and say whether it was in."""
        if self._by_index.get(session.local_index) is not session:
            return False
        del self._by_index[session.local_index]
        if self._by_node.get(session.node_id) is session:
            del self._by_node[session.node_id]
        return True

    def bury(self, session: Session, farewell: bytes, address: Address, now: float) -> None:
        """Keep the CLOSE packet of an ended session."""
        receiver = session.receiver if session.is_farewell_due else None
        self._graves[session.local_index] = Grave(farewell=farewell, address=address, dug_at=now, receiver=receiver)
        while len(self._graves) > GRAVES_MAX:
            self._graves.popitem(last=False)

    def farewell(self, index: int, packet: memoryview, source: Address, now: float) -> bytes | None:
        """Return the CLOSE packet for a peer that goes on sending to an ended session, `packet` for one."""
        grave = self._graves.get(index)
        if grave is None or grave.address != source or grave.told >= FAREWELLS_MAX:
            return None
        if now > grave.dug_at + GRAVE_LIFETIME:
            del self._graves[index]
            return None
        if grave.receiver is not None and grave.receiver.is_close(packet, now):
            grave.receiver, grave.told = None, FAREWELLS_MAX
            return None
        grave.told += 1
        return grave.farewell

    def unanswered(self, now: float) -> list[Grave]:
        """Return the graves whose peers may not know of the end yet, and are to be told again."""
        return [
            grave
            for grave in self._graves.values()
            if grave.receiver is not None and grave.told < FAREWELLS_MAX and now <= grave.dug_at + GRAVE_LIFETIME
        ]

    def _keeps(self, old: Session, new: Session, now: float) -> bool:
        """Say whether the old one of two sessions with a peer stays.

        The newer one stays, unless two handshakes crossed: then both sides keep the one the lower id began. A peer
        that was restarted has another instance and never loses to its former self.
        """
        crossed = (
            old.instance == new.instance and old.initiated != new.initiated and now - old.established_at < GLARE_WINDOW
        )
        return crossed and old.initiated == (self._own_id < old.node_id)

    def _crowded(self, session: Session, besides: Session | None) -> Session | None:
        """Return the session that has to go because there are too many, the longest silent one."""
        others = [other for other in self._by_index.values() if other is not besides]
        if not is_private(session.address):
            prefix = source_prefix(session.address)
            near = [other for other in others if source_prefix(other.address) == prefix]
            if len(near) >= self._config.sessions_per_prefix_max:
                return min(near, key=lambda other: other.heard_at)
        if len(others) >= self._config.connections_max:
            return min(_expendable(others), key=lambda other: other.heard_at)
        return None


def _expendable(sessions: list[Session]) -> list[Session]:
    """Return those among which one makes room: of the most crowded network, and begun by their peers, if there are any.

    Whoever brings many identities from one network would else push out all others, who are silent for longer.
    """
    begun_by_peers = [session for session in sessions if not session.initiated] or sessions
    networks = [_network(session.address) for session in begun_by_peers]
    counts = Counter(networks)
    most = max(counts.values())
    return [session for session, name in zip(begun_by_peers, networks, strict=True) if counts[name] == most]


def _network(address: Address) -> bytes:
    """Name what one holder may own many prefixes of: a /16, or an IPv6 /32."""
    return source_prefix(address, ipv4_bytes=2, ipv6_bytes=4)
