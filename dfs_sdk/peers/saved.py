"""Peers kept in the store between two lives of a node: whom to try again, and what their silences taught us."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dfs_sdk.errors import ProtocolError
from dfs_sdk.ids import ID_BYTES
from dfs_sdk.peers.availability import DownHistory
from dfs_sdk.peers.membership import Membership
from dfs_sdk.peers.messages import NodeDesc, SavedPeer, SignedDesc, read_desc, verify_desc
from dfs_sdk.store.base import DocumentStore
from dfs_sdk.wire.codec import decode, encode

KIND = "peers.known"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownPeer:
    """A peer of an earlier life, its description verified."""

    signed: SignedDesc
    desc: NodeDesc
    last_heard_wall: float
    history: DownHistory


class SavedPeers:
    """The documents of the peers most recently heard of."""

    def __init__(self, store: DocumentStore) -> None:
        self._store = store
        self._written: dict[bytes, bytes] = {}

    async def save(self, membership: Membership, *, now: float, wall: float, count: int) -> None:
        """Write the `count` members last heard of, and drop the documents of all others."""
        wanted: dict[bytes, bytes] = {}
        for track in membership.liveness.last_heard(count):
            signed = membership.signed_desc(track.node_id)
            if signed is not None:
                # To a tenth of a minute, so that a quiet network rewrites nothing each time.
                heard = max(0.0, round((wall - (now - track.last_heard)) / 60, 1) * 60)
                wanted[bytes(track.node_id)] = encode(_to_saved(signed, heard, track.history, now - track.known_at))
        for key in [key for key in self._written if key not in wanted]:
            await self._store.delete_document(KIND, key)
            del self._written[key]
        changed = [(key, value) for key, value in wanted.items() if self._written.get(key) != value]
        if changed:
            await self._store.put_documents(KIND, changed)
            self._written.update(changed)

    async def load(self) -> list[KnownPeer]:
        """Read the saved peers, the most recently heard first; damaged entries are dropped."""
        documents = await self._store.list_documents(KIND)
        self._written = dict(documents)
        peers: list[KnownPeer] = []
        for key, value in documents:
            try:
                peers.append(_from_saved(key, value))
            except ProtocolError:
                await self._store.delete_document(KIND, key)
                del self._written[key]
        return sorted(peers, key=lambda peer: (-peer.last_heard_wall, peer.desc.node_id))


def restore_histories(membership: Membership, peers: Iterable[KnownPeer]) -> None:
    """Give members that are known again what an earlier life learned about their silences."""
    for peer in peers:
        track = membership.liveness.get(peer.desc.node_id)
        if track is not None and track.history == DownHistory():
            membership.liveness.restore(peer.desc.node_id, peer.history)


def _to_saved(signed: SignedDesc, heard_wall: float, history: DownHistory, watched: float) -> SavedPeer:
    return SavedPeer(
        signed=signed,
        last_heard_wall=heard_wall,
        returns=history.returns,
        losses=history.losses,
        down_seconds=float(round(history.down_seconds)),
        known_seconds=float(round((history.known_seconds + watched) / 600) * 600),
    )


def _from_saved(key: bytes, value: bytes) -> KnownPeer:
    saved = decode(SavedPeer, value)
    desc = read_desc(saved.signed)
    if len(key) != ID_BYTES or desc.node_id != key:
        raise ProtocolError("a saved peer lies under another one's name")
    verify_desc(saved.signed, desc)
    history = DownHistory(
        returns=saved.returns,
        losses=saved.losses,
        down_seconds=saved.down_seconds,
        known_seconds=saved.known_seconds,
    )
    return KnownPeer(signed=saved.signed, desc=desc, last_heard_wall=saved.last_heard_wall, history=history)
