"""Where the peer is: roaming to a new address only after it proved that it receives there.

An authentic packet from elsewhere makes that address a candidate. It gets a challenge, and nothing else, never more
than three times the bytes it sent; the token coming back from there makes it the path. One change a round trip.

Source: RFC 9000 section 8.2 (path validation) and section 8.1 (the factor three).
"""

from __future__ import annotations

from dfs_sdk.ids import Address
from dfs_sdk.runtime.ports import Entropy
from dfs_sdk.transport.frames import PathChallenge

AMPLIFICATION_FACTOR = 3
TOKEN_BYTES = 8
CHALLENGES_MAX = 5


class Candidate:
    """An address that sent an authentic packet and has not answered a challenge."""

    __slots__ = ("address", "challenges", "due", "next_at", "received_bytes", "sent_bytes", "token")

    def __init__(self, address: Address, token: bytes) -> None:
        self.address = address
        self.token = token
        self.received_bytes = self.sent_bytes = self.challenges = 0
        self.next_at = 0.0
        self.due = True


class PathKeeper:
    """The peer's address and the one it may be moving to."""

    __slots__ = ("_candidate", "_changed_at", "_entropy", "address")

    def __init__(self, address: Address, entropy: Entropy) -> None:
        self.address = address
        self._entropy = entropy
        self._candidate: Candidate | None = None
        self._changed_at: float | None = None

    def on_packets(self, source: Address, *, size_bytes: int, newest: bool, now: float, rtt: float) -> None:
        """Note authentic packets.

        Args:
            source: Where they came from.
            size_bytes: Their datagrams' bytes.
            newest: Whether one of them has the highest number so far: late ones say nothing about where the peer is.
            now: The instant.
            rtt: Smoothed round-trip time.
        """
        if source == self.address:
            return
        candidate = self._candidate
        if candidate is None or candidate.address != source:
            recent = self._changed_at is not None and now < self._changed_at + rtt
            waiting = candidate is not None and now < candidate.next_at
            if not newest or recent or waiting:
                return
            candidate = self._candidate = Candidate(source, self._entropy.token(TOKEN_BYTES))
        candidate.received_bytes += size_bytes
        candidate.due = True

    def challenge(self, *, packet_bytes: int, now: float, rtt: float) -> tuple[Address, PathChallenge] | None:
        """Return a challenge that should leave now, and where to; it is counted as sent."""
        candidate = self._candidate
        if candidate is None or not candidate.due or now < candidate.next_at:
            return None
        candidate.due = False
        if candidate.sent_bytes + packet_bytes > AMPLIFICATION_FACTOR * candidate.received_bytes:
            return None
        if candidate.challenges >= CHALLENGES_MAX:
            self._candidate = None
            return None
        candidate.challenges += 1
        candidate.sent_bytes += packet_bytes
        candidate.next_at = now + rtt
        return candidate.address, PathChallenge(token=candidate.token)

    def on_response(self, token: bytes, source: Address, now: float) -> bool:
        """Take the answer to a challenge.

        Returns:
            Whether the path changed.
        """
        candidate = self._candidate
        if candidate is None or candidate.token != token or candidate.address != source:
            return False
        self.address, self._candidate, self._changed_at = source, None, now
        return True
