"""What a bad network does to datagrams, as a pure model: who carries the datagrams asks it when each arrives.

Two wires use it, so that both are impaired alike: the one in virtual time (`pair.Pair`) and the one between two
network namespaces (`tests/bench/wire.py`).

Source: bursts of loss after Gilbert (1960) and Elliott (1963): a chain of two states, one of which loses. It runs in
time, not by datagrams, or a burst would outlast any silence.
"""

from __future__ import annotations

import random
from collections.abc import Hashable
from dataclasses import dataclass, field
from math import exp


@dataclass
class Wire:
    """What happens to datagrams, in every direction alike.

    Attributes:
        delay: Seconds one way.
        jitter: Seconds added at random: reorders.
        loss, repeat, damage: Ratios of datagrams.
        burst_every: Seconds between two bursts of loss on average, None for no bursts.
        burst_length: Seconds on average for which a burst swallows everything.
        late: Ratio of datagrams that come `late_by` seconds after their turn: reorders few, and by far.
        bytes_per_second: Rate of the bottleneck, None for no limit; its queue holds `queue_bytes`.
        mtu: Larger datagrams vanish.
    """

    seed: int = 1
    delay: float = 0.01
    jitter: float = 0.0
    loss: float = 0.0
    repeat: float = 0.0
    damage: float = 0.0
    burst_every: float | None = None
    burst_length: float = 0.005
    late: float = 0.0
    late_by: float = 0.0
    bytes_per_second: float | None = None
    queue_bytes: int = 1 << 20
    mtu: int = 65_507
    cut: bool = False
    sent_bytes: int = 0
    dropped: int = 0
    queue_seconds_max: float = 0.0
    busy_until: dict[Hashable, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = random.Random(f"wire {self.seed}")
        self._bursts: dict[Hashable, tuple[bool, float]] = {}

    def arrivals(self, datagram: bytes, destination: Hashable, now: float) -> list[tuple[float, bytes]]:
        """When and how a datagram arrives: not, once, or twice."""
        draw = self._random.random
        self.sent_bytes += len(datagram)
        if self.cut or len(datagram) > self.mtu or draw() < self.loss or self._swallowed(destination, now):
            return []
        at = now
        if self.bytes_per_second is not None:
            at = max(now, self.busy_until.get(destination, now))
            if (at - now) * self.bytes_per_second > self.queue_bytes:
                self.dropped += 1
                return []
            self.queue_seconds_max = max(self.queue_seconds_max, at - now)
            at += len(datagram) / self.bytes_per_second
            self.busy_until[destination] = at
        if draw() < self.damage:
            flipped = bytearray(datagram)
            flipped[int(draw() * len(flipped))] ^= 1 << int(draw() * 8)
            datagram = bytes(flipped)
        copies = 2 if draw() < self.repeat else 1
        at += self.delay
        if self.late and draw() < self.late:
            at += self.late_by
        return [(at + draw() * self.jitter, datagram) for _ in range(copies)]

    def _swallowed(self, destination: Hashable, now: float) -> bool:
        """Move the chain of one direction on to `now` and say whether a burst of loss swallows a datagram."""
        if self.burst_every is None:
            return False
        bursting, since = self._bursts.get(destination, (False, now))
        leave = 1 / (self.burst_length if bursting else self.burst_every)
        both = 1 / self.burst_length + 1 / self.burst_every
        if self._random.random() < leave / both * (1 - exp(-both * (now - since))):
            bursting = not bursting
        self._bursts[destination] = bursting, now
        return bursting
