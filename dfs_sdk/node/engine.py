"""What a running node consists of: opened, joined, closed. `node.Node` is its face for users.

An engine is made by `open_engine` and lives until `close` or `abort`; it never starts again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from dfs_sdk.errors import (
    ConfigError,
    JoinError,
    NetworkMismatchError,
    NodeClosedError,
    PeerUnreachableError,
    StoreError,
)
from dfs_sdk.events import EventBus
from dfs_sdk.ids import Address, NodeId
from dfs_sdk.node import joining
from dfs_sdk.node.config import NodeConfig
from dfs_sdk.node.identity_file import load_identity
from dfs_sdk.node.joining import Attempt, Entrance, JoinReport
from dfs_sdk.node.membership import (
    FORMER_MAX,
    Membership,
    derive_psk,
    found,
    load_membership,
    save_membership,
)
from dfs_sdk.node.naming import WhichTransfer, find_peer, find_transfer
from dfs_sdk.node.news import JoinStep, LoopBlocked, NodeNews, TaskFailed
from dfs_sdk.node.observing import Observer, Table
from dfs_sdk.node.snapshot import NodeSnapshot
from dfs_sdk.node.stack import Foundation, Stack
from dfs_sdk.node.tracing import Traced, trace_connections, trace_transfer
from dfs_sdk.runtime.lag import LagMeter
from dfs_sdk.runtime.ports import Runtime
from dfs_sdk.runtime.tasks import to_the_end
from dfs_sdk.store.base import ChunkStore
from dfs_sdk.store.disk import DiskStore
from dfs_sdk.store.memory import MemoryStore
from dfs_sdk.wire.text import safe_text

logger = logging.getLogger(__name__)

ERROR_TEXT_LENGTH_MAX = 500
# Of the one second that an exiting interpreter gets; the rest is for the store and the socket.
FAREWELL_SECONDS = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a node was asked to be; the fields mean what they mean in `Node`.

    Attributes:
        folder: The store's folder; None keeps everything in memory.
    """

    name: str
    folder: Path | None
    bind: Address
    passphrase: str | None = field(repr=False)
    identity_passphrase: str | None = field(repr=False)
    config: NodeConfig
    membership: Membership | None


