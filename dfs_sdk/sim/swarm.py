"""A swarm in a cell: real nodes in one kernel, looked at as one network.

`async with Swarm(8) as swarm:` is eight nodes over loopback UDP. They keep everything in memory and watch each other
closely, so that a killed one is missed within seconds instead of hours; everything else is what runs in the wild.

`Swarm(100, net="classroom-day", seed=7)` are the same nodes in a simulated world: a host with a disk for each, a
network between them, people who come and go, and virtual time. It passes only while something of the swarm is awaited,
within `await swarm.run(hours=24)` above all; between two cells everything stands still.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from dfs_sdk.errors import ConfigError, DeadlineError, DfsError, NodeClosedError
from dfs_sdk.node.config import NodeConfig
from dfs_sdk.node.membership import Membership
from dfs_sdk.node.node import Node
from dfs_sdk.runtime.facade import Lifetime, hops
from dfs_sdk.runtime.home import Home
from dfs_sdk.runtime.homes import HomeKind
from dfs_sdk.runtime.tasks import TaskScope, run_all, to_the_end, within
from dfs_sdk.sim.arguments import count_of, fidelity_of, seconds_of, seed_of, timeline_of
from dfs_sdk.sim.chronicle import Chronicle
from dfs_sdk.sim.errors import NoSuchNodeError
from dfs_sdk.sim.fidelity import Fidelity
from dfs_sdk.sim.ground import Ground, Loopback
from dfs_sdk.sim.pace import hurried
from dfs_sdk.sim.presets import Net, find_net
from dfs_sdk.sim.report import RunReport
from dfs_sdk.sim.running import Run
from dfs_sdk.sim.scenario import AMOUNT, Act, ActKind, Duration, Scenario, Shape, Timeline
from dfs_sdk.sim.seeing import Seen
from dfs_sdk.sim.simulated import Simulated
from dfs_sdk.sim.stagehand import Cast, Stagehand

__all__ = ["Swarm", "hurried"]

Condition = Callable[[], Awaitable[bool]]

SETTLE_TIMEOUT = 60.0
JOIN_TIMEOUT = 120.0
MEET_TIMEOUT = 600.0
REJOIN_SECONDS = 20.0
RISE_PAUSE = 5.0
FAILURES_MAX = 100


class Swarm(Lifetime, Seen):
    """Several nodes in one kernel. Each goes by its number or its name: `swarm[3]` is `swarm["n3"]`.

    Args:
        count: How many to start.
        replicas: Copies of each chunk where `put` does not say otherwise.
        config: Settings of every node; by default, over loopback, those of a network in a hurry (`hurried`); in a
            simulated world, those of any node, in large networks at leisure (`pace.at_leisure`).
        seed: In a simulated world, decides everything; over loopback, makes placement and schedules repeatable, as far
            as real sockets allow, and never the keys.
        home: Where the nodes live, as for `Node`; a simulated world has a thread of its own.
        net: None for loopback, or a simulated network: "lan", "campus-wifi", "classroom-day", "internet-churn",
            "flaky-mobile", or a `sim.presets.Net` of your own.
        scenario: What happens besides, from the moment all nodes have met: a `Scenario` or the path of a TOML file.
        fidelity: What a simulated world does for real; by default messages travel whole. `Fidelity()` seals every
            datagram, which costs several times as much.

    Raises:
        ConfigError: An argument is out of range, or the scenario names who or what is not here.
        OSError: The scenario cannot be read.
    """

    def __init__(
        self,
        count: int = 8,
        *,
        replicas: int = 3,
        config: NodeConfig | None = None,
        seed: int | None = None,
        home: HomeKind = "auto",
        net: str | Net | None = None,
        scenario: Timeline | str | Path | None = None,
        fidelity: Fidelity | None = None,
    ) -> None:
        self._ground = _ground(net, seed=seed, home=home, fidelity=fidelity)
        self._count = count_of(count, self._ground.nodes_max)
        base = config or self._ground.config(self._count)
        self._config = replace(base, policy=replace(base.policy, replicas=replicas))
        self._scenario = timeline_of(scenario)
        self._membership: Membership | None = None
        self._nodes: list[Node] = []
        self._starting = asyncio.Lock()
        self._started = False
        self._closed = False
        self._ended = False
        self._failures: list[str] = []
        self._last_run: RunReport | None = None
        self._scope = TaskScope("swarm", on_error=self._on_failure)
        self._chronicle = Chronicle(self._ground)
        cast = Cast(fall=self._fall, is_down=self._is_down, rise=self._rise, turn_liar=self._turn_liar)
        self._stagehand = Stagehand(self._ground, cast, scope=self._scope, note=self._chronicle.struck)
        self._check_played(self._scenario, "scenario", [f"n{number}" for number in range(self._count)])

    # Life

    @hops
    async def start(self) -> Self:
        """Start all nodes and wait until everybody knows everybody; then the scenario begins.

        Raises:
            NodeClosedError: The swarm is closed.
        """
        async with self._starting:
            self._check_open()
            if not self._started:
                await self._start()
        return self

    async def close(self) -> None:
        """Stop all nodes; nothing of the swarm runs afterwards. Twice is harmless, also after a cancelled one."""
        if self._ended:
            return
        if self._home.on_thread:
            await self._end()  # perhaps one of the calls that end with the home
        else:
            await to_the_end(self._end())

    async def run(
        self,
        hours: float = 0.0,
        *,
        minutes: float = 0.0,
        seconds: float = 0.0,
        scenario: Timeline | str | Path | None = None,
        progress: bool | None = None,
    ) -> RunReport:
        """Let time pass: virtual time as fast as it goes, real time over loopback.

        Interrupting the cell, cancelling or the bar's button stop it at that instant; the swarm stays usable, and
        `last_run` tells what happened until then. An interrupted cell says so in one line. A swarm that was not
        started is started first.

        Args:
            hours: How long, together with the other two.
            minutes: As above.
            seconds: As above.
            scenario: What happens meanwhile besides; it begins now and ends with the run.
            progress: Whether to show a bar; None shows it in notebooks and terminals.

        Returns:
            What happened; also when the button stopped it.

        Raises:
            ConfigError: No time, or more than ten years; a scenario that cannot be played here.
            NodeClosedError: The swarm is closed.
        """
        self._check_open()
        run = Run(
            self,
            wanted=seconds_of(hours=hours, minutes=minutes, seconds=seconds),
            home=self._home,
            ground=self._ground,
            chronicle=self._chronicle,
        )
        extra = timeline_of(scenario) if scenario is not None else None
        if not self._started:
            await self.start()
        try:
            await run.pass_time(self._told(extra) if extra is not None else None, progress=progress)
        except (asyncio.CancelledError, KeyboardInterrupt) as error:
            run.say_stopped(error)
            raise
        finally:
            if run.has_begun:
                self._last_run = run.report(self._failures)
        return run.report(self._failures)

    # Changing it

    @hops
    async def add(self) -> Node:
        """Start one more node, which joins through the first one that runs; scenarios leave it alone.

        One that does not get in, also because the call was cancelled, is down: `restart` brings it in.
        """
        self._check_running()
        name = f"n{len(self._nodes)}"
        try:
            return await self._add(joins=True)
        except BaseException:
            await to_the_end(self._fall(name, power=False))
            raise

    @hops
    async def kill(self, who: int | str) -> Node:
        """Let a node vanish without a goodbye, as if its process were killed."""
        node = self._at(who)
        await self._fall(node.name, power=False)
        return node

    @hops
    async def restart(self, who: int | str) -> Node:
        """Bring a node that is down back: in a simulated world on what its disk kept, over loopback as a new one.

        Returns:
            The node of the host's next life; `swarm[who]` is this one from now on.
        """
        await self._rise(self._at(who).name)
        return self._at(who)

    @hops
    async def leave(self, who: int | str) -> Node:
        """Let a node leave in order: it hands over what it holds and says goodbye."""
        node = self._at(who)
        await node.leave()
        return node

    @hops
    async def strike(
        self,
        kind: ActKind | str,
        *who: int | str,
        seconds: Duration | None = None,
        amount: float = AMOUNT,
        power: bool = True,
        shape: Shape | str = Shape.GROUPS,
    ) -> None:
        """Let something happen now, by hand: `await swarm.strike("sleep", 3, 4, seconds=600)`.

        Args:
            kind: A word of the scenarios' vocabulary.
            who: Numbers or names of those it happens to; `repair` needs none, `restart` without any brings back all
                that are down.
            seconds: How long, also in words such as "10 min"; None until it is ended by `repair` or `restart`.
            amount: Of `corrupt`, the ratio of reads that go wrong.
            power: Of `crash`, whether the power goes; otherwise only the process ends.
            shape: Of `partition`, "groups", "one-way" or "ring".

        Raises:
            ConfigError: There is no such word, it happens to nobody, needs a duration, or cannot happen here.
        """
        self._check_running()
        names = tuple(self._at(each).name for each in who)
        act = Act(at=0.0, do=kind, who=names or "all", seconds=seconds, amount=amount, power=power, shape=shape)
        if not names and act.kind not in (ActKind.REPAIR, ActKind.RESTART):
            raise ConfigError(
                f"{act.kind.value} happens to nobody: name nodes, such as strike({act.kind.value!r}, 1, 2)"
            )
        for strike in Scenario(acts=(act,)).strikes(self._names, self._ground.rng):
            self._stagehand.carry_out(strike)

    @hops
    async def settled(self, *, timeout: float = SETTLE_TIMEOUT) -> float:
        """Wait until every chunk of every running node's catalog has its copies again. Each look goes to `history`.

        Returns:
            The seconds it took, of the time that passes here.

        Raises:
            DeadlineError: Not in time.
        """
        self._check_running()
        begun = self._ground.clock.monotonic()
        await self._until(self._whole, "not every chunk has its copies yet", timeout=timeout)
        self._chronicle.look(self._nodes)
        return self._ground.clock.monotonic() - begun

    # Seeing: the rest is in `seeing`

    @property
    def nodes(self) -> list[Node]:
        """All nodes in the order of their start, dead ones included."""
        return list(self._nodes)

    @property
    def last_run(self) -> RunReport | None:
        """What the last run came to, also one that was interrupted; None before the first."""
        return self._last_run

    @property
    def failures(self) -> tuple[str, ...]:
        """What the swarm's own work met and nobody handled, in words."""
        return tuple(self._failures)

    def __getitem__(self, who: int | str) -> Node:
        self._check_begun()
        return self._find(who)

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(tuple(self._nodes))

    def __repr__(self) -> str:
        if not self._nodes and not self._closed:
            return f"<Swarm of {self._count} nodes, not started>"
        running = "closed" if self._closed else f"{sum(node.running for node in self._nodes)} running"
        return f"<Swarm of {len(self._nodes)} nodes, {running}>"

    # Inside

    async def _start(self) -> None:
        self._membership = await self._ground.found()
        try:
            born = self._ground.are_born_acquainted(self._count)
            await self._add(joins=False)
            others = (self._add(joins=not born) for _ in range(self._count - 1))
            await run_all(*others, limit=self._ground.meet_parallel)
            if born:
                self._ground.acquaint(self._nodes)
            await self._until(self._all_met, "the nodes did not all meet", timeout=MEET_TIMEOUT)
        except BaseException:
            await self.close()
            raise
        self._started = True
        self._chronicle.look(self._nodes)
        for name, timeline in (("net", self._ground.timeline), ("scenario", self._scenario)):
            self._scope.spawn(name, self._play(timeline, name))

    @hops
    async def _end(self) -> None:
        self._closed = True
        await self._scope.close()
        await self._ground.close(self._nodes)
        self._ended = True  # before the home ends, and with it all calls on it: perhaps this one
        await self._home.close()

    # What happens to hosts, by hand and in scenarios

    async def _fall(self, name: str, *, power: bool) -> None:
        node = self._nodes[self._names.index(name)]
        if node.running:
            await self._ground.crash(node, power=power)

    def _is_down(self, name: str) -> bool:
        return not self._nodes[self._names.index(name)].running

    async def _rise(self, name: str) -> None:
        index = self._names.index(name)
        if self._nodes[index].running:
            return
        self._ground.restart(name)
        node = self._nodes[index] = self._make(name, None)
        try:
            await node.start()
            await self._reenter(node)
        except DfsError:
            if node.running:  # else it was struck again meanwhile: whoever did so brings it back
                raise

    def _turn_liar(self, name: str) -> None:
        node = self._nodes[self._names.index(name)]
        if node.running:
            self._ground.lie(node)

    @property
    def _home(self) -> Home:
        return self._ground.home

    @property
    def _names(self) -> list[str]:
        return [node.name for node in self._nodes]

    @property
    def _is_up(self) -> bool:
        return self._started and not self._closed

    def _at(self, who: int | str) -> Node:
        self._check_running()
        return self._find(who)

    def _find(self, who: int | str) -> Node:
        try:
            return self._nodes[self._names.index(who) if isinstance(who, str) else who]
        except (IndexError, TypeError, ValueError):
            raise NoSuchNodeError(who, len(self._nodes)) from None

    def _check_open(self) -> None:
        if self._closed:
            raise NodeClosedError("this swarm is closed: history() and events() tell what happened; start a new one")

    def _check_begun(self) -> None:
        if not self._nodes and not self._closed:
            raise NodeClosedError("this swarm is not started: `await swarm.start()`, or `async with swarm`")

    def _check_running(self) -> None:
        self._check_open()
        self._check_begun()

    def _check_played(self, timeline: Timeline, name: str, hosts: Sequence[str]) -> None:
        self._stagehand.check(timeline, hosts, self._ground.rng.child(name))

    def _make(self, name: str, membership: Membership | None) -> Node:
        node = self._ground.node(name, self._config, membership)
        self._chronicle.follow(node)
        return node

    async def _add(self, *, joins: bool) -> Node:
        member = next((node for node in self._nodes if node.running), None)
        node = self._make(f"n{len(self._nodes)}", self._membership)
        self._nodes.append(node)
        await node.start()
        if joins and member is not None:
            await node.join(self._ground.address(member), timeout=JOIN_TIMEOUT)
        return node

    async def _reenter(self, node: Node) -> None:
        """Be in the network again: through the peers of last time, or through anybody who is there."""
        rng = self._ground.rng.child(f"reenter/{node.name}")
        found = await node.rejoined(timeout=REJOIN_SECONDS)
        while not found and node.running:
            others = [each for each in self._nodes if each.running and each is not node]
            try:
                await node.join(self._ground.address(rng.choice(others)), timeout=REJOIN_SECONDS)
                found = node.peer_count
            except (DfsError, IndexError):  # asleep, cut off, or nobody there: later
                await asyncio.sleep(RISE_PAUSE)

    async def _play(self, timeline: Timeline, name: str, by: object = None) -> None:
        await self._stagehand.play(timeline, self._names, self._ground.rng.child(name), by=by)

    async def _told(self, timeline: Timeline) -> None:
        """Play a scenario from now on until it is cancelled."""
        name = f"run/{self._ground.clock.monotonic()}"
        self._check_played(timeline, name, self._names)
        this_run = object()
        try:
            await self._play(timeline, name, by=this_run)
        finally:
            self._stagehand.take_back(this_run)

    async def _all_met(self) -> bool:
        alive = [node for node in self._nodes if node.running]
        return all(node.peer_count >= len(alive) - 1 for node in alive)

    async def _whole(self) -> bool:
        self._chronicle.look(self._nodes)
        for node in self._nodes:
            if node.running and self._ground.answers(node.name) and await node.ls():
                await node.audit()
                if any(file.copies_min < file.copies_wanted for file in node.snapshot().files):
                    return False
        return True

    async def _until(self, condition: Condition, complaint: str, *, timeout: float = SETTLE_TIMEOUT) -> None:
        async def look() -> None:
            # Many nodes change on their own, and none of them rings a bell for all: look again and again.
            while not await condition():  # noqa: ASYNC110 - nothing to wait on
                await asyncio.sleep(self._ground.look_interval)

        await within(timeout, look(), otherwise=lambda: DeadlineError(f"{complaint} after {timeout:g} s"))

    def _on_failure(self, task: str, error: BaseException) -> None:
        if len(self._failures) < FAILURES_MAX:
            self._failures.append(f"{task}: {type(error).__name__}: {error}")


def _ground(net: str | Net | None, *, seed: int | None, home: HomeKind, fidelity: Fidelity | None) -> Ground:
    chosen = seed_of(seed)
    if net is None:
        return Loopback(home=home, seed=chosen)
    return Simulated(find_net(net), seed=chosen or 0, fidelity=fidelity_of(fidelity))
