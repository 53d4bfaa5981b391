"""The outside world of one simulated host: clock, secrets, worker threads and machine, each behind its port."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from dfs_sdk.errors import ForkedNodeError, NodeClosedError
from dfs_sdk.ids import Address
from dfs_sdk.sim.disk import PowerCut
from dfs_sdk.sim.loop import SimLoop

if TYPE_CHECKING:
    from dfs_sdk.sim.network import SimNetwork
    from dfs_sdk.sim.stations import Station

P = ParamSpec("P")
T = TypeVar("T")

FINGERPRINT_BYTES = 16
OFFLOAD_SECONDS = 0.0002
"""How long handing work to a thread and back takes; measured on an idle 2-core machine it is 0.1 to 0.3 ms."""


class SimClock:
    """The two clocks of one host.

    Args:
        loop: Whose monotonic clock this is.
        wall_start: What the world's true wall clock showed at virtual second 0.

    Attributes:
        monotonic: Seconds on the clock that timers use; it stands still while the host sleeps, as on Linux.
        wall_error: Seconds by which this host's wall clock is ahead of the world's.
        drift_ratio: Seconds its wall clock gains in each second.
    """

    __slots__ = ("_loop", "_wall_start", "drift_ratio", "monotonic", "wall_error")

    def __init__(self, loop: SimLoop, *, wall_start: float, wall_error: float = 0.0, drift_ratio: float = 0.0) -> None:
        self._loop = loop
        self.monotonic: Callable[[], float] = loop.time
        self._wall_start = wall_start
        self.wall_error = wall_error
        self.drift_ratio = drift_ratio

    def wall(self) -> float:
        """Seconds since the epoch, as this host believes."""
        return self._wall_start + self._loop.scheduler.now * (1 + self.drift_ratio) + self.wall_error


class SimEntropy:
    """Secrets that repeat with the seed, and never within one world.

    Args:
        seed: What tells this stream from all others: seed, host and life.
    """

    __slots__ = ("_drawn", "_seed")

    def __init__(self, seed: str) -> None:
        self._seed = hashlib.sha256(b"dfs/sim/entropy/1" + seed.encode()).digest()
        self._drawn = 0

    def token(self, size: int) -> bytes:
        """Draw `size` bytes."""
        self._drawn += 1
        return hashlib.shake_256(self._seed + self._drawn.to_bytes(8, "big")).digest(size)


class SimOffload:
    """Runs work inline and lets the caller wait for as long as it would have taken.

    Args:
        loop: Where callers live.
        seconds: What handing over costs, in virtual seconds; 0 does not wait at all.
        taken: The total of virtual seconds that the host's disk has worked so far.
        queued: Virtual seconds that work waits for its turn; until then nothing of it has happened.
    """

    __slots__ = ("_closed", "_loop", "_pid", "_queued", "_seconds", "_taken")

    def __init__(
        self, loop: SimLoop, *, seconds: float = OFFLOAD_SECONDS, taken: Callable[[], float], queued: float = 0.0
    ) -> None:
        self._loop = loop
        self._seconds = seconds
        self._taken = taken
        self._queued = queued
        self._closed = False
        self._pid = os.getpid()

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function` when its turn comes; what it did is done, whether or not the caller lives to see it.

        Raises:
            NodeClosedError: After `close`.
            ForkedNodeError: This is a forked child.
        """
        self._require_usable()
        if self._queued > 0:
            await asyncio.sleep(self._queued)
            self._require_same_process()
        before = self._taken()
        try:
            return function(*args, **kwargs)
        finally:
            # A power cut is no error that takes its time: it is raised at once.
            seconds = self._seconds + self._taken() - before
            if seconds > 0 and not isinstance(sys.exception(), PowerCut):
                await asyncio.sleep(seconds)

    async def compute(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """See `run`: simulated hosts have as many processors as they like."""
        return await self.run(function, *args, **kwargs)

    async def close(self) -> None:
        """Refuse new calls."""
        self._closed = True

    def _require_usable(self) -> None:
        if self._closed:
            raise NodeClosedError("the worker threads are closed: the node is not running")
        self._require_same_process()

    def _require_same_process(self) -> None:
        if os.getpid() != self._pid:
            raise ForkedNodeError("this node belongs to the parent process: start a new node in the child")


class SimMachine:
    """The machine of one host: its name is the host's.

    Args:
        network: Whose names can be looked up.
        station: What it is attached as.
    """

    __slots__ = ("_network", "_station")

    def __init__(self, network: SimNetwork, station: Station) -> None:
        self._network = network
        self._station = station

    async def lookup(self, host: str, port: int) -> list[Address]:
        """Resolve a host's name; numeric ones come back as they are.

        Raises:
            OSError: There is no such host.
        """
        try:
            return [Address(str(ipaddress.ip_address(host)), port)]
        except ValueError:
            found = self._network.address_of(host)
        if found is None:
            raise OSError(f"{host!r} is no host of this world")
        return [Address(found, port)]

    def addresses(self) -> list[str]:
        """The one address others on its network reach it at."""
        return [self._station.address]

    def fingerprint(self) -> bytes:
        """16 bytes that are the same for all nodes of this host."""
        return hashlib.sha256(b"dfs/sim/machine/1" + self._station.name.encode()).digest()[:FINGERPRINT_BYTES]
