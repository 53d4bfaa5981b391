"""What files need from the floors below, as interfaces that `Replication`, `Dht` and `Peers` fit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from dfs_sdk.exchange.service import Receipt
from dfs_sdk.ids import ChunkId, NodeId
from dfs_sdk.peers.view import View
from dfs_sdk.replication.policy import Policy
from dfs_sdk.store.base import NewChunk, Role


class Holding(Protocol):
    """One copy of a chunk that its holder confirmed."""

    @property
    def holder(self) -> NodeId:
        """Who has it."""
        ...

    @property
    def role(self) -> Role:
        """Why it is kept there."""
        ...

    @property
    def confirmed_at_wall(self) -> float:
        """When the holder last said so, in seconds since the epoch."""
        ...


class Spread(Protocol):
    """A chunk that reached its write quorum."""

    @property
    def cell(self) -> int:
        """The placement cell chosen for it."""
        ...

    @property
    def holders(self) -> Sequence[Receipt]:
        """The receipts there were at the quorum."""
        ...

    @property
    def complete(self) -> Awaitable[Sequence[Receipt]]:
        """Done when the remaining copies are placed or given up; gives all receipts."""
        ...


class Replicator(Protocol):
    """Decides where chunks live."""

    async def spread(self, chunk: NewChunk, *, policy: Policy) -> Spread:
        """Place copies of a chunk; returns at the write quorum.

        Raises:
            TooFewReplicasError: Too few peers confirmed.
        """
        ...

    def candidates(self, chunk_id: ChunkId, cell: int | None) -> list[NodeId]:
        """List who probably holds a chunk, most promising first."""
        ...

    async def locate(
        self, chunk_ids: Sequence[ChunkId], cells: Mapping[ChunkId, int] | None = None
    ) -> Mapping[ChunkId, Sequence[Holding]]:
        """Ask who holds some chunks."""
        ...

    def cells_of(self, chunk_id: ChunkId) -> tuple[int, int]:
        """The two candidate cells of a chunk."""
        ...


class Membership(Protocol):
    """Knows who is in the network."""

    @property
    def view(self) -> View:
        """The members at this moment."""
        ...

    def on_change(self, handler: Callable[[View], None]) -> None:
        """Call `handler` with every later view."""
        ...
