"""What files tell the faces. No event carries a link: links are secrets, events are shown and logged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dfs_sdk.events import Event
from dfs_sdk.ids import ChunkId, NodeId


@dataclass(frozen=True, slots=True, kw_only=True)
class FileNews(Event):
    """News of one file.

    Attributes:
        manifest_id: Names the file.
        name: Its name, safe to show.
    """

    topic: ClassVar[str] = "files"
    manifest_id: ChunkId
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileStored(FileNews):
    """A put reached its write quorum."""

    size: int

    @property
    def text(self) -> str:
        """Say it in a sentence."""
        return f"stored {self.name} ({self.size} bytes)"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFetched(FileNews):
    """A get is complete and verified."""

    size: int
    active: bool = False

    @property
    def text(self) -> str:
        """Say it in a sentence, with a warning about files that act when imported or opened."""
        warning = "; it can run code when opened or imported: look at it first" if self.active else ""
        return f"fetched {self.name} ({self.size} bytes){warning}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileShared(FileNews):
    """A peer gave us a file."""

    sender: NodeId
    sender_name: str

    @property
    def text(self) -> str:
        """Say it in a sentence."""
        return f"{self.sender_name} shared {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileGiven(FileNews):
    """A peer took a file that we shared with it."""

    recipient: NodeId
    recipient_name: str

    @property
    def text(self) -> str:
        """Say it in a sentence."""
        return f"shared {self.name} with {self.recipient_name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRemoved(FileNews):
    """A file left the catalog.

    Attributes:
        copies: Copies that its holders deleted.
        silent: Holders that could not be asked; they learn of it from others when they return.
    """

    copies: int
    silent: int

    @property
    def text(self) -> str:
        """Say it in a sentence."""
        later = f"; {self.silent} silent holders learn of it when they return" if self.silent else ""
        return f"removed {self.name}: {self.copies} copies deleted{later}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferEnded(Event):
    """A transfer failed or was cancelled; `reason` says what remains."""

    topic: ClassVar[str] = "files"
    transfer_id: int
    name: str
    reason: str

    @property
    def text(self) -> str:
        """Say it in a sentence."""
        return f"{self.name}: {self.reason}"
