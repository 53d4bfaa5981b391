"""Finding copies: who probably holds a chunk, who does for sure, and fetching our own again when it is damaged."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from dfs_sdk.errors import DfsError
from dfs_sdk.exchange.messages import ASK_CHUNKS_MAX
from dfs_sdk.exchange.service import Exchange
from dfs_sdk.ids import ChunkId, NodeId
from dfs_sdk.replication.claims import Claims
from dfs_sdk.replication.config import ReplicationConfig
from dfs_sdk.replication.placement import Placement, cells_of
from dfs_sdk.rpc.base import CALL_ERRORS
from dfs_sdk.runtime.ports import Clock
from dfs_sdk.runtime.tasks import run_all
from dfs_sdk.store.base import ChunkInfo, ChunkStore, NewChunk, Role, ScrubReport

logger = logging.getLogger(__name__)

ASKS_PARALLEL = 8
# In a network this small everybody is asked for a chunk: the order of the cell only says whom first.
TINY_NETWORK = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """One copy of a chunk that its holder confirmed.

    Attributes:
        holder: Who has it.
        role: Why it is kept there.
        confirmed_at: Monotonic second at which the holder said so.
        confirmed_at_wall: The same instant in seconds since the epoch.
    """

    holder: NodeId
    role: Role
    confirmed_at: float
    confirmed_at_wall: float


class Locator:
    """Finds copies.

    Args:
        exchange: Asks and fetches.
        store: What we hold.
        claims: What others said they hold.
        placement: Gives the ranking of the current view.
        clock: The node's clocks.
        config: Bounds.
    """

    def __init__(
        self,
        *,
        exchange: Exchange,
        store: ChunkStore,
        claims: Claims,
        placement: Callable[[], Placement],
        clock: Clock,
        config: ReplicationConfig,
    ) -> None:
        self._exchange = exchange
        self._store = store
        self._claims = claims
        self._placement = placement
        self._clock = clock
        self._config = config

    def candidates(self, chunk_id: ChunkId, cell: int | None = None) -> list[NodeId]:
        """List other nodes that probably hold a chunk, the most promising first; all in a tiny network.

        Args:
            chunk_id: The chunk.
            cell: Its cell, None if unknown: then both candidate cells count, by turns.
        """
        cells = cells_of(chunk_id, self._config.cells) if cell is None else (cell,)
        placement = self._placement()
        view = placement.view
        depth = self._config.interest_rank + self._config.stand_ins_max
        found: dict[NodeId, None] = {}
        for each in cells:
            found.update(dict.fromkeys(self._claims.holders(each, chunk_id)))
        orders = (placement.order(each) for each in cells)
        fronts = (order if len(order) <= TINY_NETWORK else order[:depth] for order in orders)
        # Who asked all of one cell first would ask a dozen nodes in vain for each chunk that lies in the other.
        found.update(dict.fromkeys(chain.from_iterable(zip(*fronts, strict=True))))
        found.pop(view.me, None)
        members = [node_id for node_id in found if node_id in view]
        return sorted(members, key=lambda node_id: not view.is_reachable(node_id))

    async def locate(
        self, chunk_ids: Sequence[ChunkId], cells: Mapping[ChunkId, int] | None = None
    ) -> dict[ChunkId, list[Holding]]:
        """Ask the candidates which of some chunks they hold; our own copies are listed, too.

        Args:
            chunk_ids: The chunks.
            cells: Their cells as far as they are known, which halves the number of questions.
        """
        known, view = cells or {}, self._placement().view
        questions: dict[NodeId, list[ChunkId]] = {}
        for chunk_id in dict.fromkeys(chunk_ids):
            for peer in self.candidates(chunk_id, known.get(chunk_id)):
                if view.is_reachable(peer):
                    questions.setdefault(peer, []).append(chunk_id)
        found: dict[ChunkId, list[Holding]] = {chunk_id: [] for chunk_id in chunk_ids}
        for chunk_id, holdings in found.items():
            info = self._store.info(chunk_id)
            if info is not None:
                holdings.append(self._holding(view.me, info.role))
        pages = [
            self._ask(peer, asked[at : at + ASK_CHUNKS_MAX])
            for peer, asked in questions.items()
            for at in range(0, len(asked), ASK_CHUNKS_MAX)
        ]
        for peer, roles in await run_all(*pages, limit=ASKS_PARALLEL):
            for chunk_id, role in roles.items():
                found[chunk_id].append(self._holding(peer, role))
        return found

    async def check(self, *, read_data: bool = False, subset: tuple[int, int] | None = None) -> ScrubReport:
        """Check the local store; damaged or lost chunks are fetched again from other holders.

        Args:
            read_data: Hash every byte.
            subset: (part, parts): only this share of the chunks.
        """
        before = {info.chunk_id: info for info in self._store.chunks()}
        report = await self._store.check(read_data=read_data, subset=subset)
        for chunk_id in (*report.corrupt, *report.missing):
            info = before.get(chunk_id)
            if info is not None and info.role is not Role.CACHE:
                await self._refetch(info)
        return report

    def _holding(self, holder: NodeId, role: Role) -> Holding:
        return Holding(
            holder=holder,
            role=role,
            confirmed_at=self._clock.monotonic(),
            confirmed_at_wall=self._clock.wall(),
        )

    async def _ask(self, peer: NodeId, chunk_ids: Sequence[ChunkId]) -> tuple[NodeId, Mapping[ChunkId, Role]]:
        try:
            report = await self._exchange.have(peer, chunk_ids, timeout=self._config.ask_timeout)
        except CALL_ERRORS:
            return peer, {}
        return peer, report.roles

    async def _refetch(self, info: ChunkInfo) -> None:
        try:
            data = await self._exchange.fetch(info.chunk_id, self.candidates(info.chunk_id, info.cell))
            await self._store.put([NewChunk.again(info, data)])
            if info.pinned:
                await self._store.set_pinned([info.chunk_id], True)
        except DfsError as error:
            logger.warning("chunk %s could not be fetched again: %s", info.chunk_id.short, error)
