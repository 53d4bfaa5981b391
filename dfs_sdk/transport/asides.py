"""Asides: sealed datagrams beside the packets of a session, for the moment at which nobody turns the session's wheels.

A thread may seal one while the loop stands still, so an aside shares nothing that changes with the packets: it has keys
and numbers of its own, is not acknowledged, repeated or counted by the congestion control, and may be lost. Its content
is for the floors above, which must believe it no more than any other word of the peer.

The keys are those of the session's first secrets and last as long as it: what is said aside is no secret among members.
"""

from __future__ import annotations

from collections.abc import Callable

from dfs_sdk.crypto.aead import ReceiveCipher, SendCipher
from dfs_sdk.crypto.hashing import hkdf_sha256
from dfs_sdk.crypto.keys import SecretObject
from dfs_sdk.errors import ProtocolError
from dfs_sdk.transport.packet import ASIDE_BYTES_MAX, DATA_HEADER, DATA_OVERHEAD, DATA_PREFIX, Kind

# Says something aside to one peer, from whatever thread; it may be lost. Raises nothing but `ValueError`: too long.
Whisper = Callable[[bytes], None]

CONTENT_BYTES_MAX = ASIDE_BYTES_MAX - DATA_OVERHEAD
# A peer whose loop stands still has something to say every few seconds.
BURST_MAX = 4
REFILL_SECONDS = 1.0

_KEY = b"dfs/aside/1"
_HEADER_BYTES = DATA_HEADER.size


class Asides(SecretObject):
    """Seals and opens the asides of one session. Sealing has one owner, a single thread at a time."""

    __slots__ = ("_allowance", "_allowed_at", "_heard", "_prefix", "_receive", "_send")

    def __init__(self, *, send_secret: bytes, receive_secret: bytes, remote_index: int, now: float) -> None:
        """Take what the handshake gave.

        Args:
            send_secret: 32 bytes for what we say.
            receive_secret: 32 bytes for what the peer says.
            remote_index: The index under which the peer knows the session.
            now: The instant.
        """
        self._send = SendCipher(hkdf_sha256(send_secret, info=_KEY))
        self._receive = ReceiveCipher(hkdf_sha256(receive_secret, info=_KEY))
        self._prefix = DATA_PREFIX.pack(Kind.ASIDE, remote_index)
        self._heard = -1
        self._allowance = float(BURST_MAX)
        self._allowed_at = now

    def seal(self, content: bytes) -> bytes:
        """Seal the next one.

        Raises:
            ValueError: The content is empty, or longer than `CONTENT_BYTES_MAX`.
            ForkedNodeError: The keys were wiped.
        """
        if not 0 < len(content) <= CONTENT_BYTES_MAX:
            raise ValueError(f"an aside has 1 to {CONTENT_BYTES_MAX} bytes, not {len(content)}")
        out = bytearray(len(content) + DATA_OVERHEAD)
        self._send.seal_packet(self._prefix, content, memoryview(out))
        return bytes(out)

    def open(self, datagram: memoryview, now: float) -> bytes | None:
        """Open one that arrived, of `ASIDE` kind and `DATA_BYTES_MIN` … `ASIDE_BYTES_MAX` bytes.

        Returns:
            The content; None for one that is forged, was heard before, is older than one heard, or one too many.
        """
        _, _, number = DATA_HEADER.unpack_from(datagram)
        if number <= self._heard:
            return None
        out = bytearray(len(datagram) - DATA_OVERHEAD)
        try:
            self._receive.open_into(number, datagram[:_HEADER_BYTES], datagram[_HEADER_BYTES:], memoryview(out))
        except ProtocolError:
            return None
        self._heard = number
        return bytes(out) if self._take_allowance(now) else None

    def wipe(self) -> None:
        """Forget the keys."""
        self._send.wipe()
        self._receive.wipe()

    def _take_allowance(self, now: float) -> bool:
        refilled = (now - self._allowed_at) / REFILL_SECONDS
        self._allowance, self._allowed_at = min(self._allowance + refilled, float(BURST_MAX)), now
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True
