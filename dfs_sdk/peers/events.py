"""News about members."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dfs_sdk.events import Event
from dfs_sdk.ids import NodeId
from dfs_sdk.peers.liveness import PeerState


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerEvent(Event):
    """News about one member.

    Attributes:
        node_id: Whom it is about.
        name: Its name, made safe to show.
    """

    topic: ClassVar[str] = "peers"
    node_id: NodeId
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerJoined(PeerEvent):
    """A member we did not know, or one that had left, is here."""

    @property
    def text(self) -> str:
        """Say it to a person."""
        return f"{self.name} joined"


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerLeft(PeerEvent):
    """A member said goodbye for good."""

    @property
    def text(self) -> str:
        """Say it to a person."""
        return f"{self.name} left"


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerStateChanged(PeerEvent):
    """A member changed its state, with the reason."""

    before: PeerState
    after: PeerState
    why: str

    @property
    def text(self) -> str:
        """Say it to a person."""
        return f"{self.name} is {self.after.label}: {self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionSuspected(Event):
    """Many members fell silent together: probably this node is the one cut off."""

    topic: ClassVar[str] = "peers"
    silent: int
    members: int
    freeze_seconds: float

    @property
    def text(self) -> str:
        """Say it to a person."""
        return (
            f"partition? {self.silent} of {self.members} members fell silent together; "
            f"nobody counts as gone for the next {self.freeze_seconds:.0f} s"
        )
