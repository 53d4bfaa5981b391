"""What a run of a swarm came to, and how far one is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dfs_sdk.runtime.door import face
from dfs_sdk.sim.chronicle import Standing

KINDS_SHOWN_MAX = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class RunProgress:
    """How far a run is.

    Attributes:
        seconds: Seconds that passed in the swarm, within `wanted`.
        wanted: Seconds that are to pass.
        real_seconds: Seconds that passed here.
        up: Nodes that run.
        nodes: Nodes there are.
    """

    seconds: float
    wanted: float
    real_seconds: float
    up: int
    nodes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """What happened between the beginning and the end of a run.

    Attributes:
        seconds: Seconds that passed in the swarm.
        wanted: Seconds that were to pass.
        stopped: Whether somebody stopped it before its end.
        real_seconds: Seconds that passed here meanwhile.
        before: How everything stood.
        after: How everything stands.
        strikes: Hosts that something happened to, by what.
        news: Events that nodes told, by kind.
        failures: What nobody handled, in words: should be empty.
    """

    seconds: float
    wanted: float
    stopped: bool
    real_seconds: float
    before: Standing
    after: Standing
    strikes: Mapping[str, int]
    news: Mapping[str, int]
    failures: tuple[str, ...] = ()

    @property
    def speed(self) -> float:
        """Seconds in the swarm for each second here."""
        return self.seconds / self.real_seconds if self.real_seconds > 0 else 0.0

    @property
    def repairs(self) -> int:
        """Copies that were made again."""
        return self.after.repairs - self.before.repairs

    @property
    def bytes_delivered(self) -> int:
        """Bytes that arrived; 0 where nobody counts."""
        return self.after.bytes_delivered - self.before.bytes_delivered

    def _facts(self) -> list[tuple[str, str]]:
        words = face("views.words")
        after = self.after
        cut = f", stopped before {words.duration(self.wanted)}" if self.stopped else ""
        facts = [
            ("passed", f"{words.duration(self.seconds)}{cut}"),
            ("took", f"{words.duration(self.real_seconds)} here, {self.speed:,.0f} times as fast"),
            ("nodes", f"{after.answering} of {after.nodes} answer, {after.up} run"),
            ("files", f"{after.readable} of {after.files} can be read now"),
            ("copies", f"{after.copies_mean:.1f} of a chunk within reach, the scarcest has {after.copies_min}"),
            ("repairs", f"{self.repairs:,}"),
            ("traffic", words.size(self.bytes_delivered)),
        ]
        facts += [(f"hosts struck by {kind}", f"{count:,}") for kind, count in sorted(self.strikes.items())]
        told = sorted(self.news.items(), key=lambda item: (-item[1], item[0]))
        facts += [(f"news: {kind}", f"{count:,}") for kind, count in told[:KINDS_SHOWN_MAX]]
        return facts + [("not handled", failure) for failure in self.failures]

    def __repr__(self) -> str:
        text: str = face("views.text").facts_text("Run of a swarm", self._facts())
        return text

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:  # noqa: ARG002 - IPython's
        return {"text/plain": repr(self), "text/html": face("views.html").facts_card("Run of a swarm", self._facts())}
