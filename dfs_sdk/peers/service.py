"""The members of the network as this node sees them: joins, watches, gossips, says goodbye.

The parts: `membership` decides (who counts, in which state), `prober` and `sync` ask, `newsdesk` takes in what they and
others bring, `remembering` and `saved` keep them. This module answers calls, drives the turns and hands out the view.
One turn (`turn`) guards against our own sleep, brings states and view up to date and sends one probe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from dfs_sdk.errors import ConfigError, ProtocolError
from dfs_sdk.events import EventBus
from dfs_sdk.ids import NodeId
from dfs_sdk.peers.config import PeersConfig
from dfs_sdk.peers.crowd import Crowd
from dfs_sdk.peers.liveness import PeerState
from dfs_sdk.peers.membership import Membership
from dfs_sdk.peers.messages import (
    NodeDesc,
    NodeStatus,
    Offer,
    Ping,
    Pong,
    ProbeFor,
    ProbeReply,
    SignedDesc,
    Sync,
    SyncReply,
    Taken,
)
from dfs_sdk.peers.newsdesk import NewsDesk
from dfs_sdk.peers.prober import Prober, ProbeSlots
from dfs_sdk.peers.remembering import PeerMemory
from dfs_sdk.peers.saved import KnownPeer, restore_histories
from dfs_sdk.peers.selfdesc import Profile, first_desc, name_of, outdated, weight_exponent
from dfs_sdk.peers.standstill import AsidePort, Spokesman, read_aside
from dfs_sdk.peers.sync import Syncer
from dfs_sdk.peers.view import View
from dfs_sdk.rpc.base import CALL_ERRORS, Caller, RpcService
from dfs_sdk.runtime.ports import Runtime
from dfs_sdk.runtime.tasks import TaskScope, run_all
from dfs_sdk.store.base import ChunkStore
from dfs_sdk.transport.contact import Contact

ViewHandler = Callable[[View], None]

# Members told directly; gossip tells the others. A lease should be known before anybody waits for us in vain.
ARRIVAL_TOLD_MAX = 8
LEASE_TOLD_MAX = 32
MEETINGS_MAX = 64


class Peers:
    """Knows the members and tells them about this node.

    Args:
        rpc: Calls.
        store: The local store, open: its capacity is announced, and known peers are kept in its documents.
        events: Where news goes.
        scope: The parent of its tasks.
        runtime: Clocks, chance, the machine's fingerprint.
        config: What can be tuned.
        profile: Name and domains of this node; by default nameless, on this machine.
        asides: A way to say something while the loop stands still; without it nothing is said then.
    """

    def __init__(
        self,
        *,
        rpc: RpcService,
        store: ChunkStore,
        events: EventBus,
        scope: TaskScope,
        runtime: Runtime,
        config: PeersConfig | None = None,
        profile: Profile | None = None,
        asides: AsidePort | None = None,
    ) -> None:
        self._config = config or PeersConfig()
        self._rpc = rpc
        self._store = store
        self._scope = scope
        self._clock = runtime.clock
        self._rng = runtime.rng.child("peers")
        self._handlers: list[ViewHandler] = []
        self._slots = ProbeSlots(self._config.probes_max)
        self._meeting: set[NodeId] = set()
        self._syncing: set[NodeId] = set()
        self._described_at = -self._config.describe_interval
        self._turn_at = (self._clock.monotonic(), self._clock.wall())
        public = rpc.identity.public
        desc = first_desc(
            profile or Profile(host=runtime.machine.fingerprint()),
            contact=Contact(ed=public.ed, x=public.x),
            wall=self._clock.wall(),
        )
        self._membership = Membership(
            identity=rpc.identity, desc=desc, config=self._config, now=self._clock.monotonic()
        )
        self._memory = PeerMemory(store, self._membership, self._clock, self._config)
        self._view: View | None = None
        self._announced = 0
        self._desk = NewsDesk(
            rpc=rpc,
            membership=self._membership,
            events=events,
            clock=self._clock,
            config=self._config,
            probe=partial(self._begin_probe, rumoured=True),
            banish=self._banish,
            changed=self._after_change,
        )
        self._prober = Prober(
            rpc=rpc,
            membership=self._membership,
            clock=self._clock,
            rng=self._rng,
            config=self._config,
            on_news=self._desk.take,
        )
        self._syncer = Syncer(
            rpc=rpc,
            membership=self._membership,
            clock=self._clock,
            config=self._config,
            on_news=self._desk.take,
        )
        self._standstills = runtime.standstills
        self._spokesman: Spokesman | None = None
        if asides is not None:
            asides.on_aside = self._on_aside
            self._spokesman = Spokesman(
                membership=self._membership, asides=asides, clock=self._clock, config=self._config, back=self._be_back
            )

    # The view

    @property
    def view(self) -> View:
        """The members at this moment; made anew only after a change, or while odds fall."""
        view, frozen = self._view, self._membership.liveness.frozen(self._clock.monotonic())
        # A suspected partition ends by itself: in a network where nothing else changes, nobody would notice.
        if view is None or view.version != self._membership.version or view.partitioned is not frozen:
            view = self._view = self._make_view()
        return view

    def last_heard(self, node_id: NodeId) -> float | None:
        """The monotonic second at which another member last spoke to us, None for a stranger."""
        track = self._membership.liveness.get(node_id)
        return track.last_heard if track is not None else None

    @property
    def config(self) -> PeersConfig:
        """The settings in use."""
        return self._config

    def on_change(self, handler: ViewHandler) -> None:
        """Call `handler` with each new view in which a member, a description or a state changed."""
        self._handlers.append(handler)

    # Life

    async def start(self) -> None:
        """Describe this node, answer calls and begin the turns; the store is open and the transport runs."""
        usage = self._store.usage()
        self._membership.describe(
            self._clock.wall(),
            contact=self._rpc.local_contact(),
            capacity_bytes=usage.capacity_bytes,
            used_bytes=usage.used_bytes,
            weight_exponent=weight_exponent(usage.capacity_bytes),
            storage_uuid=self._store.storage_uuid,
        )
        self._rpc.serve_at_once(Ping, self._on_ping)
        self._rpc.serve(ProbeFor, self._on_probe_for)
        self._rpc.serve_at_once(Sync, self._on_sync)
        self._rpc.serve_at_once(Offer, self._on_offer)
        self._rpc.on_connected(self._meet)
        self._rpc.on_disconnected(self._look_after)
        self._turn_at = (self._clock.monotonic(), self._clock.wall())
        config, every = self._config, self._scope.every
        every("probe", config.probe_interval, self.turn, rng=self._rng)
        every("sync", config.sync_interval, self.sync_turn, rng=self._rng)
        every("save peers", config.persist_interval, self.save, rng=self._rng)
        if self._spokesman is not None and self._standstills is not None and config.standstill_after:
            self._scope.spawn("standstill", self._spokesman.watch(self._standstills))

    async def join(self, contact: Contact, timeout: float = 10.0) -> None:
        """Enter the network of `contact`: learn its members, tell it about us, meet the others.

        Raises:
            PeerUnreachableError: The contact cannot be reached.
            DeadlineError: It did not answer in time.
            ProtocolError, RemoteError: It did not answer properly.
        """
        if self._membership.desc.status is NodeStatus.LEFT:
            self._membership.describe(self._clock.wall(), status=NodeStatus.ALIVE)
        await self._rpc.connect(contact, timeout=timeout)
        await self._syncer.sync(contact.node_id, full=True, timeout=timeout)
        self._desk.review()
        await self._introduce()

    async def rejoin(self) -> int:
        """Look for the peers of an earlier life of this node, the most recently heard first.

        Returns:
            How many answered; 0 also when none were saved.
        """
        with self._memory.recalling():
            found = await self._recall()
        if found:
            await self._introduce()
        return found

    async def _recall(self) -> int:
        saved = await self._memory.load()
        found = 0
        for at in range(0, len(saved), self._config.rejoin_parallel):
            batch = saved[at : at + self._config.rejoin_parallel]
            found += sum(await run_all(*(self._revisit(peer) for peer in batch)))
            if found:
                break
        # Those that did not answer are members nevertheless: they may hold our chunks, and come back.
        for peer in saved:
            self._desk.learn(peer.signed, self._rpc.node_id)
        restore_histories(self._membership, saved)
        self._desk.review()
        return found

    @property
    def description(self) -> tuple[SignedDesc, NodeDesc]:
        """What this node says about itself, signed and read."""
        return self._membership.signed, self._membership.desc

    def acquaint(self, crowd: Crowd) -> None:
        """Know members from the start, with no word between us: for simulated networks of many nodes.

        Args:
            crowd: They, and us; all of them may share it.

        Raises:
            ConfigError: They are more than may be known.
        """
        self._memory.omit_the_first()
        self._membership.know(crowd, self._clock.monotonic())
        self._rpc.book.acquaint(crowd.contacts)
        self._after_change()

    async def leave(self) -> None:
        """Say goodbye for good to everybody we know."""
        self._membership.describe(self._clock.wall(), status=NodeStatus.LEFT)
        self._after_change()
        farewell = (self._membership.signed,)
        await self._syncer.tell(self.view.reachable(), farewell, timeout=self._config.leave_timeout)

    async def busy(self, seconds: float) -> None:
        """Announce that this node will not answer for a while.

        Raises:
            ConfigError: `seconds` is not within 0 and the longest lease others believe.
        """
        if not 0 < seconds <= self._config.busy_max:
            raise ConfigError(f"busy for {seconds} s: give more than 0 and at most {self._config.busy_max:.0f}")
        until = self._clock.wall() + seconds
        await self._announce(status=NodeStatus.BUSY, busy_until_wall=until)

    async def ready(self) -> None:
        """Take a busy lease back."""
        if self._membership.desc.status is NodeStatus.BUSY:
            await self._announce(status=NodeStatus.ALIVE, busy_until_wall=0.0)

    def describe(
        self, *, used_bytes: int | None = None, capacity_bytes: int | None = None, name: str | None = None
    ) -> None:
        """Change what this node says about itself; gossip carries it on."""
        changes: dict[str, object] = {}
        if used_bytes is not None:
            changes["used_bytes"] = used_bytes
        if capacity_bytes is not None:
            changes["capacity_bytes"] = capacity_bytes
            changes["weight_exponent"] = weight_exponent(capacity_bytes, self._membership.desc.weight_exponent)
        if name is not None:
            changes["name"] = name_of(name)
        if changes:
            self._described_at = self._clock.monotonic()
            self._membership.describe(self._clock.wall(), **changes)
            self._after_change()

    async def remember(self) -> None:
        """From now on write down whom this node knows: the store names this network."""
        await self._memory.begin()

    async def save(self) -> None:
        """Write the known peers to the store, if that has begun; called now and then, and on closing."""
        await self._memory.save()

    # Turns

    async def turn(self) -> None:
        """Guard against our own sleep, review all states, probe one member in a task of its own."""
        self._guard_sleep()
        self._refresh_desc()
        if self._spokesman is not None:
            self._spokesman.rehearse()
        self._desk.review()
        if any(track.state is PeerState.AWAY for track in self._membership.liveness.restless()):
            self._view = None  # the odds fall with every second
        # A turn without a free slot is skipped; its member keeps its place in the round.
        if not self._slots.is_full and (target := self._prober.next_target()) is not None:
            self._begin_probe(target)

    async def sync_turn(self) -> None:
        """Compare lists with one random member, and try one that is gone: the partition may have healed."""
        lost = self._prober.lost_member()
        if lost is not None:
            await self._prober.ping(lost)
        reachable = sorted(self._membership.reachable())
        if reachable:
            await self._sync(self._rng.choice(reachable))

    def _begin_probe(self, target: NodeId, *, rumoured: bool = False) -> bool:
        begun = self._slots.take(rumoured=rumoured)
        if begun:
            self._scope.spawn("probe", self._probe(target, rumoured=rumoured))
        return begun

    async def _probe(self, target: NodeId, *, rumoured: bool) -> None:
        answered = False
        try:
            answered = await self._prober.probe(target)
        finally:
            self._slots.give_back(rumoured=rumoured)
        if answered:
            self._desk.note_word(target)
        else:
            self._desk.review()

    def _guard_sleep(self) -> None:
        now, wall = self._clock.monotonic(), self._clock.wall()
        before, before_wall = self._turn_at
        self._turn_at = (now, wall)
        late = now - before - self._config.probe_interval
        ahead = (wall - before_wall) - (now - before)  # a sleep that the monotonic clock did not count
        limit = self._config.clock_jump_max
        if late > limit or ahead > max(limit, 5.0):
            self._membership.liveness.forgive(max(0.0, late), now)
            self._scope.spawn("sync after sleep", self.sync_turn())

    def _refresh_desc(self) -> None:
        desc, usage, contact = self._membership.desc, self._store.usage(), self._rpc.local_contact()
        if desc.status is NodeStatus.LEFT:
            return
        now, wall = self._clock.monotonic(), self._clock.wall()
        if contact.addresses != desc.contact.addresses:
            self._membership.describe(wall, contact=contact)
        if desc.status is NodeStatus.BUSY and wall > desc.busy_until_wall:
            self._membership.describe(wall, status=NodeStatus.ALIVE, busy_until_wall=0.0)
        if now - self._described_at >= self._config.describe_interval and outdated(desc, usage):
            self.describe(used_bytes=usage.used_bytes, capacity_bytes=usage.capacity_bytes)

    # While the loop stands still

    def _be_back(self) -> None:
        self._after_change()
        if not self._scope.closed:
            self._scope.spawn("back", self._introduce(LEASE_TOLD_MAX, busy_too=True))

    def _on_aside(self, sender: NodeId, content: bytes) -> None:
        try:
            signed = read_aside(sender, content)
        except ProtocolError:
            self._banish(sender)
            return
        self._desk.heard(sender)
        self._desk.take(sender, (signed,), ())

    # Calls of others

    def _on_ping(self, caller: Caller, request: Ping, _body: memoryview) -> Pong:
        self._desk.heard(caller.node_id)
        self._desk.take(caller.node_id, request.descs, request.rumours)
        if caller.node_id not in self._membership:
            self._meet(caller.node_id)
        descs, rumours = self._membership.answer(caller.node_id, self._clock.monotonic())
        return Pong(descs=descs, rumours=rumours)

    async def _on_probe_for(self, caller: Caller, request: ProbeFor, _body: memoryview) -> ProbeReply:
        self._desk.heard(caller.node_id)
        if request.node_id == self._rpc.node_id:
            return ProbeReply(answered=True)
        if request.node_id not in self._membership:
            return ProbeReply(answered=False)
        return ProbeReply(answered=await self._prober.ping(request.node_id))

    def _on_sync(self, caller: Caller, request: Sync, body: memoryview) -> SyncReply:
        self._desk.heard(caller.node_id)
        reply = self._syncer.answer(caller, request, body)
        self._after_change()
        return reply

    def _on_offer(self, caller: Caller, request: Offer, _body: memoryview) -> Taken:
        self._desk.heard(caller.node_id)
        count = self._desk.take(caller.node_id, request.descs, ())
        self._desk.review()
        return Taken(count=count)

    # The view, made and announced

    def _make_view(self) -> View:
        return self._membership.view(self._clock.monotonic())

    def _after_change(self) -> None:
        if self._announced == self._membership.version:
            return
        self._announced = self._membership.version
        for handler in tuple(self._handlers):
            handler(self.view)
        if not self._scope.closed and self._memory.owes_the_first():
            self._scope.spawn("save the first peers", self.save())

    # Asking around

    def _meet(self, node_id: NodeId) -> None:
        """Compare lists with a stranger that connected and says nothing: all members find each other by themselves."""
        known = node_id in self._membership or node_id in self._meeting
        if not known and not self._scope.closed and len(self._meeting) < MEETINGS_MAX:
            self._meeting.add(node_id)
            self._scope.spawn("meet", self._meet_late(node_id))

    async def _meet_late(self, node_id: NodeId) -> None:
        try:
            # Who came to join introduces itself: asking it at once would tell both sides everything twice.
            await asyncio.sleep(self._config.probe_timeout)
            if node_id not in self._membership:
                await self._sync(node_id)
        finally:
            self._meeting.discard(node_id)

    def _look_after(self, node_id: NodeId, _reason: str) -> None:
        """Probe a member whose connection ended: it may have restarted, or be gone."""
        if not self._scope.closed and self._prober.worth_a_probe(node_id):
            self._begin_probe(node_id)

    def _banish(self, node_id: NodeId) -> None:
        self._scope.spawn("disconnect", self._rpc.disconnect(node_id))

    async def _sync(self, node_id: NodeId) -> None:
        if node_id in self._syncing:
            return
        self._syncing.add(node_id)
        try:
            # Who dawdles over hundreds of pages keeps us from nobody else; what it gave until then is taken.
            async with asyncio.timeout(self._config.sync_interval):
                await self._syncer.sync(node_id)
        except (*CALL_ERRORS, TimeoutError):
            return
        finally:
            self._syncing.discard(node_id)
        self._desk.review()

    async def _introduce(self, told_max: int = ARRIVAL_TOLD_MAX, *, busy_too: bool = False) -> None:
        others = self.view.reachable(busy_too=busy_too)
        chosen = self._rng.sample(others, min(told_max, len(others)))
        await self._syncer.tell(chosen, (self._membership.signed,), timeout=self._config.probe_timeout)

    async def _announce(self, **changes: object) -> None:
        self._membership.describe(self._clock.wall(), **changes)
        self._after_change()
        await self._introduce(LEASE_TOLD_MAX)

    async def _revisit(self, peer: KnownPeer) -> bool:
        try:
            await self._rpc.connect(peer.desc.contact, timeout=self._config.probe_timeout)
            async with asyncio.timeout(self._config.sync_interval):
                await self._syncer.sync(peer.desc.node_id, full=True)
        except CALL_ERRORS:
            return False
        except TimeoutError:
            return True  # it answered page by page, for as long as the others may be kept waiting
        return True
