"""What the simulated network keeps about hosts and routes, and its counters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dfs_sdk.ids import Address
from dfs_sdk.runtime.ports import Rng
from dfs_sdk.sim.conditions import Link
from dfs_sdk.sim.nat import Nat

if TYPE_CHECKING:
    from dfs_sdk.sim.path import Path
    from dfs_sdk.sim.sockets import SimSocket


class Station:
    """Where one host is attached.

    Attributes:
        name: The host's name.
        number: When it was attached, from 0.
        address: Its own IP address.
        nat: The router it is behind.
        link: What its connection carries.
        rng: Draws for what it sends.
        is_up: Whether datagrams can reach it: it is attached, neither asleep nor off.
    """

    __slots__ = ("address", "down_free_at", "is_up", "link", "name", "nat", "number", "paths", "rng", "up_free_at")

    def __init__(self, name: str, number: int, address: str, *, nat: Nat | None, link: Link, rng: Rng) -> None:
        self.name = name
        self.number = number
        self.address = address
        self.nat = nat
        self.link = link
        self.rng = rng
        self.is_up = True
        self.up_free_at = 0.0
        self.down_free_at = 0.0
        self.paths: dict[int, Path] = {}

    def __repr__(self) -> str:
        return f"<Station {self.name} at {self.address}>"


@dataclass(slots=True)
class Counters:
    """Datagrams, by what became of them. Every one that is sent, and each duplicate, ends as one of the others.

    Attributes:
        sent: Handed to the network.
        duplicated: Made by it.
        delivered: Handed to a socket's owner.
        lost: Lost on the path.
        cut: Sent across a partition.
        queue_full: More than a rate-limited queue holds.
        too_large: Larger than the path carries.
        no_listener: Nobody there: no socket, a host that sleeps or is off, a router that knows of nothing.
        buffer_full: More than a blocked kernel's socket keeps.
        clog_full: More than is held for clogged hosts.
        corrupted: Delivered with changed bytes (counted in addition).
        reordered: Delayed so that they may be overtaken (counted in addition).
        bytes_delivered: Bytes of all that was delivered.
    """

    sent: int = 0
    duplicated: int = 0
    delivered: int = 0
    lost: int = 0
    cut: int = 0
    queue_full: int = 0
    too_large: int = 0
    no_listener: int = 0
    buffer_full: int = 0
    clog_full: int = 0
    corrupted: int = 0
    reordered: int = 0
    bytes_delivered: int = 0


class Route:
    """What was found out about one socket's datagrams to one address."""

    __slots__ = ("destination", "epoch", "path", "sender", "source", "special", "target")

    def __init__(
        self, *, epoch: int, sender: Station, source: Address, destination: Address, target: SimSocket | None
    ) -> None:
        self.epoch = epoch
        self.sender = sender
        self.source = source
        self.destination = destination
        self.target = target
        self.path: Path | None = None
        self.special = True
