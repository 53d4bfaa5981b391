"""AES-256-GCM for packets and for one-time keys, with the nonce out of everybody's reach.

A `SendCipher` numbers its packets itself and never twice: no call takes a nonce, failures burn their number, and the
object neither copies nor pickles. It has one owner, the loop its connection lives on. A `ReceiveCipher` is told the
number that travelled in the packet; whether that number was seen before is the replay window's question, not ours.

Source: Noise Protocol Framework revision 34, section 12.3 (nonce = 4 zero bytes ‖ big-endian u64); NIST SP 800-38D
section 8.3 for the bound on packets a key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from struct import Struct
from typing import NoReturn

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

    def seal_burst(
        self, prefix: bytes, plaintexts: Sequence[Buffer], headers: Iterable[memoryview], bodies: Iterable[memoryview]
    ) -> None:
        """Seal many packets, each into a place of its own.

        The header of each packet is `prefix` ‖ its number (u64, big-endian) and is authenticated with it. The first
        packet gets the number `counter`, the rest follow without a gap.

        Args:
            prefix: What every header starts with.
            plaintexts: What to hide, one a packet; must not overlap `bodies`.
            headers: Where the headers go, `len(prefix) + COUNTER_BYTES` each; at least as many as there are plaintexts.
            bodies: Where the sealed plaintexts go, `TAG_BYTES` longer than those; as many.

        Raises:
            ValueError: A place has another length. The numbers are burned.
            ForkedNodeError: The key was wiped.
            ProtocolError: The key has sealed 2³² packets.
        """
        encrypt_into, pack, counter = self._encrypt_into, _pack_nonce, self._take(len(plaintexts))
        for plaintext, header, body in zip(plaintexts, headers, bodies):  # noqa: B905 - more places than packets
            nonce = pack(counter)
            header[:] = associated = prefix + nonce[4:]
            encrypt_into(nonce, plaintext, associated, body)
            counter += 1

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
        self, prefix: bytes, counter: int, sealed: Sequence[Buffer], plaintexts: Iterable[memoryview]
    ) -> int:
        """Verify and open packets with consecutive numbers, until one is not authentic.

        Args:
            prefix: What every header starts with; the packet's number (u64, big-endian) follows.
            counter: The number of the first packet.
            sealed: Ciphertext and tag of each; must not overlap `plaintexts`.
            plaintexts: Where they go, each exactly `TAG_BYTES` shorter; at least as many. What was not opened holds
                nothing trustworthy.

        Returns:
            How many are authentic.

        Raises:
            ValueError: A place has another length.
        """
        if not 0 <= counter <= PACKETS_PER_KEY_MAX - len(sealed):
            return 0
        decrypt_into, pack, first = self._decrypt_into, _pack_nonce, counter
        try:
            for data, plaintext in zip(sealed, plaintexts):  # noqa: B905 - more places than packets
                nonce = pack(counter)
                decrypt_into(nonce, data, prefix + nonce[4:], plaintext)
                counter += 1
        except (InvalidTag, ProtocolError):
            pass  # ProtocolError: the key was wiped
        return counter - first

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


def _checked_key(key: bytes) -> bytes:
    if len(key) != KEY_BYTES:
        raise ValueError(f"AES-256-GCM takes a key of {KEY_BYTES} bytes, not {len(key)}")
    return key


def _wiped_send(*_arguments: object) -> NoReturn:
    raise ForkedNodeError("the session's keys were wiped: start a new node in this process")


def _wiped_receive(*_arguments: object) -> NoReturn:
    raise ProtocolError("the session's keys were wiped")
