"""The slices of one node in one network: constructed, wired, started and stopped in order.

The only code that knows the order of construction. A node that changes networks closes one stack and builds another
over the same store and keys (docs/decisions/0004).
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from dfs_sdk._version import __version__
from dfs_sdk.chat.service import Chat
from dfs_sdk.crypto.identity import Identity
from dfs_sdk.dht.service import Dht
from dfs_sdk.errors import DfsError
from dfs_sdk.events import EventBus
from dfs_sdk.exchange.service import Exchange
from dfs_sdk.files.service import Files
from dfs_sdk.ids import Address
from dfs_sdk.node.config import NodeConfig
from dfs_sdk.node.membership import Membership
from dfs_sdk.node.traces import Traces
from dfs_sdk.peers.selfdesc import Profile
from dfs_sdk.peers.service import Peers
from dfs_sdk.replication.service import Replication
from dfs_sdk.rpc.ports import IdentifiedPort, TransportPort
from dfs_sdk.rpc.service import Rpc
from dfs_sdk.runtime.ports import Runtime
from dfs_sdk.runtime.tasks import ErrorHandler, TaskScope
from dfs_sdk.store.base import ChunkStore
from dfs_sdk.transport.driver import Transport
from dfs_sdk.transport.handshake import Network

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Foundation:
    """What outlives a stack: the node's name, keys, store, ports and news, and the ids of transfers still to come."""

    name: str
    identity: Identity
    store: ChunkStore
    runtime: Runtime
    events: EventBus
    config: NodeConfig
    on_error: ErrorHandler
    transfer_ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))


class OwnTransport(TransportPort, Protocol):
    """A transport as its owner sees it; `Transport` is the real one."""

    async def start(self) -> None:
        """Bind the socket."""
        ...

    async def close(self) -> None:
        """Tell the peers and release the socket."""
        ...

    def abort(self) -> None:
        """Vanish like a killed process."""
        ...

    def wipe(self) -> None:
        """Forget all keys: this is a forked child."""
        ...


class Stack:
    """One node in one network, from the socket up to files and chat.

    Args:
        foundation: What the stack stands on.
        membership: The network.
        bind: Where to listen; port 0 picks one.
    """

    def __init__(self, foundation: Foundation, membership: Membership, bind: Address) -> None:
        given, config = foundation, foundation.config
        self._given = foundation
        self.membership = membership
        self.scope = TaskScope(f"dfs-{given.name}", on_error=given.on_error)
        runtime, identity, store, events, scope = given.runtime, given.identity, given.store, given.events, self.scope
        make_transport = runtime.transport or Transport
        self.transport: OwnTransport = make_transport(
            runtime=runtime,
            identity=identity,
            network=Network(network_id=membership.network_id, psk=membership.psk),
            config=config.transport,
            bind=bind,
        )
        self.rpc = Rpc(runtime=runtime, transport=self.transport, identity=identity, scope=scope, config=config.rpc)
        self.peers = Peers(
            rpc=self.rpc,
            store=store,
            events=events,
            scope=scope,
            runtime=runtime,
            config=config.peers,
            profile=Profile(name=given.name, host=runtime.machine.fingerprint(), version=__version__),
            asides=self.transport if isinstance(self.transport, Transport) else None,
        )
        self.dht = Dht(
            rpc=self.rpc,
            store=store,
            scope=scope,
            runtime=runtime,
            network_id=membership.network_id,
            config=config.dht,
        )
        self.exchange = Exchange(rpc=self.rpc, store=store, scope=scope, runtime=runtime, config=config.exchange)
        self.replication = Replication(
            rpc=self.rpc,
            exchange=self.exchange,
            peers=self.peers,
            store=store,
            events=events,
            scope=scope,
            runtime=runtime,
            network_id=membership.network_id,
            config=config.replication,
        )
        self.files = Files(
            rpc=self.rpc,
            store=store,
            exchange=self.exchange,
            replication=self.replication,
            dht=self.dht,
            peers=self.peers,
            events=events,
            scope=scope,
            runtime=runtime,
            identity=identity,
            network_id=membership.network_id,
            former_networks=membership.former,
            transfer_ids=given.transfer_ids,
            config=config.files,
        )
        self.traces = Traces(self.rpc)
        self.files.on_transfer_lap(lambda transfer: self.traces.keep(transfer.sources))
        self.chat = Chat(
            rpc=self.rpc,
            peers=self.peers,
            store=store,
            events=events,
            scope=scope,
            runtime=runtime,
            network_id=membership.network_id,
            name=given.name,
            config=config.chat,
        )

    @property
    def address(self) -> Address:
        """Where the socket is bound."""
        return self.transport.local_address

    async def lookup(self, host: str, port: int) -> list[Address]:
        """Resolve a name that the user gave."""
        return await self._given.runtime.machine.lookup(host, port)

    async def dial(self, address: Address, *, timeout: float) -> IdentifiedPort:
        """Ask who listens at an address that the user gave."""
        return await self.rpc.dial(address, timeout=timeout)

    async def start(self) -> None:
        """Start the slices from the lowest up, so that each finds the ones below it at work."""
        try:
            await self.transport.start()
            for part in (self.peers, self.dht, self.exchange, self.replication, self.files, self.chat):
                await part.start()
        except BaseException:
            await self.close()
            raise

    async def leave(self, timeout: float) -> None:
        """Hand over what only this node has and say goodbye for good, within `timeout` seconds."""
        try:
            await self.replication.hand_over(timeout=timeout)
        except DfsError as error:
            logger.warning("could not hand over everything: %s", error)
        # What came in from here on would be acknowledged and then leave with this node.
        self.rpc.refuse_calls()
        await self.peers.leave()

    async def close(self) -> None:
        """Stop everything; what peers hear is that the connection is closed, not that the node left for good."""
        with suppress(DfsError):
            await self.peers.save()
        await self.files.close()
        await self.scope.close()
        await self.transport.close()

    async def abort(self) -> None:
        """Vanish like a killed process: no goodbye, nothing saved."""
        self.transport.abort()
        await self.scope.close()
