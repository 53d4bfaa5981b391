"""A member that breaks the protocol: it holds real keys and seals whatever frames a test wants."""

from __future__ import annotations

from dfs_sdk.transport.frames import MESSAGE_HEADER, FrameKind
from tests.fakes.pair import Pair, Peer


class Rogue:
    """Speaks with the keys of one peer of a pair, which itself falls silent."""

    def __init__(self, pair: Pair, peer: Peer, victim: Peer) -> None:
        self.pair = pair
        self.peer = peer
        self.victim = victim
        self.session = peer.session
        self._out = memoryview(bytearray(65_536))
        peer.asleep = True

    def seal(self, frames: bytes) -> bytes:
        """Seal frames in a packet of their own."""
        size = self.session.sender.seal_lone(frames, self._out)
        return bytes(self._out[:size])

    def say(self, frames: bytes, *, duration: float = 0.05) -> None:
        """Send frames to the victim and let them arrive."""
        self.pair.inject(self.peer.address, self.victim.address, self.seal(frames))
        self.pair.run_for(duration)

    def segment(self, message_id: int, total: int, offset: int, data: bytes) -> bytes:
        """Build a MESSAGE frame."""
        return MESSAGE_HEADER.pack(FrameKind.MESSAGE, message_id, total, offset, len(data)) + data

    @property
    def verdict(self) -> str | None:
        """Why the victim closed the session, None while it is open."""
        return self.victim.closed[0].reason if self.victim.closed else None
