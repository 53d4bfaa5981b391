"""What a node says about itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dfs_sdk.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeNews(Event):
    """News of the node as a whole."""

    topic: ClassVar[str] = "node"
    sentence: str

    @property
    def text(self) -> str:
        """The sentence."""
        return self.sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinStep(NodeNews):
    """A step of joining was taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopBlocked(NodeNews):
    """The loop was held by something else, mostly a synchronous cell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFailed(NodeNews):
    """A background task ended with an error; the node goes on, the log has the traceback."""
