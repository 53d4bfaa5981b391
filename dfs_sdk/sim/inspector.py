"""Looks straight at the disks of a world: is what was acknowledged there, whatever the power takes?

What nodes believe plays no part. A copy counts if its file would be there after a power cut at this instant and its
bytes hash to the chunk's id. Looking takes no step of a disk and no virtual time, so that the digest of a seed does
not depend on it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from dfs_sdk.crypto.hashing import blake3_256
from dfs_sdk.ids import ChunkId
from dfs_sdk.sim.ledger import Ledger
from dfs_sdk.sim.world import World
from dfs_sdk.store.base import ChunkStore
from dfs_sdk.store.files import ChunkFiles
from dfs_sdk.store.header import HEADER_BYTES


class Inspector:
    """Counts copies on disks.

    Args:
        world: Whose disks.
        ledger: Where breaches go.
        folder: The folder of the store on every host.
        quorum: Peers that acknowledge a chunk.
        excused: Names the hosts whose copies may be gone for good by now: liars, and those that lost or spoiled theirs.
    """

    def __init__(
        self,
        world: World,
        ledger: Ledger,
        *,
        folder: Path,
        quorum: int,
        excused: Callable[[], Collection[str]],
    ) -> None:
        self._world = world
        self._ledger = ledger
        self._folder = folder
        self._quorum = quorum
        self._excused = excused

    def has(self, name: str, chunk_id: ChunkId, *, as_read: bool = False) -> bool:
        """Say whether a host has an intact copy that no power cut can take.

        Args:
            name: The host.
            chunk_id: The chunk.
            as_read: Look at pages that a misdirected write spoilt as the host reads them, from its cache.
        """
        disk = self._world.hosts[name].disk
        content = disk.safe(ChunkFiles(disk, self._folder, quarantine_files_max=0).path(chunk_id), as_read=as_read)
        return content is not None and blake3_256(memoryview(content)[HEADER_BYTES:]) == chunk_id

    def check_receipt(self, writer: str, chunk_ids: Iterable[ChunkId], *, when: str) -> None:
        """Breach if a chunk that was just acknowledged is on fewer disks of other hosts than its quorum.

        Args:
            writer: Who has the receipt; its own copy never counts.
            chunk_ids: What was acknowledged.
            when: Words for the breach.
        """
        others = [name for name in self._world.hosts if name != writer]
        for chunk_id in chunk_ids:
            found = {name for name in others if self.has(name, chunk_id)}
            doubtful = set(self._excused()) - found - {writer}
            if len(found) + len(doubtful) < self._quorum:
                self._ledger.breach(f"{chunk_id.short} of {writer} is on {len(found)} of {self._quorum} disks {when}")

    def check_standing(self, *, when: str) -> None:
        """Breach if a chunk of an acknowledged file is on no disk at all."""
        honest = list(self._world.hosts)
        for file in self._ledger.standing():
            for chunk_id in file.chunk_ids:
                if not any(self.has(name, chunk_id) for name in honest):
                    self._ledger.breach(f"{chunk_id.short} of {file.name} is on no disk {when}")

    def check_store(self, name: str, store: ChunkStore) -> None:
        """Breach if a node claims a chunk of an acknowledged file that its disk does not have, intact and for good.

        A page that a misdirected write spoilt under the cache is held against nobody: the node has read its copies
        since and found the right bytes, as any reader will until the power goes. Every other damage counts.
        """
        for file in self._ledger.standing():
            for chunk_id in file.chunk_ids:
                if chunk_id in store and not self.has(name, chunk_id, as_read=True):
                    self._ledger.breach(f"{name} claims {chunk_id.short} of {file.name}, which its disk does not have")
