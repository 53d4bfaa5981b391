"""A simulated machine with a kernel on it: it runs, blocks, sleeps, crashes, restarts, moves and loses its disk.

From a start to a crash is one *life*. Each life has a loop, sockets, entropy and a disk handle of its own; when it ends
they are dead for good: nothing that is left of it, be it a task, a callback or an object somebody still holds, reaches
network or disk again. The next life begins on what the disk kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from dfs_sdk.errors import NodeClosedError
from dfs_sdk.runtime.ports import Runtime
from dfs_sdk.sim.disk import CAPACITY_BYTES, SimDisk
from dfs_sdk.sim.errors import HostDownError
from dfs_sdk.sim.faults import DiskHealth
from dfs_sdk.sim.fork import CHILD_SECONDS, Call, Offspring, fork
from dfs_sdk.sim.loop import SimLoop
from dfs_sdk.sim.nat import Nat
from dfs_sdk.sim.ports import OFFLOAD_SECONDS, SimClock, SimEntropy, SimMachine, SimOffload
from dfs_sdk.sim.shortcut import ShortcutTransport
from dfs_sdk.sim.sockets import RECEIVE_PACKETS, SimUdp
from dfs_sdk.transport.driver import Transport

if TYPE_CHECKING:
    from dfs_sdk.sim.stations import Station
    from dfs_sdk.sim.world import World

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """What a host is made of.

    Attributes:
        disk_bytes: Size of its disk.
        disk_health: How well its disk works, and how fast.
        receive_packets: Datagrams a socket keeps while the kernel is blocked.
        offload_seconds: What handing work to a thread costs, in virtual seconds.
        offload_queued: Virtual seconds that such work waits before any of it happens, as on a busy disk.
        wall_error: Seconds by which its wall clock is ahead.
        drift_ratio: Seconds its wall clock gains in each second.
        uptime: What its monotonic clock shows when it first starts.
    """

    disk_bytes: int = CAPACITY_BYTES
    disk_health: DiskHealth = field(default_factory=DiskHealth)
    receive_packets: int = RECEIVE_PACKETS
    offload_seconds: float = OFFLOAD_SECONDS
    offload_queued: float = 0.0
    wall_error: float = 0.0
    drift_ratio: float = 0.0
    uptime: float = 1000.0


class Life:
    """One run of a host.

    Attributes:
        number: How many there were before.
        is_alive: Whether what it does has effects.
    """

    __slots__ = ("_alive", "_tasks", "_waiters", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self._alive = True
        self._waiters: dict[asyncio.Future[Any], None] = {}
        self._tasks: dict[asyncio.Task[Any], None] = {}

    @property
    def is_alive(self) -> bool:
        """Whether what it does has effects."""
        return self._alive

    def end(self) -> None:
        """End it; who waits for something of it hears so."""
        self._alive = False
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(HostDownError("the host crashed while this ran on it"))
        self._waiters.clear()

    def waiter(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[Any]:
        """Make a future that ends with the life at the latest."""
        waiter = loop.create_future()
        self._waiters[waiter] = None
        waiter.add_done_callback(self._forget)
        return waiter

    def begin(self, loop: SimLoop, coroutine: Coroutine[Any, Any, Any], name: str) -> None:
        """Start a coroutine that nobody waits for; a loop itself only knows its tasks weakly."""
        task = loop.create_task(coroutine, name=name)
        self._tasks[task] = None
        task.add_done_callback(self._end_task)

    def _end_task(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            task.get_loop().call_exception_handler(
                {"message": f"{task.get_name()} failed", "exception": error, "task": task}
            )

    def _forget(self, waiter: asyncio.Future[Any]) -> None:
        self._waiters.pop(waiter, None)


class Host:
    """One machine; made by `World.host`.

    Attributes:
        name: Unique in its world.
        station: Where it is attached.
        disk: What it stores on; another object after each crash.
        runtime: The ports of its present life, for `Node(runtime=…)`.
        clock: Its clocks; `runtime.clock` is this.
    """

    def __init__(self, world: World, station: Station, hardware: Hardware) -> None:
        self.name = station.name
        self.station = station
        self._world = world
        self._hardware = hardware
        self._disks = 0
        self._transports = 0
        self.disk = self._new_disk()
        self._blocked_until = self._asleep_until = self._dozed = 0.0
        self._booted_at = world.now - hardware.uptime
        self._slept = 0.0
        self._wall_error = hardware.wall_error
        self._life = Life(0)
        self._begin()

    def __repr__(self) -> str:
        state = "down" if not self.is_up else "frozen" if self.loop.frozen else "up"
        return f"<Host {self.name} at {self.station.address}, {state}>"

    # Seeing

    @property
    def is_up(self) -> bool:
        """Whether it was not crashed."""
        return self._life.is_alive

    @property
    def is_blocked(self) -> bool:
        """Whether its kernel is blocked or it sleeps."""
        return self.loop.frozen

    @property
    def lives(self) -> int:
        """How many lives it has begun."""
        return self._life.number + 1

    # Running something on it

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Await a coroutine on this host, from the world's loop or another host's.

        A cancelled caller cancels the coroutine.

        Raises:
            HostDownError: It is down, or crashes before the coroutine has ended.
        """
        if not self.is_up:
            coroutine.close()
            raise HostDownError(f"{self.name} is down: restart it first")
        running = asyncio.get_running_loop()
        if running is self.loop:
            return await coroutine
        waiter = self._life.waiter(running)
        begun = _Begun(self.loop, coroutine, waiter)
        self.loop.call_soon(begun.start)
        try:
            result: T = await waiter
        except asyncio.CancelledError:
            begun.cancel()
            raise
        return result

    def start(self, coroutine: Coroutine[Any, Any, Any], *, name: str = "program") -> None:
        """Start a coroutine on this host and do not wait for it; its error goes to the world's failures.

        Raises:
            HostDownError: It is down.
        """
        if not self.is_up:
            coroutine.close()
            raise HostDownError(f"{self.name} is down: restart it first")
        self.loop.call_soon(self._life.begin, self.loop, coroutine, f"{self.name}/{name}")

    # What happens to it

    def crash(self, *, power: bool = True) -> None:
        """End its life at this instant. Nothing of it acts on network or disk again.

        Args:
            power: The power goes, and what was not synced may be lost; otherwise only the process is killed and the
                disk keeps all that was written.
        """
        if not self.is_up:
            return
        self._note("power cut" if power else "killed")
        self._life.end()
        self._slept -= max(0.0, self._asleep_until - self._world.now)
        self.station.is_up = False
        for socket in self._world.network.sockets_of(self.station):
            self._world.network.hang_up(socket)
        self._world.network.touch()
        old, rng = self.disk, self._world.rng.child(f"crash/{self.name}/{self._life.number}")
        self.disk = old.after_power_cut(rng) if power else old.after_kill()
        self.loop.end()

    def restart(self) -> Runtime:
        """Begin a new life on what the disk kept; a host that is up is killed first.

        Returns:
            The ports of the new life.
        """
        self.crash(power=False)
        self._life = Life(self._life.number + 1)
        self._begin()
        self._note("restarted")
        return self.runtime

    def block(self, seconds: float) -> None:
        """Block its kernel: nothing runs, clocks go on, sockets keep some 90 datagrams, timers come late."""
        if self.is_up and seconds > 0:
            self._note(f"blocked for {seconds:.6f} s")
            # What blocks a kernel takes its time while the machine is awake.
            self._freeze(blocked_until=max(self._world.now, self._asleep_until) + seconds)

    def sleep(self, seconds: float) -> None:
        """Close the lid: nothing runs, what is sent to it is lost, its monotonic clock stands still.

        A kernel that is blocked stays so for the rest of its time afterwards. Harmless while the lid is closed.
        """
        now = self._world.now
        if self.is_up and seconds > 0 and self.station.is_up:
            self._note(f"sleeps for {seconds:.6f} s")
            self.station.is_up = False
            self._slept += seconds
            self._dozed += seconds
            self._asleep_until = now + seconds
            self._world.scheduler.at(self._asleep_until, self._thaw, self._life)
            self._freeze(blocked_until=self._blocked_until + seconds if self._blocked_until > now else 0.0)

    def step_clock(self, seconds: float) -> None:
        """Set its wall clock forward or back, for good."""
        self._note(f"clock stepped by {seconds:.6f} s")
        self._wall_error += seconds
        self.clock.wall_error = self._wall_error

    def wipe(self) -> None:
        """Lose the disk and all that is on it; a host that is up loses power first."""
        self.crash()
        self._note("wiped")
        self.disk = self._new_disk()

    def move(self, address: str, *, nat: Nat | None = None) -> None:
        """Attach it elsewhere: its sockets go on under another address."""
        self._note(f"moved to {address}")
        self._world.network.move(self.station, address, nat=nat)

    def fork(self, calls: Mapping[str, Call] | None = None, *, seconds: float = CHILD_SECONDS) -> Offspring:
        """Fork its process and let the child go on for a moment; nothing changes here, not even the world's digest.

        Args:
            calls: What the child does besides going on, by name.
            seconds: How long it lives, virtual.

        Raises:
            HostDownError: It is down, or blocked: then nothing runs that could fork.
            ForkError: This system cannot fork, or the child ended without a word.
        """
        if not self.is_up or self.is_blocked:
            raise HostDownError(f"{self.name} is down or blocked: nothing runs there that could fork")
        return fork(self._world, self, calls or {}, seconds=seconds)

    # Inside

    def _begin(self) -> None:
        world, hardware, life = self._world, self._hardware, self._life
        self._blocked_until = self._asleep_until = self._dozed = 0.0
        self.loop = SimLoop(world.scheduler, name=self.name, uptime=world.now - self._booted_at - self._slept)
        self.clock = SimClock(
            self.loop, wall_start=world.wall_start, wall_error=self._wall_error, drift_ratio=hardware.drift_ratio
        )
        self.station.is_up = True
        disk = self.disk
        disk.on_cut = self.crash
        self.runtime = Runtime(
            clock=self.clock,
            rng=world.rng.child(f"host/{self.name}/{life.number}"),
            entropy=SimEntropy(f"{world.seed}/{self.name}/{life.number}"),
            udp=SimUdp(world.network, self.station, life, self.loop, receive_packets=hardware.receive_packets),
            disk=disk,
            offload=SimOffload(
                self.loop,
                seconds=hardware.offload_seconds,
                taken=lambda: disk.busy_seconds,
                queued=hardware.offload_queued,
            ),
            machine=SimMachine(world.network, self.station),
            transport=self._make_transport,
        )
        world.network.touch()

    def _make_transport(self, *, runtime: Runtime, **arguments: Any) -> Transport | ShortcutTransport:
        """Make a transport with secrets of its own: what it draws does not change what the rest of the node draws."""
        self._transports += 1
        seed = f"{self._world.seed}/{self.name}/{self._life.number}/transport/{self._transports}"
        own = replace(runtime, entropy=SimEntropy(seed))
        make = Transport if self._world.fidelity.datagrams else ShortcutTransport
        return make(runtime=own, **arguments)

    def _new_disk(self) -> SimDisk:
        self._disks += 1
        disk = SimDisk(
            capacity_bytes=self._hardware.disk_bytes,
            health=self._hardware.disk_health,
            rng=self._world.rng.child(f"disk/{self.name}/{self._disks}"),
            wall=lambda: self.clock.wall(),
            shelf=self._world.shelf,
        )
        disk.on_step = self._note
        return disk

    def _freeze(self, *, blocked_until: float) -> None:
        self.loop.freeze()
        if blocked_until > self._blocked_until:
            self._blocked_until = blocked_until
            self._world.scheduler.at(blocked_until, self._thaw, self._life)

    def _thaw(self, life: Life) -> None:
        now = self._world.now
        if life is not self._life or not life.is_alive or now < self._asleep_until:
            return
        self.station.is_up = True  # awake: what comes now is kept by the socket, though the kernel may be blocked
        if now >= self._blocked_until and self.loop.frozen:
            self._note("goes on")
            slept, self._dozed = self._dozed, 0.0
            self.loop.thaw(slept=slept, first=self._read_sockets)

    def _read_sockets(self) -> None:
        for socket in self._world.network.sockets_of(self.station):
            socket.drain()

    def _note(self, text: str) -> None:
        self._world.trace.event(self._world.now, self.name, text)


class _Begun:
    """A coroutine that somebody on another loop awaits."""

    __slots__ = ("_coroutine", "_loop", "_task", "_waiter")

    def __init__(self, loop: SimLoop, coroutine: Coroutine[Any, Any, Any], waiter: asyncio.Future[Any]) -> None:
        self._loop = loop
        self._coroutine = coroutine
        self._waiter = waiter
        self._task: asyncio.Task[Any] | None = None

    def start(self) -> None:
        if self._waiter.done():
            self._coroutine.close()
            return
        self._task = self._loop.create_task(self._coroutine)
        self._task.add_done_callback(self._pass_on)

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _pass_on(self, task: asyncio.Task[Any]) -> None:
        error = None if task.cancelled() else task.exception()
        if self._waiter.done():
            return
        if task.cancelled():
            self._waiter.set_exception(NodeClosedError("what ran on the host was cancelled there"))
        elif error is not None:
            self._waiter.set_exception(error)
        else:
            self._waiter.set_result(task.result())
