"""Whom to ask next what it holds.

In a network of at most `survey_peers_max` other nodes everybody is asked in every round. In a larger one a round asks
those who matter for what we hold: the first ones in the order of its cells, and whoever claims a chunk of them. Now and
then some of the others are asked, too: first those we have not heard of that rank beside us in the cells where this
node is among the chosen, since they may hold what belongs here by now, then whoever waited longest. Those are the
fewer, the larger the network: all its nodes together ask no more strangers in a round than the largest small network.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from dfs_sdk.ids import NodeId
from dfs_sdk.peers.view import View
from dfs_sdk.replication.claims import Claims
from dfs_sdk.replication.config import ReplicationConfig
from dfs_sdk.replication.placement import Placement
from dfs_sdk.runtime.ports import Clock, Rng
from dfs_sdk.store.base import ChunkStore

STRANGERS_MIN = 4
# Rounds on news come in between, and ask no strangers; those without news come at 0.8 intervals or later.
STRANGERS_PAUSE_FACTOR = 0.75
# Of a large network, a few milliseconds of ranking.
CELLS_PER_TURN = 16


class Rota:
    """Takes turns, so that each is asked before any is asked again.

    Args:
        store: What we hold.
        claims: What others hold, as far as we heard.
        clock: The node's clocks.
        rng: Decides in which turn those who are met together come.
        config: Bounds.
    """

    def __init__(self, *, store: ChunkStore, claims: Claims, clock: Clock, rng: Rng, config: ReplicationConfig) -> None:
        self._store = store
        self._claims = claims
        self._clock = clock
        self._rng = rng
        self._config = config
        self._order: list[NodeId] = []
        self._strangers_at = float("-inf")

    async def next(self, view: View, placement: Placement) -> list[NodeId]:
        """Choose whom a round asks."""
        reachable, most = view.reachable(), self._config.survey_peers_max
        self._meet(reachable)
        if len(reachable) <= most:
            return self._take(most, reachable)
        strangers = self._strangers_due(len(reachable))
        chosen = self._take(most - min(strangers, STRANGERS_MIN), await self.sharers(placement))
        if strangers:
            room = min(strangers, most - len(chosen))
            beside = placement.rivals(view.me, self._config.replicas)
            unheard = self._take(room, [peer for peer in beside if peer not in self._claims and peer not in chosen])
            chosen += unheard
            chosen += self._take(room - len(unheard), [peer for peer in self._order if peer not in chosen])
        return chosen

    async def before_leaving(self, view: View, placement: Placement) -> list[NodeId]:
        """Name all who may hold a chunk that we hold."""
        reachable = view.reachable()
        if len(reachable) <= self._config.survey_peers_max:
            return reachable
        sharers = await self.sharers(placement)
        return [peer for peer in reachable if peer in sharers]

    async def sharers(self, placement: Placement) -> set[NodeId]:
        """Name those who belong to the cells we hold chunks of, or say that they hold some of theirs."""
        depth = self._config.interest_rank + self._config.stand_ins_max
        found: set[NodeId] = set()
        for number, cell in enumerate(self._store.cells()):
            found.update(self._claims.claimants(cell))
            if cell < self._config.cells:
                found.update(placement.order(cell)[:depth])
            if number % CELLS_PER_TURN == CELLS_PER_TURN - 1:
                await asyncio.sleep(0)
        return found

    def _meet(self, reachable: Sequence[NodeId]) -> None:
        present = set(reachable)
        self._order = [peer for peer in self._order if peer in present]
        late = sorted(present.difference(self._order))
        self._rng.shuffle(late)
        self._order = late + self._order

    def _strangers_due(self, others: int) -> int:
        now = self._clock.monotonic()
        if now < self._strangers_at:
            return 0
        self._strangers_at = now + STRANGERS_PAUSE_FACTOR * self._config.repair_interval
        most = self._config.survey_peers_max
        return min(most, max(STRANGERS_MIN, most * most // others))

    def _take(self, count: int, among: Iterable[NodeId]) -> list[NodeId]:
        """Take those of some peers whose turn it is, and put them behind all others."""
        wanted = set(among)
        chosen = [peer for peer in self._order if peer in wanted][:count]
        taken = set(chosen)
        self._order = [peer for peer in self._order if peer not in taken] + chosen
        return chosen
