"""What keeps strangers cheap: mac1, stateless cookies, and a rate for each source prefix.

mac1 proves that a sender knows our public key and network: anything else is dropped in silence. Under load a HELLO
must also carry mac2, made with a cookie that only whoever receives at its source address can know.

Source: WireGuard (Donenfeld, 2017), section 5.3 (denial of service mitigation) and 5.4.7 (cookie reply).
"""

from __future__ import annotations

import hmac
from collections import OrderedDict

from dfs_sdk.crypto.aead import open_once, seal_once
from dfs_sdk.crypto.hashing import blake3_256, keyed_hash
from dfs_sdk.errors import ProtocolError
from dfs_sdk.ids import Address, NetworkId
from dfs_sdk.runtime.ports import Buffer, Entropy
from dfs_sdk.transport.packet import COOKIE_LAYOUT, MAC_BYTES, Kind, is_loopback, source_prefix

COOKIE_LIFETIME = 120.0
COOKIE_BYTES = 16
NONCE_BYTES = 24
SECRET_BYTES = 32
PREFIXES_MAX = 4096
LOAD_PERIOD = 1.0
_MAC1_DOMAIN = b"dfs/mac1/1"
_MAC2_DOMAIN = b"dfs/mac2/1"
_COOKIE_DOMAIN = b"dfs/cookie/1"


def mac1_key(public_x: bytes, network_id: NetworkId) -> bytes:
    """Derive the key of mac1 for datagrams to the owner of `public_x`."""
    return blake3_256(_MAC1_DOMAIN, public_x, network_id)


def compute_mac1(key: bytes, datagram: Buffer) -> bytes:
    """Compute the tag over everything before it."""
    return keyed_hash(key, datagram)[:MAC_BYTES]


def compute_mac2(cookie: bytes, datagram: Buffer) -> bytes:
    """Compute the tag over everything before it, with a cookie of ours."""
    return keyed_hash(blake3_256(_MAC2_DOMAIN, cookie), datagram)[:MAC_BYTES]


def equal(left: Buffer, right: Buffer) -> bool:
    """Compare tags in constant time."""
    return hmac.compare_digest(bytes(left), bytes(right))


class CookieJar:
    """Makes and checks cookies without remembering anybody; the secret lives 120 s, and 120 s more for checking."""

    def __init__(self, public_x: bytes, entropy: Entropy) -> None:
        self._label = blake3_256(_COOKIE_DOMAIN, public_x)
        self._entropy = entropy
        self._secret = entropy.token(SECRET_BYTES)
        self._previous: bytes | None = None
        self._made_at: float | None = None

    def issue(self, *, mac1: bytes, index: int, source: Address, now: float) -> bytes:
        """Build the COOKIE datagram that answers a HELLO."""
        self._rotate(now)
        nonce = self._entropy.token(NONCE_BYTES)
        key = keyed_hash(self._label, nonce, mac1)
        sealed = seal_once(key, _cookie(self._secret, source), mac1)
        return COOKIE_LAYOUT.pack(Kind.COOKIE, index, nonce, sealed)

    def accepts(self, *, mac2: Buffer, covered: Buffer, source: Address, now: float) -> bool:
        """Say whether `mac2` over `covered` was made with a cookie we gave to `source` lately."""
        self._rotate(now)
        secrets = [self._secret] if self._previous is None else [self._secret, self._previous]
        return any(equal(mac2, compute_mac2(_cookie(secret, source), covered)) for secret in secrets)

    def _rotate(self, now: float) -> None:
        if self._made_at is None:
            self._made_at = now
        elif now - self._made_at >= COOKIE_LIFETIME:
            stale = now - self._made_at >= 2 * COOKIE_LIFETIME
            self._previous = None if stale else self._secret
            self._secret = self._entropy.token(SECRET_BYTES)
            self._made_at = now


def open_cookie(datagram: Buffer, *, public_x: bytes, mac1: bytes) -> bytes:
    """Take the cookie out of a COOKIE datagram that answers the HELLO with tag `mac1`.

    Raises:
        ProtocolError: It answers another HELLO, or nobody's.
    """
    if len(datagram) != COOKIE_LAYOUT.size:
        raise ProtocolError("a COOKIE datagram has 64 bytes")
    _, _, nonce, sealed = COOKIE_LAYOUT.unpack(datagram)
    key = keyed_hash(blake3_256(_COOKIE_DOMAIN, public_x), nonce, mac1)
    return open_once(key, sealed, mac1)


def _cookie(secret: bytes, source: Address) -> bytes:
    return keyed_hash(secret, f"{source.host} {source.port}".encode())[:COOKIE_BYTES]


class PrefixLimiter:
    """A token bucket for each source prefix; the table forgets the longest unused prefix when full."""

    def __init__(self, *, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: OrderedDict[bytes, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def allows(self, source: Address, now: float) -> bool:
        """Take one token of the source's prefix, if there is one."""
        if is_loopback(source):
            return True
        prefix = source_prefix(source)
        tokens, updated_at = self._buckets.get(prefix, (float(self._burst), now))
        tokens = min(tokens + self._rate * (now - updated_at), float(self._burst))
        allowed = tokens >= 1
        self._buckets[prefix] = (tokens - 1 if allowed else tokens, now)
        self._buckets.move_to_end(prefix)
        if len(self._buckets) > PREFIXES_MAX:
            self._buckets.popitem(last=False)
        return allowed


class LoadMeter:
    """Counts events in periods of one second, to say when there are too many."""

    __slots__ = ("_count", "_limit", "_previous", "_started_at")

    def __init__(self, per_second: float) -> None:
        self._limit = per_second * LOAD_PERIOD
        self._count = self._previous = 0
        self._started_at = 0.0

    def count(self, now: float) -> bool:
        """Count one event and say whether we are under load."""
        elapsed = now - self._started_at
        if elapsed >= LOAD_PERIOD:
            self._previous = self._count if elapsed < 2 * LOAD_PERIOD else 0
            self._count, self._started_at = 0, now
        self._count += 1
        return max(self._count, self._previous) > self._limit
