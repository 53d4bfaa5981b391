"""AES-256-GCM for packets and for one-time keys, with the nonce out of everybody's reach.

A `SendCipher` numbers its packets itself and never twice: no call takes a nonce, failures burn their number, and the
object neither copies nor pickles. It has one owner, the loop its connection lives on. A `ReceiveCipher` is told the
number that travelled in the packet; whether that number was seen before is the replay window's question, not ours.

Source: Noise Protocol Framework revision 34, section 12.3 (nonce = 4 zero bytes ‖ big-endian u64); NIST SP 800-38D
section 8.3 for the bound on packets a key.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from operator import length_hint
from struct import Struct
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dfs_sdk.crypto.keys import SecretObject
from dfs_sdk.errors import ForkedNodeError, ProtocolError
from dfs_sdk.runtime.ports import Buffer

KEY_BYTES = 32
TAG_BYTES = 16
COUNTER_BYTES = 8
PACKETS_PER_KEY_MAX = 2**32

# nonce, input, associated data, output → bytes written
_Operation = Callable[[Buffer, Buffer, Buffer, Buffer], int]

_pack_nonce = Struct(">4xQ").pack
_ZERO_NONCE = bytes(12)


class SendCipher(SecretObject):
    """Seals the packets of one direction under one key, numbering them from 0."""

    __slots__ = ("_counter", "_encrypt_into", "_limit")

    def __init__(self, key: bytes) -> None:
        """Take a key that nothing else has sealed or will seal with.

        Raises:
            ValueError: The key is not 32 bytes long.
        """
        self._encrypt_into: _Operation = AESGCM(_checked_key(key)).encrypt_into
        self._counter = 0
        self._limit = PACKETS_PER_KEY_MAX

    @property
    def counter(self) -> int:
        """The number the next packet gets."""
        return self._counter

    def skip(self) -> int:
        """Burn one number, so that no packet ever carries it.

        Returns:
            The number skipped: a peer that acknowledges it is lying.
        """
        return self._take(1)

    def seal_into(self, header: Buffer, plaintext: Buffer, out: memoryview) -> None:
        """Seal one packet under the next number.

        Args:
            header: Bytes that are authenticated, not hidden.
            plaintext: Bytes to hide; must not overlap `out`.
            out: Exactly `len(plaintext) + TAG_BYTES` long.

        Raises:
            ValueError: `out` has another length. The number is burned.
            ForkedNodeError: The key was wiped.
            ProtocolError: The key has sealed 2³² packets.
        """
        self._encrypt_into(_pack_nonce(self._take(1)), plaintext, header, out)

    def seal_packet(self, prefix: bytes, plaintext: Buffer, out: memoryview) -> int:
        """Seal one packet: see `seal_packets`."""
        return self.seal_packets(prefix, (plaintext,), out)

    def seal_packets(self, prefix: bytes, plaintexts: Iterable[Buffer], out: memoryview) -> int:
        """Seal packets, each behind its header: `prefix` ‖ its number (u64, big-endian), authenticated with it.

        Args:
            prefix: What each header starts with.
            plaintexts: Bytes to hide, one packet after the other; must not overlap `out`.
            out: The packets go to its start, end to end.

        Returns:
            How many bytes they take.

        Raises:
            ValueError: `out` is too short. The number is burned.
            ForkedNodeError: The key was wiped.
            ProtocolError: The key has sealed 2³² packets.
        """
        size, header_bytes = 0, len(prefix) + COUNTER_BYTES
        for plaintext in plaintexts:
            nonce = _pack_nonce(self._take(1))
            header = prefix + nonce[-COUNTER_BYTES:]
            body, stop = size + header_bytes, size + header_bytes + len(plaintext) + TAG_BYTES
            out[size:body] = header
            self._encrypt_into(nonce, plaintext, header, out[body:stop])
            size = stop
        return size

    def seal_burst(
        self,
        numbers: npt.NDArray[Any],
        *,
        headers: Sequence[Buffer],
        plaintexts: Sequence[Buffer],
        bodies: Sequence[memoryview],
    ) -> None:
        """Seal many packets, each into a place of its own.

        The first packet gets the number `counter`, the rest follow without a gap.

        Args:
            numbers: Where in its header each packet's number goes (big-endian); there are as many packets.
            headers: What is authenticated, not hidden, one a packet or more. All but the number is there already.
            plaintexts: What to hide, as many; must not overlap `bodies`.
            bodies: Where the sealed plaintexts go, `TAG_BYTES` longer than those; as many.

        Raises:
            ValueError: There are too few places, or one has another length. The numbers are burned.
            ForkedNodeError: The key was wiped.
            ProtocolError: The key has sealed 2³² packets.
        """
        first = self._take(len(numbers))
        _check_enough(len(numbers), headers, plaintexts, bodies)
        counters = range(first, first + len(numbers))
        numbers[:] = np.arange(first, first + len(numbers))
        # Many packets cost what the calls into the cipher cost: no line of Python runs between two of them.
        deque(map(self._encrypt_into, map(_pack_nonce, counters), plaintexts, headers, bodies), maxlen=0)

    def wipe(self) -> None:
        """Drop the key; every later use raises `ForkedNodeError`."""
        self._encrypt_into = _wiped_send
        self._limit = -1

    def __repr__(self) -> str:
        return f"SendCipher(counter={self._counter})"

    def _take(self, count: int) -> int:
        # The number is taken before the key is used: an exception in between burns it, which is harmless.
        first = self._counter
        if first + count > self._limit:
            if self._limit < 0:
                _wiped_send()
            raise ProtocolError(f"this key has sealed {first} packets: the session must change keys")
        self._counter = first + count
        return first


class ReceiveCipher(SecretObject):
    """Opens the packets of one direction under one key, in any order."""

    __slots__ = ("_decrypt_into",)

    def __init__(self, key: bytes) -> None:
        """Take the key the peer's `SendCipher` has.

        Raises:
            ValueError: The key is not 32 bytes long.
        """
        self._decrypt_into: _Operation = AESGCM(_checked_key(key)).decrypt_into

    def open_into(self, counter: int, header: Buffer, sealed: Buffer, out: memoryview) -> int:
        """Verify and open one packet.

        Args:
            counter: The number in the packet, anything a u64 can hold.
            header: The bytes authenticated with it.
            sealed: Ciphertext and tag; must not overlap `out`.
            out: At least `len(sealed) - TAG_BYTES` long; holds nothing trustworthy if this raises.

        Returns:
            The length of the plaintext, at the start of `out`.

        Raises:
            ProtocolError: The packet is forged, damaged, too short, too long for `out`, or numbered beyond what a
                key may seal; or the key was wiped.
        """
        if not 0 <= counter < PACKETS_PER_KEY_MAX:
            raise ProtocolError("the packet's number is beyond the life of its key")
        size = len(sealed) - TAG_BYTES
        if not 0 <= size <= len(out):
            raise ProtocolError(f"a sealed packet of {len(sealed)} bytes does not fit")
        try:
            return self._decrypt_into(_pack_nonce(counter), sealed, header, out[:size])
        except InvalidTag:
            raise ProtocolError("the packet is not authentic") from None

    def open_burst(
        self,
        counters: range,
        *,
        headers: Sequence[Buffer],
        sealed: Sequence[Buffer],
        plaintexts: Sequence[memoryview],
    ) -> int:
        """Verify and open packets with consecutive numbers, until one is not authentic.

        Args:
            counters: The numbers of the packets.
            headers: The bytes authenticated with each, one a packet or more.
            sealed: Ciphertext and tag of each, as many; must not overlap `plaintexts`.
            plaintexts: Where they go, each exactly `TAG_BYTES` shorter; as many. What was not opened holds nothing
                trustworthy.

        Returns:
            How many are authentic.

        Raises:
            ValueError: There are too few packets or places, or one has another length.
        """
        _check_enough(len(counters), headers, sealed, plaintexts)
        if not 0 <= counters.start <= counters.stop <= PACKETS_PER_KEY_MAX:
            return 0
        untried = iter(counters)
        try:
            deque(map(self._decrypt_into, map(_pack_nonce, untried), sealed, headers, plaintexts), maxlen=0)
        except (InvalidTag, ProtocolError):  # ProtocolError: the key was wiped
            return len(counters) - length_hint(untried) - 1
        return len(counters)

    def wipe(self) -> None:
        """Drop the key; every later use raises `ProtocolError`."""
        self._decrypt_into = _wiped_receive

    def __repr__(self) -> str:
        return "ReceiveCipher()"


def seal_once(key: bytes, plaintext: Buffer, associated: Buffer = b"") -> bytes:
    """Seal the only message `key` will ever seal; the nonce is zero.

    Args:
        key: 32 bytes, derived for this one message: a second message under it would reveal both.
        plaintext: Bytes to hide.
        associated: Bytes that are authenticated, not hidden.

    Returns:
        Ciphertext and tag, 16 bytes longer than `plaintext`.

    Raises:
        ValueError: The key is not 32 bytes long.
    """
    return AESGCM(_checked_key(key)).encrypt(_ZERO_NONCE, plaintext, associated)


def open_once(key: bytes, sealed: Buffer, associated: Buffer = b"") -> bytes:
    """Verify and open what `seal_once` made.

    Raises:
        ProtocolError: Wrong key, or the bytes were altered or cut.
        ValueError: The key is not 32 bytes long.
    """
    try:
        return AESGCM(_checked_key(key)).decrypt(_ZERO_NONCE, sealed, associated)
    except InvalidTag:
        raise ProtocolError("the sealed bytes are not authentic") from None


def open_once_into(key: bytes, sealed: Buffer, associated: Buffer, out: memoryview) -> int:
    """Verify and open what `seal_once` made, into memory the caller has already.

    Args:
        key: 32 bytes.
        sealed: Ciphertext and tag; must not overlap `out`.
        associated: What was authenticated with it.
        out: At least `len(sealed) - TAG_BYTES` long; holds nothing trustworthy if this raises.

    Returns:
        The length of the plaintext, at the start of `out`.

    Raises:
        ProtocolError: Wrong key, the bytes were altered or cut, or they do not fit.
        ValueError: The key is not 32 bytes long.
    """
    return ReceiveCipher(key).open_into(0, associated, sealed, out)


def _check_enough(count: int, *parts: Sequence[Buffer]) -> None:
    """Raise unless there are `count` of each: calls that are mapped end without a word where one runs out."""
    if min(map(len, parts)) < count:
        raise ValueError(f"{count} packets need as many of each of their parts")


def _checked_key(key: bytes) -> bytes:
    if len(key) != KEY_BYTES:
        raise ValueError(f"AES-256-GCM takes a key of {KEY_BYTES} bytes, not {len(key)}")
    return key


def _wiped_send(*_arguments: object) -> NoReturn:
    raise ForkedNodeError("the session's keys were wiped: start a new node in this process")


def _wiped_receive(*_arguments: object) -> NoReturn:
    raise ProtocolError("the session's keys were wiped")
