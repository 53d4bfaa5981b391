"""What the calls need of the floor below, so that tests can put an in-memory network in the place of UDP.

`transport.driver.Transport` is the real one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from dfs_sdk.crypto.identity import PublicIdentity
from dfs_sdk.ids import Address, NetworkId, NodeId
from dfs_sdk.runtime.ports import Buffer
from dfs_sdk.transport.contact import Contact
from dfs_sdk.transport.priority import Priority
from dfs_sdk.transport.trace import Samples


class SentPort(Protocol):
    """A message handed to a connection."""

    @property
    def acked(self) -> asyncio.Future[None]:
        """Done when the peer has it; fails or is cancelled when it never will."""
        ...

    def cancel(self) -> None:
        """Stop sending it where it is not delivered yet; calling it again or too late is harmless."""
        ...


class ConnectionPort(Protocol):
    """An authenticated connection that carries whole messages, each delivered once or not at all."""

    @property
    def peer(self) -> PublicIdentity:
        """The keys of the peer."""
        ...

    @property
    def node_id(self) -> NodeId:
        """The peer."""
        ...

    @property
    def address(self) -> Address:
        """Where it is reached just now."""
        ...

    @property
    def rtt(self) -> float:
        """Smoothed round-trip time in seconds."""
        ...

    @property
    def observed_address(self) -> Address | None:
        """How the peer sees us, as it says."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        ...

    @property
    def arrived_bytes(self) -> int:
        """Bytes of messages that the peer has acknowledged since the connection began."""
        ...

    @property
    def received_bytes(self) -> int:
        """Bytes of authentic packets that came since the connection began, whatever they carried."""
        ...

    @property
    def trace(self) -> Samples:
        """What it went through while data moved, oldest first."""
        ...

    async def send(self, parts: Sequence[Buffer], *, priority: Priority) -> SentPort:
        """Queue the concatenation of `parts` as one message; waits while the queue is full.

        Raises:
            PeerUnreachableError: The connection is closed.
        """
        ...

    def send_now(self, parts: Sequence[Buffer], *, priority: Priority) -> SentPort | None:
        """Queue the concatenation of `parts` as one message; None, and nothing is sent, while the queue is full.

        Raises:
            PeerUnreachableError: The connection is closed.
        """
        ...

    def close(self, reason: str) -> None:
        """Say goodbye and forget the session."""
        ...


class IdentifiedPort(Protocol):
    """Who answered an unauthenticated question at an address.

    Everything here is hearsay until a connection to `contact` succeeds.
    """

    @property
    def contact(self) -> Contact:
        """Keys of the peer, with the address it was asked at."""
        ...

    @property
    def network_id(self) -> NetworkId:
        """The network it says it belongs to."""
        ...

    @property
    def private(self) -> bool:
        """Whether that network asks for a passphrase."""
        ...

    @property
    def observed(self) -> Address:
        """The address it sees us at."""
        ...


class TransportPort(Protocol):
    """Makes and accepts connections. The handlers are set before it starts and called on the home loop."""

    on_connection: Callable[[Any], None]
    on_closed: Callable[[Any, str], None]
    on_message: Callable[[Any, memoryview], None]
    on_mute: Callable[[Any], None]

    @property
    def local_address(self) -> Address:
        """The address the socket is bound to; its host may be unspecified."""
        ...

    async def connect(self, contact: Contact, *, timeout: float, anew: bool = False) -> ConnectionPort:
        """Open a connection, or return the open one; `anew` dials beside an open one that is mute.

        Raises:
            PeerUnreachableError: No address of the contact answers.
            DeadlineError: Not within `timeout`.
        """
        ...

    async def identify(self, address: Address, *, timeout: float) -> IdentifiedPort:
        """Ask who listens at an address.

        Raises:
            DeadlineError: No answer.
        """
        ...
