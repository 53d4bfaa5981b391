"""Nodes in one event loop that call each other: the real `Rpc` over an in-memory transport.

Every message is encoded, framed, checked and decoded as on a real wire; only sealing and datagrams are left out.
`kill`, `partition` and `heal` decide at once and for sure what a real network would let one guess.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dfs_sdk.crypto.identity import Identity, PublicIdentity
from dfs_sdk.errors import DeadlineError, PeerUnreachableError
from dfs_sdk.ids import Address, NetworkId, NodeId
from dfs_sdk.rpc.config import RpcConfig
from dfs_sdk.rpc.service import Rpc
from dfs_sdk.runtime.ports import Buffer, Runtime
from dfs_sdk.runtime.tasks import TaskScope
from dfs_sdk.transport.contact import Contact
from dfs_sdk.transport.priority import Priority
from dfs_sdk.transport.trace import Samples, in_rows
from tests.fakes.runtime import FakeClock, fake_runtime

RTT = 0.001


class FakeSent:
    """A message on its way."""

    def __init__(self) -> None:
        self.cancelled = False
        self.acked: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def cancel(self) -> None:
        self.cancelled = True
        self.acked.cancel()


class FakeConnection:
    """One end of a connection; messages arrive in order, after the network's latency."""

    def __init__(self, transport: FakeTransport, peer: FakeTransport) -> None:
        self.transport = transport
        self.remote_transport = peer
        self.remote: FakeConnection | None = None
        self.is_open = True
        self.rtt = max(RTT, 2 * transport.network.latency)
        self.sent_bytes = self.arrived_bytes = self.received_bytes = 0
        self.trace: Samples = in_rows()

    @property
    def peer(self) -> PublicIdentity:
        return self.remote_transport.identity.public

    @property
    def node_id(self) -> NodeId:
        return self.remote_transport.identity.node_id

    @property
    def address(self) -> Address:
        return self.remote_transport.local_address

    @property
    def observed_address(self) -> Address:
        return self.transport.local_address

    async def send(self, parts: Sequence[Buffer], *, priority: Priority) -> FakeSent:
        return self.send_now(parts, priority=priority)

    def send_now(self, parts: Sequence[Buffer], *, priority: Priority) -> FakeSent:
        if not self.is_open:
            raise PeerUnreachableError("the connection is closed")
        network = self.transport.network
        network.check_reachable(self.transport.node_id, self.node_id)
        message = b"".join(bytes(part) for part in parts)
        self.sent_bytes += len(message)
        network.messages += 1
        network.bytes += len(message)
        network.bytes_by_priority[priority] += len(message)
        sent = FakeSent()
        loop = asyncio.get_running_loop()
        if network.latency:
            loop.call_later(network.latency, self._deliver, message, sent)
        else:
            loop.call_soon(self._deliver, message, sent)
        return sent

    def _deliver(self, message: bytes, sent: FakeSent) -> None:
        remote = self.remote
        cut = self.transport.network.is_cut(self.transport.node_id, self.node_id)
        if remote is None or not remote.is_open or sent.cancelled or cut:
            return
        self.arrived_bytes += len(message)
        remote.received_bytes += len(message)
        if not sent.acked.done():
            sent.acked.set_result(None)
        remote.transport.on_message(remote, memoryview(message))

    def close(self, reason: str) -> None:
        if self.is_open:
            self.is_open = False
            self.transport.on_closed(self, reason)
            if self.remote is not None:
                self.remote.close(f"closed by peer: {reason}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeIdentified:
    contact: Contact
    network_id: NetworkId
    private: bool
    observed: Address


class FakeTransport:
    """The transport of one node."""

    def __init__(self, network: FakeNetwork, identity: Identity, address: Address) -> None:
        self.network = network
        self.identity = identity
        self.node_id = identity.node_id
        self.local_address = address
        self.connections: dict[NodeId, FakeConnection] = {}
        self.on_connection: Callable[[Any], None] = lambda _connection: None
        self.on_closed: Callable[[Any, str], None] = lambda _connection, _reason: None
        self.on_message: Callable[[Any, memoryview], None] = lambda _connection, _message: None

    async def connect(self, contact: Contact, *, timeout: float) -> FakeConnection:
        await asyncio.sleep(2 * self.network.latency)
        known = self.connections.get(contact.node_id)
        if known is not None and known.is_open:
            return known
        for address in contact.addresses:
            peer = self.network.at(address)
            if peer is not None and peer.node_id == contact.node_id:
                self.network.check_reachable(self.node_id, peer.node_id)
                return self._link(peer)
        raise PeerUnreachableError("no address answers")

    async def identify(self, address: Address, *, timeout: float) -> FakeIdentified:
        await asyncio.sleep(2 * self.network.latency)
        peer = self.network.at(address)
        if peer is None:
            raise DeadlineError(f"nobody answers at {address}")
        self.network.check_reachable(self.node_id, peer.node_id)
        public = peer.identity.public
        return FakeIdentified(
            contact=Contact(ed=public.ed, x=public.x, addresses=(address,)),
            network_id=self.network.network_id,
            private=False,
            observed=self.local_address,
        )

    def _link(self, peer: FakeTransport) -> FakeConnection:
        ours, theirs = FakeConnection(self, peer), FakeConnection(peer, self)
        ours.remote, theirs.remote = theirs, ours
        self.connections[peer.node_id] = ours
        peer.connections[self.node_id] = theirs
        self.on_connection(ours)
        peer.on_connection(theirs)
        return ours


class FakeNetwork:
    """A network in one event loop. `async with FakeNetwork() as network: a, b = network.rpc(), network.rpc()`.

    Args:
        seed: Of identities and of every node's runtime.
        latency: Seconds one way; 0 delivers in the next turn of the loop.
        clock: Shared by all nodes; a `FakeClock` unless one is passed in (`LoopClock` under `run_virtual`).

    Attributes:
        clock: The clock of all nodes.
        errors: (task name, exception) of every task that failed in any node's own scope; a test may look.
        messages, bytes: What was sent so far.
    """

    def __init__(self, seed: int = 0, *, latency: float = 0.0, clock: Any = None) -> None:
        self.seed = seed
        self.latency = latency
        self.clock: Any = clock if clock is not None else FakeClock()
        self.network_id = NetworkId(fake_runtime(seed).entropy.token(32))
        self.errors: list[tuple[str, BaseException]] = []
        self.messages = 0
        self.bytes = 0
        self.bytes_by_priority: Counter[Priority] = Counter()
        self.runtimes: dict[NodeId, Runtime] = {}
        self.scopes: dict[NodeId, TaskScope] = {}
        self._transports: dict[NodeId, FakeTransport] = {}
        self._by_address: dict[Address, FakeTransport] = {}
        self._dead: set[NodeId] = set()
        self._silent: set[NodeId] = set()
        self._cuts: list[tuple[frozenset[NodeId], frozenset[NodeId], bool]] = []
        self._made = 0

    async def __aenter__(self) -> FakeNetwork:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End all tasks of all nodes."""
        for transport in self._transports.values():
            for connection in tuple(transport.connections.values()):
                connection.close("the test is over")
        for scope in self.scopes.values():
            await scope.close()

    def rpc(
        self, identity: Identity | None = None, *, address: Address | None = None, config: RpcConfig | None = None
    ) -> Rpc:
        """Add a node (or start one with the same identity again, as after a crash) and return its calls."""
        self._made += 1
        runtime = fake_runtime(self.seed * 1_000_003 + self._made, clock=self.clock)
        identity = identity or Identity.generate(runtime.entropy)
        if address is None:
            address = Address(f"10.{self._made >> 16 & 255}.{self._made >> 8 & 255}.{self._made & 255}", 4001)
        if identity.node_id in self._transports:
            self.kill(identity.node_id)
            self.revive(identity.node_id)
            self._by_address.pop(self._transports[identity.node_id].local_address, None)
        transport = FakeTransport(self, identity, address)
        # Twice the same scope name never meets, and closing the network closes the old ones, too.
        scope = TaskScope(identity.node_id.short, on_error=lambda name, error: self.errors.append((name, error)))
        self.scopes[NodeId(identity.node_id)] = scope
        self._transports[identity.node_id] = transport
        self._by_address[address] = transport
        self.runtimes[identity.node_id] = runtime
        return Rpc(runtime=runtime, transport=transport, identity=identity, scope=scope, config=config)

    def introduce(self, *nodes: Rpc) -> None:
        """Let every one of `nodes` know the contacts of all others."""
        for node in nodes:
            for other in nodes:
                if other is not node:
                    node.book.learn(self.contact(other.node_id), None)

    def contact(self, node_id: NodeId) -> Contact:
        """Give the true contact of a node."""
        transport = self._transports[node_id]
        public = transport.identity.public
        return Contact(ed=public.ed, x=public.x, addresses=(transport.local_address,))

    def kill(self, node_id: NodeId, *, silent: bool = False) -> None:
        """Stop a node without a goodbye.

        Args:
            node_id: Which.
            silent: Nobody is told: calls to it raise `DeadlineError` at once, its connections look open. Otherwise its
                connections end at once on the other side and calls raise `PeerUnreachableError`.
        """
        self._dead.add(node_id)
        if silent:
            self._silent.add(node_id)
            return
        for connection in tuple(self._transports[node_id].connections.values()):
            connection.close("killed")

    def revive(self, node_id: NodeId) -> None:
        """Let a killed node answer again, with all it knew: a blocked kernel that goes on."""
        self._dead.discard(node_id)
        self._silent.discard(node_id)

    def partition(self, some: Iterable[NodeId], others: Iterable[NodeId], *, silent: bool = False) -> None:
        """Cut every path between two groups until `heal`; `silent` as in `kill`."""
        cut = (frozenset(some), frozenset(others), silent)
        self._cuts.append(cut)
        if silent:
            return
        for transport in self._transports.values():
            for peer, connection in tuple(transport.connections.items()):
                if self._crosses(cut, transport.node_id, peer):
                    connection.close("partitioned")

    def heal(self) -> None:
        """End all partitions."""
        self._cuts.clear()

    def at(self, address: Address) -> FakeTransport | None:
        """Find who listens at an address."""
        return self._by_address.get(address)

    def is_dead(self, node_id: NodeId) -> bool:
        """Whether a node was killed and not revived."""
        return node_id in self._dead

    def is_cut(self, a: NodeId, b: NodeId) -> bool:
        """Whether nothing passes between two nodes."""
        return a in self._dead or b in self._dead or any(self._crosses(cut, a, b) for cut in self._cuts)

    def check_reachable(self, a: NodeId, b: NodeId) -> None:
        """Raise what a call from `a` to `b` raises if nothing passes between them."""
        if not self.is_cut(a, b):
            return
        if {a, b} & self._silent or any(cut[2] and self._crosses(cut, a, b) for cut in self._cuts):
            raise DeadlineError(f"{b.short} does not answer")
        raise PeerUnreachableError(f"{b.short} is unreachable")

    @staticmethod
    def _crosses(cut: tuple[frozenset[NodeId], frozenset[NodeId], bool], a: NodeId, b: NodeId) -> bool:
        some, others, _silent = cut
        return (a in some and b in others) or (a in others and b in some)


FakeRpc = Rpc