class Engine:
    """The moving parts of one running node.

    Args:
        plan: What was asked for.
        foundation: Keys, store, ports and news.
        owns_threads: Whether the worker threads end with it.
    """

    def __init__(self, plan: Plan, foundation: Foundation, *, owns_threads: bool = False) -> None:
        self._plan = plan
        self._owns_threads = owns_threads
        self._bind = plan.bind
        self._lag = LagMeter(on_lag=self._on_lag, interval_seconds=plan.config.lag_interval)
        self._open = True
        self._rejoining: asyncio.Task[int] | None = None
        self._attempt: asyncio.Timeout | None = None
        self._giving_up = False
        self._observer = Observer(foundation)
        self.foundation = foundation
        self.stack: Stack

    @property
    def keeps_nothing(self) -> bool:
        """Whether what it holds ends with it."""
        return self._plan.folder is None

    async def start(self, membership: Membership) -> None:
        """Take part in a network; one from an earlier life is looked for in the background.

        Raises:
            ConfigError: The address to listen on is not ours, or taken.
        """
        await self._take_part(membership)
        self._lag.start()
        if not self.keeps_nothing and self._plan.membership is None:
            self._rejoining = self.stack.scope.spawn("rejoin", self.stack.peers.rejoin())

    async def rejoined(self) -> int:
        """Wait until the peers of an earlier life were looked for; returns how many answered."""
        return 0 if self._rejoining is None else await asyncio.shield(self._rejoining)

    async def close(self) -> None:
        """Stop; a node in memory hands over and says goodbye for good first, since what it holds ends with it."""
        if self.keeps_nothing:
            await self.leave(self.foundation.config.leave_timeout)
        elif self._open:
            self._open = False
            await self._end(self.stack.close)

    async def leave(self, timeout: float) -> None:
        """Hand over what only this node has, within `timeout` seconds, say goodbye for good and stop."""
        if self._open:
            self._open = False
            try:
                await self.stack.leave(timeout)
            finally:
                await self._end(self.stack.close)

    async def depart(self) -> None:
        """Stop within a second, as the interpreter exits: goodbye, but no handing over."""
        if self._open:
            self._open = False
            try:
                if self.keeps_nothing:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(FAREWELL_SECONDS):
                            await self.stack.peers.leave()
            finally:
                await self._end(self.stack.close)

    async def abort(self) -> None:
        """Vanish like a killed process."""
        if self._open:
            self._open = False
            await self._end(self.stack.abort)

    def wipe(self) -> None:
        """Forget keys and socket: this is a forked child."""
        self._open = False
        self.stack.transport.wipe()

    def observe(self) -> NodeSnapshot:
        """What the node looks like at this instant."""
        return self._observer.observe(self.stack, lag=self._lag.max_seconds)

    def rows(self, table: Table) -> Sequence[object]:
        """One table of what `observe` tells, for less."""
        return self._observer.rows(self.stack, table)

    def trace(self, peer: NodeId | str | None, transfer: WhichTransfer | None) -> Traced:
        """What connections went through: all, those with a peer, those that a transfer used.

        Raises:
            PeerUnreachableError: No peer is called that.
            ConfigError: No transfer is called that, or several are.
        """
        stack, view = self.stack, self.stack.peers.view
        wanted = None if peer is None else {find_peer(peer, view)}
        if transfer is None:
            clock = self.foundation.runtime.clock
            epoch_wall = clock.wall() - clock.monotonic()
            return trace_connections(stack.traces.of(wanted), name=view.name, epoch_wall=epoch_wall)
        found = find_transfer(transfer, stack.files.transfers)
        peers = found.sources if wanted is None else found.sources & wanted
        return trace_transfer(
            found,
            stack.traces.of(peers),
            peers=peers,
            forgotten_until=stack.traces.forgotten_until,
            name=view.name,
        )

    async def join(self, target: str, *, passphrase: str | None, timeout: float) -> JoinReport:
        """Join a network: see `Node.join`."""
        attempt = Attempt(on_step=lambda text: self.publish(JoinStep, text))
        clock = self.foundation.runtime.clock
        begun = clock.monotonic()
        before = self.stack.membership
        try:
            member = await self._get_in(target, passphrase, attempt, timeout)
        except BaseException as error:
            await self._return_to(before)
            if self._giving_up and isinstance(error, TimeoutError):
                raise NodeClosedError("this node was closed while it joined") from None
            if isinstance(error, TimeoutError) and not isinstance(error, JoinError):
                raise attempt.timed_out(timeout) from None
            raise
        report = self._report(member, seconds=clock.monotonic() - begun)
        self.publish(NodeNews, str(report))
        self.stack.scope.spawn("chat-catch-up", self.stack.chat.catch_up())
        return report

    async def found(self, passphrase: str | None) -> None:
        """Leave the network this node is alone in for a new one of its own: see `Node.found`."""
        if len(self.stack.peers.view) > 1:
            raise NetworkMismatchError(
                f"this node belongs to network {self.stack.membership.network_id.short} and has met others there: "
                "found another network with a node that has a fresh `store`"
            )
        await self._change_to(await found(passphrase=passphrase, runtime=self.foundation.runtime))
        await self._settle()
        kind = "a private network: members need its passphrase" if self.stack.membership.private else "an open network"
        self.publish(NodeNews, f"founded network {self.stack.membership.network_id.short}, {kind}")

    def give_up_joining(self) -> None:
        """End an attempt to join that is under way: the node is about to close."""
        self._giving_up = True
        if self._attempt is not None and not self._attempt.expired():
            self._attempt.reschedule(asyncio.get_running_loop().time())

    def go_on_joining(self) -> None:
        """Let attempts to join go on: the node stays open."""
        self._giving_up = False

    def publish(self, kind: type[NodeNews], sentence: str) -> None:
        """Tell the subscribers something about the node."""
        self.foundation.events.publish(kind(at_wall=self.foundation.runtime.clock.wall(), sentence=sentence))

    async def _build(self, membership: Membership) -> None:
        stack = Stack(self.foundation, membership, self._bind)
        try:
            await stack.start()
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConfigError(f"cannot listen on {self._bind}: {reason}; give another `listen`") from error
        self.stack = stack
        # A stack of another network keeps the port: invites and firewalls know it.
        self._bind = self._bind._replace(port=stack.address.port)

    async def _get_in(self, target: str, passphrase: str | None, attempt: Attempt, timeout: float) -> NodeId:
        """Find a member, take over its network and meet it; `give_up_joining` ends it as its time-out does."""
        async with asyncio.timeout(0 if self._giving_up else timeout) as self._attempt:
            try:
                entrance = await joining.find_entrance(target, self.stack, attempt)
                await self._enter(entrance, passphrase, attempt)
                await self._knock(entrance, attempt, timeout)
            finally:
                self._attempt = None
        return entrance.contact.node_id

    def _report(self, member: NodeId, *, seconds: float) -> JoinReport:
        stack = self.stack
        address = stack.rpc.address(member)
        return JoinReport(
            through=str(address) if address else member.short,
            network=stack.membership.network_id.short,
            peers=len(stack.peers.view) - 1,
            seconds=seconds,
        )

    async def _enter(self, entrance: Entrance, passphrase: str | None, attempt: Attempt) -> None:
        """Check that it can work, and take over the entrance's network."""
        stack = self.stack
        if entrance.contact.node_id == self.foundation.identity.node_id:
            raise ConfigError("that is this node itself: give the address or invite of another one")
        same = entrance.network_id == stack.membership.network_id
        joining.check_networks(
            entrance,
            current=stack.membership.network_id,
            has_passphrase=bool(passphrase) or same,
            has_members=len(stack.peers.view) > 1,
            attempt=attempt,
        )
        if not same:
            attempt.note(f"moving to network {entrance.network_id.short}")
            await self._move(entrance, passphrase if entrance.private else None)

    async def _move(self, entrance: Entrance, passphrase: str | None) -> None:
        psk = await derive_psk(entrance.network_id, passphrase, self.foundation.runtime)
        await self._change_to(Membership(network_id=entrance.network_id, psk=psk, founded=False))

    async def _change_to(self, membership: Membership) -> None:
        """Belong to another network, and remember the one of before."""
        old = self.stack.membership
        former = (*(known for known in old.former if known != membership.network_id), old.network_id)[-FORMER_MAX:]
        try:
            await self.stack.close()
            await self._build(replace(membership, former=former))
        except BaseException:
            # A failed attempt leaves the node where it was; it may have been cancelled half-way through the closing.
            await self.stack.close()
            await self._take_part(old)
            raise

    async def _return_to(self, membership: Membership) -> None:
        """After a failed attempt: be where we were, so that the next one begins with nothing of a wrong passphrase."""
        if self._open and self.stack.membership != membership:
            await self.stack.close()
            await self._take_part(membership)

    async def _take_part(self, membership: Membership) -> None:
        """Be in the network that the store names."""
        await self._build(membership)
        await self.stack.peers.remember()

    async def _settle(self) -> None:
        """Let the store name the network we are in, and then whom we know there.

        In this order: a node that is killed in between must not come back to its old network with members of this one.
        """
        await save_membership(self.foundation.store, self.stack.membership)
        with suppress(StoreError):
            await self.stack.peers.remember()

    async def _knock(self, entrance: Entrance, attempt: Attempt, timeout: float) -> None:
        """Open a session and meet the others; again and again until the time-out, since a kernel may be busy."""
        stack = self.stack
        while True:
            attempt.note(f"opening a session with {entrance.contact.node_id.short}")
            try:
                await stack.peers.join(entrance.contact, timeout=timeout)
            except PeerUnreachableError as error:
                attempt.note(f"no session yet: {error}")
                await asyncio.sleep(joining.KNOCK_PAUSE)
            else:
                break
        # Not waited for: filling the routing table asks members that are away, too, and we are in already.
        stack.scope.spawn("dht-join", stack.dht.join([entrance.contact]))
        # At once: who crashes in the first minute comes back to somebody.
        await self._settle()

    async def _end(self, stop: Callable[[], Awaitable[None]]) -> None:
        """Stop the stack and close the store; who is cancelled meanwhile is told when nothing is left."""
        self._lag.stop()
        await to_the_end(self._ended(stop))

    async def _ended(self, stop: Callable[[], Awaitable[None]]) -> None:
        try:
            await stop()
        finally:
            try:
                await self.foundation.store.close()
            finally:
                if self._owns_threads:
                    await self.foundation.runtime.offload.close()

    def _on_lag(self, seconds: float) -> None:
        self.publish(LoopBlocked, f"the loop was blocked for {seconds:.1f} s: nothing was sent or answered meanwhile")


