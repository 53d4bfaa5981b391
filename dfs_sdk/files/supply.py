"""Where the chunks of a file come from: confirmed holders, placement, whoever says so when asked.

Reading is patient in rounds: holders that are silent for a moment are asked again before a chunk counts as unavailable.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from dfs_sdk.errors import ContentUnavailableError
from dfs_sdk.exchange.asking import Wanted
from dfs_sdk.exchange.fetching import INLINE_BYTES_MAX, NoIntactCopyError, NotHeldError
from dfs_sdk.exchange.service import Exchange
from dfs_sdk.files.config import FilesConfig
from dfs_sdk.files.holders import Copy, Holders
from dfs_sdk.files.ports import Holding, Membership, Replicator
from dfs_sdk.ids import ChunkId, NodeId
from dfs_sdk.runtime.ports import Clock
from dfs_sdk.store.base import Role

T = TypeVar("T")

LOCATE_CHUNKS_MAX = 1000
ROUND_PAUSE_MAX = 4.0


class Supply:
    """Gets chunks, verified, and remembers who has which.

    Args:
        exchange: Fetches from given sources.
        replication: Knows who should have a chunk, and asks around.
        peers: Who is up.
        holders: What is known of copies.
        clock: Says when patience is over.
        config: Patience.
    """

    def __init__(
        self,
        *,
        exchange: Exchange,
        replication: Replicator,
        peers: Membership,
        holders: Holders,
        clock: Clock,
        config: FilesConfig,
    ) -> None:
        self._exchange = exchange
        self._replication = replication
        self._peers = peers
        self._holders = holders
        self._clock = clock
        self._config = config

    async def fetch(self, chunk_id: ChunkId, cell: int | None, *, extra: Sequence[NodeId] = ()) -> bytes:
        """Get one chunk, verified; see `fetch_into`."""
        wanted = Wanted(chunk_id=chunk_id, use=bytes, inline_bytes_max=INLINE_BYTES_MAX)
        return await self.fetch_into(wanted, cell, extra=extra)

    async def fetch_into(
        self, wanted: Wanted[T], cell: int | None, *, extra: Sequence[NodeId] = (), patience: float | None = None
    ) -> T:
        """Get one chunk and have it used.

        Args:
            wanted: The chunk, and what is done with its verified bytes.
            cell: Its placement cell, None if only its two candidates are known.
            extra: Peers that may have it for reasons of their own, such as the file's provider.
            patience: Seconds for which silent holders are asked again; None for the rounds of the settings.

        Returns:
            What `wanted.use` returned.

        Raises:
            NotHeldError: Everybody who could have it answered, and has it not.
            ContentUnavailableError: No holder answered in all that time.
            CorruptContentError: No intact copy was found.
            Exception: Whatever `wanted.use` raises.
        """
        chunk_id = wanted.chunk_id
        wanted = replace(wanted, on_source=partial(self._note_source, wanted, cell))
        rounds_left = self._config.rounds if patience is None else math.inf
        pause = self._config.round_pause
        patient_until = self._clock.monotonic() + (self._config.patience if patience is None else patience)
        while True:
            rounds_left -= 1
            sources = self._sources(chunk_id, cell, extra)
            try:
                return await self._exchange.fetch_into(wanted, sources)
            except (ContentUnavailableError, NoIntactCopyError) as error:
                if not rounds_left or self._clock.monotonic() > patient_until:
                    raise
                found = await self.locate([chunk_id], {} if cell is None else {chunk_id: cell})
                if isinstance(error, NotHeldError) and not {copy.holder for copy in found[chunk_id]} - set(sources):
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, ROUND_PAUSE_MAX)

    async def locate(
        self, chunk_ids: Sequence[ChunkId], cells: Mapping[ChunkId, int], *, keep_known: bool = False
    ) -> dict[ChunkId, tuple[Copy, ...]]:
        """Ask who holds some chunks and remember the answers.

        Args:
            chunk_ids: The chunks.
            cells: Their cells as far as they are known.
            keep_known: Whether copies known already are believed beside the answers: who has just given a chunk
                may be nobody whom placement would ask.
        """
        remember = self._holders.add if keep_known else self._holders.replace
        found: dict[ChunkId, tuple[Copy, ...]] = {}
        for start in range(0, len(chunk_ids), LOCATE_CHUNKS_MAX):
            page = chunk_ids[start : start + LOCATE_CHUNKS_MAX]
            page_cells = {chunk_id: cells[chunk_id] for chunk_id in page if chunk_id in cells}
            located = await self._replication.locate(page, page_cells)
            for chunk_id in page:
                found[chunk_id] = copies_of(located.get(chunk_id, ()))
                remember(chunk_id, found[chunk_id])
        return found

    def _note_source(self, wanted: Wanted[T], cell: int | None, source: NodeId, lent: bool) -> None:  # noqa: FBT001 - as it is told
        """Remember who gave a chunk: what it delivered it holds. Why it does is a guess until an audit asks."""
        chunk_id = wanted.chunk_id
        if not lent and source not in self._holders.holders(chunk_id):
            role = Role.PRIMARY if source in self._replication.candidates(chunk_id, cell) else Role.CACHE
            copy = Copy(holder=source, role=role, confirmed_at_wall=self._clock.wall())
            self._holders.add(chunk_id, (copy,))
        if wanted.on_source is not None:
            wanted.on_source(source, lent)

    def _sources(self, chunk_id: ChunkId, cell: int | None, extra: Iterable[NodeId]) -> list[NodeId]:
        view = self._peers.view
        known = [*self._holders.holders(chunk_id), *extra]
        candidates = self._replication.candidates(chunk_id, cell)
        up = [node_id for node_id in known if view.is_reachable(node_id)]
        down = [node_id for node_id in known if not view.is_reachable(node_id)]
        return list(dict.fromkeys((*up, *candidates, *down)))


def copies_of(holdings: Iterable[Holding]) -> tuple[Copy, ...]:
    """Keep of holdings what is shown."""
    return tuple(
        Copy(holder=holding.holder, role=holding.role, confirmed_at_wall=holding.confirmed_at_wall)
        for holding in holdings
    )
