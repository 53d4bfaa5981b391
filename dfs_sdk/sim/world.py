"""A whole world from one seed: virtual time, a network, hosts, and the trace of all that happens in it.

Everything drawn comes from children of one rng, by name, so that one more host changes nothing of the others' chance.
"""

from __future__ import annotations

from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from dfs_sdk.runtime.system import SeededRng
from dfs_sdk.sim.conditions import Conditions, Link
from dfs_sdk.sim.fidelity import Fidelity
from dfs_sdk.sim.host import Hardware, Host
from dfs_sdk.sim.loop import SimLoop
from dfs_sdk.sim.nat import Nat
from dfs_sdk.sim.network import SimNetwork
from dfs_sdk.sim.scheduler import Scheduler
from dfs_sdk.sim.shelf import Shelf
from dfs_sdk.sim.trace import Trace

T = TypeVar("T")

WALL_START = 1_700_000_000.0
HOSTS_MAX = 65_536


class World:
    """Virtual time, a network and hosts.

    Args:
        seed: Decides everything.
        conditions: Of every path where nothing else is set.
        fidelity: What is done for real.
        wall_start: What the true wall clock shows at virtual second 0.
        keep: How many of the trace's last records to keep in words.

    Attributes:
        seed: As given.
        rng: The parent of all chance.
        scheduler: Virtual time.
        loop: Where scenarios and tests run: nobody's host, never blocked.
        network: What is between the hosts.
        trace: What happened.
        hosts: All hosts by name, in the order they were made.
        fidelity: As given.
        shelf: Where the disks keep what several of them have; None where each has bytes of its own.
        wall_start: As given.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        conditions: Conditions | None = None,
        fidelity: Fidelity | None = None,
        wall_start: float = WALL_START,
        keep: int = 0,
    ) -> None:
        self.seed = seed
        self.fidelity = fidelity or Fidelity()
        self.shelf = None if self.fidelity.copies else Shelf()
        self.wall_start = wall_start
        self.rng = SeededRng(seed)
        self.scheduler = Scheduler()
        self.loop = SimLoop(self.scheduler, name="world")
        self.trace = Trace(content=self.fidelity.content, keep=keep)
        self.network = SimNetwork(
            self.scheduler,
            rng=self.rng.child("network"),
            trace=self.trace,
            conditions=conditions,
            any_size=not self.fidelity.datagrams,
        )
        self.hosts: dict[str, Host] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<World of {len(self.hosts)} hosts, seed {self.seed}, at {self.now:.3f} s>"

    @property
    def now(self) -> float:
        """Virtual seconds since the world began."""
        return self.scheduler.now

    @property
    def wall(self) -> float:
        """What the true wall clock shows."""
        return self.wall_start + self.scheduler.now

    @property
    def failures(self) -> list[tuple[str, dict[str, Any]]]:
        """What nobody handled: the host's name and what asyncio says of it."""
        return list(self.scheduler.failures)

    def host(
        self,
        name: str,
        *,
        address: str | None = None,
        internet: bool = False,
        nat: Nat | None = None,
        link: Link | None = None,
        hardware: Hardware | None = None,
    ) -> Host:
        """Add a host and start it.

        Args:
            name: Unique; other hosts can resolve it.
            address: Its IP address; by default the next of one private network.
            internet: Take the next public address instead, each in a network of its own.
            nat: The router it is behind.
            link: What its connection carries.
            hardware: What it is made of.

        Raises:
            ConfigError: Name or address are taken.
        """
        number = len(self.hosts)
        if address is None:
            address = public_address(number) if internet else private_address(number)
        station = self.network.attach(name, address, nat=nat, link=link)
        host = self.hosts[name] = Host(self, station, hardware or Hardware())
        return host

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine of the world's to its end, as fast as it goes, and return its result.

        Raises:
            DeadlockError: Nothing is left to happen and it still waits.
            LivelockError: No time passes any more.
        """
        result: T = self.loop.run_until_complete(coroutine)
        return result

    def run_for(self, seconds: float, *, real_seconds: float | None = None) -> bool:
        """Let virtual time pass.

        Args:
            seconds: How much.
            real_seconds: Come back after so many real seconds even so.

        Returns:
            Whether all of it passed.
        """
        return self.loop.run_for(seconds, real_seconds=real_seconds)

    def close(self) -> None:
        """Crash all hosts and end: nothing of the world runs afterwards."""
        if self.loop.is_closed():
            return
        for host in self.hosts.values():
            host.crash(power=False)
        self.loop.end()
        self.scheduler.drive(until=self.scheduler.now)
        self.loop.close()


def private_address(number: int) -> str:
    """Give the address of one host of a household: 10.0.0.1 and on."""
    number += 1
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def public_address(number: int) -> str:
    """Give a public address in a /24 of its own, as strangers on the internet have."""
    return f"{60 + (number >> 16 & 31)}.{number >> 8 & 255}.{number & 255}.1"
