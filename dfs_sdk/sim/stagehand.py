"""Carries out what timelines say: at its instant, to the hosts of a swarm, and takes it back when its time is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from dfs_sdk.runtime.ports import Rng
from dfs_sdk.runtime.tasks import TaskScope
from dfs_sdk.sim.ground import Ground, Undo
from dfs_sdk.sim.scenario import ActKind, Scenario, Strike, Timeline, require_hosts

UNDOS_MAX = 100_000
"""Effects that have not ended; beyond that the oldest are ended at once."""


class Fall(Protocol):
    """Lets a node vanish."""

    async def __call__(self, name: str, *, power: bool) -> None:
        """Let the node of a host vanish, if it runs."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """What can be done to the nodes of hosts, each named by its host.

    Attributes:
        fall: Lets a node vanish, if it runs, with the host's power or only as a process.
        is_down: Says whether a node does not run.
        rise: Brings a host that is down back into the network; returns when it is in, or down again.
        turn_liar: Lets a node answer wrongly, if it runs.
    """

    fall: Fall
    is_down: Callable[[str], bool]
    rise: Callable[[str], Coroutine[Any, Any, None]]
    turn_liar: Callable[[str], None]


class Stagehand:
    """Plays timelines.

    Args:
        ground: Where.
        cast: Whose nodes fall and rise.
        scope: Parent of its tasks.
        note: Told of every strike as it is carried out.
    """

    def __init__(self, ground: Ground, cast: Cast, *, scope: TaskScope, note: Callable[[Strike], None]) -> None:
        self._ground = ground
        self._cast = cast
        self._scope = scope
        self._note = note
        self._undos: dict[int, tuple[object, Undo]] = {}
        self._next = 0

    def check(self, timeline: Timeline, hosts: Sequence[str], rng: Rng) -> None:
        """See before anything happens whether a timeline can be played here, as far as it can be told.

        Args:
            timeline: Which.
            hosts: Names of those it is to be played to.
            rng: A stream of its own: what is drawn from it is thrown away.

        Raises:
            ConfigError: It names hosts that are not there, or what cannot happen here.
        """
        next(timeline.strikes(hosts, rng), None)
        if isinstance(timeline, Scenario):
            for act in timeline.acts:
                self._ground.check(act.kind)

    async def play(self, timeline: Timeline, hosts: Sequence[str], rng: Rng, *, by: object = None) -> None:
        """Let everything of a timeline happen, beginning now; returns when it is over, if it ever is.

        Args:
            timeline: Which.
            hosts: Names of those it happens to.
            rng: Where it draws from.
            by: What `take_back` knows it by.

        Raises:
            ConfigError: It names hosts that are not there, or what cannot happen here.
        """
        clock = self._ground.clock
        begun = clock.monotonic()
        known = frozenset(hosts)
        for strike in timeline.strikes(hosts, rng):
            require_hosts(strike.hosts, known, strike.kind.value)
            await asyncio.sleep(max(0.0, begun + strike.at - clock.monotonic()))
            self.carry_out(strike, by=by)

    def carry_out(self, strike: Strike, *, by: object = None) -> None:
        """Let one thing happen now.

        Args:
            strike: What.
            by: What `take_back` knows it by.

        Raises:
            ConfigError: It cannot happen here.
        """
        told = strike
        match strike.kind:
            case ActKind.CRASH:
                for name in strike.hosts:
                    self._scope.spawn(f"crash {name}", self._crash(name, strike))
            case ActKind.RESTART:
                told = replace(strike, hosts=tuple(name for name in strike.hosts if self._cast.is_down(name)))
                for name in strike.hosts:
                    self._scope.spawn(f"restart {name}", self._cast.rise(name))
            case ActKind.LIE:
                for name in strike.hosts:
                    self._cast.turn_liar(name)
            case ActKind.REPAIR:
                self.repair()
            case _:
                self._keep(self._ground.strike(strike), strike, by)
        self._note(told)

    def repair(self) -> None:
        """End all partitions, clogs and corruption now."""
        undos, self._undos = self._undos, {}
        for _by, undo in undos.values():
            undo()

    def take_back(self, by: object) -> None:
        """End now what was struck by one: of all that goes on nothing else."""
        for key in [key for key, (struck_by, _undo) in self._undos.items() if struck_by is by]:
            self._undos.pop(key)[1]()

    async def _crash(self, name: str, strike: Strike) -> None:
        await self._cast.fall(name, power=strike.power)
        if strike.seconds is not None:
            await asyncio.sleep(strike.seconds)
            await self._cast.rise(name)

    def _keep(self, undo: Undo, strike: Strike, by: object) -> None:
        key, self._next = self._next, self._next + 1
        self._undos[key] = (by, undo)
        if len(self._undos) > UNDOS_MAX:
            self._undos.pop(next(iter(self._undos)))[1]()
        if strike.seconds is not None:
            self._scope.spawn(f"end {strike.kind.value}", self._end_after(strike.seconds, key))

    async def _end_after(self, seconds: float, key: int) -> None:
        await asyncio.sleep(seconds)
        kept = self._undos.pop(key, None)
        if kept is not None:
            kept[1]()
