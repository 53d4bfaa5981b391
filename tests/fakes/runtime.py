"""A `Runtime` for tests: a clock that only moves when told, seeded chance, predictable entropy, inline "threads".

`run_virtual` runs a coroutine on an event loop whose time jumps to the next timer, so that code with sleeps and
time-outs of hours runs in no time and in the same order each time.
"""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import ipaddress
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from dfs_sdk.ids import Address
from dfs_sdk.runtime.ports import DatagramHandler, ForeignTest, Runtime, UdpSocket
from dfs_sdk.runtime.system import SeededRng

P = ParamSpec("P")
T = TypeVar("T")

WALL_START = 1_700_000_000.0


class FakeClock:
    """Two clocks that stand still until `advance` or `jump_wall`."""

    def __init__(self, *, monotonic: float = 1000.0, wall: float = WALL_START) -> None:
        self._monotonic = monotonic
        self._wall = wall

    def monotonic(self) -> float:
        return self._monotonic

    def wall(self) -> float:
        return self._wall

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        assert seconds >= 0
        self._monotonic += seconds
        self._wall += seconds

    def jump_wall(self, seconds: float) -> None:
        """Set the wall clock forward or back; the monotonic one does not notice."""
        self._wall += seconds


class LoopClock:
    """The clock of a `VirtualLoop`: asyncio's timers and this clock agree."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, wall: float = WALL_START) -> None:
        self._loop = loop
        self._wall_offset = wall - loop.time()

    def monotonic(self) -> float:
        return self._loop.time()

    def wall(self) -> float:
        return self._loop.time() + self._wall_offset

    def jump_wall(self, seconds: float) -> None:
        self._wall_offset += seconds


class FakeEntropy:
    """Tokens that are different each time and the same for each seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._drawn = 0

    def token(self, size: int) -> bytes:
        self._drawn += 1
        return hashlib.shake_256(f"{self._seed}/{self._drawn}".encode()).digest(size)


class InlineOffload:
    """Runs "blocking" work at once, on the loop."""

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return function(*args, **kwargs)

    async def compute(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.run(function, *args, **kwargs)

    async def close(self) -> None:
        return


class NoUdp:
    """There is no network here."""

    async def bind(
        self,
        address: Address,
        *,
        on_datagrams: DatagramHandler,
        on_writable: Callable[[], None],
        is_foreign: ForeignTest | None = None,
    ) -> UdpSocket:
        raise AssertionError("this test has no sockets")


class NoDisk:
    """There is no disk here."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"this test has no disk: {name}")


class FakeMachine:
    """A machine of its own for each seed, without a resolver and without interfaces."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    async def lookup(self, host: str, port: int) -> list[Address]:
        try:
            return [Address(str(ipaddress.ip_address(host)), port)]
        except ValueError:
            raise OSError(f"{host} is unknown") from None

    def addresses(self) -> list[str]:
        return []

    def fingerprint(self) -> bytes:
        return hashlib.sha256(f"machine {self._seed}".encode()).digest()[:16]


def fake_runtime(seed: int = 0, *, clock: Any = None) -> Runtime:
    """Make a runtime without sockets and disk. `runtime.clock` is a `FakeClock` unless one is passed in."""
    return Runtime(
        clock=clock if clock is not None else FakeClock(),
        rng=SeededRng(seed),
        entropy=FakeEntropy(seed),
        udp=NoUdp(),
        disk=NoDisk(),  # type: ignore[arg-type]
        offload=InlineOffload(),
        machine=FakeMachine(seed),
    )


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time: when nothing is ready, the time becomes that of the next timer."""

    def __init__(self) -> None:
        self._now = 1000.0
        super().__init__()

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        scheduled, ready = self._scheduled, self._ready  # type: ignore[attr-defined]
        while scheduled and scheduled[0]._cancelled:
            handle = scheduled[0]
            heapq.heappop(scheduled)
            handle._scheduled = False
            self._timer_cancelled_count -= 1  # type: ignore[attr-defined]
        if not ready and scheduled:
            # The timer's own instant, not now + delay: a sum may stay behind it by rounding, for ever.
            self._now = max(self._now, scheduled[0]._when)
        assert ready or scheduled or self._stopping, "everything waits for something that never comes"
        super()._run_once()  # type: ignore[misc]


def run_virtual(main: Callable[[LoopClock], Coroutine[Any, Any, T]]) -> T:
    """Run `main(clock)` to its end on a loop of its own with virtual time."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main(LoopClock(loop)))
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
