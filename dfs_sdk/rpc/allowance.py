"""How much of something each peer may send: a token bucket a peer, in a table of bounded length. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from dfs_sdk.ids import NodeId


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class Allowances:
    """Token buckets by peer.

    Args:
        rate: Tokens that flow into each bucket a second.
        burst: What a bucket holds, and begins with.
        peers_max: Buckets kept; of more, the one used longest ago is forgotten.
    """

    def __init__(self, *, rate: float, burst: float, peers_max: int) -> None:
        self._rate = rate
        self._burst = burst
        self._peers_max = peers_max
        self._buckets: dict[NodeId, _Bucket] = {}

    def take(self, peer: NodeId, count: int, *, now: float) -> bool:
        """Take `count` tokens of a peer at monotonic second `now`, all or none; says whether they were there."""
        bucket = self._buckets.pop(peer, None) or _Bucket(self._burst, now)
        if len(self._buckets) >= self._peers_max:
            del self._buckets[next(iter(self._buckets))]
        self._buckets[peer] = bucket
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.at) * self._rate)
        bucket.at = now
        if bucket.tokens < count:
            return False
        bucket.tokens -= count
        return True
