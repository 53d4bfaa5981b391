"""One direction between two hosts: the state that its conditions need, and what it does to a burst."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dfs_sdk.runtime.ports import Rng
from dfs_sdk.sim.conditions import Conditions, Hits, Losses

if TYPE_CHECKING:
    from dfs_sdk.sim.stations import Counters

CORRUPT_BYTES_MAX = 3
PIECE_SECONDS = 0.005


Carried = tuple[float, bytes]
"""When what arrives."""


class Path:
    """Carries bursts one way.

    Args:
        conditions: What it is like.
        rng: Where draws come from; shared by all paths of one sender.
        any_size: Carry datagrams of any size: each is a whole message.

    Attributes:
        conditions: What it is like.
        is_plain: Whether it only delays.
    """

    __slots__ = (
        "_any_size",
        "_corrupted",
        "_delays",
        "_dice",
        "_duplicated",
        "_free_at",
        "_last",
        "_losses",
        "_passed",
        "_reordered",
        "_rng",
        "_spare",
        "_spike_at",
        "_spike_ends",
        "conditions",
        "is_plain",
    )

    def __init__(self, conditions: Conditions, rng: Rng, *, any_size: bool = False) -> None:
        self._rng = rng
        self._any_size = any_size
        self._last = 0.0
        self._free_at = 0.0
        self._spike_at = math.inf
        self._spike_ends = 0.0
        self.change(conditions)

    def change(self, conditions: Conditions) -> None:
        """Be like this from here on."""
        rng = self._rng
        self.conditions = conditions
        self._delays = conditions.delays()
        self._losses: Losses | None = None
        if conditions.touches_datagrams:
            self._losses = Losses(conditions, rng)
            self._duplicated = Hits(conditions.duplicate_ratio, rng)
            self._reordered = Hits(conditions.reorder_ratio, rng)
            self._corrupted = Hits(conditions.corrupt_ratio, rng)
            self._dice = (self._losses, self._duplicated, self._reordered, self._corrupted)
        self._spare = self._passed = 0
        self._spike_at = math.inf if conditions.spike_interval == 0 else -math.inf
        self.is_plain = self._losses is None and conditions.rate_bytes == 0 and conditions.spike_interval == 0

    def arrival(self, now: float) -> float:
        """Draw when what is sent at an instant arrives, after all that was sent before."""
        delays = self._delays
        delay = delays[0] if len(delays) == 1 else delays[int(self._rng.random() * len(delays))]
        arrival = now + delay
        if arrival < self._last:
            return self._last
        self._last = arrival
        return arrival

    def carry(self, data: bytes, segment_bytes: int, now: float, counters: Counters) -> list[Carried]:
        """Carry a burst: the parts of it that arrive, each with its instant.

        Args:
            data: Whole datagrams, end to end.
            segment_bytes: Bytes of each; the last may be shorter.
            now: When it enters the path.
            counters: Where losses are counted.
        """
        conditions, count = self.conditions, -(-len(data) // segment_bytes)
        if min(segment_bytes, len(data)) > conditions.datagram_bytes_max and not self._any_size:
            counters.too_large += count
            return []
        if conditions.rate_bytes:
            free_at = max(self._free_at, now)
            waiting = (free_at - now) * conditions.rate_bytes
            if waiting + len(data) > conditions.queue_bytes and (waiting or not self._any_size):
                counters.queue_full += count
                return []
            now = self._free_at = free_at + len(data) / conditions.rate_bytes
        now += self._spike(now)
        if self._losses is None:
            return [(self.arrival(now), data)]
        if count <= self._spare:
            self._spare -= count
            self._passed += count
            return [(self.arrival(now), data)]
        for die in self._dice:
            die.skip(self._passed)
        carried = list(self._one_by_one(data, segment_bytes, now, counters, self._losses))
        # So many datagrams need not be asked about: nothing befalls them.
        self._spare, self._passed = int(min(1e9, *(die.left for die in self._dice))), 0
        return carried

    def _one_by_one(
        self, data: bytes, segment_bytes: int, now: float, counters: Counters, losses: Losses
    ) -> Iterator[Carried]:
        count = -(-len(data) // segment_bytes)
        lost, corrupted = losses.among(count), self._corrupted.among(count)
        reordered, duplicated = self._reordered.among(count), self._duplicated.among(count)
        counters.lost += len(lost)
        if not (lost or corrupted or reordered or duplicated):
            yield self.arrival(now), data
            return
        start = 0  # of the run of datagrams that nothing happens to
        for position in sorted({*lost, *corrupted, *reordered, *duplicated}):
            at = position * segment_bytes
            if at > start:
                yield self.arrival(now), data[start:at]
            start = at + segment_bytes
            if position not in lost:
                if position in duplicated:
                    counters.duplicated += 1
                    yield self._aside(now), data[at:start]
                datagram = data[at:start]
                if position in corrupted:
                    counters.corrupted += 1
                    datagram = self._changed(datagram)
                if position in reordered:
                    counters.reordered += 1
                    yield self._aside(now), datagram
                else:
                    yield self.arrival(now), datagram
        if start < len(data):
            yield self.arrival(now), data[start:]

    def _aside(self, now: float) -> float:
        """Draw when a datagram arrives that others may overtake."""
        delays = self._delays
        return (
            now + delays[int(self._rng.random() * len(delays))] + self._rng.random() * 2 * self.conditions.reorder_delay
        )

    def _changed(self, datagram: bytes) -> bytes:
        damaged = bytearray(datagram)
        for _ in range(self._rng.randrange(1, CORRUPT_BYTES_MAX + 1)):
            damaged[self._rng.randrange(0, len(damaged))] ^= self._rng.randrange(1, 256)
        return bytes(damaged)

    def _spike(self, now: float) -> float:
        conditions = self.conditions
        if conditions.spike_interval == 0:
            return 0.0
        if self._spike_at == -math.inf:
            self._spike_at = now + self._pause()
        while now >= self._spike_at:
            self._spike_ends = self._spike_at + conditions.spike_length
            self._spike_at = self._spike_ends + self._pause()
        return conditions.spike_delay if now < self._spike_ends else 0.0

    def _pause(self) -> float:
        return -math.log(1.0 - self._rng.random()) * self.conditions.spike_interval


def pieces(data: bytes, segment_bytes: int, rate: float) -> Iterator[bytes]:
    """Cut a burst where it would keep a slow line busy for longer than 5 ms."""
    step = max(1, int(rate * PIECE_SECONDS) // segment_bytes) * segment_bytes
    if len(data) <= step:
        yield data
        return
    for start in range(0, len(data), step):
        yield data[start : start + step]
