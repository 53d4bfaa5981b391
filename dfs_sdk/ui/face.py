"""What a panel needs of a node, and of the things a node hands out: nothing else of them is used here.

The node's own class satisfies `NodeFace`; tests pass a fake one.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Coroutine, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from dfs_sdk.chat.news import ChatMessage
from dfs_sdk.events import Event
from dfs_sdk.ids import NodeId
from dfs_sdk.node.snapshot import NodeSnapshot

if TYPE_CHECKING:
    from dfs_sdk.node.node import Node

T = TypeVar("T")


class Cancellable(Protocol):
    """A subscription."""

    def cancel(self) -> None:
        """End it."""
        ...


class TransferFace(Protocol):
    """A running upload or download; `transfer_id` as in the snapshot."""

    transfer_id: int

    def pause(self) -> None:
        """Hold it."""
        ...

    def resume(self) -> None:
        """Go on with it."""
        ...

    def cancel(self) -> None:
        """Stop it."""
        ...


class ReaderFace(Protocol):
    """An open file of the network."""

    async def read(self, size: int = -1, /) -> bytes:
        """Read up to `size` bytes, none at the end."""
        ...

    async def seek(self, offset: int, /) -> int:
        """Move to a place."""
        ...

    async def close(self) -> None:
        """Let go of it."""
        ...


class JoinReportFace(Protocol):
    """What a join achieved."""

    @property
    def peers(self) -> int:
        """Members met."""
        ...

    @property
    def through(self) -> str:
        """Whom it went through."""
        ...

    @property
    def seconds(self) -> float:
        """How long it took."""
        ...


class ChatFace(Protocol):
    """The node's chat."""

    async def send(self, text: str, *, to: NodeId | None = None, link: str | None = None) -> ChatMessage:
        """Send to everybody, or to one member; what was said is in the history when this returns."""
        ...

    def history(
        self, conversation: NodeId | None = None, *, limit: int = 100, before: str | None = None
    ) -> list[ChatMessage]:
        """The newest messages of a conversation before one of them, oldest first."""
        ...


class NodeFace(Protocol):
    """A node as its panels see it."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def chat(self) -> ChatFace:
        """Its chat."""
        ...

    def snapshot(self) -> NodeSnapshot:
        """What it looks like at this instant."""
        ...

    def subscribe(self, kind: type[Event], handler: Callable[[Any], None], /) -> Cancellable:
        """Call `handler` with each later event, on the home loop."""
        ...

    def submit(self, coroutine: Coroutine[Any, Any, T], /) -> Future[T]:
        """Run a coroutine on the home loop; from any thread, returns at once."""
        ...

    def invite(self) -> str:
        """Text that lets others join; a secret in a private network."""
        ...

    def running_transfers(self) -> Sequence[TransferFace]:
        """The running transfers."""
        ...

    async def join(self, target: str, *, passphrase: str | None = None, timeout: float = 20.0) -> JoinReportFace:
        """As `Node.join`."""
        ...

    async def found(self, *, passphrase: str | None = None) -> Any:
        """As `Node.found`."""
        ...

    async def leave(self) -> Any:
        """As `Node.leave`."""
        ...

    async def put(self, source: str | Path | bytes | AsyncIterable[bytes], *, name: str | None = None) -> Any:
        """As `Node.put`."""
        ...

    async def get(self, what: str, destination: Path | None = None) -> Any:
        """As `Node.get`."""
        ...

    async def open(self, what: str) -> ReaderFace:
        """As `Node.open`."""
        ...

    async def ls(self) -> Sequence[Any]:
        """As `Node.ls`."""
        ...

    async def remove(self, what: str) -> Any:
        """As `Node.remove`."""
        ...

    async def pin(self, what: str) -> Any:
        """As `Node.pin`."""
        ...

    async def unpin(self, what: str) -> Any:
        """As `Node.unpin`."""
        ...

    async def share(self, what: str, peer: NodeId) -> Any:
        """As `Node.share`."""
        ...


if TYPE_CHECKING:

    def _fits(node: Node) -> NodeFace:
        """The type checker's proof that the node's own class is a `NodeFace`."""
        return node
