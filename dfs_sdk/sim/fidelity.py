"""How much of a node's work a simulated world really does: the cheap modes, and what each of them leaves out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """What is done for real.

    Attributes:
        datagrams: Whether messages travel as sealed datagrams, as on a real network. Otherwise they go whole, one event
            each, through `shortcut.ShortcutTransport`: no handshake mathematics, sealing, packets or congestion
            control, and peers' keys are believed. Calls, codec, and all decisions above them are the same.
        copies: Whether every disk has bytes of its own. Otherwise large pieces that are equal, the copies of a chunk
            above all, lie in memory once and disks hold handles; who reads gets the same bytes at the same instant.
        content: Whether the bytes of datagrams go into the trace's digest, besides their kinds, sizes and instants. Two
            runs then differ where a link is shared: HPKE draws its ephemeral key from the system, not from a port.
    """

    datagrams: bool = True
    copies: bool = True
    content: bool = False


CHEAP = Fidelity(datagrams=False, copies=False)
"""For hundreds of nodes and more."""
