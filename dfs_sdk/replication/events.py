"""News about copies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dfs_sdk.events import Event
from dfs_sdk.ids import ChunkId, NodeId


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicationEvent(Event):
    """News about one chunk.

    Attributes:
        chunk_id: The chunk.
        cell: Its placement cell.
        reason: Why, in words.
    """

    topic: ClassVar[str] = "replication"
    chunk_id: ChunkId
    cell: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairStarted(ReplicationEvent):
    """A copy is on its way from `source` to `target`."""

    source: NodeId
    target: NodeId
    target_name: str

    @property
    def text(self) -> str:
        """Say it to a person."""
        return f"copying chunk {self.chunk_id.short} to {self.target_name}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairFinished(ReplicationEvent):
    """A copy arrived at `target`, or did not: then `error` says why."""

    source: NodeId
    target: NodeId
    target_name: str
    size: int
    error: str = ""

    @property
    def text(self) -> str:
        """Say it to a person."""
        if self.error:
            return f"chunk {self.chunk_id.short} did not reach {self.target_name}: {self.error}"
        return f"{self.target_name} has a copy of chunk {self.chunk_id.short}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyFetched(ReplicationEvent):
    """This node fetched a copy that belongs here since the network changed."""

    size: int

    @property
    def text(self) -> str:
        """Say it to a person."""
        return f"fetched chunk {self.chunk_id.short}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyTrimmed(ReplicationEvent):
    """This node let go of a surplus copy."""

    size: int

    @property
    def text(self) -> str:
        """Say it to a person."""
        return f"let go of a surplus copy of chunk {self.chunk_id.short}: {self.reason}"
