"""How much of a node's work a simulated world really does: the cheap modes, and what each of them leaves out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """What is done for real.

    Attributes:
        content: Whether the bytes of datagrams go into the trace's digest, besides their sizes and instants.
    """

    content: bool = True
