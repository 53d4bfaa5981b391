"""What every slice above types against: how to call a peer and how to answer one.

`service.Rpc` is the real implementation; a test may pass any other `RpcService`. A call is one request message and one
reply message, each a dataclass of a slice's `messages.py` plus bulk bytes that no codec touches.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, Protocol, TypeVar

from dfs_sdk.crypto.identity import Identity
from dfs_sdk.errors import DeadlineError, PeerUnreachableError, ProtocolError, RemoteError
from dfs_sdk.ids import Address, NodeId
from dfs_sdk.rpc.addressbook import AddressBook
from dfs_sdk.rpc.ports import IdentifiedPort
from dfs_sdk.runtime.ports import Buffer
from dfs_sdk.transport.contact import Contact
from dfs_sdk.transport.priority import Priority
from dfs_sdk.wire.codec import Request

CALL_TIMEOUT = 10.0
HANDLER_CONCURRENCY = 64
# Where a call ends because of the other side; anything else is our own mistake and is reported.
CALL_ERRORS = (PeerUnreachableError, DeadlineError, RemoteError, ProtocolError)

ReplyT = TypeVar("ReplyT")
RequestT = TypeVar("RequestT", bound=Request[Any])


def nothing(_taken: bool) -> None:  # noqa: FBT001 - a plain callback
    """Do nothing: nobody asked to be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks: an authenticated peer.

    Attributes:
        node_id: The peer.
        address: Where its datagrams come from.
        rtt: Smoothed round-trip time to it in seconds.
        contact: Its keys, with `address` as the one address we see.
    """

    node_id: NodeId
    address: Address
    rtt: float
    contact: Contact


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Generic[ReplyT]):
    """What a call brought back.

    Attributes:
        reply: The decoded reply message.
        body: The bulk bytes that came with it; ours to keep.
        elapsed: Seconds from the call to the answer, connecting included.
    """

    reply: ReplyT
    body: memoryview
    elapsed: float


class RefusalCode(Enum):
    """Why a call is refused; a value in use is never given another meaning."""

    UNKNOWN_CALL = 1
    BUSY = 2
    TOO_LARGE = 3
    STORE_FULL = 4
    NOT_FOUND = 5
    DENIED = 6
    FAILED = 7
    LEAVING = 8


class Refusal(Exception):  # noqa: N818 - an answer that a handler gives, not something that went wrong
    """Raised by a handler to refuse a call; the caller gets a `RemoteError` with the same code and text.

    Args:
        code: Why.
        text: One sentence for the peer's user; never a secret or a path.
    """

    def __init__(self, code: RefusalCode, text: str = "") -> None:
        super().__init__(f"{code.name}: {text}" if text else code.name)
        self.code = code
        self.text = text


# Answers a request: the reply message, or (reply, bulk bytes), or (reply, bulk bytes, what is called once with whether
# the peer has taken both, as soon as it has or never will). The body is whole and ours.
Handler = Callable[[Caller, RequestT, memoryview], Awaitable[object]]
# The same from a plain function, for what is known without waiting.
PlainHandler = Callable[[Caller, RequestT, memoryview], object]


class RpcService(Protocol):
    """Calls between nodes, as seen from the floors above."""

    @property
    def node_id(self) -> NodeId:
        """The name of this node."""
        ...

    @property
    def identity(self) -> Identity:
        """The keys of this node."""
        ...

    @property
    def book(self) -> AddressBook:
        """The addresses we know of others."""
        ...

    def local_contact(self) -> Contact:
        """Describe ourselves: our keys and the addresses others can reach us at, most promising first."""
        ...

    def serve(
        self,
        request_type: type[RequestT],
        handler: Handler[RequestT],
        *,
        concurrency_max: int = HANDLER_CONCURRENCY,
        bulk: bool = False,
    ) -> None:
        """Answer calls of one kind. The handler returns what `Handler` says, or raises `Refusal`.

        Args:
            request_type: The request's class; each tag is served once.
            handler: Called on the home loop in a task of its own, which is cancelled when the caller cancels,
                disconnects or its time-out passes.
            concurrency_max: Handlers of this kind that run at one time; further calls wait, bounded, then get BUSY.
            bulk: Whether replies are large: such calls wait while too much of other replies is not taken.

        Raises:
            ValueError: The tag is served already.
        """
        ...

    def serve_at_once(self, request_type: type[RequestT], handler: PlainHandler[RequestT]) -> None:
        """Answer calls of one kind without a task: the handler is a plain function that waits for nothing.

        Args:
            request_type: The request's class; each tag is served once.
            handler: Returns the reply or (reply, body), or raises `Refusal`. It is called on the home loop, in the
                order in which calls arrive; what it takes, everything else on the loop waits.

        Raises:
            ValueError: The tag is served already.
        """
        ...

    async def call(
        self,
        peer: NodeId,
        request: Request[ReplyT],
        *,
        body: Buffer = b"",
        timeout: float = CALL_TIMEOUT,
        priority: Priority = Priority.INTERACTIVE,
    ) -> Answer[ReplyT]:
        """Ask a peer and wait for its answer, connecting first where needed. Never sent twice.

        Args:
            peer: Whom to ask: connected, or in the address book.
            request: The request message.
            body: Bulk bytes, at most 4 MiB + 1 KiB; not to be changed before the call ends.
            timeout: Seconds for everything: connecting, sending, the answer.
            priority: How urgent request and reply are.

        Raises:
            PeerUnreachableError: No address is known or answers, or the connection was lost meanwhile.
            DeadlineError: No answer in time; the handler over there is cancelled.
            RemoteError: The peer refused; `code` names the `RefusalCode`.
            ProtocolError: The answer is malformed; the connection is closed.
            MessageTooLargeError: The body is over the limit.
        """
        ...

    async def dial(self, address: Address, *, timeout: float = CALL_TIMEOUT) -> IdentifiedPort:
        """Ask who listens at an address the user gave, and remember it. Nothing about it is authenticated yet.

        Raises:
            DeadlineError: No answer.
        """
        ...

    async def connect(self, contact: Contact, *, timeout: float = CALL_TIMEOUT) -> None:
        """Remember a contact and connect to it; returns at once where a connection is open.

        Raises:
            PeerUnreachableError: None of its usable addresses answers.
            DeadlineError: Not within `timeout`.
        """
        ...

    def connected(self) -> list[NodeId]:
        """List the peers with an open connection, oldest first."""
        ...

    def rtt(self, peer: NodeId) -> float | None:
        """Give the smoothed round-trip time to a connected peer in seconds."""
        ...

    def received_bytes(self, peer: NodeId) -> int:
        """Count the bytes that came over the connection to a peer, of messages under way as well; 0 without one."""
        ...

    def address(self, peer: NodeId) -> Address | None:
        """Give the address a connected peer is reached at."""
        ...

    def on_connected(self, handler: Callable[[NodeId], None]) -> None:
        """Call `handler` for each peer that becomes connected."""
        ...

    def on_disconnected(self, handler: Callable[[NodeId, str], None]) -> None:
        """Call `handler` with peer and reason when its last connection is gone."""
        ...

    async def disconnect(self, peer: NodeId) -> None:
        """Close the connection to a peer, if there is one; calls under way fail."""
        ...
