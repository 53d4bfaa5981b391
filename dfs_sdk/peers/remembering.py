"""When the peers a node knows are written to its store: not before they may be, and the first ones at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dfs_sdk.peers.config import PeersConfig
from dfs_sdk.peers.membership import Membership
from dfs_sdk.peers.saved import KnownPeer, SavedPeers
from dfs_sdk.runtime.ports import Clock
from dfs_sdk.store.base import DocumentStore


class PeerMemory:
    """The peers of a node as its store has them.

    Args:
        store: Where they are kept.
        membership: Who is known.
        clock: When they were heard.
        config: How many are kept.
    """

    def __init__(self, store: DocumentStore, membership: Membership, clock: Clock, config: PeersConfig) -> None:
        self._saved = SavedPeers(store)
        self._membership = membership
        self._clock = clock
        self._config = config
        self._begun = False
        self._recalling = False
        self._first_are_owed = True

    def owes_the_first(self) -> bool:
        """Whether others are known and none was ever written; says so once, to who writes them at once.

        A node that forgot them would move to any network it is pointed at.
        """
        owes = self._writes and self._first_are_owed and len(self._membership) > 1
        self._first_are_owed = self._first_are_owed and not owes
        return owes

    def omit_the_first(self) -> None:
        """Let the next turn write the first others, too: whoever made them known will do so again."""
        self._first_are_owed = False

    async def begin(self) -> None:
        """Write from now on, and now: the store names the network that the peers belong to."""
        self._begun = True
        await self.save()

    async def save(self) -> None:
        """Write the peers last heard.

        Nothing is written before `begin`, or a node that is killed meanwhile would come back to its old network with
        members of this one; nor while those of an earlier life are looked for, or they would be forgotten.
        """
        if not self._writes:
            return
        self._first_are_owed = self._first_are_owed and len(self._membership) == 1
        now, wall = self._clock.monotonic(), self._clock.wall()
        await self._saved.save(self._membership, now=now, wall=wall, count=self._config.persist_count)

    @contextmanager
    def recalling(self) -> Iterator[None]:
        """Look for the peers of an earlier life meanwhile."""
        self._recalling = True
        try:
            yield
        finally:
            self._recalling = False

    async def load(self) -> list[KnownPeer]:
        """Read the peers of an earlier life, the most recently heard first."""
        return await self._saved.load()

    @property
    def _writes(self) -> bool:
        return self._begun and not self._recalling
