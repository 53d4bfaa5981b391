"""The door: which HELLOs are answered, and what is kept of them until the initiator confirms.

In this order, so that each step is dearer than the one before: length and version, mac1, repetition, cookie, rate of
the source prefix, and only then the Diffie-Hellman operations. Under load, and from a prefix over its rate, a HELLO
without a cookie of ours draws one; with one it counts against a rate that forged sources cannot use up. Whatever else
fails is dropped in silence and counted. A half-open handshake is no session: it becomes one when a packet under its
keys arrives, which a replayed HELLO can never bring about.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from dfs_sdk.crypto.identity import Identity
from dfs_sdk.errors import ProtocolError
from dfs_sdk.ids import Address
from dfs_sdk.runtime.ports import Entropy
from dfs_sdk.transport.config import TransportConfig
from dfs_sdk.transport.cookies import CookieJar, LoadMeter, PrefixLimiter, mac1_key
from dfs_sdk.transport.handshake import Agreement, Network, answer_hello, hello_is_for
from dfs_sdk.transport.keys import ReceiveKeys
from dfs_sdk.transport.packet import HELLO_BYTES, HELLO_HEADER, INITIAL_WINDOW_BYTES, MAC_BYTES, PROTOCOL_VERSION

EPHEMERAL_BYTES = 32
RESENDS_MAX = 8


@dataclass(slots=True, kw_only=True)
class HalfOpen:
    """A handshake that was answered and not yet confirmed.

    Attributes:
        agreement: The keys, which are valid once the initiator uses them.
        address: Where the HELLO came from.
        welcome: The answer, for an initiator that asks again because it was lost.
        answered_at: When the answer was first given.
        expires_at: When it is forgotten.
        resends: How often the answer was repeated.
    """

    agreement: Agreement
    address: Address
    ephemeral: bytes
    welcome: bytes
    answered_at: float
    expires_at: float
    resends: int = 0
    _keys: ReceiveKeys | None = field(default=None, init=False)

    @property
    def keys(self) -> ReceiveKeys:
        """What opens the packet that confirms it; derived when the first one claims to."""
        if self._keys is None:
            self._keys = ReceiveKeys(self.agreement.receive_secret, local_index=self.agreement.local_index)
        return self._keys


class Acceptor:
    """Answers HELLOs of one identity in one network."""

    def __init__(
        self,
        *,
        identity: Identity,
        network: Network,
        config: TransportConfig,
        instance: bytes,
        entropy: Entropy,
        counters: Counter[str],
        first_window: Callable[[int], int],
    ) -> None:
        """Take the parts.

        Args:
            identity: Our keys.
            network: Who is answered.
            config: Settings.
            instance: What differs after each start of this program.
            entropy: For keys and cookies.
            counters: Where dropped datagrams are counted.
            first_window: Says how much an initiator may be told that it may send, given how much more than
                `INITIAL_WINDOW_BYTES` those that are half open were told in all.
        """
        self._identity = identity
        self._network = network
        self._config = config
        self._instance = instance
        self._entropy = entropy
        self._mac1_key = mac1_key(identity.public.x, network.network_id)
        self._jar = CookieJar(identity.public.x, entropy)
        self._limiter = PrefixLimiter(rate=config.handshakes_per_second, burst=config.handshake_burst)
        # Whoever forges sources uses up the rate of a network, but not that of those who answer there.
        self._proven = PrefixLimiter(rate=config.handshakes_per_second, burst=config.handshake_burst)
        self._load = LoadMeter(config.handshakes_under_load)
        self._half_open: OrderedDict[int, HalfOpen] = OrderedDict()
        self._by_ephemeral: dict[bytes, int] = {}
        self._first_window = first_window
        self._outstanding = 0
        self.counters = counters

    def __len__(self) -> int:
        return len(self._half_open)

    def __contains__(self, index: int) -> bool:
        return index in self._half_open

    def find(self, index: int) -> HalfOpen | None:
        """Return the half-open handshake with that receiver index."""
        return self._half_open.get(index)

    def is_addressed(self, datagram: memoryview) -> bool:
        """Say whether a datagram is a HELLO of this version by somebody who knows our key and network."""
        if len(datagram) != HELLO_BYTES or datagram[1] != PROTOCOL_VERSION:
            self.counters["hello malformed"] += 1
            return False
        if not hello_is_for(datagram, self._mac1_key):
            self.counters["hello for others"] += 1
            return False
        return True

    def answer(self, datagram: memoryview, *, source: Address, index: int, now: float) -> tuple[bytes, HalfOpen | None]:
        """Answer a HELLO that `is_addressed`.

        Args:
            datagram: All its bytes.
            source: Where it came from.
            index: An unused receiver index.
            now: The instant.

        Returns:
            A datagram to send back, and the handshake that is half open because of it, None for a COOKIE.

        Raises:
            ProtocolError: It is not worth an answer.
        """
        self.expire(now)
        repeated = self._repeat(datagram, source)
        if repeated is not None:
            return repeated.welcome, repeated
        covered, mac2 = datagram[: HELLO_BYTES - MAC_BYTES], datagram[HELLO_BYTES - MAC_BYTES :]
        under_load = self._load.count(now) or len(self._half_open) > self._config.half_open_max // 2
        proven = any(mac2) and self._jar.accepts(mac2=mac2, covered=covered, source=source, now=now)
        if proven and not self._proven.allows(source, now):
            self.counters["hello over rate"] += 1
            raise ProtocolError("too many handshakes from one network")
        if not proven and (under_load or not self._limiter.allows(source, now)):
            self.counters["cookie"] += 1
            mac1 = bytes(covered[-MAC_BYTES:])
            remote_index = HELLO_HEADER.unpack_from(datagram)[2]
            return self._jar.issue(mac1=mac1, index=remote_index, source=source, now=now), None
        welcome, agreement = answer_hello(
            datagram,
            identity=self._identity,
            network=self._network,
            local_index=index,
            instance=self._instance,
            source=source,
            window_bytes=self._first_window(self._outstanding),
            entropy=self._entropy,
        )
        return welcome, self._keep(datagram, agreement, source=source, welcome=welcome, now=now)

    def take(self, index: int) -> HalfOpen:
        """Remove a handshake because it was confirmed."""
        half = self._half_open.pop(index)
        del self._by_ephemeral[half.ephemeral]
        self._outstanding -= half.agreement.window_bytes - INITIAL_WINDOW_BYTES
        return half

    def expire(self, now: float) -> None:
        """Forget handshakes that were not confirmed in time."""
        while self._half_open and next(iter(self._half_open.values())).expires_at <= now:
            self.take(next(iter(self._half_open)))

    def next_deadline(self) -> float | None:
        """Return when `expire` has something to do."""
        return next(iter(self._half_open.values())).expires_at if self._half_open else None

    def wipe(self) -> None:
        """Forget all keys."""
        self._half_open.clear()
        self._by_ephemeral.clear()
        self._outstanding = 0

    def _repeat(self, datagram: memoryview, source: Address) -> HalfOpen | None:
        index = self._by_ephemeral.get(_ephemeral(datagram))
        if index is None:
            return None
        half = self._half_open[index]
        half.resends += 1
        if half.address != source or half.resends > RESENDS_MAX:
            self.counters["hello replayed"] += 1
            raise ProtocolError("a HELLO was replayed")
        return half

    def _keep(
        self, datagram: memoryview, agreement: Agreement, *, source: Address, welcome: bytes, now: float
    ) -> HalfOpen:
        half = HalfOpen(
            agreement=agreement,
            address=source,
            ephemeral=_ephemeral(datagram),
            welcome=welcome,
            answered_at=now,
            expires_at=now + self._config.handshake_timeout,
        )
        self._half_open[agreement.local_index] = half
        self._by_ephemeral[half.ephemeral] = agreement.local_index
        self._outstanding += agreement.window_bytes - INITIAL_WINDOW_BYTES
        if len(self._half_open) > self._config.half_open_max:
            self.take(next(iter(self._half_open)))
        return half


def _ephemeral(datagram: memoryview) -> bytes:
    return bytes(datagram[HELLO_HEADER.size : HELLO_HEADER.size + EPHEMERAL_BYTES])
