"""The packet keys of one session: one chain a direction, changed by the sender, followed by the receiver.

A sender flips the phase bit when it takes the next key of its chain; the receiver tries that key when the bit differs
from what it expects. Each direction changes on its own. A packet's number is its key's place in the chain (epoch)
times 2³² plus its counter, so that numbers grow across keys and no (key, counter) repeats.

Source: RFC 9001 section 6 for the phase bit and the rule that a key must have proven itself before the next.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from dfs_sdk.crypto.aead import COUNTER_BYTES, ReceiveCipher, SendCipher
from dfs_sdk.crypto.hashing import hkdf_sha256
from dfs_sdk.crypto.keys import SecretObject
from dfs_sdk.errors import ForkedNodeError, ProtocolError
from dfs_sdk.runtime.ports import Buffer
from dfs_sdk.transport.packet import DATA_HEADER, DATA_OVERHEAD, DATA_PREFIX, Kind, data_prefix
from dfs_sdk.transport.slots import Slots

EPOCH_SHIFT = 32
COUNTER_MASK = 2**EPOCH_SHIFT - 1
PREVIOUS_KEY_LIFETIME = 10.0
_HEADER_BYTES = DATA_HEADER.size
_PACKET_KEY = b"dfs/packet/1"
_NEXT_SECRET = b"dfs/ratchet/1"


def _packet_key(secret: bytes) -> bytes:
    return hkdf_sha256(secret, info=_PACKET_KEY)


def _next_secret(secret: bytes) -> bytes:
    return hkdf_sha256(secret, info=_NEXT_SECRET)


class SendKeys(SecretObject):
    """Seals what we send to one peer."""

    __slots__ = ("_changed_at", "_cipher", "_confirmed", "_epoch", "_remote_index", "_secret", "_wiped", "prefix")

    def __init__(self, secret: bytes, *, remote_index: int, now: float) -> None:
        """Start a chain.

        Args:
            secret: 32 bytes from the handshake for this direction.
            remote_index: The index under which the peer knows the session.
            now: The instant, for the key's age.
        """
        self._secret = secret
        self._remote_index = remote_index
        self._epoch = 0
        self._confirmed = False
        self._wiped = False
        self._start(now)

    @property
    def next_number(self) -> int:
        """The number the next packet gets."""
        return self._epoch << EPOCH_SHIFT | self._cipher.counter

    @property
    def epoch(self) -> int:
        """How many keys came before this one."""
        return self._epoch

    def seal(self, plaintext: Buffer, out: memoryview) -> int:
        """Seal one packet at the start of `out` and return how many bytes it takes.

        Raises:
            ForkedNodeError: The keys were wiped.
        """
        return self._cipher.seal_packet(self.prefix, plaintext, out)

    def seal_each(self, plaintexts: Iterable[Buffer], out: memoryview) -> int:
        """Seal packets end to end at the start of `out` and return how many bytes they take.

        Raises:
            ForkedNodeError: The keys were wiped.
        """
        return self._cipher.seal_packets(self.prefix, plaintexts, out)

    def seal_burst(self, plaintexts: Slots, total_bytes: int, step: int, out: Slots) -> int:
        """Seal plaintexts that lie end to end as packets end to end.

        Args:
            plaintexts: Where they are; must not be `out`.
            total_bytes: The length of all of them.
            step: That of each; only the last may be shorter.
            out: Where the packets go.

        Returns:
            How many bytes they take.

        Raises:
            ForkedNodeError: The keys were wiped.
        """
        count = -(-total_bytes // step)
        size, packet_bytes = total_bytes + count * DATA_OVERHEAD, step + DATA_OVERHEAD
        insides = plaintexts.cut(count, step, 0, step)
        bodies = out.cut(count, packet_bytes, _HEADER_BYTES, packet_bytes)
        if total_bytes < count * step:
            last = count - 1
            insides = [*insides[:last], plaintexts.view[last * step : total_bytes]]
            bodies = [*bodies[:last], out.view[last * packet_bytes + _HEADER_BYTES : size]]
        out.rows(count, packet_bytes, 0, DATA_PREFIX.size)[:] = np.frombuffer(self.prefix, np.uint8)
        self._cipher.seal_burst(
            out.numbers(count, packet_bytes, DATA_PREFIX.size, COUNTER_BYTES),
            headers=out.cut(count, packet_bytes, 0, _HEADER_BYTES),
            plaintexts=insides,
            bodies=bodies,
        )
        return size

    def skip(self) -> int:
        """Burn one number and return it."""
        return self._epoch << EPOCH_SHIFT | self._cipher.skip()

    def on_acked(self, number: int) -> None:
        """Learn that a packet arrived: a key must have proven itself before the next may follow."""
        self._confirmed = self._confirmed or number >> EPOCH_SHIFT == self._epoch

    def change_if_due(self, now: float, *, interval: float, packets: int) -> bool:
        """Take the next key when this one is `interval` seconds or `packets` packets old.

        Returns:
            Whether the key changed.
        """
        due = now - self._changed_at >= interval or self._cipher.counter >= packets
        if not due or not self._confirmed or self._wiped:
            return False
        self._cipher.wipe()
        self._secret = _next_secret(self._secret)
        self._epoch += 1
        self._confirmed = False
        self._start(now)
        return True

    def wipe(self) -> None:
        """Forget the keys; sealing raises `ForkedNodeError` from here on."""
        self._cipher.wipe()
        self._secret = b""
        self._wiped = True

    def _start(self, now: float) -> None:
        if self._wiped:
            raise ForkedNodeError("the session's keys were wiped: start a new node in this process")
        self._cipher = SendCipher(_packet_key(self._secret))
        self._changed_at = now
        self.prefix = data_prefix(self._epoch & 1, self._remote_index)


class ReceiveKeys(SecretObject):
    """Opens what one peer sends to us.

    Attributes:
        local_index: The index under which the peer knows the session.
        cipher: The key in use.
        kind: The first byte of packets under that key.
        epoch: How many keys came before it.
    """

    __slots__ = ("_following", "_previous", "_previous_until", "_secret", "cipher", "epoch", "kind", "local_index")

    def __init__(self, secret: bytes, *, local_index: int) -> None:
        self._secret = secret
        self.local_index = local_index
        self.cipher = ReceiveCipher(_packet_key(secret))
        self._previous: ReceiveCipher | None = None
        self._previous_until = 0.0
        self._following: ReceiveCipher | None = None
        self.epoch = 0
        self.kind = Kind.DATA | 0

    def authenticates(self, packet: memoryview, out: memoryview) -> bool:
        """Say whether a packet is authentic under the present key; its plaintext is in `out` then."""
        kind, _, counter = DATA_HEADER.unpack_from(packet)
        try:
            self.cipher.open_into(counter, packet[:_HEADER_BYTES], packet[_HEADER_BYTES:], out)
        except ProtocolError:
            return False
        return bool(kind == self.kind)

    def open_other(self, packet: memoryview, out: memoryview, now: float) -> tuple[int, int]:
        """Open a packet of the other phase: one that is late, or the first under the next key.

        Returns:
            (packet number, length of the plaintext in `out`). If it was the next key, that one is in use now.

        Raises:
            ProtocolError: It is authentic under neither.
        """
        _, _, counter = DATA_HEADER.unpack_from(packet)
        header, sealed = packet[: DATA_HEADER.size], packet[DATA_HEADER.size :]
        if self._previous is not None and now < self._previous_until:
            try:
                size = self._previous.open_into(counter, header, sealed, out)
                return (self.epoch - 1) << EPOCH_SHIFT | counter, size
            except ProtocolError:
                pass
        if self._following is None:
            # Made once and kept: a forged packet costs one trial, not a derivation.
            self._following = ReceiveCipher(_packet_key(_next_secret(self._secret)))
        size = self._following.open_into(counter, header, sealed, out)
        self._advance(self._following, now)
        return self.epoch << EPOCH_SHIFT | counter, size

    def wipe(self) -> None:
        """Forget the keys; nothing opens from here on."""
        for cipher in (self.cipher, self._previous, self._following):
            if cipher is not None:
                cipher.wipe()
        self._secret = b""

    def _advance(self, following: ReceiveCipher, now: float) -> None:
        if self._previous is not None:
            self._previous.wipe()
        self._previous, self._previous_until = self.cipher, now + PREVIOUS_KEY_LIFETIME
        self.cipher, self._following = following, None
        self._secret = _next_secret(self._secret)
        self.epoch += 1
        self.kind = Kind.DATA | (self.epoch & 1)
