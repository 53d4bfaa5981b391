"""What the other holders say they hold, as far as it concerns this node. Pure bookkeeping; time is given.

For every peer: the summary of its cells as it last told them, and the chunks of those cells that we looked into. A
peer's word stays known while it is away, so that its copies go on counting with the odds of its return; it is dropped
when the peer is gone or comes back with another storage. Cache copies are nobody's redundancy and not kept here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from dfs_sdk.ids import ChunkId, NodeId
from dfs_sdk.peers.view import Member
from dfs_sdk.replication.messages import DIGEST_BYTES, CellSummary, HeldChunk
from dfs_sdk.store.base import Role

NOTHING_KNOWN = bytes(DIGEST_BYTES)


@dataclass(slots=True, kw_only=True)
class _Peer:
    storage_uuid: bytes
    digest: bytes = NOTHING_KNOWN
    heard_at: float = 0.0
    summaries: Mapping[int, CellSummary] = field(default_factory=dict)
    looked_into: dict[int, bytes] = field(default_factory=dict)


class Claims:
    """Who claims to hold which chunks."""

    def __init__(self) -> None:
        self._peers: dict[NodeId, _Peer] = {}
        # cell → peer → chunk → what it says of it
        self._cells: dict[int, dict[NodeId, dict[ChunkId, HeldChunk]]] = {}
        self._length = 0

    def __len__(self) -> int:
        """How many claims of all peers are remembered."""
        return self._length

    def __contains__(self, peer: object) -> bool:
        """Whether a peer told us in this life of the node what it holds."""
        known = self._peers.get(peer) if isinstance(peer, NodeId) else None
        return known is not None and known.digest != NOTHING_KNOWN

    def peers(self) -> Iterator[NodeId]:
        """Iterate over the peers anything is known of."""
        return iter(tuple(self._peers))

    def digest(self, peer: NodeId) -> bytes:
        """The digest of a peer's last answer, zeros before it."""
        known = self._peers.get(peer)
        return known.digest if known else NOTHING_KNOWN

    def heard_at(self, peer: NodeId) -> float:
        """When a peer last confirmed all that is known of it; minus infinity before that."""
        known = self._peers.get(peer)
        return known.heard_at if known and known.digest != NOTHING_KNOWN else float("-inf")

    def cells(self) -> list[int]:
        """List the cells of which any claim is known, ascending."""
        return sorted(self._cells)

    def count(self, peer: NodeId, cells: Iterable[int] | None = None) -> int:
        """How many chunks of a peer are remembered, in these cells or in all."""
        among = self._cells if cells is None else cells
        return sum(len(self._cells.get(cell, {}).get(peer, ())) for cell in among)

    def has_grown(self, peer: NodeId, cell: int) -> bool:
        """Whether a peer, by its summary, holds more of a cell than is remembered of it."""
        summary = self._peers[peer].summaries.get(cell)
        return summary is not None and summary.count > self.count(peer, [cell])

    def forget(self, peer: NodeId) -> None:
        """Drop all that is known of a peer."""
        if self._peers.pop(peer, None) is not None:
            for cell in [cell for cell, holders in self._cells.items() if peer in holders]:
                self._drop_cell(peer, cell)

    def meet(self, peer: NodeId, storage_uuid: bytes) -> bool:
        """Begin with a peer, or again with one whose storage is another than before.

        Returns:
            Whether its former copies were dropped.
        """
        known = self._peers.get(peer)
        if known is not None and known.storage_uuid == storage_uuid:
            return False
        self.forget(peer)
        self._peers[peer] = _Peer(storage_uuid=storage_uuid)
        return known is not None

    def surveyed(self, peer: NodeId, digest: bytes, summaries: Mapping[int, CellSummary] | None, now: float) -> None:
        """Take over a peer's summary.

        Args:
            peer: The peer, met before.
            digest: Of everything it holds.
            summaries: Its cells, or None when the digest says that nothing changed.
            now: Monotonic seconds.
        """
        known = self._peers[peer]
        known.digest, known.heard_at = digest, now
        if summaries is None:
            return
        known.summaries = summaries
        for cell in [cell for cell, holders in self._cells.items() if peer in holders and cell not in summaries]:
            self._drop_cell(peer, cell)

    def unread_cells(self, peer: NodeId, interest: Container[int]) -> list[int]:
        """List the cells of interest of which the peer holds something else than we last read, ascending."""
        known = self._peers[peer]
        looked_into = known.looked_into
        changed = [cell for cell, summary in known.summaries.items() if looked_into.get(cell) != summary.digest]
        return sorted(cell for cell in changed if cell in interest)

    def read(self, peer: NodeId, cells: Iterable[int], chunks: Iterable[HeldChunk]) -> None:
        """Take over the complete lists of some cells."""
        known = self._peers[peer]
        for cell in cells:
            self._drop_cell(peer, cell)
            if cell in known.summaries:
                known.looked_into[cell] = known.summaries[cell].digest
        for chunk in chunks:
            if chunk.role is not Role.CACHE:
                self._enter(peer, chunk)

    def note(self, peer: NodeId, chunk: HeldChunk) -> None:
        """Take over a receipt: the peer has just confirmed this chunk. Its cell is read again in the next survey."""
        known = self._peers.get(peer)
        if chunk.role is not Role.CACHE and known is not None:
            known.looked_into.pop(chunk.cell, None)
            self._enter(peer, chunk)

    def confirmed(self, member: Member, chunk: HeldChunk) -> None:
        """Take over a receipt of a member, which is met here if it was never asked what it holds."""
        self.meet(member.node_id, member.desc.storage_uuid)
        self.note(member.node_id, chunk)

    def drop(self, peer: NodeId, chunk_id: ChunkId, cell: int) -> None:
        """Take note that a peer no longer has a chunk."""
        dropped = self._cells.get(cell, {}).get(peer, {}).pop(chunk_id, None)
        self._length -= dropped is not None
        if peer in self._peers:
            self._peers[peer].looked_into.pop(cell, None)

    def holders(self, cell: int, chunk_id: ChunkId) -> list[NodeId]:
        """List the peers that claim a chunk, in the order of their ids."""
        return sorted(peer for peer, chunks in self._cells.get(cell, {}).items() if chunk_id in chunks)

    def claimants(self, cell: int) -> Collection[NodeId]:
        """The peers that claim any chunk of a cell."""
        return self._cells.get(cell, {}).keys()

    def role(self, peer: NodeId, cell: int, chunk_id: ChunkId) -> Role | None:
        """Say why a peer claims to hold a chunk."""
        chunk = self._cells.get(cell, {}).get(peer, {}).get(chunk_id)
        return chunk.role if chunk else None

    def chunks_of_others(
        self, cell: int, *, wanted: Callable[[ChunkId], bool] = lambda _chunk_id: True
    ) -> dict[ChunkId, HeldChunk]:
        """List the chunks that peers claim in a cell, as far as they are `wanted`.

        Of differing words about a chunk those of the most peers count, on a tie those of the smallest id: one liar
        among several holders decides neither who may remove it nor how many copies it has.
        """
        words: dict[ChunkId, Counter[tuple[int, bytes, int]]] = {}
        found: dict[ChunkId, dict[tuple[int, bytes, int], HeldChunk]] = {}
        for _, chunks in sorted(self._cells.get(cell, {}).items()):
            for chunk_id, chunk in chunks.items():
                if not wanted(chunk_id):
                    continue
                word = (chunk.replicas, chunk.removal_hash, chunk.size)
                words.setdefault(chunk_id, Counter())[word] += 1
                found.setdefault(chunk_id, {}).setdefault(word, chunk)
        return {chunk_id: found[chunk_id][counts.most_common(1)[0][0]] for chunk_id, counts in words.items()}

    def _enter(self, peer: NodeId, chunk: HeldChunk) -> None:
        chunks = self._cells.setdefault(chunk.cell, {}).setdefault(peer, {})
        self._length += chunk.chunk_id not in chunks
        chunks[chunk.chunk_id] = chunk

    def _drop_cell(self, peer: NodeId, cell: int) -> None:
        holders = self._cells.get(cell)
        if holders is not None:
            self._length -= len(holders.pop(peer, ()))
            if not holders:
                del self._cells[cell]
        if peer in self._peers:
            self._peers[peer].looked_into.pop(cell, None)
