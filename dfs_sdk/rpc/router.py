"""Which handler answers a call, when it may run, and what becomes of its errors.

Each kind of request has a number of handlers that may run at one time; further calls wait in a queue of their peer,
and the queues take turns, so that one busy peer delays itself more than others. What a peer may keep waiting is bounded
by number and bytes: beyond that it is told BUSY at once.

A call is begun only while its peer takes the replies it gets, and a reply that has to wait for its peer waits outside
of its turn: who does not read, or reads slowly, holds up neither others nor much memory.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from dfs_sdk.errors import DfsError, ProtocolError
from dfs_sdk.ids import NodeId
from dfs_sdk.rpc.base import Caller, Handler, PlainHandler, Refusal, RefusalCode, nothing
from dfs_sdk.rpc.config import RpcConfig
from dfs_sdk.rpc.queues import PeerQueues
from dfs_sdk.runtime.ports import Buffer
from dfs_sdk.runtime.tasks import TaskScope
from dfs_sdk.wire.codec import Request, decode, encode

logger = logging.getLogger(__name__)

# A packet may bring hundreds of calls that wait for nothing; so many are answered before others have the loop.
ANSWERS_PER_TURN = 32


@dataclass(frozen=True, slots=True)
class Outcome:
    """What to tell the caller: an encoded reply and its bulk bytes, or a refusal.

    Attributes:
        on_settled: Called once with whether the caller has taken it, as soon as it has or never will.
    """

    header: bytes = b""
    body: Buffer = b""
    on_settled: Callable[[bool], None] = nothing
    refusal: Refusal | None = None


_HOARDED = Outcome(refusal=Refusal(RefusalCode.BUSY, "too many answers are not taken: try again later"))


@dataclass(slots=True, kw_only=True, eq=False)
class IncomingCall:
    """A call that a peer makes, from its admission to its end.

    Attributes:
        caller: Who asks.
        tag: What for.
        header: The encoded request.
        body: The bulk bytes that came with it.
        timeout: Seconds that the caller waits.
        respond: Sends the outcome, when there is room; called at most once.
        respond_now: Sends the outcome if there is room; says whether nothing is left to be sent.
        has_room: Says whether enough of earlier outcomes was taken for this call to begin, with a large one or not.
        wait_to_begin: Waits until this peer has taken enough; says whether all peers together have, too.
        on_end: Called once when the call is over in any way.
    """

    caller: Caller
    tag: int
    header: Buffer
    body: memoryview
    timeout: float
    respond: Callable[[Outcome], Awaitable[None]]
    respond_now: Callable[[Outcome], bool]
    has_room: Callable[[bool], bool]
    wait_to_begin: Callable[[], Awaitable[bool]]
    on_end: Callable[[], None]
    request: Any = field(default=None, init=False)
    route: _Route | None = field(default=None, init=False)
    queue: PeerQueues[IncomingCall] | None = field(default=None, init=False)
    task: asyncio.Task[None] | None = field(default=None, init=False)
    has_turn: bool = field(default=False, init=False)
    ended: bool = field(default=False, init=False)

    @property
    def peer(self) -> NodeId:
        """Who asks."""
        return self.caller.node_id

    @property
    def may_start(self) -> bool:
        """Whether it may begin; what is answered at once has a look for itself."""
        return self.route is not None and (self.route.at_once or self.has_room(self.route.bulk))

    @property
    def size_bytes(self) -> int:
        """What it holds here: the request as it came, since what is decoded of it is about as much."""
        return len(self.header) + len(self.body)


class _Route:
    """One kind of request: its handler, and the calls that wait for it."""

    __slots__ = (
        "at_once",
        "bulk",
        "concurrency_max",
        "handler",
        "queues",
        "reply_type",
        "request_type",
        "running",
        "task_name",
    )

    def __init__(
        self,
        request_type: type[Request[Any]],
        handler: Callable[[Caller, Any, memoryview], Any],
        *,
        at_once: bool = False,
        concurrency_max: int = 1,
        bulk: bool = False,
    ) -> None:
        self.request_type = request_type
        self.reply_type = request_type.reply
        self.task_name = f"{'answer' if at_once else 'serve'} {request_type.__name__}"
        self.handler = handler
        self.at_once = at_once
        self.bulk = bulk
        self.concurrency_max = concurrency_max
        self.running = 0
        self.queues: PeerQueues[IncomingCall] = PeerQueues()

    def outcome(self, result: object) -> Outcome:
        """Check what a handler returned; an error here is a mistake in our own code."""
        reply, *rest = result if isinstance(result, tuple) else (result,)
        if not isinstance(reply, self.reply_type):
            raise TypeError(f"the handler of {self.request_type.__name__} returned {type(reply).__name__}")
        return Outcome(encode(reply), *rest)


@dataclass(slots=True)
class _Held:
    """What one peer, or all peers, have here at the moment."""

    calls: int = 0
    bytes: int = 0


class Router:
    """Runs handlers within the limits of `RpcConfig`.

    Args:
        scope: The parent of the handlers' tasks.
        config: The limits.
    """

    def __init__(self, *, scope: TaskScope, config: RpcConfig) -> None:
        self._scope = scope
        self._config = config
        self._routes: dict[int, _Route] = {}
        self._held: dict[NodeId, _Held] = {}
        self._total = _Held()
        self._at_once: PeerQueues[IncomingCall] = PeerQueues()
        self._turn: asyncio.Handle | None = None
        self._any_waits = False
        self._resuming: asyncio.Handle | None = None
        self._leaving = False

    @property
    def calls_held(self) -> int:
        """Calls of all peers that run or wait."""
        return self._total.calls

    def serve(
        self, request_type: type[Request[Any]], handler: Handler[Any], *, concurrency_max: int, bulk: bool = False
    ) -> None:
        """Answer requests of one class.

        Raises:
            ValueError: The tag is out of range or served already, or `concurrency_max` is below 1.
        """
        if concurrency_max < 1:
            raise ValueError(f"{request_type.__name__}: concurrency {concurrency_max}")
        self._enter(_Route(request_type, handler, concurrency_max=concurrency_max, bulk=bulk))

    def serve_at_once(self, request_type: type[Request[Any]], handler: PlainHandler[Any]) -> None:
        """Answer requests of one class by a function that waits for nothing.

        Raises:
            ValueError: The tag is out of range or served already.
        """
        self._enter(_Route(request_type, handler, at_once=True))

    def refuse_all(self) -> None:
        """Refuse every call from here on as LEAVING; those under way go on."""
        self._leaving = True

    def admit(self, call: IncomingCall) -> None:
        """Start a call, or let it wait for its turn.

        Raises:
            Refusal: Nobody serves it, or the peer has too much under way.
            ProtocolError: The request is malformed.
        """
        route = self._routes.get(call.tag)
        if self._leaving:
            raise Refusal(RefusalCode.LEAVING)
        if route is None:
            raise Refusal(RefusalCode.UNKNOWN_CALL, f"nobody here serves {call.tag:#06x}")
        call.request = decode(route.request_type, call.header)
        self._hold(call)
        call.route = route
        if route.at_once:
            self._enqueue(call, self._at_once)
            if self._turn is None:
                self._turn = self._scope.soon("answer", self._answer_some)
        elif route.running < route.concurrency_max and call.peer not in route.queues and call.may_start:
            self._start(route, call)
        else:
            self._any_waits = True
            self._enqueue(call, route.queues)

    def resume(self) -> None:
        """Begin calls that waited for their peers to take replies, where there is room now: once a turn of the loop."""
        if self._any_waits and self._resuming is None and not self._scope.closed:
            self._resuming = self._scope.soon("resume", self._fill_all)

    def cancel(self, call: IncomingCall) -> None:
        """End a call without an answer, whether it runs or waits; a call that is over is fine."""
        if call.task is not None:
            call.task.cancel()
        elif call.queue is not None:
            call.queue.discard(call)
            call.queue = None
            self._end(call)

    def _enter(self, route: _Route) -> None:
        tag = route.request_type.tag
        if not 0 < tag < 2**16:
            raise ValueError(f"{route.request_type.__name__}: tag {tag:#x}")
        if tag in self._routes:
            raise ValueError(f"tag {tag:#06x} is served already")
        self._routes[tag] = route

    def _hold(self, call: IncomingCall) -> None:
        held = self._held.get(call.caller.node_id) or _Held()
        size, config = call.size_bytes, self._config
        if (
            held.calls >= config.peer_calls_max
            or held.bytes + size > config.peer_bytes_max
            or self._total.bytes + size > config.total_bytes_max
        ):
            raise Refusal(RefusalCode.BUSY, "too many calls under way: try again later")
        self._held[call.caller.node_id] = held
        for count in (held, self._total):
            count.calls += 1
            count.bytes += size

    @staticmethod
    def _enqueue(call: IncomingCall, queue: PeerQueues[IncomingCall]) -> None:
        call.queue = queue
        queue.push(call)

    @staticmethod
    def _dequeue(queue: PeerQueues[IncomingCall]) -> IncomingCall | None:
        call = queue.pop()
        if call is not None:
            call.queue = None
        return call

    def _answer_some(self) -> None:
        """Answer calls that wait for nothing, and leave the loop to others before there are many."""
        self._turn = None
        try:
            for _ in range(ANSWERS_PER_TURN):
                call = self._dequeue(self._at_once)
                if call is None or call.route is None:
                    break
                self._answer(call.route, call)
        finally:
            if self._at_once and self._turn is None and not self._scope.closed:
                self._turn = self._scope.soon("answer", self._answer_some)

    def _answer(self, route: _Route, call: IncomingCall) -> None:
        """Answer at once; a task is made only where the peer has not taken enough of the earlier answers."""
        try:
            if call.has_room(route.bulk):
                outcome = self._answer_of(route, call)
                if call.respond_now(outcome):
                    return self._end(call)
            else:
                outcome = None
        except BaseException:
            self._end(call)
            raise
        call.task = self._scope.spawn(route.task_name, self._answer_late(route, call, outcome))
        call.task.add_done_callback(lambda _task: self._end(call))
        return None

    def _answer_of(self, route: _Route, call: IncomingCall) -> Outcome:
        try:
            return route.outcome(route.handler(call.caller, call.request, call.body))
        except Exception as error:  # noqa: BLE001 - each is told apart there
            return self._refuse(route, call, error)

    async def _answer_late(self, route: _Route, call: IncomingCall, outcome: Outcome | None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience(call)):
                if outcome is None:
                    begins = await call.wait_to_begin()
                    outcome = self._answer_of(route, call) if begins else _HOARDED
                await call.respond(outcome)

    def _start(self, route: _Route, call: IncomingCall) -> None:
        route.running += 1
        call.has_turn = True
        call.task = task = self._scope.spawn(route.task_name, self._run(route, call))
        # A timer of the loop and no `asyncio.timeout`: that one costs as much as all the rest of a small call.
        timer = asyncio.get_running_loop().call_later(self._patience(call), self._give_up, route, task)
        # Also when the task is cancelled before its first step, where no `finally` inside it would run.
        task.add_done_callback(lambda _task: self._on_task_done(route, call, timer))

    def _patience(self, call: IncomingCall) -> float:
        return min(call.timeout, self._config.handler_timeout_max)

    @staticmethod
    def _give_up(route: _Route, task: asyncio.Task[None]) -> None:
        # The caller has given up by now: no answer would find anybody.
        logger.debug("%s took too long", route.task_name)
        task.cancel()

    def _on_task_done(self, route: _Route, call: IncomingCall, timer: asyncio.TimerHandle) -> None:
        timer.cancel()
        self._end(call)
        self._give_turn(route, call)

    def _give_turn(self, route: _Route, call: IncomingCall) -> None:
        if call.has_turn:
            call.has_turn = False
            route.running -= 1
        if not self._scope.closed:
            self._fill(route)

    def _fill_all(self) -> None:
        self._resuming = None
        for route in self._routes.values():
            self._fill(route)
        self._any_waits = any(route.queues for route in self._routes.values())

    def _fill(self, route: _Route) -> None:
        while route.running < route.concurrency_max and (waiting := self._dequeue(route.queues)) is not None:
            self._start(route, waiting)

    def _end(self, call: IncomingCall) -> None:
        if call.ended:
            return
        call.ended = True
        held = self._held[call.caller.node_id]
        for count in (held, self._total):
            count.calls -= 1
            count.bytes -= call.size_bytes
        if held.calls == 0:
            del self._held[call.caller.node_id]
        call.on_end()

    async def _run(self, route: _Route, call: IncomingCall) -> None:
        outcome = await self._outcome(route, call)
        if not call.respond_now(outcome):
            # Others go on while this one waits for its peer.
            self._give_turn(route, call)
            await call.respond(outcome)

    async def _outcome(self, route: _Route, call: IncomingCall) -> Outcome:
        try:
            return route.outcome(await route.handler(call.caller, call.request, call.body))
        except Exception as error:  # noqa: BLE001 - each is told apart there
            return self._refuse(route, call, error)

    @staticmethod
    def _refuse(route: _Route, call: IncomingCall, error: Exception) -> Outcome:
        """Turn what a handler raised into what its caller may know of it."""
        name, peer = route.request_type.__name__, call.caller.node_id.short
        if isinstance(error, Refusal):
            return Outcome(refusal=error)
        if isinstance(error, ProtocolError):
            logger.info("%s of %s is malformed: %s", name, peer, error)
            return Outcome(refusal=Refusal(RefusalCode.DENIED, "the request breaks the protocol"))
        if isinstance(error, DfsError):
            logger.warning("%s for %s failed: %s", name, peer, error)
        else:
            # What went wrong is our own affair: a stranger learns no path, name or state from it.
            logger.error("%s for %s failed", name, peer, exc_info=error)
        return Outcome(refusal=Refusal(RefusalCode.FAILED))
