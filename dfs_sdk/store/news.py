"""What a store tells: that it stopped writing, and which chunks it found damaged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dfs_sdk.events import Event
from dfs_sdk.ids import ChunkId


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreTurnedReadOnly(Event):
    """A write failed, so the store refuses later ones."""

    topic: ClassVar[str] = "store"
    reason: str

    @property
    def text(self) -> str:
        """Say it in one sentence."""
        return self.reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkQuarantined(Event):
    """A chunk's file was damaged and is no longer held."""

    topic: ClassVar[str] = "store"
    chunk_id: ChunkId

    @property
    def text(self) -> str:
        """Say it in one sentence."""
        return f"chunk {self.chunk_id.short} was damaged on the disk; it was put aside and is no longer held"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreRepaired(Event):
    """Opening the store found something amiss and set it right."""

    topic: ClassVar[str] = "store"
    what: str

    @property
    def text(self) -> str:
        """Say it in one sentence."""
        return self.what
