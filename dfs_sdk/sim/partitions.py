"""Ways in which a network falls apart; pure. Each says which host's datagrams do not reach which other.

Source: K. Kingsbury, "Jepsen" (nemesis: halves, majorities ring, bridges); W. Wilson, "Testing Distributed Systems with
Deterministic Simulation" (2014) for swizzling: clog hosts one by one, release them in another order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from dfs_sdk.errors import ConfigError
from dfs_sdk.runtime.ports import Rng


class Partition(Protocol):
    """A rule about who does not reach whom."""

    def blocks(self, sender: str, receiver: str) -> bool:
        """Say whether datagrams from one host to another vanish."""
        ...


class Groups:
    """Hosts of different groups do not reach each other; a host of no group reaches all.

    Args:
        groups: Names of hosts, a group each; no host in two of them.
    """

    __slots__ = ("_group",)

    def __init__(self, *groups: Iterable[str]) -> None:
        self._group: dict[str, int] = {}
        for number, group in enumerate(groups):
            for host in group:
                if self._group.setdefault(host, number) != number:
                    raise ConfigError(f"{host} is in two groups of a partition")

    def blocks(self, sender: str, receiver: str) -> bool:
        """See `Partition`."""
        one, other = self._group.get(sender), self._group.get(receiver)
        return one is not None and other is not None and one != other


class OneWay:
    """What `senders` send does not reach `receivers`; the other direction works.

    Args:
        senders: Names of hosts.
        receivers: Names of hosts.
    """

    __slots__ = ("_receivers", "_senders")

    def __init__(self, senders: Iterable[str], receivers: Iterable[str]) -> None:
        self._senders = frozenset(senders)
        self._receivers = frozenset(receivers)

    def blocks(self, sender: str, receiver: str) -> bool:
        """See `Partition`."""
        return sender in self._senders and receiver in self._receivers and sender != receiver


class Isolated:
    """One host reaches nobody and nobody reaches it.

    Args:
        host: Its name.
    """

    __slots__ = ("_host",)

    def __init__(self, host: str) -> None:
        self._host = host

    def blocks(self, sender: str, receiver: str) -> bool:
        """See `Partition`."""
        return (sender == self._host) is not (receiver == self._host)


class Ring:
    """Hosts in a circle reach their nearest neighbours only: everybody sees a majority, no two the same one.

    Args:
        hosts: Names in their order on the circle.
        reach: Neighbours on each side; half of a majority where it is None.
    """

    __slots__ = ("_place", "_reach")

    def __init__(self, hosts: Sequence[str], *, reach: int | None = None) -> None:
        self._place = {host: place for place, host in enumerate(hosts)}
        self._reach = reach if reach is not None else max(1, (len(hosts) // 2 + 1) // 2)

    def blocks(self, sender: str, receiver: str) -> bool:
        """See `Partition`."""
        one, other = self._place.get(sender), self._place.get(receiver)
        if one is None or other is None:
            return False
        apart = abs(one - other)
        return min(apart, len(self._place) - apart) > self._reach


def halves(hosts: Sequence[str], rng: Rng) -> Groups:
    """Part hosts into two halves at random."""
    drawn = list(hosts)
    rng.shuffle(drawn)
    middle = len(drawn) // 2
    return Groups(drawn[:middle], drawn[middle:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Clogging:
    """One step of a swizzle.

    Attributes:
        after: Seconds from its beginning.
        host: Whose datagrams are held or let go.
        clogged: Held, or let go.
    """

    after: float
    host: str
    clogged: bool


def swizzle(hosts: Sequence[str], rng: Rng, *, interval: float) -> tuple[Clogging, ...]:
    """Plan to clog a random subset one by one and to release it in another random order.

    Args:
        hosts: Names to draw from.
        rng: Where draws come from.
        interval: Mean pause between two steps, in seconds.
    """
    chosen = rng.sample(hosts, rng.randrange(1, len(hosts) + 1)) if hosts else []
    released = list(chosen)
    rng.shuffle(released)
    after, steps = 0.0, []
    for host, clogged in [*((host, True) for host in chosen), *((host, False) for host in released)]:
        after += rng.uniform(0, 2 * interval)
        steps.append(Clogging(after=after, host=host, clogged=clogged))
    return tuple(steps)
