"""A fork of a simulated host's process: the simulator itself forks, and the host goes on in the child for a moment.

The child has all that its parent had, tasks and timers in the middle of their work among it, which no copy within one
process could give. There it is the host that was forked, other hosts stand still, and what was on the way to it
arrives. It is watched, tells what it did, and ends; nothing of it is left in the world that forked, which draws no
chance and plans no event for it: a run with forks has the digest of one without.

Simulated sockets stay open in the child, unlike real ones: only the lost keys keep it from speaking.

Source: NIST SP 800-38D, section 8 (a GCM nonce must never repeat under one key).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import select
import signal
import warnings
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from dfs_sdk.errors import ForkedNodeError
from dfs_sdk.sim.errors import ForkError
from dfs_sdk.sim.turns import Timer

if TYPE_CHECKING:
    from dfs_sdk.sim.host import Host
    from dfs_sdk.sim.scheduler import Event
    from dfs_sdk.sim.world import World

CAN_FORK = hasattr(os, "fork")
CHILD_SECONDS = 2.0
REAL_SECONDS_MAX = 60.0
DATAGRAMS_MAX = 256
STEPS_NAMED_MAX = 20
FAILURES_MAX = 20
REPORT_BYTES_MAX = 64 * 1024 * 1024
READ_BYTES = 65_536
REFUSED = ForkedNodeError.__name__
WAITING = "waits"
RETURNED = "returned"

Call = Callable[[], Coroutine[Any, Any, object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offspring:
    """What a forked child did.

    Attributes:
        answers: By the name of each call: the name of the error it raised, "returned", or "waits".
        sent: Receiver and content of what it put on the wire, at most 256 datagrams.
        steps: What it did to the disk, in words, at most 20.
        failures: What nobody handled, in words, at most 20; callbacks that refuse because of the fork are none.
        arrived: Datagrams that reached it.
        events: Timers and deliveries that came.
    """

    answers: Mapping[str, str]
    sent: tuple[tuple[str, bytes], ...]
    steps: tuple[str, ...]
    failures: tuple[str, ...]
    arrived: int
    events: int

    def problems(self) -> list[str]:
        """List in words what a forked child must not do and this one did."""
        found = [
            f"{call} of a forked child did not refuse: {how}" for call, how in self.answers.items() if how != REFUSED
        ]
        found += [f"a forked child sent {len(content)} bytes to {to}" for to, content in self.sent]
        found += [f"a forked child touched the disk: {step}" for step in self.steps]
        return found + [f"not handled in a forked child: {failure}" for failure in self.failures]


def fork(world: World, host: Host, calls: Mapping[str, Call], *, seconds: float = CHILD_SECONDS) -> Offspring:
    """Fork a host's process, let the child go on for a moment, and tell what it did.

    What the child sent is shown to all who watch the wire of the world: they see one key used by two.

    Args:
        world: The host's world; nothing in it changes.
        host: Whose process forks; it is up and not blocked.
        calls: What the child does besides going on.
        seconds: How long it lives, virtual.

    Raises:
        ForkError: This system cannot fork, or the child ended without a word.
    """
    if not CAN_FORK:
        raise ForkError("this system cannot fork")
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of other threads: the child uses none
        child = os.fork()
    if child == 0:
        _be_child(world, host, calls, seconds, writing)
    os.close(writing)
    try:
        told = _listen(reading, child)
    finally:
        os.close(reading)
        os.waitpid(child, 0)
    offspring = _read(told)
    for receiver, content in offspring.sent:
        for hook in world.network.on_wire:
            hook(host.name, receiver, memoryview(content))
    return offspring


# In the parent


def _listen(reading: int, child: int) -> bytes:
    """Read until the child has ended; one that takes too long, or says too much, is killed."""
    told = bytearray()
    while len(told) <= REPORT_BYTES_MAX:
        ready, _, _ = select.select([reading], [], [], REAL_SECONDS_MAX)
        if not ready:
            break
        part = os.read(reading, READ_BYTES)
        if not part:
            return bytes(told)
        told += part
    os.kill(child, signal.SIGKILL)
    raise ForkError(f"a forked child was silent for {REAL_SECONDS_MAX:.0f} s, or said more than it may")


def _read(told: bytes) -> Offspring:
    if not told:
        raise ForkError("a forked child ended without a word")
    fields: dict[str, Any] = json.loads(told)
    if "broke" in fields:
        raise ForkError(f"a forked child broke: {fields['broke']}")
    fields["sent"] = tuple((receiver, bytes.fromhex(content)) for receiver, content in fields["sent"])
    fields["steps"], fields["failures"] = tuple(fields["steps"]), tuple(fields["failures"])
    return Offspring(**fields)


# In the child


def _be_child(world: World, host: Host, calls: Mapping[str, Call], seconds: float, writing: int) -> NoReturn:
    code = 1
    try:
        logging.disable()  # what refuses here is no news, and the files of a log are the parent's
        try:
            fields = asdict(_live(world, host, calls, seconds))
            fields["sent"] = [(receiver, content.hex()) for receiver, content in fields["sent"]]
        except BaseException as error:  # noqa: BLE001 - the parent hears of whatever it is
            fields = {"broke": repr(error)}
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(json.dumps(fields).encode())
        code = 0
    finally:
        os._exit(code)


def _live(world: World, host: Host, calls: Mapping[str, Call], seconds: float) -> Offspring:
    """Go on as the host alone: the world that drives it, and all other hosts, stand still."""
    for loop in (world.loop, *(other.loop for other in world.hosts.values())):
        current = asyncio.current_task(loop)
        if current is not None:
            asyncio._leave_task(loop, current)  # noqa: SLF001 - or no other task could run
        if loop is not host.loop:
            loop.freeze()
    scheduler = world.scheduler
    scheduler.wake_in_child(lambda event: _concerns(event, world, host))
    sent: list[tuple[str, bytes]] = []
    steps: list[str] = []
    world.network.on_wire[:] = [lambda _sender, to, data: _note(sent, (to, bytes(data)), DATAGRAMS_MAX)]
    host.disk.on_step = lambda step: _note(steps, step, STEPS_NAMED_MAX)
    scheduler.failures.clear()
    events, arrived = scheduler.events, world.network.counters.delivered
    tasks = {name: host.loop.create_task(call(), name=name) for name, call in calls.items()}
    scheduler.drive(until=scheduler.now + seconds)
    answers = {name: _answer(task) for name, task in tasks.items()}
    unhandled = [told for _, told in scheduler.failures if not isinstance(told.get("exception"), ForkedNodeError)]
    return Offspring(
        answers=answers,
        sent=tuple(sent),
        steps=tuple(steps),
        failures=tuple(f"{told.get('message')} ({told.get('exception')!r})" for told in unhandled[:FAILURES_MAX]),
        arrived=world.network.counters.delivered - arrived,
        events=scheduler.events - events,
    )


def _concerns(event: Event, world: World, host: Host) -> bool:
    """Say whether a planned event is a timer of the host, or something that is on its way through the network."""
    _, _, function, argument = event
    if isinstance(argument, Timer):
        return argument.belongs_to(host.loop)
    return getattr(function, "__self__", None) is world.network


def _note(notes: list[Any], note: object, most: int) -> None:
    if len(notes) < most:
        notes.append(note)


def _answer(task: asyncio.Task[object]) -> str:
    if not task.done():
        return WAITING
    if task.cancelled():
        return asyncio.CancelledError.__name__
    error = task.exception()
    return RETURNED if error is None else type(error).__name__
