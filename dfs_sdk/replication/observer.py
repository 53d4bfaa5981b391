"""Gathers what a plan rests on, in slices, so that planning for many chunks never holds the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable

from dfs_sdk.ids import ChunkId, NodeId
from dfs_sdk.peers.view import View
from dfs_sdk.replication.claims import Claims
from dfs_sdk.replication.config import ReplicationConfig
from dfs_sdk.replication.keeper import Keeper
from dfs_sdk.replication.messages import HeldChunk
from dfs_sdk.replication.placement import Placement, cells_of
from dfs_sdk.replication.planner import Action, Copy, Observation, Push, is_spare, missing_copies, plan
from dfs_sdk.runtime.ports import Clock, Rng
from dfs_sdk.store.base import ChunkInfo, ChunkStore, Role

# A few milliseconds of planning in a store of 100,000 chunks.
CELLS_PER_TURN = 16


class Observer:
    """Looks at our chunks and remembers since when each lacks copies or is superfluous.

    Args:
        store: What we hold.
        claims: What others hold.
        keeper: Who announced repairs.
        clock: The node's clocks.
        rng: For the planner.
        config: Bounds.
    """

    def __init__(
        self,
        *,
        store: ChunkStore,
        claims: Claims,
        keeper: Keeper,
        clock: Clock,
        rng: Rng,
        config: ReplicationConfig,
    ) -> None:
        self._store = store
        self._claims = claims
        self._keeper = keeper
        self._clock = clock
        self._rng = rng
        self._config = config
        self._started_wall = clock.wall()
        self._short_since: dict[ChunkId, float] = {}
        self._spare_since: dict[ChunkId, float] = {}

    @property
    def short_count(self) -> int:
        """Chunks that lacked copies in the last plan."""
        return len(self._short_since)

    async def plan(
        self, view: View, placement: Placement, avoid: Collection[NodeId], *, leaving: bool = False
    ) -> list[Action]:
        """Plan for everything we hold and everything that should be here.

        Args:
            view: The members as they are now.
            placement: The ranking of that view.
            avoid: Peers that take no copies just now.
            leaving: Plan as if our own copies were gone.
        """
        short: dict[ChunkId, float] = {}
        spare: dict[ChunkId, float] = {}
        actions: list[Action] = []
        # Cells that others hold chunks of matter, too: some of those may belong here.
        for cells in _batches(sorted({*self._store.cells(), *self._claims.cells()})):
            observation = self._observe(cells, view, placement, avoid, leaving=leaving)
            for copy in observation.copies:
                self._note(copy, observation, short, spare)
            actions += plan(observation, self._config, self._rng)
            await asyncio.sleep(0)
        self._short_since, self._spare_since = short, spare
        actions.sort(key=lambda action: -action.urgency if isinstance(action, Push) else float("inf"))
        return actions

    def _observe(
        self, cells: Iterable[int], view: View, placement: Placement, avoid: Collection[NodeId], *, leaving: bool
    ) -> Observation:
        now, usage = self._clock.monotonic(), self._store.usage()
        copies: list[Copy] = []
        fresh = {p for p in self._claims.peers() if now - self._claims.heard_at(p) <= self._config.confirm_age_max}
        offered: dict[ChunkId, tuple[HeldChunk, tuple[NodeId, ...]]] = {}
        for cell in cells:
            if cell >= self._config.cells:
                continue
            copies += [
                self._copy(info, view, placement, fresh)
                for info in self._store.chunks_in_cell(cell)
                if info.role is not Role.CACHE and (leaving or self._settled(info))
            ]
            for chunk_id, chunk in self._claims.chunks_of_others(cell, wanted=self._is_absent).items():
                # A chunk filed under a cell that is not its own would be pulled by the wrong nodes.
                if cell in cells_of(chunk_id, self._config.cells):
                    offered[chunk_id] = (chunk, tuple(self._claims.holders(cell, chunk_id)))
        return Observation(
            now=now,
            me=view.me,
            view=view,
            placement=placement,
            copies=copies,
            offered=offered,
            fill=usage.used_bytes / max(1, usage.capacity_bytes),
            avoid=frozenset(avoid),
            leaving=leaving,
        )

    def _copy(self, info: ChunkInfo, view: View, placement: Placement, fresh: Collection[NodeId]) -> Copy:
        claimed = self._claims.holders(info.cell, info.chunk_id)
        return Copy(
            chunk=HeldChunk.of(info),
            holders=(*claimed, *self._presumed(info, claimed, placement, view)),
            confirmed=tuple(peer for peer in claimed if peer in fresh),
            short_since=self._short_since.get(info.chunk_id),
            spare_since=self._spare_since.get(info.chunk_id),
            claimed_until=self._keeper.claimed_until(info.chunk_id),
            pinned=info.pinned,
        )

    def _presumed(self, info: ChunkInfo, claimed: Collection[NodeId], placement: Placement, view: View) -> list[NodeId]:
        """Name silent members that got a copy before this node last started, as far as placement tells.

        After a restart we cannot ask them; without this a restart during somebody's absence would cost repair bytes.
        """
        if info.stored_at_wall >= self._started_wall:
            return []
        return [
            peer
            for peer in placement.members(info.cell, info.replicas)
            if peer not in claimed and peer not in self._claims and not view.is_reachable(peer)
        ]

    def _note(
        self, copy: Copy, observation: Observation, short: dict[ChunkId, float], spare: dict[ChunkId, float]
    ) -> None:
        chunk_id = copy.chunk.chunk_id
        # Also of a node that leaves: what is noted is what is missing while it is here.
        if missing_copies(copy, observation.view, self._config) > 0:
            short[chunk_id] = self._short_since.get(chunk_id, observation.now)
            return
        self._keeper.settle(chunk_id)
        if is_spare(copy, observation):
            spare[chunk_id] = self._spare_since.get(chunk_id, observation.now)

    def _is_absent(self, chunk_id: ChunkId) -> bool:
        held = self._store.info(chunk_id)
        return held is None or held.role is Role.CACHE

    def _settled(self, info: ChunkInfo) -> bool:
        """Whether its writer has had the time to place all copies; a wall clock set back settles everything."""
        age = self._clock.wall() - info.stored_at_wall
        return age < 0 or age >= self._config.settle_time


def _batches(cells: list[int]) -> Iterable[list[int]]:
    return (cells[at : at + CELLS_PER_TURN] for at in range(0, len(cells), CELLS_PER_TURN))
