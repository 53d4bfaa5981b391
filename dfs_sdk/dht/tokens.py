"""Write tokens: who wants to store must first have asked, from the same address; pure.

A token is a keyed hash, so nothing is kept for those who ask. Two secrets are alive: the current and the one before.

Source: BEP 5 (tokens of the BitTorrent DHT).
"""

from __future__ import annotations

import hmac

from dfs_sdk.crypto.hashing import keyed_hash
from dfs_sdk.dht.messages import TOKEN_BYTES
from dfs_sdk.ids import Address, NodeId
from dfs_sdk.runtime.ports import Entropy

TOKEN_DOMAIN = b"dfs/dht-token/1"
SECRET_BYTES = 32


class TokenMint:
    """Makes and checks write tokens.

    Args:
        entropy: Draws the secrets.
        lifetime: Seconds after which the secret changes; a token is good for one to two lifetimes.
        now: Monotonic seconds.
    """

    def __init__(self, *, entropy: Entropy, lifetime: float, now: float) -> None:
        self._entropy = entropy
        self._lifetime = lifetime
        self._current = self._previous = entropy.token(SECRET_BYTES)
        self._changes_at = now + lifetime

    def make(self, node_id: NodeId, address: Address, now: float) -> bytes:
        """Make the token of a node at an address."""
        self._turn(now)
        return _token(self._current, node_id, address)

    def check(self, token: bytes, node_id: NodeId, address: Address, now: float) -> bool:
        """Say whether a token is ours, for this node at this address, and recent."""
        self._turn(now)
        return any(
            hmac.compare_digest(token, _token(secret, node_id, address)) for secret in (self._current, self._previous)
        )

    def _turn(self, now: float) -> None:
        if now < self._changes_at:
            return
        fresh = self._entropy.token(SECRET_BYTES)
        # After a long pause the old secret is older than two lifetimes: it goes at once.
        self._previous = self._current if now < self._changes_at + self._lifetime else fresh
        self._current = fresh
        self._changes_at = now + self._lifetime


def _token(secret: bytes, node_id: NodeId, address: Address) -> bytes:
    # The host without the port: a peer behind a NAT may come back from another port.
    return keyed_hash(secret, TOKEN_DOMAIN, node_id, address.host.encode())[:TOKEN_BYTES]
