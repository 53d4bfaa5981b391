"""Asking peers what they hold, and telling them what we hold.

One digest over everything makes an unchanged peer cost 16 bytes; a digest for each cell, 24 bytes, tells which cells
differ from what we last read; only those are listed, 1,000 chunks a page.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container, Sequence

from dfs_sdk.crypto.hashing import blake3_256
from dfs_sdk.ids import NodeId
from dfs_sdk.replication.claims import NOTHING_KNOWN, Claims
from dfs_sdk.replication.config import ReplicationConfig
from dfs_sdk.replication.messages import (
    ASK_CELLS_MAX,
    DIGEST_BYTES,
    LIST_ENTRIES_MAX,
    NO_CHUNK,
    CellSummary,
    HeldChunk,
    ListCells,
    Listed,
    Survey,
    Surveyed,
    pack_cells,
    pack_chunks,
    read_cells,
    read_chunks,
)
from dfs_sdk.rpc.base import CALL_ERRORS, Caller, RpcService
from dfs_sdk.runtime.ports import Clock
from dfs_sdk.store.base import ChunkInfo, ChunkStore, Role

# Cells digested before the loop gets its turn: about a millisecond of hashing in a full store.
CELLS_PER_TURN = 128
# A digest of everything costs a pass over the index; askers within this many seconds share one.
DIGEST_AGE_MAX = 0.5


class Surveyor:
    """Keeps `claims` up to date and answers the surveys of others.

    Args:
        rpc: Calls.
        store: What we hold.
        claims: What others hold.
        clock: The node's clocks.
        config: Bounds.
    """

    def __init__(
        self, *, rpc: RpcService, store: ChunkStore, claims: Claims, clock: Clock, config: ReplicationConfig
    ) -> None:
        self._rpc = rpc
        self._store = store
        self._claims = claims
        self._clock = clock
        self._config = config
        self._own: tuple[bytes, bytes] = (NOTHING_KNOWN, b"")
        self._own_at = float("-inf")
        self._digesting = asyncio.Lock()

    def serve(self) -> None:
        """Register the handlers."""
        self._rpc.serve(Survey, self._on_survey, concurrency_max=16)
        self._rpc.serve(ListCells, self._on_list, concurrency_max=8)

    async def survey(self, peer: NodeId, interest: Container[int]) -> bool:
        """Ask a peer what it holds and read its lists of the cells of interest.

        Returns:
            Whether it answered.
        """
        known = self._claims.digest(peer)
        try:
            answer = await self._rpc.call(peer, Survey(known=known), timeout=self._config.ask_timeout)
            if answer.reply.digest == known and known != NOTHING_KNOWN:
                self._claims.surveyed(peer, known, None, self._clock.monotonic())
            else:
                summaries = read_cells(answer.body, cells=self._config.cells)
                self._claims.surveyed(peer, answer.reply.digest, summaries, self._clock.monotonic())
            await self._read(peer, self._claims.unread_cells(peer, interest))
        except CALL_ERRORS:
            return False
        except KeyError:  # the peer was forgotten while we waited for its answer
            return False
        return True

    async def _read(self, peer: NodeId, cells: Sequence[int]) -> None:
        # Those with fewer chunks first and by themselves: what a peer no longer has is believed however full we are.
        grown = [cell for cell in cells if self._claims.has_grown(peer, cell)]
        others = sorted(set(cells).difference(grown))
        for group in (others, grown):
            for at in range(0, len(group), ASK_CELLS_MAX):
                batch = tuple(group[at : at + ASK_CELLS_MAX])
                chunks = await self._list(peer, batch, self._room(peer, batch))
                if len(chunks) > self._room(peer, batch):  # again: other peers were read meanwhile
                    return
                self._claims.read(peer, batch, chunks)

    def _room(self, peer: NodeId, cells: Sequence[int]) -> int:
        """How many chunks of these cells may be remembered; never fewer than are."""
        known = self._claims.count(peer)
        # None may fill what is there for all: the next liar finds half of what this one left.
        share = (self._config.claims_max - len(self._claims) + known) // 2
        return self._claims.count(peer, cells) + max(min(self._config.claims_per_peer_max, share) - known, 0)

    async def _list(self, peer: NodeId, cells: tuple[int, ...], room: int) -> list[HeldChunk]:
        found: list[HeldChunk] = []
        after_cell, after_chunk = 0, NO_CHUNK
        more = True
        while more and len(found) <= room:
            request = ListCells(cells=cells, after_cell=after_cell, after_chunk=after_chunk)
            answer = await self._rpc.call(peer, request, timeout=self._config.ask_timeout)
            page = read_chunks(answer.body, asked=cells)
            # A page that does not go on ends the list: an answerer cannot keep us asking.
            more = answer.reply.more and bool(page) and (page[0].cell, page[0].chunk_id) > (after_cell, after_chunk)
            found += page
            if page:
                after_cell, after_chunk = page[-1].cell, page[-1].chunk_id
        return found

    async def _on_survey(self, _caller: Caller, request: Survey, _body: memoryview) -> tuple[Surveyed, bytes]:
        digest, body = await self._digest()
        return Surveyed(digest=digest), b"" if digest == request.known else body

    async def _on_list(self, _caller: Caller, request: ListCells, _body: memoryview) -> tuple[Listed, bytes]:
        after = (request.after_cell, request.after_chunk)
        page: list[ChunkInfo] = []
        for cell in sorted(set(request.cells)):
            held = self._duties(cell) if cell >= request.after_cell else []
            page += [info for info in held if (cell, info.chunk_id) > after]
            if len(page) > LIST_ENTRIES_MAX:
                break
        return Listed(more=len(page) > LIST_ENTRIES_MAX), pack_chunks(page[:LIST_ENTRIES_MAX])

    async def _digest(self) -> tuple[bytes, bytes]:
        async with self._digesting:
            if self._clock.monotonic() - self._own_at > DIGEST_AGE_MAX:
                self._own = await self._compute()
                self._own_at = self._clock.monotonic()
        return self._own

    async def _compute(self) -> tuple[bytes, bytes]:
        summaries: list[tuple[int, CellSummary]] = []
        for number, cell in enumerate(self._store.cells()):
            held = self._duties(cell)
            if held and cell < self._config.cells:
                parts = [info.chunk_id + bytes((info.role.value, info.replicas)) for info in held]
                digest = blake3_256(b"".join(parts))[:DIGEST_BYTES]
                summaries.append((cell, CellSummary(count=len(held), digest=digest)))
            if number % CELLS_PER_TURN == CELLS_PER_TURN - 1:
                await asyncio.sleep(0)
        body = pack_cells(summaries)
        return blake3_256(b"dfs/replication/survey/1", self._store.storage_uuid, body)[:DIGEST_BYTES], body

    def _duties(self, cell: int) -> list[ChunkInfo]:
        return [info for info in self._store.chunks_in_cell(cell) if info.role is not Role.CACHE]