@asynccontextmanager
async def last_turn(engine: Engine | None, changing: asyncio.Lock) -> AsyncIterator[None]:
    """Wait for the last change of a node, ending an attempt to join; who is cancelled before lets joining go on.

    Args:
        engine: Of the node, if it was started.
        changing: Held by whoever changes it.
    """
    if engine is not None:
        engine.give_up_joining()
    try:
        await changing.acquire()
    except BaseException:
        if engine is not None:
            engine.go_on_joining()
        raise
    try:
        yield
    finally:
        changing.release()


async def open_engine(plan: Plan, *, runtime: Runtime, events: EventBus, owns_threads: bool = False) -> Engine:
    """Open the store, read the keys and take part in the network.

    Args:
        plan: What was asked for.
        runtime: The outside world.
        events: Where the news go.
        owns_threads: Whether the worker threads of `runtime` end with the engine, or when it cannot be opened.

    Raises:
        StoreLockedError: Another kernel or process uses the store.
        StoreError: The store cannot be used.
        IdentityError: The keys cannot be read.
        ConfigError: The address is not ours, or taken.
    """
    store = _make_store(plan, runtime, events)
    try:
        await store.open()
        identity = await load_identity(plan.folder, passphrase=plan.identity_passphrase, runtime=runtime)
        foundation = Foundation(
            name=plan.name or f"node {identity.node_id.short}",
            identity=identity,
            store=store,
            runtime=runtime,
            events=events,
            config=plan.config,
            on_error=_Reporter(runtime, events).report,
        )
        membership = plan.membership or await load_membership(store, passphrase=plan.passphrase, runtime=runtime)
        engine = Engine(plan, foundation, owns_threads=owns_threads)
        await engine.start(membership)
    except BaseException:
        await store.close()
        if owns_threads:
            await runtime.offload.close()
        raise
    return engine


def _make_store(plan: Plan, runtime: Runtime, events: EventBus) -> ChunkStore:
    if plan.folder is None:
        return MemoryStore(runtime, plan.config.store)
    return DiskStore(plan.folder, runtime, plan.config.store, events=events)


@dataclass(frozen=True, slots=True)
class _Reporter:
    """Where errors of background tasks go: the log, with their traceback, and the news, in words."""

    runtime: Runtime
    events: EventBus

    def report(self, task: str, error: BaseException) -> None:
        if isinstance(error, NodeClosedError):
            return
        logger.error("task %s failed", task, exc_info=error)
        words = safe_text(str(error), length_max=ERROR_TEXT_LENGTH_MAX) or type(error).__name__
        self.events.publish(TaskFailed(at_wall=self.runtime.clock.wall(), sentence=f"{task} failed: {words}"))
