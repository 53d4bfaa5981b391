"""Copies of chunks: places new ones, finds old ones, brings lost ones back.

The parts: `placement` says where, `policy` how many, `planner` what to do; `writer` and `spreader` place new chunks,
`locator` finds them, `rota` says whom to ask and `surveyor` learns what they hold, `keeper` exchanges promises,
`observer` gathers what a plan rests on, `repairer` carries it out. This module drives one round after the other: on
news about members after a short pause, otherwise now and then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress

from dfs_sdk.errors import DeadlineError
from dfs_sdk.events import EventBus
from dfs_sdk.exchange.service import Exchange
from dfs_sdk.ids import ChunkId, NetworkId, NodeId
from dfs_sdk.peers.service import Peers
from dfs_sdk.peers.view import View
from dfs_sdk.replication.claims import Claims
from dfs_sdk.replication.config import ReplicationConfig
from dfs_sdk.replication.keeper import Keeper
from dfs_sdk.replication.locator import Holding, Locator
from dfs_sdk.replication.observer import Observer
from dfs_sdk.replication.placement import Placement, cells_of, log_columns
from dfs_sdk.replication.planner import Action, Pull, Push, Wait
from dfs_sdk.replication.policy import Policy
from dfs_sdk.replication.repairer import Repairer
from dfs_sdk.replication.rota import Rota
from dfs_sdk.replication.spreader import Spread
from dfs_sdk.replication.surveyor import Surveyor
from dfs_sdk.replication.writer import Writer
from dfs_sdk.rpc.base import RpcService
from dfs_sdk.runtime.ports import Runtime
from dfs_sdk.runtime.tasks import TaskScope, run_all
from dfs_sdk.store.base import ChunkStore, NewChunk, Role, ScrubReport

logger = logging.getLogger(__name__)

SURVEYS_PARALLEL = 8
HAND_OVER_TIMEOUT = 30.0
ROUND_SECONDS = 10.0
PLAN_PAUSE_FACTOR = 20.0
# A tenth of a second of a worker thread, which shares the interpreter's lock with the loop.
RANKED_AT_ONCE = 64


class Replication:
    """Decides where chunks live and keeps enough of their copies alive.

    Args:
        rpc: Calls.
        exchange: Moves chunks.
        peers: Knows the members.
        store: The local store, open.
        events: Where news goes.
        scope: The parent of its tasks.
        runtime: Clocks and chance.
        network_id: The network, which salts the placement.
        config: What can be tuned.
    """

    def __init__(
        self,
        *,
        rpc: RpcService,
        exchange: Exchange,
        peers: Peers,
        store: ChunkStore,
        events: EventBus,
        scope: TaskScope,
        runtime: Runtime,
        network_id: NetworkId,
        config: ReplicationConfig | None = None,
    ) -> None:
        self._config = config or ReplicationConfig()
        self._rpc = rpc
        self._exchange = exchange
        self._peers = peers
        self._store = store
        self._scope = scope
        self._clock = runtime.clock
        self._rng = runtime.rng.child("replication")
        self._network_id = network_id
        self._claims = Claims()
        self._surveyor = Surveyor(rpc=rpc, store=store, claims=self._claims, clock=self._clock, config=self._config)
        self._keeper = Keeper(rpc=rpc, store=store, clock=self._clock, config=self._config)
        self._repairer = Repairer(
            exchange=exchange,
            store=store,
            claims=self._claims,
            keeper=self._keeper,
            events=events,
            peers=peers,
            clock=self._clock,
            config=self._config,
        )
        self._observer = Observer(
            store=store,
            claims=self._claims,
            keeper=self._keeper,
            clock=self._clock,
            rng=self._rng,
            config=self._config,
        )
        self._placement: Placement | None = None
        self._locator = Locator(
            exchange=exchange,
            store=store,
            claims=self._claims,
            placement=lambda: self.placement,
            clock=self._clock,
            config=self._config,
        )
        self._writer = Writer(
            exchange=exchange,
            store=store,
            claims=self._claims,
            repairer=self._repairer,
            placement=lambda: self.placement,
            scope=scope,
            config=self._config,
        )
        self._rota = Rota(store=store, claims=self._claims, clock=self._clock, rng=self._rng, config=self._config)
        self._wake = asyncio.Event()
        self._rounds = asyncio.Lock()
        self._offload = runtime.offload
        self._ranked: set[NodeId] = set()
        self._standing_seen = 0
        self._again_at = float("inf")
        self._plan_seconds = 0.0

    # Life

    async def start(self) -> None:
        """Answer other holders and begin the rounds; the store is open, peers and exchange run."""
        self._surveyor.serve()
        self._keeper.serve()
        self._peers.on_change(self._on_view)
        self._scope.spawn("repair", self._rounds_for_ever())

    async def hand_over(self, timeout: float = HAND_OVER_TIMEOUT) -> int:
        """Before leaving: give others what would lack copies without this node.

        Args:
            timeout: Seconds for everything.

        Returns:
            How many copies were handed over.

        Raises:
            DeadlineError: Not everything could be handed over in time.
        """
        if all(info.role is Role.CACHE for info in self._store.chunks()):
            return 0  # nothing anybody counts on: no reason to ask around, and to wait for those who do not answer
        handed = 0
        try:
            async with asyncio.timeout(timeout), self._rounds:
                self._review_claims()
                await self._survey(await self._rota.before_leaving(self._peers.view, self.placement))
                for _ in range(1 + self._config.stand_ins_max):
                    actions = await self._plan(leaving=True)
                    pushes = [action for action in actions if isinstance(action, Push)]
                    if not pushes:
                        return handed
                    handed += await self._repairer.apply(pushes, at_once=True)
        except TimeoutError:
            raise DeadlineError(f"{handed} copies were handed over in {timeout:.0f} s, others were not") from None
        return handed

    # Placing and finding

    @property
    def config(self) -> ReplicationConfig:
        """The settings in use."""
        return self._config

    @property
    def placement(self) -> Placement:
        """The ranking of the current view."""
        view = self._peers.view
        known = self._placement
        if known is None or known.view.version != view.version or known.view.partitioned != view.partitioned:
            known = self._placement = Placement(self._network_id, view, self._config, before=known)
        return known

    def cells_of(self, chunk_id: ChunkId) -> tuple[int, int]:
        """Name the two candidate cells of a chunk, the first choice first."""
        return cells_of(chunk_id, self._config.cells)

    async def spread(self, chunk: NewChunk, *, policy: Policy) -> Spread:
        """Place the copies of a new chunk; returns at the write quorum, the rest follows in the background.

        Args:
            chunk: Its cell, role and count of copies are decided here, whatever it says.
            policy: How many copies, and how many peers must confirm. With quorum 0 this node keeps a copy itself.

        Raises:
            TooFewReplicasError: Too few peers confirmed; copies that were placed stay until they are removed.
            QuotaExceededError: Quorum 0, and our own store is full.
        """
        return await self._writer.spread(chunk, policy=policy)

    def candidates(self, chunk_id: ChunkId, cell: int | None = None) -> list[NodeId]:
        """List other nodes that probably hold a chunk, the most promising first; see `Locator.candidates`."""
        return self._locator.candidates(chunk_id, cell)

    async def locate(
        self, chunk_ids: Sequence[ChunkId], cells: Mapping[ChunkId, int] | None = None
    ) -> dict[ChunkId, list[Holding]]:
        """Ask the candidates which of some chunks they hold; see `Locator.locate`."""
        return await self._locator.locate(chunk_ids, cells)

    def why(self, chunk_id: ChunkId, cell: int, holder: NodeId, replicas: int | None = None) -> str:
        """Say in a sentence why a node holds, or does not hold, a chunk.

        Args:
            chunk_id: The chunk.
            cell: Its cell.
            holder: The node.
            replicas: Copies wanted; what we know of the chunk, or the default, if not given.
        """
        info = self._store.info(chunk_id)
        count = replicas or (info.replicas if info is not None else self._config.replicas)
        return self.placement.why(cell, holder, count)

    # Watching

    @property
    def short_count(self) -> int:
        """Chunks held here that lacked copies when we last looked."""
        return self._observer.short_count

    async def check(self, *, read_data: bool = False, subset: tuple[int, int] | None = None) -> ScrubReport:
        """Check the local store; damaged or lost chunks are fetched again; see `Locator.check`."""
        return await self._locator.check(read_data=read_data, subset=subset)

    async def round(self) -> int:
        """Look at all our chunks once and do what is needed.

        Returns:
            How many copies were pushed, fetched or dropped.
        """
        async with self._rounds:
            self._review_claims()
            await self._survey(await self._rota.next(self._peers.view, self.placement))
            started_at = self._clock.monotonic()
            actions = await self._plan()
            self._plan_seconds = self._clock.monotonic() - started_at
            waits = [action.until for action in actions if isinstance(action, Wait)]
            now_due = [action for action in actions if not isinstance(action, Wait)]
            first = self._first_bytes(now_due)
            self._again_at = min(waits, default=float("inf")) if len(first) == len(now_due) else float("-inf")
            return await self._repairer.apply(first)

    def _first_bytes(self, actions: Sequence[Action]) -> Sequence[Action]:
        """Take what moves within about ten seconds: then look again, something more urgent may have come up."""
        left = ROUND_SECONDS * self._config.repair_bytes_per_second
        for position, action in enumerate(actions):
            if isinstance(action, Push | Pull):
                left -= action.chunk.size
                if left < 0 and position > 0:
                    return actions[:position]
        return actions

    async def _rounds_for_ever(self) -> None:
        while True:
            await self._pause()
            try:
                await self.round()
            except Exception:
                # One bad round must not end repair for the rest of the node's life.
                logger.exception("a round of repair failed")

    async def _pause(self) -> None:
        # Planning for very many chunks takes long: never more than a twentieth of the time without need.
        interval = max(self._config.repair_interval, PLAN_PAUSE_FACTOR * self._plan_seconds)
        interval *= self._rng.uniform(0.8, 1.2)
        wait = min(interval, max(0.05, self._again_at - self._clock.monotonic()))
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._wake.wait()
                # Several members may come or go at once: one round for all of them.
                await asyncio.sleep(self._config.settle_time)
        self._wake.clear()

    async def _plan(self, *, leaving: bool = False) -> list[Action]:
        return await self._observer.plan(self._peers.view, self.placement, self._repairer.avoided(), leaving=leaving)

    def _on_view(self, view: View) -> None:
        """Begin a round when somebody came, went, changed state or lost its storage, not at every new description."""
        if view.standing == self._standing_seen:
            return
        self._standing_seen = view.standing
        newcomers = [node_id for node_id in view.members if node_id not in self._ranked]
        if newcomers and not self._scope.closed:
            self._ranked.update(newcomers)
            self._scope.spawn("rank newcomers", self._rank(newcomers))
        self._wake.set()

    async def _rank(self, newcomers: list[NodeId]) -> None:
        """Compute the hashes of new members ahead of their use, off the loop: about a millisecond for each."""
        for at in range(0, len(newcomers), RANKED_AT_ONCE):
            batch = newcomers[at : at + RANKED_AT_ONCE]
            await self._offload.run(log_columns, self._network_id, batch, self._config.cells)
        self._ranked.intersection_update(self._peers.view.members)

    def _review_claims(self) -> None:
        """Drop the words of those who are gone, and of those who lost what they spoke of."""
        members = self._peers.view.members
        for peer in self._claims.peers():
            member = members.get(peer)
            if member is None or member.p_return == 0.0:
                self._claims.forget(peer)
            else:
                self._claims.meet(peer, member.desc.storage_uuid)

    async def _survey(self, peers: Sequence[NodeId]) -> None:
        ranked = self.placement.interesting_cells(self._rpc.node_id, self._config.interest_rank)
        interest = {*ranked, *self._store.cells()}
        for member in filter(None, map(self._peers.view.get, peers)):
            self._claims.meet(member.node_id, member.desc.storage_uuid)
        await run_all(*(self._surveyor.survey(peer, interest) for peer in peers), limit=SURVEYS_PARALLEL)
